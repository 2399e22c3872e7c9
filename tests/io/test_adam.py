"""ADaM from response rows, best responses and times to event."""

from __future__ import annotations

from datetime import date

import pytest

from livervol.io.adam import SubjectResponse, SubjectTime, adam_datasets
from livervol.io.cdisc import FORMATS, find_dataset, read_rows, write_datasets
from livervol.records import ResponseRow

ROWS = (
    ResponseRow("a", "R", 1, "2024-01-02", "mrecist", sum_mm=60.0, baseline_sum_mm=60.0),
    ResponseRow("a", "R", 2, "2024-03", "mrecist", "PR", "", "no", "PR", 30.0, 60.0, 60.0, -50.0, -50.0),
    ResponseRow("a", "R", 2, "2024-03", "lirads", overall="Viable"),
)
RESPONSES = (SubjectResponse("a", "BOR", "PR", date(2024, 3, 1)), SubjectResponse("a", "RSP", "Y"))
TIMES = (
    SubjectTime("a", "PFS", date(2024, 1, 1), date(2024, 3, 1), True, "progression at visit 2"),
    SubjectTime("a", "OS", date(2024, 1, 1), date(2024, 4, 1), False, "last known alive"),
)


@pytest.mark.parametrize("fmt", FORMATS)
def test_three_datasets_in_every_format(tmp_path, fmt):
    datasets = adam_datasets(ROWS, RESPONSES, TIMES, study="ST")
    folder = write_datasets(datasets, tmp_path / fmt, fmt, created="2024-01-01T00:00:00")
    adtr, adrs, adtte = (read_rows(find_dataset(folder, name)) for name in ("adtr", "adrs", "adtte"))
    assert [(r["PARAMCD"], r["AVAL"], r["PCHG"], r["ABLFL"]) for r in adtr] == [
        ("SVDIAM", "60", "", "Y"),
        ("SVDIAM", "30", "-50", ""),
    ]
    assert (adtr[1]["CHG"], adtr[1]["NADIR"], adtr[1]["ADTF"]) == ("-30", "60", "D")
    # 2024-03-01 is day 23436 after 1960-01-01 (64 years of which 16 leap before 2024, then 31 + 29 days)
    assert adtr[1]["ADT"] == str(64 * 365 + 16 + 60) == "23436"
    assert [(r["PARAMCD"], r["AVALC"], r["AVAL"]) for r in adrs] == [
        ("OVR", "PR", "2"),
        ("BOR", "PR", "2"),
        ("RSP", "Y", "1"),
    ]
    assert [(r["PARAMCD"], r["AVAL"], r["CNSR"]) for r in adtte] == [("PFS", "61", "0"), ("OS", "92", "1")]
    assert adtte[1]["CNSDTDSC"] == "last known alive"
    assert adtte[0]["CNSDTDSC"] == ""


def test_names_and_labels_fit_a_transport_file():
    for dataset in adam_datasets(ROWS, RESPONSES, TIMES, study="ST"):
        assert all(len(v.name) <= 8 and len(v.label) <= 40 for v in dataset.variables)
