from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.records import Course, Lesion, Measurement, Visit
from livervol.response import assess

CRITERIA = ("mrecist", "recist11", "easl", "who", "choi", "volumetric")
RANK = {"CR": 0, "PR": 1, "SD": 2, "PD": 3}
SITES = ("liver", "lung", "other_node", "porta_hepatis_node")

lengths = st.integers(0, 800).map(lambda tenths: tenths / 10)


def _measured(scale, site):
    names = ("longest_mm", "short_axis_mm", "viable_longest_mm", "viable_perpendicular_mm")
    numbers = [Measurement(n, scale * f, "mm") for n, f in zip(names, (1.0, 0.8, 0.75, 0.5), strict=True)]
    volumes = [Measurement("volume_ml", scale**3 / 2000, "ml"), Measurement("viable_volume_ml", scale**3 / 4000, "ml")]
    return (*numbers, *volumes)


@st.composite
def courses(draw, min_visits=2, max_visits=5):
    """Two to four lesions with fixed sites and roles, any sizes, some not evaluable, perhaps a new one."""
    kinds = draw(st.lists(st.tuples(st.sampled_from(SITES), st.booleans()), min_size=2, max_size=4))
    visits = []
    for number in range(1, draw(st.integers(min_visits, max_visits)) + 1):
        lesions = []
        for n, (site, target) in enumerate(kinds, start=1):
            role = "target" if target else "non_target"
            node = site.endswith("node")
            if number > 1 and draw(st.integers(0, 9)) == 0:
                lesions.append(Lesion(n, role, site, node, "not_evaluable"))
            else:
                scale = draw(lengths) + (20 if number == 1 else 0)
                lesions.append(Lesion(n, role, site, node, "measured", _measured(scale, site)))
        if number > 1 and draw(st.integers(0, 5)) == 0:
            state = draw(st.sampled_from(("equivocal", "measured")))
            lesions.append(Lesion(9, "new", "liver", False, state, _measured(draw(lengths) + 1, "liver")))
        visits.append(Visit(number, f"2024-{number:02d}-01", lesions=tuple(lesions)))
    return Course("case", tuple(visits))


def _answers(rows):
    return [(r.visit, r.target, r.non_target, r.new_lesion, r.overall) for r in rows]


@pytest.mark.parametrize("criterion", [*CRITERIA, "irecist", "lirads"])
@given(course=courses(), data=st.data())
def test_order_of_lesions_and_visits_does_not_matter(criterion, course, data):
    shuffled = tuple(replace(v, lesions=tuple(data.draw(st.permutations(v.lesions)))) for v in course.visits)
    other = Course("case", tuple(data.draw(st.permutations(shuffled))))
    assert _answers(assess(other, criterion)) == _answers(assess(course, criterion))


@pytest.mark.parametrize("criterion", CRITERIA)
@given(course=courses(), extra=st.integers(1, 300), lesion=st.integers(0, 3), visit=st.integers(1, 4))
def test_a_larger_target_never_improves_its_visit(criterion, course, extra, lesion, visit):
    visit = min(visit, len(course.visits) - 1)
    judged = course.visits[visit]
    lesion = min(lesion, len(judged.lesions) - 1)
    grown = judged.lesions[lesion]
    if grown.role != "target" or grown.state != "measured":
        return
    bigger = _measured(grown.value("longest_mm") + extra / 10, grown.site)
    lesions = [replace(one, measurements=bigger) if one is grown else one for one in judged.lesions]
    visits = [replace(v, lesions=tuple(lesions)) if v is judged else v for v in course.visits]
    before, after = (assess(c, criterion)[visit].target for c in (course, Course("case", tuple(visits))))
    if "NE" in (before, after):
        assert after in ("NE", "PD")
    else:
        assert RANK[after] >= RANK[before]


@pytest.mark.parametrize("criterion", [*CRITERIA, "irecist", "lirads"])
@given(course=courses(min_visits=3))
def test_a_later_visit_changes_the_past_only_by_back_dating(criterion, course):
    whole = assess(course, criterion)
    for length in range(1, len(course.visits)):
        part = assess(Course("case", course.visits[:length]), criterion)
        for early, late in zip(part, whole, strict=False):
            if _answers([early]) == _answers([late]):
                continue
            # only an equivocal new lesion proven later, or what follows from it, may differ
            assert any(r.new_lesion == "yes" for r in whole[: late.visit])
            assert any("back_dated" in text for r in whole[: late.visit] for text in r.reasons)


@given(course=courses())
def test_every_follow_up_names_a_rule_and_its_visit(course):
    for row in assess(course, "mrecist")[1:]:
        assert any(text.startswith(f"visit {row.visit}: mrecist overall.") for text in row.reasons)
        assert not any("case" in text.split() for text in row.reasons)


@given(course=courses(), factor=st.sampled_from((0.5, 2.0, 4.0)))
def test_percentages_do_not_depend_on_the_scale_of_lengths(course, factor):
    def scaled(visit):
        lesions = []
        for one in visit.lesions:
            value = one.value("longest_mm")
            numbers = _measured(value * factor, one.site) if value is not None else ()
            lesions.append(replace(one, measurements=numbers))
        return replace(visit, lesions=tuple(lesions))

    rows = assess(course, "who")
    others = assess(Course("case", tuple(scaled(v) for v in course.visits)), "who")
    for row, other in zip(rows, others, strict=True):
        if row.change_from_baseline_percent is None:
            assert other.change_from_baseline_percent is None
        else:
            assert other.change_from_baseline_percent == pytest.approx(row.change_from_baseline_percent, abs=1e-6)
