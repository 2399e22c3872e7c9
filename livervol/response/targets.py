"""Which lesions can be targets, why not, and which ones to propose (RECIST 1.1, 3.1 and 4.1; Lencioni 2010)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from livervol.records import Course, Lesion, Visit
from livervol.response.course import (
    NON_MEASURABLE_KINDS,
    THROMBUS_SITES,
    baseline_visit,
    is_node,
    organ_of,
)
from livervol.response.mrecist import is_atypical
from livervol.response.rulebook import Decision, Rulebook

__all__ = ["Proposal", "count_notes", "eligibility", "has_no_roles", "propose_targets", "roles_applied"]


@dataclass(frozen=True)
class Proposal:
    """A lesion's proposed role (target, non_target, or empty for no disease) and why."""

    number: int
    role: str
    reason: str


def _eligibility_facts(lesion: Lesion, visit: Visit, book: Rulebook) -> dict[str, float | None]:
    words = lesion.attributes
    node = is_node(lesion)
    size = lesion.value("short_axis_mm" if node else "longest_mm")
    viable = lesion.value("viable_longest_mm")
    if size is None and not node:
        size = viable
    thickness = float(words.get("slice_thickness_mm") or visit.attributes.get("slice_thickness_mm") or 0)
    kind = words.get("kind", "")
    return {
        "infiltrative": float(kind == "infiltrative"),
        "thrombus": float(lesion.site in THROMBUS_SITES),
        "non_measurable": float(kind in NON_MEASURABLE_KINDS),
        "treated": float(words.get("treated") == "yes" and words.get("progressed_since") != "yes"),
        "node": float(node),
        "porta_node": float(node and lesion.site == "porta_hepatis_node"),
        "intrahepatic": float(lesion.site == "liver" and not node),
        "size": size,
        "measured": float(size is not None),
        "viable_size": None if is_atypical(lesion) else viable,
        "slice_limit": book.real("slice_factor") * thickness if thickness > book.real("thin_slice_mm") else None,
    }


def eligibility(lesion: Lesion, visit: Visit, book: Rulebook) -> Decision:
    """Whether a baseline lesion can be a target: category target, non_target or none, with the rule and its numbers.

    Slice thickness in mm: the attribute ``slice_thickness_mm`` of the lesion or the visit; unknown means thin.
    """
    return book.decide("eligible", _eligibility_facts(lesion, visit, book))


def count_notes(targets: Mapping[int, Lesion], book: Rulebook) -> list[str]:
    """Notes where more targets were chosen than the criterion counts."""
    organs: dict[str, list[int]] = {}
    for number, lesion in targets.items():
        organs.setdefault(organ_of(lesion), []).append(number)
    per_organ, total = book.real("max_targets_per_organ"), book.real("max_targets")
    notes = [
        f"note: {len(numbers)} targets in {organ} (max_targets_per_organ = {per_organ:g})"
        for organ, numbers in organs.items()
        if len(numbers) > per_organ
    ]
    if len(targets) > total:
        notes.append(f"note: {len(targets)} targets (max_targets = {total:g})")
    return notes


def _rank(lesion: Lesion, visit: Visit, book: Rulebook) -> tuple[float, int]:
    """Largest first, equal sizes by number; in the liver by the viable diameter where the criterion asks for one."""
    facts = _eligibility_facts(lesion, visit, book)
    viable = facts["viable_size"] if facts["intrahepatic"] and "viable_min_mm" in book.values else None
    size = facts["size"] if viable is None else viable
    return (-(size or 0.0), lesion.number)


def propose_targets(visit: Visit, book: Rulebook) -> tuple[Proposal, ...]:
    """A role for every lesion of a baseline visit: the largest eligible lesions, every organ represented first.

    Within each organ by size, at most ``max_targets_per_organ``; first each organ's largest, then each second, until
    ``max_targets`` (RECIST 1.1, 4.1). Where viable tissue is measured, liver lesions without arterial enhancement are
    targets only when no other liver lesion can be one: then the liver is followed by whole diameters (Llovet & Lencioni
    2020, J Hepatol 72:288). A proposal: reproducibility is for the reader to judge.
    """
    decisions = {lesion.number: eligibility(lesion, visit, book) for lesion in visit.lesions}
    outdone = _outdone(visit, decisions, book)
    ranks = {lesion.number: _rank(lesion, visit, book) for lesion in visit.lesions}
    queues: dict[str, list[int]] = {}
    for lesion in sorted(visit.lesions, key=lambda one: ranks[one.number]):
        if decisions[lesion.number].category == "target" and lesion.number not in outdone:
            queues.setdefault(organ_of(lesion), []).append(lesion.number)
    chosen: set[int] = set()
    for turn in range(int(book.real("max_targets_per_organ"))):
        for queue in sorted((q for q in queues.values() if len(q) > turn), key=lambda q: ranks[q[turn]]):
            if len(chosen) < book.real("max_targets"):
                chosen.add(queue[turn])
    why = {n: "no arterial enhancement, and other lesions of the liver have it" for n in outdone}
    return tuple(
        _proposal(lesion, decisions[lesion.number], lesion.number in chosen, why.get(lesion.number, ""))
        for lesion in visit.lesions
    )


def _outdone(visit: Visit, decisions: Mapping[int, Decision], book: Rulebook) -> set[int]:
    """Liver lesions without arterial enhancement beside such as have it, where viable tissue is what is measured."""
    able = [one for one in visit.lesions if decisions[one.number].category == "target" and organ_of(one) == "liver"]
    if "viable_min_mm" not in book.values or all(is_atypical(one) for one in able):
        return set()
    return {one.number for one in able if is_atypical(one)}


def _proposal(lesion: Lesion, decision: Decision, chosen: bool, why: str) -> Proposal:
    if chosen:
        return Proposal(lesion.number, "target", decision.reason)
    if decision.category == "target":
        why = why or "enough larger targets were chosen"
        return Proposal(lesion.number, "non_target", f"{decision.reason}; but {why}")
    return Proposal(lesion.number, "" if decision.category == "none" else "non_target", decision.reason)


def has_no_roles(course: Course) -> bool:
    """True when nobody gave any lesion of the course a role."""
    lesions = [lesion for visit in course.visits for lesion in visit.lesions]
    return bool(lesions) and not any(lesion.role for lesion in lesions)


def roles_applied(course: Course, proposals: tuple[Proposal, ...]) -> Course:
    """The course with proposed roles; lesions absent at baseline become new, lesions that are no disease are left out.

    A split part keeps its empty role: it belongs to its origin.
    """
    baseline = baseline_visit(course)
    roles = {p.number: p.role for p in proposals}

    def given(lesion: Lesion) -> Lesion:
        new = "" if lesion.attributes.get("split_from") else "new"
        return replace(lesion, role=roles.get(lesion.number, new))

    def kept(visit: Visit) -> Visit:
        lesions = tuple(given(one) for one in visit.lesions if roles.get(one.number, "new") != "")
        return replace(visit, lesions=lesions)

    before = [v for v in course.visits if v.number < baseline.number]
    return Course(course.subject, tuple(v if v in before else kept(v) for v in course.visits))
