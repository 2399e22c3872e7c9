"""Two readers and an adjudicator; criteria side by side; what is implausible."""

from __future__ import annotations

from dataclasses import replace

import pytest

from livervol.errors import CriteriaError
from livervol.records import Course, Lesion, Measurement, ResponseRow, Visit
from livervol.response.adjudication import adjudicate, disagreements
from livervol.response.discordance import discordances
from livervol.response.plausibility import PlausibilityLimits, implausible_courses, implausible_responses


def _rows(reader, *overall):
    return [ResponseRow("a", reader, n, "", "mrecist", overall=word) for n, word in enumerate(overall, start=1)]


READINGS = {"r1": _rows("r1", "", "PR", "SD", "PD"), "r2": _rows("r2", "", "PR", "PR", "PR")}


def test_disagreements_are_listed():
    found = disagreements(READINGS)
    assert [(d.visit, dict(d.overall)) for d in found] == [
        (3, {"r1": "SD", "r2": "PR"}),
        (4, {"r1": "PD", "r2": "PR"}),
    ]
    shorter = {"r1": READINGS["r1"], "r2": READINGS["r2"][:3]}
    assert dict(disagreements(shorter)[-1].overall) == {"r1": "PD", "r2": "not read"}


def test_a_third_reader_settles_each_visit():
    rows = adjudicate(READINGS, {3: "r1", 4: "r2"})
    assert [row.overall for row in rows] == ["", "PR", "SD", "PR"]
    assert {row.reader for row in rows} == {"adjudicated"}
    assert rows[1].reasons[0] == "adjudication: all readers agree"
    assert rows[2].reasons[0] == "adjudication: reader r1 picked at this visit"
    with pytest.raises(CriteriaError, match="readers disagree.*visit 4"):
        adjudicate(READINGS, {3: "r1"})


def test_forward_adjudication_carries_the_pick_on():
    rows = adjudicate(READINGS, {3: "r1"}, "forward")
    assert [row.overall for row in rows] == ["", "PR", "SD", "PD"]
    assert "picked at an earlier visit" in rows[3].reasons[0]
    assert [row.overall for row in adjudicate(READINGS, {3: "r1", 4: "r2"}, "forward")] == ["", "PR", "SD", "PR"]


def test_adjudication_refuses_what_does_not_belong_together():
    with pytest.raises(CriteriaError, match="unknown reader"):
        adjudicate(READINGS, {3: "r3"})
    with pytest.raises(CriteriaError, match="adjudication rule"):
        adjudicate(READINGS, {}, "vote")
    other = [replace(row, patient="b") for row in READINGS["r2"]]
    with pytest.raises(CriteriaError, match="more than one subject"):
        disagreements({"r1": READINGS["r1"], "r2": other})
    other = [replace(row, criterion="recist11") for row in READINGS["r2"]]
    with pytest.raises(CriteriaError, match="more than one criterion"):
        disagreements({"r1": READINGS["r1"], "r2": other})
    with pytest.raises(CriteriaError, match="did not read"):
        adjudicate({"r1": READINGS["r1"], "r2": READINGS["r2"][:3]}, {3: "r2", 4: "r2"})


def _lesion(longest, viable, **more):
    names = {"longest_mm": longest, "short_axis_mm": longest * 0.8, "viable_longest_mm": viable}
    names["viable_perpendicular_mm"] = viable * 0.8
    numbers = [Measurement(name, value, "mm") for name, value in names.items()]
    numbers += [Measurement("volume_ml", longest, "ml"), Measurement("viable_volume_ml", viable, "ml")]
    return Lesion(1, "target", measurements=tuple(numbers), **more)


def test_criteria_side_by_side():
    course = Course(
        "c", (Visit(1, lesions=(_lesion(40.0, 40.0),)), Visit(2, lesions=(_lesion(39.0, 0.0),)), Visit(3, lesions=()))
    )
    second, third = discordances(course)
    assert dict(second.overall) == {
        "mrecist": "CR", "recist11": "SD", "easl": "CR", "who": "SD", "choi": "SD", "volumetric": "CR",
    }  # fmt: skip
    assert not second.agree
    assert second.sentence.startswith("visit 2: differ: mrecist CR (-100.0 %), recist11 SD (-2.5 %)")
    assert third.agree
    assert set(third.overall.values()) == {"NE"}


def _visit(number, date, value, row=""):
    lesion = Lesion(2, "target", measurements=(Measurement("longest_mm", value, "mm"),))
    return Visit(number, date, lesions=(lesion,), attributes={"row": row} if row else {})


@pytest.mark.parametrize(
    ("dates", "values", "count"),
    [
        (("2024-01-01", "2024-01-08"), (10.0, 30.0), 1),
        (("2024-01-01", "2024-01-09"), (10.0, 30.0), 0),
        (("2024-01-01", "2024-01-08"), (10.1, 30.0), 0),
        (("2024-01-01", "2024-01-08"), (30.0, 10.0), 1),
        (("2024-01-01", "2024-01-08"), (4.0, 13.9), 0),
        (("2024-01-01", "2024-01-08"), (4.0, 14.0), 1),
        (("2024-01", "2024-01-08"), (10.0, 30.0), 0),
        (("", "2024-01-08"), (10.0, 30.0), 0),
        (("2024-01-01", "2024-01-08"), (30.0, 0.0), 0),
    ],
)
def test_threefold_jumps_within_a_week(dates, values, count):
    visits = tuple(_visit(n, d, v) for n, (d, v) in enumerate(zip(dates, values, strict=True), start=1))
    found = [text for text in implausible_courses(Course("secret", visits)) if "went from" in text]
    assert len(found) == count


def test_warnings_name_visit_row_and_lesion():
    course = Course("secret", (_visit(1, "2024-02-01", 30.0, "2"), _visit(2, "2024-01-31", 30.0, "3")))
    assert implausible_courses(course) == ["visits out of order: 2024-01-31 after 2024-02-01 (visit 2, row 3)"]
    assert implausible_courses(Course("secret", (_visit(1, "2024-02", 30.0), _visit(2, "2024-02-01", 30.0)))) == []
    jump = Course("secret", (_visit(1, "2024-02-01", 10.0), _visit(2, "2024-02-05", 40.0, "3")))
    assert implausible_courses(jump) == ["longest_mm went from 10 to 40 within 4 days (visit 2, row 3, lesion 2)"]
    assert implausible_courses(jump, PlausibilityLimits(jump_ratio=5)) == []
    both = Course("secret", (Visit(1, is_baseline=True), Visit(2, is_baseline=True)))
    assert implausible_courses(both) == ["2 visits are marked as baseline: the last one counts (visit 2)"]


@pytest.mark.parametrize(
    ("overall", "count"),
    [
        (("", "CR", "PR"), 1),
        (("", "CR", "NE", "SD"), 1),
        (("", "CR", "PD", "PR"), 0),
        (("", "CR", "NON-CR/NON-PD"), 1),
        (("", "CR", "CR"), 0),
        (("", "PR", "CR"), 0),
        (("", "iCR", "iPR"), 1),
        (("", "iCR", "iUPD", "iSD"), 0),
        (("", "CR", "PR", "PR"), 1),
    ],
)
def test_response_after_complete_response(overall, count):
    assert len(implausible_responses(_rows("r", *overall))) == count
