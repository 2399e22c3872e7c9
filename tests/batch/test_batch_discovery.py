"""Visits found in a tree of DICOM: grouped, under pseudonyms, each with a path that holds it and nothing else."""

from __future__ import annotations

import csv
import shutil

import pytest

from dicom_factory import write_series
from livervol.batch import discover, read_visits
from livervol.batch.discovery import KEY_FILE, TABLE_FILE
from livervol.batch.task import visit_files
from livervol.cli import main
from livervol.errors import ScanError


def series(folder, patient, day, name="1"):
    """One small CT series."""

    def edit(ds, number):
        ds.PatientID, ds.PatientName, ds.StudyDate = patient, f"Name^{patient}", day

    write_series(folder, edit=edit, series=name)


def table(out):
    return list(csv.DictReader((out / TABLE_FILE).read_text().splitlines()))


@pytest.fixture
def tree(tmp_path):
    """Anna has two visits in folders of their own, the first of two series; Bert and Cara share a folder."""
    tree = tmp_path / "tree"
    series(tree / "anna" / "late", "ANNA", "20240601", "a3")
    series(tree / "anna" / "early" / "s1", "ANNA", "20240301", "a1")
    series(tree / "anna" / "early" / "s2", "ANNA", "20240301", "a2")
    for patient, name in (("BERT", "b"), ("CARA", "c")):
        series(tmp_path / name, patient, "20240401", name)
        (tree / "dump").mkdir(exist_ok=True)
        for path in sorted((tmp_path / name).iterdir()):
            shutil.copy(path, tree / "dump" / f"{name}_{path.name}")
    (tree / "notes.txt").write_text("no image")
    return tree


def test_visits_are_grouped_by_patient_and_date(tree, tmp_path):
    out = tmp_path / "out"
    assert discover(tree, out) == []
    rows = table(out)
    by_patient = {}
    for row in rows:
        by_patient.setdefault(row["patient"], []).append(row)
    assert sorted(len(mine) for mine in by_patient.values()) == [1, 1, 2]
    anna = next(mine for mine in by_patient.values() if len(mine) == 2)
    assert [(r["visit"], r["date"], r["path"], r["series"]) for r in anna] == [
        ("1", "2024-03-01", "anna/early", "2"),
        ("2", "2024-06-01", "anna/late", "1"),
    ]
    assert all(r["path"].endswith(".files") for mine in by_patient.values() if len(mine) == 1 for r in mine)


def test_the_table_can_be_run_and_holds_each_image_once(tree, tmp_path):
    out = tmp_path / "out"
    discover(tree, out)
    found = read_visits(out / TABLE_FILE, tree)
    assert found.warnings == ()
    held = [path for row in found.rows for _, _, path in visit_files(found.root, row)]
    assert len(held) == len(set(held)) == 5 * 7
    for row in found.rows:
        names = {path.name[0] for _, _, path in visit_files(found.root, row) if path.parent.name == "dump"}
        assert len(names) <= 1


def test_patients_appear_under_pseudonyms_that_last(tree, tmp_path):
    discover(tree, tmp_path / "out")
    discover(tree, tmp_path / "other")
    text = (tmp_path / "out" / TABLE_FILE).read_text()
    for name in ("ANNA", "BERT", "CARA"):
        assert name not in text
    again = table(tmp_path / "out")
    discover(tree, tmp_path / "out")
    assert table(tmp_path / "out") == again
    assert {r["patient"] for r in table(tmp_path / "other")} & {r["patient"] for r in again} == set()
    assert (tmp_path / "out" / KEY_FILE).stat().st_mode & 0o077 == 0


def test_damaged_files_are_named_and_links_not_followed(tree, tmp_path):
    victim = sorted((tree / "anna" / "late").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:300])
    outside = tmp_path / "outside"
    series(outside, "EVE", "20240101", "e")
    (tree / "link").symlink_to(outside)
    warnings = discover(tree, tmp_path / "out")
    assert len(warnings) == 1
    assert victim.name in warnings[0]
    assert "2024-01-01" not in {r["date"] for r in table(tmp_path / "out")}


def test_a_tree_without_images_is_refused(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_text("x")
    with pytest.raises(ScanError, match="no visit found"):
        discover(tmp_path / "tree", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verb_lists(tree, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["batch", str(tree), "--out", str(out), "--list"]) == 0
    assert len(table(out)) == 4
    assert not (out / "results").exists()
    assert main(["batch", str(tree), "--out", str(out), "--list", "--root", str(tree)]) == 2
