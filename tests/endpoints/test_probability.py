"""Probability of a response: exact cases, a closed form, agreement with the rules where nothing is uncertain."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from livervol.endpoints.probability import CATEGORIES, ErrorModel, response_probabilities
from livervol.errors import CriteriaError
from livervol.records import Course, Interval, Lesion, Measurement, Visit
from livervol.response import assess

Z = 1.959963984540054


def diameter(value, half_width=0.0, name="longest_mm"):
    interval = Interval(value - half_width, value + half_width) if half_width else None
    return (Measurement(name, value, "mm", interval=interval),)


def course(*sums, half_width=0.0, node=False):
    """One target over the visits; None is not evaluable."""
    name = "short_axis_mm" if node else "longest_mm"
    site = "other_node" if node else "liver"
    visits = []
    for n, value in enumerate(sums, start=1):
        state = "not_evaluable" if value is None else "measured"
        measured = () if value is None else diameter(value, half_width if value else 0.0, name)
        visits.append(Visit(n, lesions=(Lesion(1, "target", site, node, state, measured),)))
    return Course("s", tuple(visits))


def test_far_from_every_threshold_nothing_flips():
    (found,) = response_probabilities(course(100.0, 40.0, half_width=2.0))
    assert (found.category, found.probabilities["PR"], found.flips) == ("PR", 1.0, False)
    assert "holds within measurement error" in found.reason


def test_on_the_threshold_it_is_a_coin():
    (found,) = response_probabilities(course(100.0, 70.0, half_width=4.0))
    assert found.category == "PR"
    assert found.flips
    # 20,000 draws: standard error 0.0035
    assert found.probabilities["PR"] == pytest.approx(0.5, abs=4 * 0.0036)
    assert found.probabilities["SD"] == pytest.approx(0.5, abs=4 * 0.0036)
    assert "would flip" in found.reason


@pytest.mark.parametrize("follow_up", [62.0, 66.0, 72.0, 76.0])
def test_closed_form_of_one_lesion(follow_up):
    # PR when x - 0.7 b <= 0, both normal with SD s: probability Phi((0.7 B - X) / (s sqrt(1 + 0.49)))
    half_width = 5.0
    s = half_width / Z
    expected = ndtr((70.0 - follow_up) / (s * math.sqrt(1.49)))
    (found,) = response_probabilities(course(100.0, follow_up, half_width=half_width))
    assert found.probabilities["PR"] == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000))


def test_an_error_that_stays_with_the_lesion_cancels():
    # fully correlated over visits: x - 0.7 b has SD 0.3 s instead of sqrt(1.49) s
    s = 5.0 / Z
    (found,) = response_probabilities(course(100.0, 68.0, half_width=5.0), model=ErrorModel(lesion_correlation=1.0))
    assert found.probabilities["PR"] == pytest.approx(ndtr(2.0 / (0.3 * s)), abs=0.01)
    (loose,) = response_probabilities(course(100.0, 68.0, half_width=5.0))
    assert loose.probabilities["PR"] < found.probabilities["PR"]


def two_lesions(model):
    def visit(n, value):
        return Visit(n, lesions=tuple(Lesion(k, "target", measurements=diameter(value, 5.0)) for k in (1, 2)))

    (found,) = response_probabilities(Course("s", (visit(1, 50.0), visit(2, 34.0))), model=model)
    return found.probabilities["PR"]


def test_an_error_common_to_a_visit_widens_the_sum():
    # sum of two errors: SD sqrt(2) s when independent, 2 s when common to the visit
    s = 5.0 / Z
    assert two_lesions(ErrorModel()) == pytest.approx(ndtr(2.0 / (math.sqrt(2) * s * math.sqrt(1.49))), abs=0.015)
    common = two_lesions(ErrorModel(visit_correlation=1.0))
    assert common == pytest.approx(ndtr(2.0 / (2 * s * math.sqrt(1.49))), abs=0.015)


def test_the_nadir_is_uncertain_too():
    # 100 -> 50 -> 61: PD against the nadir (50 * 1.2 = 60, and + 5): b >= 1.2 a with both uncertain
    s = 4.0 / Z
    _, found = response_probabilities(course(100.0, 50.0, 61.0, half_width=4.0))
    assert found.category == "PD"
    # the nadir is min(baseline, 50 +- s): baseline is far away, so it is the second visit
    assert found.probabilities["PD"] == pytest.approx(ndtr(1.0 / (s * math.sqrt(1 + 1.44))), abs=0.015)
    assert found.probabilities["PR"] == pytest.approx(1 - found.probabilities["PD"], abs=0.01)


def test_the_floor_of_five_millimetres_counts():
    # 10 -> 13 mm: +30 % but only 3 mm; exact measurements: SD by RECIST 1.1, PD without the floor
    (found,) = response_probabilities(course(10.0, 13.0))
    assert found.probabilities["SD"] == 1.0
    (found,) = response_probabilities(course(10.0, 13.0), parameters={"min_abs_increase_mm": 0})
    assert found.probabilities["PD"] == 1.0


def test_a_node_near_its_normal_size():
    (found,) = response_probabilities(course(20.0, 9.5, half_width=2.0, node=True))
    assert found.category == "CR"
    assert found.probabilities["CR"] == pytest.approx(ndtr(0.5 / (2.0 / Z)), abs=0.015)
    assert found.flips


def test_a_lesion_that_is_gone_is_gone_and_its_return_is_progression():
    first, second = response_probabilities(course(30.0, 0.0, 6.0, half_width=3.0))
    assert (first.probabilities["CR"], first.flips) == (1.0, False)
    assert second.probabilities["PD"] == pytest.approx(1.0, abs=1e-3)


def test_missing_targets():
    (found,) = response_probabilities(course(30.0, None))
    assert (found.category, found.probabilities["NE"], found.change_interval_percent) == ("NE", 1.0, None)
    _, third = response_probabilities(course(30.0, None, 20.0))
    assert third.probabilities["PR"] == 1.0


def test_mrecist_measures_viable_tissue():
    def visit(n, whole, viable):
        measured = (*diameter(whole), *diameter(viable, 4.0 if viable else 0.0, "viable_longest_mm"))
        return Visit(n, lesions=(Lesion(1, "target", measurements=measured),))

    one = Course("s", (visit(1, 50.0, 48.0), visit(2, 50.0, 33.6)))
    assert response_probabilities(one, "mrecist")[0].probabilities["PR"] == pytest.approx(0.5, abs=0.015)
    assert response_probabilities(one, "recist11")[0].probabilities["SD"] == 1.0


def test_a_bare_sum_with_an_interval():
    visits = (
        Visit(1, measurements=(Measurement("sum_mm", 100.0, "mm"),)),
        Visit(2, measurements=(Measurement("sum_mm", 70.0, "mm", interval=Interval(66.0, 74.0)),)),
    )
    (found,) = response_probabilities(Course("s", visits))
    assert found.probabilities["PR"] == pytest.approx(0.5, abs=0.015)


def test_interval_of_the_change():
    (found,) = response_probabilities(course(100.0, 60.0, half_width=3.0))
    low, high = found.change_interval_percent
    # ratio of two normals: relative SDs 3/1.96/60 and 3/1.96/100 add in squares
    half = 100 * 0.6 * 3.0 * math.hypot(1 / 60, 1 / 100)
    assert (low, high) == (pytest.approx(-40 - half, abs=0.4), pytest.approx(-40 + half, abs=0.4))


def test_a_default_interval_stands_in():
    exact = response_probabilities(course(100.0, 69.0))[0]
    assert (exact.probabilities["PR"], exact.flips) == (1.0, False)
    unsure = response_probabilities(course(100.0, 69.0), model=ErrorModel(default_half_width_mm=4.0))[0]
    assert unsure.flips


def test_same_seed_same_numbers():
    one, two = (response_probabilities(course(100.0, 69.0, half_width=5.0)) for _ in range(2))
    assert one == two
    other = response_probabilities(course(100.0, 69.0, half_width=5.0), model=ErrorModel(seed=1))
    assert other[0].probabilities != one[0].probabilities


SIZES = st.one_of(st.just(0.0), st.integers(20, 900).map(lambda n: n / 10))


@st.composite
def exact_courses(draw):
    sites = draw(
        st.lists(st.sampled_from(["liver", "other_node", "porta_hepatis_node", "lung"]), min_size=1, max_size=3)
    )
    visits = []
    for number in range(1, draw(st.integers(2, 6)) + 1):
        lesions = []
        for n, site in enumerate(sites, start=1):
            node = site.endswith("_node")
            value = draw(st.integers(200, 900)) / 10 if number == 1 else draw(SIZES)
            measured = diameter(value, name="short_axis_mm" if node else "longest_mm")
            if not node:
                measured += diameter(value, name="viable_longest_mm")
            missing = number > 1 and draw(st.integers(0, 9)) == 0
            state = "not_evaluable" if missing else "measured"
            lesions.append(Lesion(n, "target", site, node, state, () if missing else measured))
        visits.append(Visit(number, lesions=tuple(lesions)))
    return Course("s", tuple(visits))


@given(exact_courses(), st.sampled_from(["recist11", "mrecist"]))
def test_without_uncertainty_it_is_the_rulebooks_answer(one, criterion):
    rows = [row for row in assess(one, criterion) if row.overall]
    found = response_probabilities(one, criterion, ErrorModel(draws=1))
    assert [(f.visit, f.category) for f in found] == [(r.visit, r.target) for r in rows]
    for row, probability in zip(rows, found, strict=True):
        assert probability.probabilities[row.target] == 1.0
        assert not probability.flips
        assert tuple(probability.probabilities) == CATEGORIES


@given(st.integers(50, 150), st.integers(0, 8))
def test_probabilities_add_up(value, half_width):
    (found,) = response_probabilities(
        course(100.0, float(value), half_width=float(half_width)), model=ErrorModel(draws=500)
    )
    assert sum(found.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"lesion_correlation": -0.1},
        {"lesion_correlation": 0.6, "visit_correlation": 0.6},
        {"draws": 0},
        {"level": 1.0},
        {"default_half_width_mm": -1.0},
    ],
)
def test_impossible_models_are_refused(changes):
    with pytest.raises(CriteriaError, match="error"):
        ErrorModel(**changes)


def test_other_criteria_and_courses_without_targets():
    with pytest.raises(CriteriaError, match="criterion: expected recist11, mrecist"):
        response_probabilities(course(30.0, 20.0), "choi")
    only = Course("s", tuple(Visit(n, lesions=(Lesion(1, "non_target", state="present"),)) for n in (1, 2)))
    assert response_probabilities(only) == ()
