"""livervol report: a result's report again, in another language; refusals leave nothing behind."""

from __future__ import annotations

import json

import pytest

from livervol.cli import main
from livervol.io.nifti import write_nifti_labels
from livervol.report.cohort import page_document
from report_pages import cohort_page, course_page, visit_page


@pytest.fixture
def visit(tmp_path):
    page, folder = visit_page(), tmp_path / "visit"
    folder.mkdir()
    for name, mask in page.masks.items():
        write_nifti_labels(folder / f"{name}.nii.gz", mask)
    (folder / "measurements.json").write_text(json.dumps(dict(page.document)), encoding="utf-8")
    return folder


def test_a_visit_in_both_languages(visit, capsys):
    assert main(["report", str(visit)]) == 0
    assert main(["report", str(visit), "--language", "zh"]) == 0
    assert "Visit of 4 Mar 2024" in (visit / "report.html").read_text(encoding="utf-8")
    assert "2024年3月4日" in (visit / "report.zh.html").read_text(encoding="utf-8")
    assert "report.zh.html" in capsys.readouterr().out


def test_nothing_is_overwritten_unasked(visit, capsys):
    (visit / "report.html").write_text("mine")
    assert main(["report", str(visit)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert (visit / "report.html").read_text() == "mine"
    assert main(["report", str(visit), "--overwrite"]) == 0


def test_a_signed_page_is_not_replaced(visit, capsys):
    assert main(["report", str(visit)]) == 0
    before = (visit / "report.html").read_bytes()
    (visit / "signoff.json").write_text(json.dumps({"files": {"report.html": ""}}))
    assert main(["report", str(visit), "--overwrite"]) == 2
    assert "signed off" in capsys.readouterr().err
    assert (visit / "report.html").read_bytes() == before
    # another language was not signed; without the signature the page may be made again
    assert main(["report", str(visit), "--language", "zh"]) == 0
    (visit / "signoff.json").write_text(json.dumps({"files": {"liver.nii.gz": ""}}))
    assert main(["report", str(visit), "--overwrite"]) == 0


def test_a_cohort_from_its_folder(tmp_path):
    (tmp_path / "cohort.json").write_text(json.dumps(page_document(cohort_page()), allow_nan=False), encoding="utf-8")
    assert main(["report", str(tmp_path), "--language", "zh"]) == 0
    assert "客观缓解率" in (tmp_path / "report.zh.html").read_text(encoding="utf-8")


@pytest.fixture
def course(tmp_path):
    page, folder = course_page(), tmp_path / "course"
    for number, document in enumerate(page.visits, 1):
        (folder / f"visit_{number}").mkdir(parents=True)
        (folder / f"visit_{number}" / "measurements.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "course.json").write_text(json.dumps(dict(page.document)), encoding="utf-8")
    (tmp_path / "subjects.csv").write_text("patient,surgery,r0,pathology_necrosis_percent\nP1,2024-04-01,1,85\n")
    (tmp_path / "events.csv").write_text(
        "patient,date,kind,lesion,name,value,unit\nP1,2024-02-05,adverse_event,,rash,3,\nP1,2024-03-11,ecog,,,1,\n"
    )
    return folder


def test_a_course_with_its_tables(course):
    tables = ["--subjects", str(course.parent / "subjects.csv"), "--events", str(course.parent / "events.csv")]
    assert main(["report", str(course), *tables]) == 0
    html = (course / "report.html").read_text(encoding="utf-8")
    for words in ("rash", "residual viable tumour", "ECOG 1, at most 1 asked"):
        assert words in html


def test_refusals(course, tmp_path, capsys):
    (tmp_path / "other.csv").write_text("patient\nP2\n")
    for words, said in (
        (["report", str(tmp_path)], "not a result's folder"),
        (["report", str(course), "--language", "fr"], "en or zh"),
        (["report", str(course), "--subjects", str(tmp_path / "other.csv")], "not in the subjects table"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert not (course / "report.html").exists()
