"""New lesions that the program found by itself: unequivocal with hallmarks or growth, else followed until confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from livervol.records import Course, Lesion, Visit

__all__ = ["DOUBT", "doubts", "found_by_program", "with_doubt"]

#: Attribute that says why a new lesion is equivocal.
DOUBT = "new_lesion_doubt"
#: Least size of an unequivocal new lesion (RECIST 1.1, 3.1; Lencioni 2010), and growth since it was first seen that
#: proves one (the least absolute growth of RECIST 1.1, 4.3), mm.
LEAST_MM, GROWTH_MM = 10.0, 5.0


def found_by_program(document: Mapping[str, Any]) -> frozenset[int]:
    """Numbers of the lesions that a visit's run detected itself; masks that were given are a reader's word."""
    return frozenset(int(number) for number in document.get("confidence", {}).get("lesions", {}))


def with_doubt(
    lesions: Mapping[int, Lesion], baseline: Visit, between: Sequence[Visit], found: frozenset[int]
) -> dict[int, Lesion]:
    """The visit's lesions, new ones in the liver without hallmarks in state ``equivocal`` with the reason.

    A detection is no reader's "new" (RECIST 1.1, 4.3.5: unequivocal, no change of technique): it stands when it is at
    least 10 mm long and looks like HCC (arterial enhancement and washout) or as the largest liver lesion of the
    baseline looked, or has grown by 5 mm since an earlier visit first showed it.
    """
    before = {lesion.number for lesion in baseline.lesions}
    first: dict[int, float | None] = {}
    for visit in between:
        for lesion in visit.lesions:
            if lesion.state != "absent":
                first.setdefault(lesion.number, lesion.value("longest_mm"))
    pattern = _usual_pattern(baseline)
    judged = dict(lesions)
    for number, lesion in lesions.items():
        if number in before or number not in found or lesion.site != "liver" or lesion.state != "measured":
            continue
        if "split_from" in lesion.attributes:
            continue
        why = _doubt(lesion, pattern, first.get(number))
        if why:
            judged[number] = replace(lesion, state="equivocal", attributes={**lesion.attributes, DOUBT: why})
    return judged


def doubts(course: Course) -> list[str]:
    """A sentence for every new lesion in doubt."""
    return [
        f"visit {visit.number}: new lesion {lesion.number} is equivocal and to be confirmed: {lesion.attributes[DOUBT]}"
        for visit in course.visits
        for lesion in visit.lesions
        if DOUBT in lesion.attributes
    ]


def _usual_pattern(baseline: Visit) -> str:
    largest = max(
        (one for one in baseline.lesions if one.site == "liver"),
        key=lambda one: (one.value("longest_mm") or 0.0, -one.number),
        default=None,
    )
    return "" if largest is None else largest.attributes.get("arterial_enhancement", "")


def _doubt(lesion: Lesion, pattern: str, first_mm: float | None) -> str:
    """Why a new lesion is not unequivocal; empty when it is."""
    words, size = lesion.attributes, lesion.value("longest_mm") or 0.0
    enhances = words.get("arterial_enhancement", "")
    if size < LEAST_MM:
        return f"{size:.1f} mm, below {LEAST_MM:g} mm"
    if words.get("treated") == "yes" and enhances != "yes":
        return "lipiodol or calcification without enhancing tissue"
    if first_mm is not None and size - first_mm >= GROWTH_MM:
        return ""
    if words.get("kind") == "infiltrative":
        return "no border to be drawn"
    if words.get("enhancement") == "typical" or enhances == pattern:
        return ""
    return "it does not enhance as HCC does, nor as the largest lesion did at baseline"
