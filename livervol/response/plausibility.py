"""Unlikely but possible: warnings with their numbers, for a reader to look at. Impossible data is refused elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from livervol.records import Course, ResponseRow, Visit
from livervol.response.dates import fewest_days, most_days

__all__ = ["PlausibilityLimits", "implausible_courses", "implausible_responses"]

_LENGTHS = ("longest_mm", "short_axis_mm", "viable_longest_mm")


@dataclass(frozen=True)
class PlausibilityLimits:
    """When a change is too large to believe without a second look (choices of this program).

    ``jump_ratio`` within ``jump_days`` or less; changes below ``jump_least_mm`` are ignored as noise of small lesions.
    """

    jump_ratio: float = 3.0
    jump_days: int = 7
    jump_least_mm: float = 10.0


def _where(visit: Visit) -> str:
    row = visit.attributes.get("row", "")
    return f"visit {visit.number}" + (f", row {row}" if row else "")


def implausible_courses(course: Course, limits: PlausibilityLimits | None = None) -> list[str]:
    """Warnings on the measurements of one course: visits out of order, several baselines, threefold jumps in a week."""
    limits = limits or PlausibilityLimits()
    warnings = []
    marked = [v for v in course.visits if v.is_baseline]
    if len(marked) > 1:
        warnings.append(f"{len(marked)} visits are marked as baseline: the last one counts ({_where(marked[-1])})")
    for before, after in zip(course.visits, course.visits[1:], strict=False):
        latest = most_days(before.date, after.date)
        if latest is not None and latest < 0:
            warnings.append(f"visits out of order: {after.date} after {before.date} ({_where(after)})")
        warnings += _jumps(before, after, limits)
    return warnings


def _jumps(before: Visit, after: Visit, limits: PlausibilityLimits) -> list[str]:
    days = fewest_days(before.date, after.date)
    if days is None or not 0 <= days <= limits.jump_days:
        return []
    old = {one.number: one for one in before.lesions}
    found = []
    pairs = [(before.value("sum_mm"), after.value("sum_mm"), "sum_mm", _where(after))]
    for lesion in after.lesions:
        if lesion.number in old:
            place = f"{_where(after)}, lesion {lesion.number}"
            pairs += [(old[lesion.number].value(name), lesion.value(name), name, place) for name in _LENGTHS]
    for first, second, name, place in pairs:
        if not first or not second or abs(second - first) < limits.jump_least_mm:
            continue
        if max(first, second) >= limits.jump_ratio * min(first, second):
            found.append(f"{name} went from {first:g} to {second:g} within {days} days ({place})")
    return found


def implausible_responses(rows: Sequence[ResponseRow]) -> list[str]:
    """Warnings on the responses of one course under one criterion: a partial response or worse regained after CR.

    After a complete response disease is either absent or back (RECIST 1.1, 4.4.1): PR or SD points to a slip or to a
    doubtful CR.
    """
    warnings = []
    cr_visit: int | None = None
    for row in rows:
        overall = row.overall.removeprefix("i")
        if overall == "CR":
            cr_visit = row.visit
        elif cr_visit is not None and overall in ("PR", "SD", "NON-CR/NON-PD"):
            warnings.append(f"{row.criterion}: {row.overall} at visit {row.visit} after CR at visit {cr_visit}")
            cr_visit = None
        elif overall in ("PD", "UPD", "CPD"):
            cr_visit = None
    return warnings
