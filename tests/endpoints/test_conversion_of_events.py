"""Conversion criteria from the events table: which finding counts, and what stays open."""

from __future__ import annotations

from datetime import date

import pytest

from livervol.endpoints.conversion import conversion_of
from livervol.errors import CriteriaError
from livervol.io.cohort_tables import CohortEvent, Subject
from livervol.response.protocol import load_protocol

GOOD = (
    ("labs", "bilirubin", "20", "umol/L"),
    ("labs", "albumin", "4.0", "g/dL"),
    ("labs", "inr", "1.1", ""),
    ("labs", "ascites", "none", ""),
    ("labs", "encephalopathy", "none", ""),
    ("ecog", "", "1", ""),
    ("extrahepatic", "", "none", ""),
    ("vessels", "portal_inflow", "yes", ""),
    ("vessels", "arterial_inflow", "yes", ""),
    ("vessels", "hepatic_outflow", "yes", ""),
    ("vessels", "biliary_drainage", "yes", ""),
    ("labs", "flr_percent", "41", "%"),
)


def events(*changes, day="2024-05-01", row=2):
    found = []
    for n, (kind, name, text, unit) in enumerate(changes):
        try:
            value = float(text)
        except ValueError:
            value = None
        found.append(CohortEvent("p", day, kind, None, name, value, text, unit, row + n))
    return found


def judged(found, until=None):
    return conversion_of(Subject("p"), found, load_protocol("trial"), until)


def test_everything_met():
    result = judged(events(*GOOD))
    assert result.met is True
    assert [item.met for item in result.items] == [True] * 5


@pytest.mark.parametrize(
    ("change", "item"),
    [
        (("labs", "bilirubin", "52", "umol/L"), "child_pugh"),
        (("ecog", "", "2", ""), "ecog"),
        (("extrahepatic", "", "viable", ""), "extrahepatic"),
        (("vessels", "hepatic_outflow", "no", ""), "vessels"),
        (("labs", "flr_percent", "34.9", "%"), "flr"),
    ],
)
def test_one_later_finding_undoes_it(change, item):
    worse = [change] if change[1] != "bilirubin" else [change, ("labs", "ascites", "slight", "")]
    result = judged([*events(*GOOD), *events(*worse, day="2024-06-01", row=20)])
    assert result.met is False
    assert [one.name for one in result.items if one.met is False] == [item]


def test_findings_after_the_day_do_not_count():
    found = [*events(*GOOD), *events(("ecog", "", "3", ""), day="2024-06-02", row=30)]
    assert judged(found, date(2024, 6, 1)).met is True
    assert judged(found, date(2024, 6, 2)).met is False


@pytest.mark.parametrize("missing", [0, 5, 6, 7, 11])
def test_what_was_not_assessed_stays_open(missing):
    kept = [one for n, one in enumerate(GOOD) if n != missing]
    result = judged(events(*kept))
    # four Child-Pugh items at one point and one unknown: 5 to 7, so below 7 is open
    assert result.met is None
    assert sum(item.met is None for item in result.items) == 1


def test_nothing_known():
    assert [item.met for item in judged([]).items] == [None] * 5


def test_a_word_where_a_number_belongs_names_its_row():
    with pytest.raises(CriteriaError, match="ecog is not a number.*events, row 7, column value"):
        judged(events(*GOOD[:5], ("ecog", "", "good", "")))
