from __future__ import annotations

import csv
import json

import pytest

from livervol.cli import main
from livervol.cli.respond import parse_parameters
from livervol.errors import CriteriaError

HEADER = "patient,reader,visit,date,lesion,role,site,node,longest_mm,viable_longest_mm,state\n"
TABLE = HEADER + (
    "p1,r1,1,2024-01-01,1,target,liver,0,40,40,measured\n"
    "p1,r1,2,2024-02-12,1,target,liver,0,40,10,measured\n"
    "p1,r1,3,2024-03-25,1,target,liver,0,40,12.5,measured\n"
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def _rows(path):
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_respond_writes_one_row_a_visit(table, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(["respond", str(table), "--criterion", "mrecist", "--out", str(out)]) == 0
    assert [r["overall"] for r in _rows(out)] == ["", "PR", "PD"]
    shown = capsys.readouterr().out
    assert "NON-CR" not in shown
    assert "PD" in shown
    assert "p1" in shown


def test_the_floor_changes_the_answer(table, tmp_path):
    out = tmp_path / "out.csv"
    assert main(["respond", str(table), "--out", str(out), "--pd-floor-mm", "5"]) == 0
    assert [r["overall"] for r in _rows(out)] == ["", "PR", "PR"]
    assert "PD with 0" in _rows(out)[2]["reasons"]


def test_all_criteria(table, tmp_path):
    out = tmp_path / "out.csv"
    assert main(["respond", str(table), "--criterion", "all", "--out", str(out), "--pd-floor-mm", "5"]) == 0
    found = {r["criterion"] for r in _rows(out)}
    assert found == {"mrecist", "recist11", "easl", "who", "choi", "volumetric", "irecist", "lirads"}


def test_all_on_sums_takes_the_criteria_of_diameters(tmp_path):
    path, out = tmp_path / "sums.csv", tmp_path / "out.csv"
    path.write_text("patient,reader,visit,date,sum_mm\np,,1,,50\np,,2,,0\n", encoding="utf-8")
    assert main(["respond", str(path), "--criterion", "all", "--out", str(out)]) == 0
    assert {r["criterion"] for r in _rows(out)} == {"mrecist", "recist11", "choi", "irecist"}
    assert main(["respond", str(path), "--criterion", "easl", "--out", str(tmp_path / "x.csv")]) == 2


def test_json(table, tmp_path, capsys):
    assert main(["respond", str(table), "--out", str(tmp_path / "out.csv"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["overall"] for row in rows] == ["", "PR", "PD"]
    assert rows[1]["reasons"]


def test_many_rows_are_counted_instead_of_listed(tmp_path, capsys):
    path = tmp_path / "sums.csv"
    lines = [f"p{n},,{v},,{s}" for n in range(30) for v, s in ((1, 50), (2, 0))]
    path.write_text("patient,reader,visit,date,sum_mm\n" + "\n".join(lines) + "\n", encoding="utf-8")
    assert main(["respond", str(path), "--out", str(tmp_path / "out.csv")]) == 0
    shown = capsys.readouterr().out
    assert "60 visits" in shown
    assert "p17" not in shown


def test_rules_print_themselves(capsys):
    assert main(["respond", "--rules", "--criterion", "mrecist", "--set", "pr_percent=-40"]) == 0
    shown = capsys.readouterr().out
    assert "pr_percent = -40" in shown
    assert "target.pd: PD when sum >= nadir changed by pd_percent" in shown
    assert main(["respond", "--rules", "--criterion", "all"]) == 0
    assert "LI-RADS treatment response" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--criterion", "recist"], "criterion is not known"),
        (["--set", "threshold=3"], "no such parameter"),
        (["--set", "pr_percent"], "name=value"),
        (["--set", "markers_count=3"], "true or false"),
        (["--criterion", "who", "--pd-floor-mm", "5"], "no such parameter"),
        (["--criterion", "all", "--set", "threshold=3"], "no criterion has this parameter"),
    ],
)
def test_refused_options(table, tmp_path, capsys, extra, expected):
    out = tmp_path / "out.csv"
    assert main(["respond", str(table), "--out", str(out), *extra]) == 2
    assert expected in capsys.readouterr().err
    assert not out.exists()


def test_a_refused_table_leaves_no_file(tmp_path, capsys):
    path = tmp_path / "table.csv"
    path.write_text(TABLE.replace("12.5", "12.5 mm"), encoding="utf-8")
    assert main(["respond", str(path), "--out", str(tmp_path / "out.csv")]) == 2
    said = capsys.readouterr().err
    assert "table.csv, row 4, visit 3, lesion 1, column viable_longest_mm" in said
    assert "p1" not in said
    assert not (tmp_path / "out.csv").exists()
    assert main(["respond", str(path)]) == 2


def test_implausible_data_warns(tmp_path, capsys):
    path = tmp_path / "table.csv"
    rows = (
        "p1,r1,1,2024-01-01,1,target,liver,0,40,40,measured\n"
        "p1,r1,1,2024-01-01,2,non_target,lung,0,,,present\n"
        "p1,r1,2,2024-01-05,1,target,liver,0,40,0,measured\n"
        "p1,r1,2,2024-01-05,2,non_target,lung,0,,,absent\n"
        "p1,r1,3,2024-01-04,1,target,liver,0,5,0,measured\n"
        "p1,r1,3,2024-01-04,2,non_target,lung,0,,,present\n"
        "p1,r1,4,2024-01-08,1,target,liver,0,30,0,measured\n"
        "p1,r1,4,2024-01-08,2,non_target,lung,0,,,present\n"
    )
    path.write_text(HEADER + rows, encoding="utf-8")
    assert main(["respond", str(path), "--out", str(tmp_path / "out.csv")]) == 0
    said = capsys.readouterr().err
    assert "warning: visits out of order: 2024-01-04 after 2024-01-05 (visit 3, row 6)" in said
    assert "longest_mm went from 5 to 30 within 4 days (visit 4, row 8, lesion 1)" in said
    assert "mrecist: PR at visit 3 after CR at visit 2" in said
    assert "p1" not in said


def test_parameters_are_numbers_flags_or_words():
    assert parse_parameters(["a=1.5", "b=true", "c=sum"]) == {"a": 1.5, "b": True, "c": "sum"}
    with pytest.raises(CriteriaError):
        parse_parameters(["=3"])
