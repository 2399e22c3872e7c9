"""Every kind of broken input ends with exit code 2, one sentence, no traceback and no output."""

from __future__ import annotations

import pytest

from dicom_factory import BROKEN_DICOM
from image_factory import BROKEN_IMAGES
from livervol.cli import main

KINDS = [("dicom", *row) for row in BROKEN_DICOM] + [("image", *row) for row in BROKEN_IMAGES]


def test_there_are_at_least_thirty_kinds():
    assert len({(family, name) for family, name, *_ in KINDS}) >= 30


@pytest.mark.parametrize(("family", "name", "build", "sentence"), KINDS, ids=[f"{k[0]}: {k[1]}" for k in KINDS])
def test_broken_input(family, name, build, sentence, tmp_path, capfd):
    place = tmp_path / "input"
    place.mkdir()
    broken = build(place)
    out = tmp_path / "out"
    if "label" in name or "mask" in name:
        words = ["measure", "--liver", str(broken), "--out", str(out)]
    else:
        words = ["run", str(broken), "--out", str(out)]
    assert main(words) == 2
    captured = capfd.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    assert "expected" in lines[0]
    assert "got" in lines[0]
    assert captured.out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["input"]
