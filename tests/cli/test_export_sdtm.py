from __future__ import annotations

import csv

import pytest

from livervol.cli import main

TABLE = """\
patient,reader,visit,date,lesion,role,site,node,longest_mm,short_axis_mm,viable_longest_mm,viable_perpendicular_mm,volume_ml,viable_volume_ml,state
P1,R1,1,2024-01-10,1,target,liver,0,50,40,48,30,,,measured
P1,R1,2,2024-03-10,1,target,liver,0,48,40,20,15,,,measured
P1,R1,3,2024-05-10,1,target,liver,0,49,40,30,15,,,measured
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "lesions.csv"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize("form", ["csv", "xpt", "dataset-json"])
def test_responses_read_back_from_sdtm_are_the_tables_own(table, tmp_path, form):
    folder = tmp_path / "sdtm"
    words = ["export", "sdtm", str(table), "--study", "LV1", "--out", str(folder), "--format", form]
    assert main(words) == 0
    answers = []
    for source in ([str(table)], ["--sdtm", str(folder)]):
        out = tmp_path / f"r{len(answers)}.csv"
        assert main(["respond", *source, "--criterion", "mrecist", "--out", str(out)]) == 0
        rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
        answers.append([(row["visit"], row["overall"], float(row["sum_mm"])) for row in rows])
    assert answers[0] == answers[1] == [("1", "", 48.0), ("2", "PR", 20.0), ("3", "PD", 30.0)]


def test_unknown_format_is_refused(table, tmp_path, capsys):
    words = ["export", "sdtm", str(table), "--study", "LV1", "--out", str(tmp_path / "x"), "--format", "sas7bdat"]
    assert main(words) == 2
    assert "'sas7bdat'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
