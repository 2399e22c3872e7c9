from __future__ import annotations

import pytest

from livervol.errors import CriteriaError
from livervol.measure.resection import OPERATIONS, PROTOCOLS, STAGED, STANDARD, RemnantProtocol, operation, protocol

#: Brisbane 2000: what each operation removes.
BRISBANE = [
    ("right_hepatectomy", {5, 6, 7, 8}),
    ("extended_right_hepatectomy", {4, 5, 6, 7, 8}),
    ("left_hepatectomy", {2, 3, 4}),
    ("extended_left_hepatectomy", {2, 3, 4, 5, 8}),
    ("left_lateral_sectionectomy", {2, 3}),
    ("left_medial_sectionectomy", {4}),
    ("right_anterior_sectionectomy", {5, 8}),
    ("right_posterior_sectionectomy", {6, 7}),
    ("central_hepatectomy", {4, 5, 8}),
    ("caudate_lobectomy", {1}),
]


@pytest.mark.parametrize(("slug", "removed"), BRISBANE)
def test_named_operations_remove_what_brisbane_says(slug, removed):
    assert set(operation(slug).removed) == removed
    assert operation(slug).slug == slug


def test_every_name_of_the_contract_is_there():
    assert list(OPERATIONS) == [slug for slug, _ in BRISBANE]
    assert len({op.slug for op in STANDARD}) == len(STANDARD)


@pytest.mark.parametrize(
    ("word", "slug", "removed"),
    [
        ("Right Trisectionectomy", "extended_right_hepatectomy", (4, 5, 6, 7, 8)),
        ("mesohepatectomy", "central_hepatectomy", (4, 5, 8)),
        ("bisegmentectomy 5-6", "segments:5,6", (5, 6)),
        ("bisegmentectomy_4b_5", "segments:5,42", (5, 42)),
        ("segmentectomy 8", "segments:8", (8,)),
        ("segments:6,5", "segments:5,6", (5, 6)),
        ("segments:2,3", "segments:2,3", (2, 3)),
        ("right_hepatectomy+caudate", "right_hepatectomy+caudate", (1, 5, 6, 7, 8)),
        ("caudate_lobectomy+caudate", "caudate_lobectomy", (1,)),
    ],
)
def test_other_spellings(word, slug, removed):
    found = operation(word)
    assert (found.slug, found.removed) == (slug, removed)


@pytest.mark.parametrize("word", ["", "right", "segments:", "segments:9", "segments:5,5", "segments:0", "segments:5;6"])
def test_unknown_operations_are_refused(word):
    with pytest.raises(CriteriaError):
        operation(word)


@pytest.mark.parametrize("word", ["segments:1,2,3,4,5,6,7,8", "segments:1,2,3,41,42,5,6,7,8"])
def test_an_operation_leaves_something(word):
    with pytest.raises(CriteriaError, match="leaves nothing"):
        operation(word)


def test_the_fourth_segment_takes_its_halves_along():
    assert operation("left_hepatectomy").removed_values({1, 2, 3, 41, 42}) == (2, 3, 4, 41, 42)


def test_half_of_an_unsplit_segment_is_refused():
    with pytest.raises(CriteriaError, match="segment IV is not split"):
        operation("segments:5,42").removed_values({1, 2, 3, 4, 5})
    assert operation("segments:5,42").removed_values({41, 42, 5}) == (5, 42)


def test_staged_operations_end_in_a_known_one():
    for slug, staged in STAGED.items():
        assert staged.slug == slug
        assert staged.stages[0].removed == ()
        assert staged.stages[-1].removed == staged.final.removed
        # what is deprived of portal blood is removed in the end
        assert set(staged.stages[0].deportalised) <= set(staged.final.removed)
    assert STAGED["alpps"].final is OPERATIONS["extended_right_hepatectomy"]


def test_protocols_hold_the_published_thresholds():
    levels = {name: p.threshold_percent for name, p in PROTOCOLS.items()}
    assert levels == {
        "trial": 35.0, "normal": 20.0, "chemotherapy": 30.0, "steatosis": 30.0, "cirrhosis": 40.0,
        "cnlc_normal": 30.0, "cnlc_cirrhosis": 40.0,
    }  # fmt: skip
    assert protocol("trial").denominator == "functional"
    assert all(p.source for p in PROTOCOLS.values())


def test_protocol_refusals():
    with pytest.raises(CriteriaError, match="liver condition"):
        protocol("healthy")
    with pytest.raises(CriteriaError, match="threshold"):
        RemnantProtocol("x", 0.0)
    with pytest.raises(CriteriaError, match="threshold"):
        RemnantProtocol("x", 100.0)
    with pytest.raises(CriteriaError, match="denominator"):
        RemnantProtocol("x", 35.0, "body")
