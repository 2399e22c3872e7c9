"""New lesions that the program found: what makes them unequivocal, and what a response makes of those in doubt."""

import pytest

from livervol.records import Course, Lesion, Measurement, Visit
from livervol.response import assess
from livervol.workflows.course_new import DOUBT, doubts, found_by_program, with_doubt

TYPICAL = {"arterial_enhancement": "yes", "washout": "yes", "enhancement": "typical"}
DARK = {"arterial_enhancement": "no", "enhancement": "atypical"}


def lesion(number, mm, words, role="", viable=None):
    lengths = (
        Measurement("longest_mm", mm, "mm"),
        Measurement("viable_longest_mm", mm if viable is None else viable, "mm"),
    )
    return Lesion(number, role, measurements=lengths, attributes=words)


def judged(new, baseline_words=TYPICAL, between=(), found=(2,)):
    baseline = Visit(1, is_baseline=True, lesions=(lesion(1, 60.0, baseline_words),))
    return with_doubt({1: lesion(1, 50.0, TYPICAL), 2: new}, baseline, between, frozenset(found))


@pytest.mark.parametrize(
    ("mm", "words", "state"),
    [
        (14.0, TYPICAL, "measured"),
        (9.8, TYPICAL, "equivocal"),
        (14.0, DARK, "equivocal"),
        (14.0, {"treated": "yes", "arterial_enhancement": "no"}, "equivocal"),
        (14.0, {**TYPICAL, "kind": "infiltrative"}, "equivocal"),
    ],
)
def test_hallmarks_make_a_new_lesion_unequivocal(mm, words, state):
    lesions = judged(lesion(2, mm, words))
    assert lesions[1].state == "measured"
    assert lesions[2].state == state
    assert (DOUBT in lesions[2].attributes) is (state == "equivocal")


def test_a_new_lesion_that_looks_as_the_disease_did_is_unequivocal():
    assert judged(lesion(2, 14.0, DARK), baseline_words=DARK)[2].state == "measured"
    # without an arterial phase neither says anything
    assert judged(lesion(2, 14.0, {}), baseline_words={})[2].state == "measured"


def test_growth_proves_it_and_a_reader_is_believed():
    before = Visit(2, lesions=(lesion(2, 10.0, DARK),))
    assert judged(lesion(2, 14.9, DARK), between=(before,))[2].state == "equivocal"
    assert judged(lesion(2, 15.0, DARK), between=(before,))[2].state == "measured"
    assert judged(lesion(2, 9.0, DARK), found=())[2].state == "measured"
    assert found_by_program({"confidence": {"lesions": {"2": 0.7}}}) == {2}
    assert found_by_program({"confidence": {"liver": 0.9}}) == frozenset()


@pytest.mark.parametrize("criterion", ["mrecist", "recist11"])
@pytest.mark.parametrize(("words", "overall"), [(TYPICAL, "PD"), ({"treated": "yes", **DARK}, "SD")])
def test_a_lesion_in_doubt_is_no_progression(criterion, words, overall):
    new = judged(lesion(2, 12.0, words, "new"))[2]
    visits = (
        Visit(1, "2024-01-10", "r", True, (lesion(1, 60.0, TYPICAL, "target"),)),
        Visit(2, "2024-04-10", "r", False, (lesion(1, 58.0, TYPICAL, "target"), new)),
    )
    course = Course("s", visits)
    assert assess(course, criterion)[-1].overall == overall
    assert len(doubts(course)) == (overall == "SD")
