"""The tables of a cohort: what is read, and what is refused with file, row and column but without the patient."""

from __future__ import annotations

import csv
from datetime import date

import pytest

from livervol.errors import CriteriaError
from livervol.io.cohort_tables import date_bounds, read_events, read_responses, read_subjects

SUBJECT = {
    "patient": "secret-1",
    "first_dose": "2024-01-02",
    "enrolled": "2023-12-20",
    "last_dose": "2024-09",
    "death": "",
    "last_alive": "2024-10-01",
    "surgery": "2024-06-03",
    "r0": "1",
    "pathology_necrosis_percent": "92.5",
    "liver_condition": "cirrhosis",
    "height_cm": "171",
    "weight_kg": "68.4",
    "sex": "F",
    "arm": "A",
}
EVENT = {
    "patient": "secret-1",
    "date": "2024-05-30",
    "kind": "labs",
    "lesion": "",
    "name": "albumin",
    "value": "38",
    "unit": "g/L",
}
RESPONSE = {
    "patient": "secret-1",
    "reader": "R1",
    "visit": "2",
    "date": "2024-03-26",
    "criterion": "mrecist",
    "target": "PR",
    "non_target": "",
    "new_lesion": "no",
    "overall": "PR",
    "sum_mm": "30.5",
    "baseline_sum_mm": "60",
    "nadir_sum_mm": "60",
    "change_from_baseline_percent": "-49.166666667",
    "change_from_nadir_percent": "-49.2",
    "reasons": "words",
}
READERS = {
    "subjects": (read_subjects, SUBJECT),
    "events": (read_events, EVENT),
    "responses": (read_responses, RESPONSE),
}


def write(folder, name, rows):
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as handle:
        out = csv.DictWriter(handle, rows[0])
        out.writeheader()
        out.writerows(rows)
    return path


def test_a_subject_is_read(tmp_path):
    (subject,) = read_subjects(write(tmp_path, "subjects", [SUBJECT]))
    assert (subject.patient, subject.first_dose, subject.last_dose) == ("secret-1", "2024-01-02", "2024-09")
    assert (subject.r0, subject.pathology_necrosis_percent, subject.sex) == (True, 92.5, "female")
    assert (subject.height_cm, subject.weight_kg, subject.liver_condition) == (171.0, 68.4, "cirrhosis")
    assert subject.words == {"arm": "A"}


def test_an_event_is_read(tmp_path):
    (event,) = read_events(write(tmp_path, "events", [EVENT]))
    assert (event.kind, event.name, event.value, event.text, event.unit, event.row) == (
        "labs", "albumin", 38.0, "38", "g/L", 2,
    )  # fmt: skip
    (word,) = read_events(write(tmp_path, "events", [{**EVENT, "name": "ascites", "value": "none"}]))
    assert (word.value, word.text) == (None, "none")


def test_a_response_is_read_and_findings_per_lesion_are_left_out(tmp_path):
    lirads = {**RESPONSE, "criterion": "lirads", "overall": "Viable"}
    (row,) = read_responses(write(tmp_path, "responses", [lirads, RESPONSE]))
    assert (row.visit, row.overall, row.target, row.change_from_baseline_percent) == (2, "PR", "PR", -49.166666667)
    assert row.reasons == ()


def test_parquet_says_the_same(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([RESPONSE]).astype({"visit": int, "sum_mm": float})
    frame["date"] = pandas.to_datetime(frame["date"])
    frame.to_parquet(tmp_path / "r.parquet")
    assert read_responses(tmp_path / "r.parquet") == read_responses(write(tmp_path, "responses", [RESPONSE]))


def test_only_the_pseudonym_is_needed(tmp_path):
    (subject,) = read_subjects(write(tmp_path, "subjects", [{"patient": "a"}]))
    assert (subject.first_dose, subject.r0, subject.height_cm) == ("", None, None)


@pytest.mark.parametrize(
    ("table", "changes", "sentence"),
    [
        ("subjects", {"first_dose": "02.01.2024"}, "date is not ISO or does not exist"),
        ("subjects", {"first_dose": "2024-02-30"}, "date is not ISO or does not exist"),
        ("subjects", {"first_dose": "2024-13"}, "date is not ISO or does not exist"),
        ("subjects", {"death": "2023-12-31"}, "death is before first_dose"),
        ("subjects", {"last_dose": "2023-11"}, "last_dose is before first_dose"),
        ("subjects", {"death": "2024-09-30"}, "death is before last_alive"),
        ("subjects", {"r0": "maybe"}, "r0 is not known"),
        ("subjects", {"sex": "x"}, "sex is not known"),
        ("subjects", {"height_cm": "1.71"}, "number is out of range"),
        ("subjects", {"weight_kg": "nan"}, "number is out of range"),
        ("subjects", {"pathology_necrosis_percent": "101"}, "number is out of range"),
        ("subjects", {"weight_kg": "68 kg"}, "cell is not a number"),
        ("subjects", {"patient": ""}, "patient is empty"),
        ("events", {"kind": "surgery"}, "kind is not known"),
        ("events", {"date": ""}, "event without a date"),
        ("events", {"lesion": "left"}, "lesion is not a number"),
        ("responses", {"overall": "PR?"}, "overall is not known"),
        ("responses", {"date": ""}, "response without a date"),
        ("responses", {"visit": "two"}, "visit is not a number"),
        ("responses", {"visit": ""}, "visit is empty"),
        ("responses", {"sum_mm": "30,5"}, "cell is not a number"),
    ],
)
def test_refusals_name_file_row_and_column(tmp_path, table, changes, sentence):
    read, good = READERS[table]
    bad = {**good, **changes}
    if "patient" not in changes:
        bad["patient"] = "secret-2"
    with pytest.raises(CriteriaError) as refused:
        read(write(tmp_path, table, [good, bad]))
    text = str(refused.value)
    assert sentence in text
    assert f"{table}.csv, row 3, column " in text
    assert "secret" not in text


@pytest.mark.parametrize(("table", "column"), [("subjects", "patient"), ("events", "kind"), ("responses", "overall")])
def test_a_missing_column_is_named(tmp_path, table, column):
    read, good = READERS[table]
    row = {name: cell for name, cell in good.items() if name != column}
    with pytest.raises(CriteriaError, match=f"column missing: expected {column}"):
        read(write(tmp_path, table, [row]))


def test_rows_listed_twice_are_refused(tmp_path):
    with pytest.raises(CriteriaError, match="patient listed twice.*also row 2") as refused:
        read_subjects(write(tmp_path, "subjects", [SUBJECT, SUBJECT]))
    assert "secret" not in str(refused.value)
    with pytest.raises(CriteriaError, match="visit listed twice.*also row 2"):
        read_responses(write(tmp_path, "responses", [RESPONSE, RESPONSE]))
    for other in ({"reader": "R2"}, {"criterion": "recist11"}, {"visit": "3"}, {"patient": "b"}):
        assert len(read_responses(write(tmp_path, "responses", [RESPONSE, {**RESPONSE, **other}]))) == 2


def test_broken_files_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("patient;first_dose\nx;2024\n")
    (tmp_path / "b.csv").write_text("patient,patient\nx,y\n")
    (tmp_path / "c.csv").write_text("patient,weight_kg\nx,12,5\n")
    (tmp_path / "d.csv").write_text("patient\n")
    (tmp_path / "e.csv").write_bytes(b"patient\n\xff\xfe\n")
    (tmp_path / "f.parquet").write_text("no parquet")
    (tmp_path / "g.csv").write_text("")
    for name, sentence in (
        ("a.csv", "not separated by commas"),
        ("b.csv", "column listed twice"),
        ("c.csv", "another number of fields"),
        ("d.csv", "table has no rows"),
        ("e.csv", "table is not text"),
        ("f.parquet", "table cannot be read"),
        ("g.csv", "column missing"),
        ("absent.csv", "input file not found"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read_subjects(tmp_path / name)


def test_contradictions_are_judged_by_the_widest_reading_of_a_partial_date(tmp_path):
    open_death = {**SUBJECT, "last_dose": "", "death": "2024-01", "last_alive": "2024-01-20", "surgery": ""}
    (subject,) = read_subjects(write(tmp_path, "subjects", [open_death]))
    assert subject.death == "2024-01"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", "2024-01-01", "2024-12-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2023-02", "2023-02-01", "2023-02-28"),
        ("2024-02-29", "2024-02-29", "2024-02-29"),
    ],
)
def test_bounds_of_a_date(text, first, last):
    assert date_bounds(text) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize("text", ["", "2023-02-29", "24-02-01", "2024-2-1", "2024-00", "0000-01-01", "soon"])
def test_no_date(text):
    assert date_bounds(text) is None
