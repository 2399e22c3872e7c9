from __future__ import annotations

import csv
import datetime

import pyarrow
import pyarrow.parquet
import pytest

from livervol.errors import CriteriaError, LivervolError
from livervol.io.response_tables import RESPONSE_COLUMNS, read_response_table, write_responses
from livervol.records import ResponseRow
from livervol.response import assess

HEADER = (
    "patient,reader,visit,date,lesion,role,site,node,longest_mm,short_axis_mm,viable_longest_mm,"
    "viable_perpendicular_mm,volume_ml,viable_volume_ml,state"
)
SECRET = "Mustermann-1950"


def _write(folder, *lines, header=HEADER, name="table.csv"):
    path = folder / name
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def _row(visit=1, lesion="1", role="target", *, date="2024-01-01", rest="40,30,20,10,30,5,measured", site="liver,0"):
    return f"{SECRET},r1,{visit},{date},{lesion},{role},{site},{rest}"


def _refused(folder, *lines, header=HEADER):
    with pytest.raises(CriteriaError) as caught:
        read_response_table(_write(folder, *lines, header=header))
    message = str(caught.value)
    assert SECRET not in message
    return message


def test_lesion_rows_become_courses(tmp_path):
    path = _write(
        tmp_path,
        _row(2, "2", "non_target", date="2024-02", rest=",,,,,,present", site="portal_vein_thrombus,0"),
        _row(2, date="2024-02"),
        _row(1),
        _row(1, "2", "non_target", rest=",,,,,,present", site="portal_vein_thrombus,"),
        "other,,1.0,,1,target,,1,,16,,,,,",
    )
    table = read_response_table(path)
    assert (len(table), table.sums_only, table.warnings) == (2, False, [])
    first, second = list(table)
    assert [v.number for v in first.visits] == [1, 2]
    assert (first.visits[1].date, first.visits[1].reader) == ("2024-02", "r1")
    lesion = next(one for one in first.visits[0].lesions if one.number == 1)
    assert lesion.value("viable_longest_mm") == 20
    assert lesion.value("viable_volume_ml") == 5
    node = second.visits[0].lesions[0]
    assert (node.site, node.node, node.state, node.value("short_axis_mm")) == ("other_node", True, "measured", 16)
    assert node.value("longest_mm") is None


def test_optional_columns_become_words(tmp_path):
    header = HEADER + ",enhancement,split_from,viable_components_mm,mean_hu,markers,baseline,slice_thickness_mm"
    path = _write(tmp_path, _row() + ",atypical,,12 8.5,81.5,abnormal,1,2.5", _row(2) + ",,3,,-20,,,", header=header)
    course = next(iter(read_response_table(path)))
    visit = course.visits[0]
    assert dict(visit.lesions[0].attributes) == {"enhancement": "atypical", "viable_components_mm": "12 8.5"}
    assert visit.lesions[0].value("mean_hu") == 81.5
    assert visit.is_baseline
    assert dict(visit.attributes) == {"markers": "abnormal", "slice_thickness_mm": "2.5", "row": "2"}
    assert course.visits[1].lesions[0].attributes["split_from"] == "3"
    assert course.visits[1].lesions[0].value("mean_hu") == -20


def test_sums(tmp_path):
    header = "patient,reader,visit,date,sum_mm"
    table = read_response_table(_write(tmp_path, "a,,1,,100", "a,,2,,", "a,,3,,0", header=header))
    assert table.sums_only
    rows = assess(next(iter(table)), "mrecist")
    assert [r.overall for r in rows] == ["", "NE", "CR"]


def test_a_visit_without_lesions_is_a_row_without_a_number(tmp_path):
    table = read_response_table(_write(tmp_path, f"{SECRET},r1,1,2024-01-01" + "," * 11))
    assert next(iter(table)).visits[0].lesions == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (_row(rest="12,5,20,10,30,5,measured,"), "decimal comma"),
        (_row(rest='"12,5",,20,10,30,5,measured'), "looks like a decimal comma"),
        (_row(rest="40 mm,30,20,10,30,5,measured"), "the column's name says its unit"),
        (_row(rest="-4,30,20,10,30,5,measured"), "a number from 0"),
        (_row(rest="nan,30,20,10,30,5,measured"), "out of range"),
        (_row(rest="inf,30,20,10,30,5,measured"), "out of range"),
        (_row(rest="1_0,30,20,10,30,5,measured"), "out of range"),
        (_row(rest="1000.5,30,20,10,30,5,measured"), "at most 1000 mm"),
        (_row(rest="40,30,20,10,10001,5,measured"), "at most 10000 ml"),
        (_row(rest="big,30,20,10,30,5,measured"), "cell is not a number"),
        (_row(date="03/04/2024"), "ambiguous"),
        (_row(date="2024-3-5"), "ambiguous"),
        (_row(date="20240305"), "ambiguous"),
        (_row(date="2024-02-30"), "does not exist"),
        (_row(date="2024-13"), "does not exist"),
        (_row(date="0024-01-01"), "does not exist"),
        (_row(visit="2.5"), "visit is not a number"),
        (_row(visit="baseline"), "visit is not a number"),
        (_row(visit="-1"), "visit is not a number"),
        (_row(lesion="T1"), "lesion is not a number"),
        (_row(lesion="0"), "a whole number from 1"),
        (_row(lesion=""), "lesion number is empty"),
        (_row(role="main"), "role is not known"),
        (_row(site="hepar,0"), "site is not known"),
        (_row(site="liver,yes"), "flag is not known"),
        (_row(rest="40,30,20,10,30,5,gone"), "state is not known"),
        (_row(rest=",,,,,,"), "neither a number nor a state"),
        (_row(rest="40,30,20,10,30,5,absent"), "absent but measured"),
        (",r1,1,2024-01-01,1,target,liver,0,40,30,20,10,30,5,measured", "patient is empty"),
        (_row() + ",extra", "number of fields"),
    ],
)
def test_refusals_name_the_place_and_never_the_patient(tmp_path, line, expected):
    message = _refused(tmp_path, _row(1, "7"), line)
    assert expected in message
    assert "table.csv, row 3" in message


def test_a_refusal_names_visit_lesion_and_column(tmp_path):
    message = _refused(tmp_path, _row(4, "3", rest="x,30,20,10,30,5,measured"))
    assert "table.csv, row 2, visit 4, lesion 3, column longest_mm" in message


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    assert "lesion listed twice" in _refused(tmp_path, _row(), _row())
    assert "also row 2" in _refused(tmp_path, _row(), _row())
    assert "one visit has two dates" in _refused(tmp_path, _row(), _row(lesion="2", date="2024-01-02"))
    header = HEADER + ",markers"
    message = _refused(tmp_path, _row() + ",normal", _row(lesion="2") + ",abnormal", header=header)
    assert "rows of one visit disagree" in message
    sums = "patient,visit,sum_mm"
    assert "visit listed twice" in _refused(tmp_path, "a,1,100", "a,1,90", header=sums)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("patient;visit;lesion;role", "not separated by commas"),
        ("patient,visit,lesion,role,role", "column listed twice"),
        ("patient,visit,lesion", "column missing: expected role"),
        ("patient,visit", "column missing: expected sum_mm"),
        ("visit,sum_mm", "column missing: expected patient"),
        (HEADER + ",longest_cm", "column in another unit"),
        (HEADER + ",volume_cc", "column in another unit"),
    ],
)
def test_headers_that_are_no_response_table(tmp_path, header, expected):
    assert expected in _refused(tmp_path, header=header)


def test_empty_and_unreadable_files(tmp_path):
    assert "no rows" in _refused(tmp_path)
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CriteriaError, match="not text"):
        read_response_table(path)
    path.write_text("patient,visit,sum_mm\na,1," + "9" * 200_000 + "\n", encoding="utf-8")
    with pytest.raises(CriteriaError, match="not CSV"):
        read_response_table(path)
    with pytest.raises(LivervolError, match="input file not found"):
        read_response_table(tmp_path / "missing.csv")
    broken = tmp_path / "t.parquet"
    broken.write_bytes(b"PAR1 nothing")
    with pytest.raises(CriteriaError, match="cannot be read"):
        read_response_table(broken)


def test_warnings(tmp_path):
    header = HEADER + ",hospital,sum_mm"
    table = read_response_table(
        _write(
            tmp_path,
            _row(rest="4.0,3,4.5,2,3,9,measured") + ",x,",
            _row(lesion="2", site="other_node,0", rest=",8,,,,,measured") + ",,",
            header=header,
        )
    )
    text = "\n".join(table.warnings)
    assert "unknown columns ignored: hospital" in text
    assert "sum_mm is ignored" in text
    assert "viable_longest_mm 4.5 is larger than longest_mm 4 (table.csv, row 2, visit 1, lesion 1)" in text
    assert "viable_volume_ml 9 is larger than volume_ml 3" in text
    assert "site other_node with node 0: taken as a node" in text
    assert "4.5 mm: are these centimetres?" in text
    assert SECRET not in text


def test_parquet_reads_as_csv_does(tmp_path):
    path = _write(tmp_path, _row(), _row(2, date="2024-02-12", rest=",,0,0,30,0,measured"))
    frame = {
        "patient": [SECRET, SECRET],
        "reader": ["r1", "r1"],
        "visit": [1.0, 2.0],
        "date": [datetime.date(2024, 1, 1), datetime.date(2024, 2, 12)],
        "lesion": [1, 1],
        "role": ["target", "target"],
        "site": ["liver", "liver"],
        "node": [False, False],
        "longest_mm": [40.0, None],
        "short_axis_mm": [30.0, float("nan")],
        "viable_longest_mm": [20.0, 0.0],
        "viable_perpendicular_mm": [10.0, 0.0],
        "volume_ml": [30.0, 30.0],
        "viable_volume_ml": [5.0, 0.0],
        "state": ["measured", "measured"],
    }
    other = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table(frame), other)
    one, two = (next(iter(read_response_table(p))) for p in (path, other))
    assert [v.lesions for v in one.visits] == [v.lesions for v in two.visits]
    assert [v.date for v in one.visits] == [v.date for v in two.visits]


ROWS = (
    ResponseRow("a", "r", 1, "2024-01", "mrecist", sum_mm=70.1, baseline_sum_mm=70.1, reasons=("visit 1: baseline",)),
    ResponseRow(
        "a", "r", 2, "", "mrecist", "PR", "NON-CR/NON-PD", "no", "PR", 0.1 + 0.2, 70.1, 70.1, -99.5, -99.5, ("x", "y")
    ),
)


def test_responses_are_written_with_the_agreed_columns(tmp_path):
    path = write_responses(iter(ROWS), tmp_path / "out.csv")
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle))
    assert tuple(rows[0]) == RESPONSE_COLUMNS
    assert RESPONSE_COLUMNS == (
        "patient", "reader", "visit", "date", "criterion", "target", "non_target", "new_lesion", "overall", "sum_mm",
        "baseline_sum_mm", "nadir_sum_mm", "change_from_baseline_percent", "change_from_nadir_percent", "reasons",
    )  # fmt: skip
    assert rows[1] == [
        "a",
        "r",
        "1",
        "2024-01",
        "mrecist",
        "",
        "",
        "no",
        "",
        "70.1",
        "70.1",
        "",
        "",
        "",
        "visit 1: baseline",
    ]
    assert rows[2][9:] == ["0.3", "70.1", "70.1", "-99.5", "-99.5", "x; y"]


def test_responses_as_parquet(tmp_path):
    table = pyarrow.parquet.read_table(write_responses(ROWS, tmp_path / "out.parquet"))
    assert tuple(table.column_names) == RESPONSE_COLUMNS
    assert table["sum_mm"].to_pylist() == [70.1, 0.1 + 0.2]
    assert table["nadir_sum_mm"].to_pylist() == [None, 70.1]
    assert table["reasons"].to_pylist() == ["visit 1: baseline", "x; y"]


def test_writing_is_whole_or_nothing(tmp_path):
    def broken():
        yield ROWS[0]
        raise CriteriaError("stop")

    with pytest.raises(CriteriaError):
        write_responses(broken(), tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []
    write_responses(ROWS, tmp_path / "out.csv")
    with pytest.raises(LivervolError, match="already exists"):
        write_responses(ROWS, tmp_path / "out.csv")
    write_responses(ROWS[:1], tmp_path / "out.csv", overwrite=True)
    with pytest.raises(LivervolError, match="format"):
        write_responses(ROWS, tmp_path / "out.xlsx")
