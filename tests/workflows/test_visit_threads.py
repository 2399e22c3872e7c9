"""Steps that run beside each other give what they give one after the other."""

from __future__ import annotations

import pytest

from livervol.kernels import slabs
from livervol.workflows.visit import GivenMasks, run_visit
from reading_visit import make_visit


@pytest.fixture
def threads():
    before = slabs.thread_count()
    yield slabs.set_threads
    slabs.set_threads(before)


def test_one_thread_writes_the_same_bytes_as_two(tmp_path, threads):
    source = make_visit(tmp_path / "visit")
    images = {"late_arterial": "late_arterial", "portal_venous": "portal_venous", "delayed": "portal_venous"}
    words = [f"{phase}={source / 'phases' / name}.nii.gz" for phase, name in images.items()]
    given = GivenMasks(liver=source / "liver.nii.gz", lesions=source / "lesions.nii.gz")
    runs, told = [], []
    for count in (1, 2):
        threads(count)
        steps = []
        runs.append(run_visit(words, tmp_path / "out", given=given, progress=steps.append))
        told.append(steps)
        (tmp_path / "out").rename(tmp_path / f"with_{count}")
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "with_1", tmp_path / "with_2")
    )
    assert len([path for path in one if path.suffix == ".gz"]) > 8
    assert one.keys() == two.keys()
    assert [path for path in one if one[path] != two[path]] == []
    assert runs[0].document == runs[1].document
    assert list(runs[0].masks) == list(runs[1].masks)
    assert [row["aligned_by"] for row in runs[0].document["phases"] if not row["reference"]] != []
    # what a reader is told of does not depend on what ran first
    assert told[0] == told[1]
    assert told[0].index("finding lesions") < told[0].index("finding vessels and segments")


@pytest.mark.parametrize("count", [1, 2])
def test_what_fails_beside_the_visit_fails_the_visit(tmp_path, threads, monkeypatch, count):
    def fail(*_):
        raise ValueError("no vessels today")

    source = make_visit(tmp_path / "visit")
    given = GivenMasks(**{n: source / f"{n}.nii.gz" for n in ("liver", "lesions", "viable")})
    threads(count)
    monkeypatch.setattr("livervol.workflows.visit.find_anatomy", fail)
    word = f"portal_venous={source / 'phases' / 'portal_venous'}.nii.gz"
    with pytest.raises(ValueError, match="no vessels today"):
        run_visit([word], tmp_path / "out", given=given)
    assert not (tmp_path / "out").exists()
