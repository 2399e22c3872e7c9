from __future__ import annotations

from livervol.records import Course, Lesion, Measurement, Visit
from livervol.response import assess
from livervol.response.rulefiles import load_rulebook
from livervol.response.targets import has_no_roles, propose_targets, roles_applied


def _lesion(number, longest, viable=None, site="liver", **words):
    numbers = [Measurement("short_axis_mm" if site.endswith("node") else "longest_mm", longest, "mm")]
    if viable is not None:
        numbers.append(Measurement("viable_longest_mm", viable, "mm"))
    return Lesion(number, "", site, site.endswith("node"), "measured", tuple(numbers), words)


def _roles(visit, criterion, **changes):
    return {p.number: p.role for p in propose_targets(visit, load_rulebook(criterion).with_parameters(changes))}


def test_the_two_largest_of_an_organ_and_every_organ_first():
    visit = Visit(
        1,
        lesions=(
            _lesion(1, 30), _lesion(2, 50), _lesion(3, 40), _lesion(4, 12, site="lung"), _lesion(5, 11, site="adrenal"),
            _lesion(6, 16, site="other_node"), _lesion(7, 18, site="porta_hepatis_node"),
            _lesion(8, 17, site="other_node"), _lesion(9, 20, site="peritoneum"),
        ),
    )  # fmt: skip
    roles = _roles(visit, "recist11")
    # one of each of the five organs first (liver 2, peritoneum 9, node 7, lung 4, adrenal 5), then five are reached
    assert {n for n, role in roles.items() if role == "target"} == {2, 9, 7, 4, 5}
    assert _roles(visit, "recist11", max_targets=7)[3] == "target"
    assert _roles(visit, "recist11", max_targets=7)[8] == "target"
    assert _roles(visit, "recist11", max_targets=7)[1] == "non_target"


def test_mrecist_ranks_by_viable_diameter():
    visit = Visit(1, lesions=(_lesion(1, 60, 11), _lesion(2, 30, 30), _lesion(3, 25, 20), _lesion(4, 50, 9.9)))
    assert _roles(visit, "mrecist") == {1: "non_target", 2: "target", 3: "target", 4: "non_target"}
    assert _roles(visit, "recist11") == {1: "target", 4: "target", 2: "non_target", 3: "non_target"}


def test_normal_nodes_are_no_disease_and_thrombus_is_non_target():
    visit = Visit(
        1,
        lesions=(
            _lesion(1, 30, 30),
            _lesion(2, 9, site="other_node"),
            _lesion(3, 40, 40, site="portal_vein_thrombus"),
            _lesion(4, 17, site="porta_hepatis_node"),
        ),
    )
    assert _roles(visit, "mrecist") == {1: "target", 2: "", 3: "non_target", 4: ""}
    assert _roles(visit, "recist11")[4] == "target"


def test_equal_sizes_are_taken_in_the_order_of_their_numbers():
    visit = Visit(1, lesions=(_lesion(3, 30), _lesion(1, 30), _lesion(2, 30)))
    assert _roles(visit, "recist11") == {1: "target", 2: "target", 3: "non_target"}


def test_reasons_of_a_proposal():
    visit = Visit(1, lesions=(_lesion(1, 30), _lesion(2, 25), _lesion(3, 20), _lesion(4, 8)))
    reasons = {p.number: p.reason for p in propose_targets(visit, load_rulebook("recist11"))}
    assert "enough larger targets" in reasons[3]
    assert "8 mm < 10 mm" in reasons[4]


def test_a_course_without_roles_is_assessed_by_the_proposal():
    visits = (
        Visit(1, lesions=(_lesion(1, 40, 40), _lesion(2, 9, site="other_node"))),
        Visit(2, lesions=(_lesion(1, 40, 20), _lesion(2, 9, site="other_node"), _lesion(3, 15, 15))),
        Visit(3, lesions=(_lesion(1, 40, 20), _lesion(5, 8, 8, split_from="1"))),
    )
    course = Course("c", visits)
    assert has_no_roles(course)
    rows = assess(course, "mrecist")
    assert any("targets were proposed" in text for text in rows[0].reasons)
    assert [(r.target, r.new_lesion, r.overall) for r in rows[1:]] == [("PR", "yes", "PD"), ("PD", "yes", "PD")]
    assert rows[2].sum_mm == 28
    given = roles_applied(course, propose_targets(visits[0], load_rulebook("mrecist")))
    assert not has_no_roles(given)
    assert [one.number for one in given.visits[1].lesions] == [1, 3]


def test_lesions_without_arterial_enhancement_are_targets_only_where_none_has_it():
    bright, dark = _lesion(1, 20, 18), _lesion(2, 45, 0.0, enhancement="atypical")
    outside = _lesion(3, 30, 0.0, "lung", enhancement="atypical")
    visit = Visit(1, lesions=(bright, dark, outside))
    found = {p.number: p for p in propose_targets(visit, load_rulebook("mrecist"))}
    assert {n: p.role for n, p in found.items()} == {1: "target", 2: "non_target", 3: "target"}
    assert "other lesions of the liver have it" in found[2].reason
    # whole diameters are measured whatever enhances
    assert _roles(visit, "recist11") == {1: "target", 2: "target", 3: "target"}
    assert _roles(Visit(1, lesions=(dark, outside)), "mrecist") == {2: "target", 3: "target"}
    # one that enhances but is no target itself does not stand in the way
    assert _roles(Visit(1, lesions=(_lesion(1, 20, 6.0), dark)), "mrecist") == {1: "non_target", 2: "target"}
