"""Every kind of broken input ends with exit code 2, one sentence, no traceback and no output."""

from __future__ import annotations

import re

import pytest

from dicom_factory import BROKEN_DICOM, HOSTILE
from image_factory import BROKEN_IMAGES, BROKEN_MASKS
from livervol.cli import main

KINDS = [
    *(("dicom", *row) for row in BROKEN_DICOM),
    *(("image", *row) for row in BROKEN_IMAGES),
    *(("mask", *row) for row in BROKEN_MASKS),
]


def test_there_are_at_least_thirty_kinds():
    assert len({(family, name) for family, name, *_ in KINDS}) >= 30


@pytest.mark.parametrize(("family", "name", "build", "sentence"), KINDS, ids=[f"{k[0]}: {k[1]}" for k in KINDS])
def test_broken_input(family, name, build, sentence, tmp_path, capfd):
    place = tmp_path / "input"
    if family != "dicom":  # a DICOM builder makes its own folder
        place.mkdir()
    broken = str(build(place))
    verb = ["measure", "--liver", broken] if family == "mask" else ["run", broken]
    assert main([*verb, "--out", str(tmp_path / "out")]) == 2
    captured = capfd.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert "Traceback" not in captured.err
    assert re.search(sentence, lines[0])
    assert "expected" in lines[0]
    assert "got" in lines[0]
    assert not any(word in lines[0] for word in HOSTILE)
    assert captured.out == ""
    assert {p.name for p in tmp_path.iterdir()} <= {"input"}
