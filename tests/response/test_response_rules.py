"""The rulebook as data: it prints itself, explains itself, and refuses what it does not know."""

from __future__ import annotations

import subprocess
import sys

import pytest

from livervol.errors import CriteriaError
from livervol.records import Course, Lesion, Measurement, Visit
from livervol.response import CRITERIA, assess, rules
from livervol.response.dates import date_range, fewest_days, most_days
from livervol.response.rulefiles import build_rulebook, load_rulebook, read_rules

NAMED = [name for name in CRITERIA if name != "all"]


def _visit(number, value, **words):
    lesion = Lesion(1, "target", measurements=(Measurement("longest_mm", value, "mm"),))
    return Visit(number, lesions=(lesion,), attributes=words)


@pytest.mark.parametrize("name", NAMED)
def test_every_parameter_and_rule_is_printed_with_its_source(name):
    book = load_rulebook(name)
    text = str(book)
    for parameter in book.parameters.values():
        assert f"{parameter.name} = " in text
        assert parameter.source
        assert parameter.says
    for section in book.sections.values():
        for rule in section:
            assert rule.id in text
            assert rule.source


def test_reasons_carry_the_rule_the_numbers_and_the_visit():
    rows = assess(Course("c", (_visit(1, 100.0), _visit(2, 60.0), _visit(3, 72.0))), "recist11")
    assert rows[1].reasons[0] == (
        "visit 2: recist11 target.pr: the sum has shrunk from baseline by the limit "
        "(sum of target diameters 60 mm <= 70 mm = baseline 100 -30 %)"
    )
    assert "72 mm >= 72 mm = nadir 60 +20 %" in rows[2].reasons[0]
    assert "72 mm >= 65 mm = nadir 60 + 5" in rows[2].reasons[0]
    assert rows[2].reasons[-1] == (
        "visit 3: recist11 overall.pd_target: target PD, non-target none, new lesion no -> PD"
    )


def test_a_changed_parameter_changes_the_rule_and_its_reason():
    course = Course("c", (_visit(1, 100.0), _visit(2, 60.0)))
    row = assess(course, "recist11", {"pr_percent": -50})[1]
    assert row.overall == "SD"
    assert "sum 60, baseline 100, nadir 100" in row.reasons[0]
    row = assess(course, "recist11", {"pr_percent": -40})[1]
    assert "baseline 100 -40 %" in row.reasons[0]


@pytest.mark.parametrize(
    ("criterion", "parameters", "message"),
    [
        ("recist", {}, "criterion is not known"),
        ("mrecist", {"floor": 5}, "no such parameter"),
        ("mrecist", {"pr_percent": "30"}, "expected a number"),
        ("mrecist", {"markers_count": 1}, "expected true or false"),
        ("mrecist", {"multi_component": 2}, "expected a word"),
        ("all", {"floor": 5}, "no criterion has this parameter"),
    ],
)
def test_unknown_criteria_and_parameters_are_refused(criterion, parameters, message):
    with pytest.raises(CriteriaError, match=message):
        assess(Course("c", (_visit(1, 10.0),)), criterion, parameters)


@pytest.mark.parametrize(
    ("criterion", "parameters", "message"),
    [
        ("volumetric", {"measure": "half"}, "auto, viable or whole"),
        ("lirads", {"version": "2017"}, "2018 or 2024"),
        ("irecist", {"base_criterion": "who"}, "recist11, mrecist"),
    ],
)
def test_words_outside_their_list_are_refused(criterion, parameters, message):
    with pytest.raises(CriteriaError, match=message):
        assess(Course("c", (_visit(1, 10.0), _visit(2, 10.0))), criterion, parameters)


def test_a_condition_on_something_unknown_is_refused():
    document = {**read_rules("recist11"), "target": [{"id": "t", "gives": "CR", "source": "", "when": ["sums <= 3"]}]}
    with pytest.raises(CriteriaError, match="names nothing known.*sums"):
        build_rulebook("recist11", lambda name: document)
    document["target"][0]["when"] = ["sum <= threshold"]
    with pytest.raises(CriteriaError, match="names nothing known.*threshold"):
        build_rulebook("recist11", lambda name: document)
    document["target"][0]["when"] = ["sum <= 3"]
    book = build_rulebook("recist11", lambda name: document)
    with pytest.raises(CriteriaError, match="no rule applies"):
        book.decide("target", {"sum": 4.0})
    assert book.decide("target", {"sum": 3.0}).category == "CR"
    with pytest.raises(CriteriaError, match="overall response"):
        book.overall("XX", "", "no")


def test_numbers_are_asked_of_numbers():
    with pytest.raises(CriteriaError, match="expected a number"):
        rules("mrecist").real("multi_component")


@pytest.mark.parametrize(
    ("visits", "message"),
    [
        ((), "course has no visit"),
        ((Visit(1, lesions=(Lesion(1, "new"),)),), "baseline lesion called new"),
        ((Visit(1, lesions=(Lesion(1, "target"), Lesion(2))),), "baseline lesion without a role"),
        ((_visit(1, 30.0), Visit(2, lesions=(Lesion(4, "target"),))), "absent at baseline.*visit 2, lesion 4"),
        ((_visit(1, 30.0), Visit(2, lesions=(Lesion(4),))), "absent at baseline.*no role.*visit 2, lesion 4"),
        (
            (_visit(1, 30.0), Visit(2, lesions=(Lesion(4, attributes={"split_from": "3"}),))),
            "split lesion without its origin.*visit 2, lesion 4",
        ),
        (
            (Visit(1, lesions=(Lesion(1, "target", attributes={"viable_components_mm": "1 b"}),)), Visit(2)),
            "viable_components_mm.*lesion 1",
        ),
    ],
)
def test_courses_that_cannot_be_read(visits, message):
    with pytest.raises(CriteriaError, match=message):
        assess(Course("patient-name", visits), "mrecist")


def test_bare_sums_suit_diameter_criteria_only():
    course = Course("c", (Visit(1, measurements=(Measurement("sum_mm", 10.0, "mm"),)),))
    for name in ("easl", "who", "volumetric", "lirads"):
        with pytest.raises(CriteriaError, match="needs lesions"):
            assess(course, name)
    assert {row.criterion for row in assess(course, "all")} == {"mrecist", "recist11", "choi", "irecist"}


def test_the_marked_visit_is_the_baseline():
    visits = (_visit(1, 80.0), Visit(2, is_baseline=True, lesions=_visit(2, 100.0).lesions), _visit(3, 70.0))
    rows = assess(Course("c", visits), "recist11")
    assert [row.overall for row in rows] == ["", "", "PR"]
    assert rows[0].reasons == ("visit 1: before baseline",)
    assert rows[2].baseline_sum_mm == rows[2].nadir_sum_mm == 100


def test_sums_and_changes_of_a_row():
    rows = assess(Course("c", (_visit(1, 80.0), _visit(2, 40.0), _visit(3, 44.0))), "recist11")
    assert (rows[0].sum_mm, rows[0].nadir_sum_mm, rows[0].change_from_baseline_percent) == (80, None, None)
    assert (rows[2].sum_mm, rows[2].baseline_sum_mm, rows[2].nadir_sum_mm) == (44, 80, 40)
    assert rows[2].change_from_baseline_percent == pytest.approx(-45, abs=1e-12)
    assert rows[2].change_from_nadir_percent == pytest.approx(10, abs=1e-12)
    gone = assess(Course("c", (_visit(1, 80.0), _visit(2, 0.0), _visit(3, 4.0))), "recist11")
    assert gone[2].change_from_nadir_percent is None


def test_a_baseline_sum_of_zero_is_noted():
    row = assess(Course("c", (_visit(1, 0.0), _visit(2, 0.0))), "recist11")[0]
    assert any("baseline sum is 0" in text for text in row.reasons)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("2024-02-29", ("2024-02-29", "2024-02-29")),
        ("2024-02", ("2024-02-01", "2024-02-29")),
        ("2024", ("2024-01-01", "2024-12-31")),
    ],
)
def test_partial_dates_span_their_days(text, span):
    found = date_range(text)
    assert found is not None
    assert tuple(day.isoformat() for day in found) == span


def test_days_between_partial_dates_are_bounds():
    assert (fewest_days("2024-01", "2024-03-01"), most_days("2024-01", "2024-03-01")) == (30, 60)
    assert fewest_days("", "2024-03-01") is None
    assert most_days("2024", "") is None


@pytest.mark.parametrize("text", ["2024-1-01", "2023-02-29", "24", "2024-00", "2024-01-01-01", "x"])
def test_other_dates_are_refused(text):
    with pytest.raises(CriteriaError, match="not ISO"):
        date_range(text)


def test_response_loads_the_standard_library_only():
    heavy = (
        "{'numpy', 'numba', 'scipy', 'pandas', 'pyarrow', 'SimpleITK', 'livervol.scan', 'livervol.grid', 'livervol.io'}"
    )
    modules = (
        "livervol.response, livervol.response.discordance, livervol.response.conversion, "
        "livervol.response.adjudication, livervol.response.plausibility, livervol.response.scores"
    )
    code = f"import sys, {modules}; livervol.response.rules('mrecist'); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
