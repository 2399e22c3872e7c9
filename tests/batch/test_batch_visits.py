"""VISITS.csv: what is accepted, what is refused, and that no path leaves its tree."""

from __future__ import annotations

import os

import pytest

from livervol.batch.visits import MASK_COLUMNS, PHASE_COLUMNS, files_of, read_visits, signature_of
from livervol.errors import CriteriaError, LivervolError, ScanError
from livervol.scan import Phase
from livervol.workflows.inputs import STATED_ARTERIAL
from livervol.workflows.visit import MASK_NAMES


def write(tmp_path, *rows, header="patient,visit,date,path"):
    path = tmp_path / "VISITS.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_columns_are_those_of_run():
    assert MASK_COLUMNS == MASK_NAMES
    assert (STATED_ARTERIAL, *(p.value for p in Phase)) == PHASE_COLUMNS


def test_rows_are_read_in_order_of_patient_and_visit(tmp_path):
    header = "patient,visit,date,path,arterial,liver,height_cm,weight_kg,sex,site"
    table = read_visits(
        write(tmp_path, "B,2,2024-05,b/2,,,,,,x", "B,1,2024-05-03,b/1,,,170,70,female,x", "A,1,,,a.nii.gz,l.nii,,,,x",
              header=header)
    )  # fmt: skip
    assert [(r.subject, r.visit, r.row) for r in table.rows] == [("A", 1, 4), ("B", 1, 3), ("B", 2, 2)]
    assert table.rows[0].words == (("arterial", ("a.nii.gz",)),)
    assert table.rows[0].masks == (("liver", "l.nii"),)
    assert table.rows[1].words == (("", ("b/1",)),)
    assert table.rows[1].size == (170.0, 70.0, "female")
    assert table.root == tmp_path.resolve()
    assert "site" in table.warnings[0]


@pytest.mark.parametrize(
    "place", ["../x", "a/../../x", "/etc/passwd", "..", "a/../..", "C:/x", "a\tb/../../../x", "x\x07"]
)
def test_paths_out_of_the_tree_are_refused(tmp_path, place):
    with pytest.raises(CriteriaError, match="leaves the tree") as refused:
        read_visits(write(tmp_path, f"A,1,,{place}"))
    assert "row 2, column path" in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("A,1,,x", "A,1,,y"), "visit listed twice"),
        (("A,1,,x", "A,2,,x"), "files listed for two visits"),
        (("A,x,,x",), "visit is not a number"),
        (("A,1,3/5/2024,x",), "date is not ISO"),
        ((",1,,x",), "patient is empty"),
        (("A,1,,",), "no files"),
        (("A,1,x",), "number of fields"),
        (("A,1,2024-05-02,x", "A,2,2024-05-01,y"), "order of their dates"),
        (("A,1,2024-05-02,x", "A,2,,y", "A,3,2023,z"), "order of their dates"),
        ((), "no rows"),
    ],
)
def test_refused_rows(tmp_path, rows, words):
    with pytest.raises(CriteriaError, match=words):
        read_visits(write(tmp_path, *rows))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("patient;visit;path", "separated by commas"),
        ("patient,visit,visit,path", "listed twice"),
        ("patient,path", "column missing"),
        ("patient,visit,date", "column missing"),
    ],
)
def test_refused_headers(tmp_path, header, words):
    with pytest.raises(CriteriaError, match=words):
        read_visits(write(tmp_path, header=header))


def test_sizes_are_checked_and_patients_not_named(tmp_path):
    header = "patient,visit,path,height_cm,weight_kg"
    with pytest.raises(CriteriaError) as refused:
        read_visits(write(tmp_path, "SECRET,1,x,1.7,70", header=header))
    assert "row 2" in str(refused.value)
    assert "SECRET" not in str(refused.value)
    with pytest.raises(CriteriaError, match="not a number"):
        read_visits(write(tmp_path, "SECRET,1,x,tall,70", header=header))


def test_binary_and_enormous_tables_are_refused(tmp_path):
    path = tmp_path / "VISITS.csv"
    path.write_bytes(b"\xff\xfe\x00patient")
    with pytest.raises(CriteriaError, match="not CSV"):
        read_visits(path)
    with path.open("wb") as handle:
        handle.truncate(1 << 30)
    with pytest.raises(LivervolError, match="too large"):
        read_visits(path)


def test_a_list_names_files_of_the_tree(tmp_path):
    (tmp_path / "tree" / "a").mkdir(parents=True)
    for name in ("a/1", "a/2"):
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "one.files").write_text("a/1\n\na/2\n")
    table = read_visits(write(tmp_path, "A,1,,one.files"), tmp_path / "tree")
    assert table.rows[0].words == (("", ("a/1", "a/2")),)
    assert [p.name for _, p in files_of(table.root, table.rows[0].words[0][1])] == ["1", "2"]
    (tmp_path / "one.files").write_text("a/1\n../../x\n")
    with pytest.raises(CriteriaError, match="leaves the tree"):
        read_visits(write(tmp_path, "A,1,,one.files"), tmp_path / "tree")
    (tmp_path / "one.files").write_text("\n")
    with pytest.raises(CriteriaError, match="list of files"):
        read_visits(write(tmp_path, "A,1,,one.files"), tmp_path / "tree")


@pytest.mark.parametrize("link", ["file", "folder", "start", "loop", "dangling"])
def test_links_out_of_the_tree_are_refused(tmp_path, link):
    root = (tmp_path / "tree").resolve()
    (root / "visit").mkdir(parents=True)
    (root / "visit" / "1.dcm").write_text("a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "2.dcm").write_text("b")
    start = "visit"
    if link == "file":
        (root / "visit" / "2.dcm").symlink_to(tmp_path / "outside" / "2.dcm")
    elif link == "folder":
        (root / "visit" / "more").symlink_to(tmp_path / "outside")
    elif link == "start":
        start = "other"
        (root / "other").symlink_to(tmp_path / "outside")
    elif link == "loop":
        (root / "visit" / "2.dcm").symlink_to("2.dcm")
    else:
        (root / "visit" / "2.dcm").symlink_to("nowhere")
    with pytest.raises(ScanError, match="leads out of the tree|cannot be reached"):
        files_of(root, (start,))


def test_links_inside_the_tree_are_followed_once(tmp_path):
    root = tmp_path.resolve()
    (root / "visit").mkdir()
    (root / "visit" / "1.dcm").write_text("a")
    (root / "visit" / "up").symlink_to(root / "visit")
    (root / "visit" / "2.dcm").symlink_to("1.dcm")
    assert [name for name, _ in files_of(root, ("visit",))] == ["1.dcm", "2.dcm"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipes_are_left_out(tmp_path):
    root = tmp_path.resolve()
    (root / "visit").mkdir()
    os.mkfifo(root / "visit" / "pipe")
    assert files_of(root, ("visit",)) == []


def test_signature_follows_names_sizes_and_times(tmp_path):
    path = tmp_path / "a"
    path.write_text("abc")
    first = signature_of([("liver", "a", path)])
    assert first[1] == 3
    assert signature_of([("liver", "a", path)]) == first
    assert signature_of([("lesions", "a", path)])[0] != first[0]
    os.utime(path, ns=(1, 1))
    assert signature_of([("liver", "a", path)])[0] != first[0]
