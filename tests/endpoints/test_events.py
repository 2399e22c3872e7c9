"""Time to event: a truth table a clinician can read, dates, and what must never change."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.endpoints.events import ENDPOINTS, best_of, missed_assessments, progression_free
from livervol.endpoints.protocol import load_protocol
from livervol.endpoints.timeline import complete_date, timelines
from livervol.errors import CriteriaError
from livervol.io.cohort_tables import CohortEvent, Subject
from livervol.records import ResponseRow

FIRST = date(2024, 1, 1)
with (Path(__file__).parent / "events_truth.csv").open() as handle:
    TRUTH = list(csv.DictReader(handle))


def day(offset) -> str:
    return "" if offset in ("", None) else (FIRST + timedelta(days=int(offset))).isoformat()


def settings(text=""):
    changes = {}
    for pair in text.split():
        name, value = pair.split("=")
        changes[name] = float(value) if value.isdigit() else value
    return load_protocol("trial").with_parameters(changes).settings


def rows(visits, criterion="mrecist", reader="", target=""):
    found = [ResponseRow("p", reader, 0, day(-10), criterion)]
    for n, text in enumerate(visits.split(), start=1):
        offset, word = text.split(":")
        found.append(ResponseRow("p", reader, n, day(offset), criterion, target, overall=word))
    return found


def line(visits, rules, death="", last_alive="", new_therapy="", surgery="", last_dose=""):
    subject = Subject(
        "p", day(0), day(-7), day(last_dose), day(death), day(last_alive), day(surgery), r0=True if surgery else None
    )
    events = [CohortEvent("p", day(new_therapy), "new_therapy")] if new_therapy else []
    lines, _ = timelines([subject], events, rows(visits), rules)
    return lines[0]


@pytest.mark.parametrize("row", TRUTH, ids=[row["case"] for row in TRUTH])
def test_truth_table(row):
    rules = settings(row["settings"])
    course = line(row["visits"], rules, row["death"], row["last_alive"], row["new_therapy"], row["surgery"])
    outcome = ENDPOINTS[row["endpoint"]](course, rules, best_of(course, rules))
    got = ("" if outcome.days is None else str(outcome.days), "" if outcome.event is None else str(int(outcome.event)))
    assert got == (row["days"], row["event"]), f"{row['says']}: {outcome.reason}"
    assert row["reason"] in outcome.reason


@pytest.mark.parametrize(
    ("visits", "last_dose", "control"),
    [
        ("42:SD", "60", True),
        ("41:SD", "60", False),  # earlier than min_sd_days
        ("90:SD", "60", True),  # 30 days after the end of treatment
        ("91:SD", "60", False),
        ("84:PD", "90", False),
        ("761:SD", "", True),  # still on treatment: at most 731 days, then 30 more
        ("762:SD", "", False),
        ("761:SD", "900", True),
        ("84:NON-CR/NON-PD", "90", True),
        ("84:NE", "90", False),
        ("84:NED", "90", False),
        ("10:CR", "60", True),
    ],
)
def test_disease_control_window(visits, last_dose, control):
    rules = settings()
    assert best_of(line(visits, rules, last_dose=last_dose), rules).disease_control is control


def test_disease_control_uses_its_own_criterion():
    rules = settings()
    subject = Subject("p", day(0))
    responses = rows("84:PD") + rows("84:SD", criterion="recist11")
    lines, notes = timelines([subject], [], responses, rules)
    best = best_of(lines[0], rules)
    assert (best.unconfirmed, best.disease_control, notes) == ("PD", True, ())


def test_best_change_stops_at_progression_and_new_therapy():
    rules = settings()
    found = [
        ResponseRow("p", "", n, day(days), "mrecist", overall=word, change_from_baseline_percent=change)
        for n, days, word, change in ((1, 84, "PR", -40.0), (2, 147, "PD", 10.0), (3, 210, "SD", -80.0))
    ]
    lines, _ = timelines([Subject("p", day(0))], [], found, rules)
    assert best_of(lines[0], rules).best_change_percent == -40.0
    lines, _ = timelines([Subject("p", day(0))], [CohortEvent("p", day(50), "new_therapy")], found, rules)
    assert best_of(lines[0], rules).best_change_percent is None
    lines, _ = timelines([Subject("p", day(0))], [CohortEvent("p", day(84), "new_therapy")], found, rules)
    assert best_of(lines[0], rules).best_change_percent == -40.0


@pytest.mark.parametrize("kind", ["tace", "haic", "dose", "labs"])
def test_treatment_of_the_protocol_is_no_new_therapy(kind):
    rules = settings()
    lines, _ = timelines([Subject("p", day(0))], [CohortEvent("p", day(50), kind)], rows("84:SD"), rules)
    assert lines[0].new_therapy is None


def test_a_response_after_progression_by_the_other_criterion_has_no_duration():
    rules = settings("progression_criterion=recist11")
    for progression, reason in ((84, "progression at visit 1 before the response"), (85, "progression at visit 1")):
        responses = rows("84:PR 147:PR") + rows(f"{progression}:PD", criterion="recist11")
        lines, _ = timelines([Subject("p", day(0))], [], responses, rules)
        outcome = ENDPOINTS["DoR"](lines[0], rules, best_of(lines[0], rules))
        assert outcome.reason == reason
        assert outcome.days == (None if progression == 84 else 2)


def test_without_a_first_dose_nothing_starts():
    rules = settings()
    lines, _ = timelines([Subject("p", enrolled=day(-7))], [], rows("84:SD"), rules)
    best = best_of(lines[0], rules)
    for name in ("PFS", "TTP", "OS", "DoR", "TTR", "EFS"):
        assert ENDPOINTS[name](lines[0], rules, best).days is None
    assert ENDPOINTS["PFS"](lines[0], rules, best).reason == "no first_dose"


@pytest.mark.parametrize(
    ("text", "rule", "not_before", "expected"),
    [
        ("2024-05", "first", None, "2024-05-01"),
        ("2024-05", "middle", None, "2024-05-15"),
        ("2024-05", "last", None, "2024-05-31"),
        ("2024", "middle", None, "2024-07-01"),
        ("2024-02", "last", None, "2024-02-29"),
        ("2024-05", "first", "2024-05-20", "2024-05-20"),
        ("2024-05", "first", "2024-06-02", "2024-05-01"),  # impossible either way: stays what it can mean
        ("2024-05", "last", "2024-05-20", "2024-05-31"),
        ("2024-05-07", "first", "2024-06-01", "2024-05-07"),
    ],
)
def test_partial_dates(text, rule, not_before, expected):
    got, note = complete_date(text, rule, date.fromisoformat(not_before) if not_before else None)
    assert got.isoformat() == expected
    assert bool(note) == (len(text) < 10)
    assert complete_date("", rule) == (None, "")


def test_a_partial_death_follows_the_last_visit_and_is_noted():
    rules = settings()
    subject = Subject("p", day(0), death="2024-05")
    lines, _ = timelines([subject], [], rows("84:SD 130:SD"), rules)  # 10 May
    assert lines[0].death == date(2024, 5, 10)
    assert lines[0].notes == ("death 2024-05 taken as 2024-05-10",)


def test_missed_assessments_are_counted_by_schedule():
    rules = settings()
    end = FIRST + timedelta(days=300)
    assert missed_assessments(line("84:SD 147:SD 210:SD 273:SD", rules), rules, end) == 0
    assert missed_assessments(line("84:SD 218:SD 273:SD", rules), rules, end) == 2  # day 218 is a day too late for 210
    assert missed_assessments(line("91:SD 154:SD 203:SD 266:SD", rules), rules, end) == 0
    # due on day 84, may come until day 91
    assert missed_assessments(line("", rules), rules, FIRST + timedelta(days=90)) == 0
    assert missed_assessments(line("", rules), rules, FIRST + timedelta(days=91)) == 1
    assert missed_assessments(line("84:SD 147:NE 210:SD 273:SD", rules), rules, end) == 1


def test_immune_progression_counts_once_it_is_confirmed_or_left_open():
    rules = settings("response_criterion=irecist disease_control_criterion=irecist progression_criterion=irecist")
    for visits, days, event in (
        ("84:iUPD 120:iCPD", 85, True),
        ("84:iUPD 120:iSD 180:iSD", 181, False),
        ("84:iSD 147:iUPD", 148, True),
        ("84:iUPD 100:NE 120:iUPD 150:iCPD", 85, True),
    ):
        lines, _ = timelines([Subject("p", day(0))], [], rows(visits, "irecist"), rules)
        outcome = progression_free(lines[0], rules)
        assert (outcome.days, outcome.event) == (days, event), visits


def test_refusals_name_no_patient():
    rules = settings()
    with pytest.raises(CriteriaError, match="responses of unknown patients") as refused:
        timelines([Subject("secret", day(0))], [], rows("84:SD"), rules)
    assert "secret" not in str(refused.value)
    with pytest.raises(CriteriaError, match="several readers"):
        timelines([Subject("p", day(0))], [], rows("84:SD", reader="A") + rows("84:SD", reader="B"), rules)
    with pytest.raises(CriteriaError, match="reader has no responses"):
        timelines([Subject("p", day(0))], [], rows("84:SD", reader="A"), settings("reader=C"))
    with pytest.raises(CriteriaError, match="criterion is not in the table"):
        timelines([Subject("p", day(0))], [], rows("84:SD", "who") + rows("84:SD", "easl"), rules)
    _, notes = timelines([Subject("p", day(0))], [], rows("84:SD", "who"), rules)
    assert "stands for mrecist, recist11" in notes[0]


WORDS = st.sampled_from(["CR", "PR", "SD", "PD", "NE", "NON-CR/NON-PD"])
COURSES = st.lists(WORDS, max_size=8).map(
    lambda words: " ".join(f"{84 + 63 * n}:{word}" for n, word in enumerate(words))
)
OFFSETS = st.one_of(st.just(""), st.integers(1, 900).map(str))


@given(COURSES, OFFSETS, OFFSETS, OFFSETS)
def test_rules_agree_with_each_other(visits, death, therapy, surgery):
    if death and surgery and int(surgery) > int(death):
        surgery = ""
    fda = settings()
    course = line(visits, fda, death=death, new_therapy=therapy, surgery=surgery)
    best = best_of(course, fda)
    pfs, overall = ENDPOINTS["PFS"](course, fda, best), ENDPOINTS["OS"](course, fda, best)
    ema = ENDPOINTS["PFS"](course, settings("censoring=ema"), best)
    ttp = ENDPOINTS["TTP"](course, fda, best)
    # FDA rules only ever take an event away, and only shorten
    assert pfs.days <= ema.days
    assert ema.event or not pfs.event
    assert pfs.days <= overall.days
    assert not (ttp.event and not pfs.event)
    for outcome in (pfs, overall, ema, ttp):
        assert outcome.days == (outcome.end - outcome.start).days + 1 >= 1
        assert outcome.reason
    surgical = ENDPOINTS["PFS"](course, settings("conversion_surgery=censor"), best)
    # no assessment after surgery: the surgery itself is the last that is known
    assert surgical.days <= pfs.days or not surgical.event
    response = ENDPOINTS["DoR"](course, fda, best)
    if response.days is not None and pfs.end >= response.start:
        assert response.end == pfs.end


@given(COURSES, st.integers(0, 8))
def test_later_visits_never_change_an_event(visits, cut):
    rules = settings()
    texts = visits.split()
    before = progression_free(line(" ".join(texts[:cut]), rules), rules)
    after = progression_free(line(visits, rules), rules)
    if before.event:
        assert (before.days, before.event) == (after.days, after.event)
