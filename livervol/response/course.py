"""A course read for a criterion: which lesions are targets, what each measures, sums, nadir and completeness.

Everything here is per course, that is per reader: sums and nadirs of different readers never meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from livervol.errors import CriteriaError, refusal
from livervol.records import Course, Lesion, Visit

__all__ = [
    "FLUID_KINDS",
    "NON_MEASURABLE_KINDS",
    "THROMBUS_SITES",
    "Burden",
    "Roles",
    "Size",
    "SizeOf",
    "baseline_visit",
    "find_roles",
    "is_node",
    "organ_of",
    "sum_of_targets",
    "sums_only",
]

NODE_SITES = ("porta_hepatis_node", "other_node")
THROMBUS_SITES = ("portal_vein_thrombus", "hepatic_vein_thrombus")
FLUID_KINDS = ("effusion", "ascites")
#: Values of the attribute ``kind`` that are never measurable (RECIST 1.1, 3.1).
NON_MEASURABLE_KINDS = (*FLUID_KINDS, "blastic_bone", "leptomeningeal", "lymphangitic", "cyst")


@dataclass(frozen=True, slots=True)
class Size:
    """What one lesion contributes to the sum: ``value`` None when not evaluable, ``length`` the judged diameter.

    ``length`` is what "gone" or "normal" is judged by: the short axis of a node, else the value itself.
    """

    value: float | None
    length: float | None
    why: str = ""


SizeOf = Callable[[Lesion, Lesion, Visit], Size]


def is_node(lesion: Lesion) -> bool:
    """True for a lymph node, by flag or by site."""
    return lesion.node or lesion.site in NODE_SITES


def organ_of(lesion: Lesion) -> str:
    """The organ a target counts for: all nodes are one organ (EORTC RECIST questions)."""
    return "lymph nodes" if is_node(lesion) else lesion.site


@dataclass
class Roles:
    """Who is who in a course. ``demoted`` holds targets that cannot be measured and why."""

    baseline: Visit
    targets: dict[int, Lesion] = field(default_factory=dict)
    non_targets: dict[int, Lesion] = field(default_factory=dict)
    fragments: dict[int, int] = field(default_factory=dict)
    demoted: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Burden:
    """The targets of one visit: the sum of what was measured and what is missing."""

    total: float = 0.0
    sizes: dict[int, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    largest_non_nodal: float = 0.0
    largest_node: float = 0.0
    largest_porta_node: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True when every target was evaluable."""
        return not self.missing


def baseline_visit(course: Course) -> Visit:
    """The visit marked as baseline, the last one if several are; else the first visit."""
    if not course.visits:
        raise CriteriaError(refusal("course has no visit", expected="at least a baseline", got="none"))
    marked = [v for v in course.visits if v.is_baseline]
    return marked[-1] if marked else course.visits[0]


def sums_only(course: Course) -> bool:
    """True when no visit lists a lesion and some visit carries a sum."""
    return not any(v.lesions for v in course.visits) and any(
        m.name == "sum_mm" for v in course.visits for m in v.measurements
    )


def _split_from(lesion: Lesion) -> int | None:
    parent = lesion.attributes.get("split_from", "") if lesion.attributes else ""
    return int(parent) if parent else None


def why_not_measurable(lesion: Lesion) -> str:
    """Why a lesion called target can never be one; empty when it can (RECIST 1.1, 3.1; Lencioni 2010)."""
    kind = lesion.attributes.get("kind", "") if lesion.attributes else ""
    if lesion.site in THROMBUS_SITES:
        return "tumour thrombus in a vein is not measurable"
    if kind == "infiltrative":
        return "infiltrative or ill-defined disease is not measurable"
    if kind in NON_MEASURABLE_KINDS:
        return f"{kind.replace('_', ' ')} is not measurable"
    return ""


def find_roles(course: Course) -> Roles:
    """Targets, non-targets and split parts of a course; a role nobody gave raises ``CriteriaError``."""
    roles = Roles(baseline_visit(course))
    for visit in course.visits:
        for lesion in visit.lesions:
            if visit.number == roles.baseline.number:
                _baseline_role(lesion, roles)
            elif (
                visit.number > roles.baseline.number
                and lesion.number not in roles.targets
                and lesion.number not in roles.non_targets
            ):
                _later_role(lesion, visit, roles)
    return roles


def _baseline_role(lesion: Lesion, roles: Roles) -> None:
    where = f"visit {roles.baseline.number}, lesion {lesion.number}"
    if lesion.role == "target":
        reason = why_not_measurable(lesion)
        if reason:
            roles.demoted[lesion.number] = reason
            roles.non_targets[lesion.number] = lesion
        else:
            roles.targets[lesion.number] = lesion
    elif lesion.role == "non_target":
        roles.non_targets[lesion.number] = lesion
    elif lesion.role == "new":
        raise CriteriaError(
            refusal("baseline lesion called new", expected="target or non_target", got="new", where=where)
        )
    else:
        raise CriteriaError(
            refusal(
                "baseline lesion without a role",
                expected="target or non_target",
                got="none",
                where=where,
                do="Give it a role, or let targets be proposed by propose_roles.",
            )
        )


def _later_role(lesion: Lesion, visit: Visit, roles: Roles) -> None:
    parent = _split_from(lesion)
    if parent is not None:
        known = parent in roles.targets or parent in roles.non_targets or parent in roles.fragments
        if not known:
            raise CriteriaError(
                refusal(
                    "split lesion without its origin",
                    expected="split_from naming a baseline lesion",
                    got=str(parent),
                    where=f"visit {visit.number}, lesion {lesion.number}",
                )
            )
        roles.fragments[lesion.number] = roles.fragments.get(parent, parent)
    elif lesion.role != "new":
        raise CriteriaError(
            refusal(
                "lesion absent at baseline",
                expected="role new for a lesion first seen later",
                got=lesion.role or "no role",
                where=f"visit {visit.number}, lesion {lesion.number}",
                do="Call it new, or name its origin in split_from.",
            )
        )


def sum_of_targets(visit: Visit, roles: Roles, size_of: SizeOf) -> Burden:
    """What the targets measure at one visit (RECIST 1.1, 4.3.1; split lesions add up, merged ones count once)."""
    burden = Burden()
    seen = {lesion.number: lesion for lesion in visit.lesions}
    parts: dict[int, list[Lesion]] = {}
    if roles.fragments:
        for number, parent in roles.fragments.items():
            if number in seen and parent in roles.targets:
                parts.setdefault(parent, []).append(seen[number])
    for number, origin in roles.targets.items():
        own = seen.get(number)
        pieces = [*([own] if own is not None else ()), *parts.get(number, ())]
        if pieces:
            _add(burden, number, origin, pieces, visit, size_of)
        else:
            burden.missing.append(f"lesion {number} has no row")
    return burden


def _add(burden: Burden, number: int, origin: Lesion, pieces: Sequence[Lesion], visit: Visit, size_of: SizeOf) -> None:
    """Add one target, or the parts it has split into."""
    value = longest = 0.0
    for piece in pieces:
        into = piece.attributes.get("merged_into", "") if piece.attributes else ""
        if into:
            if all(one.number != int(into) for one in visit.lesions):
                burden.missing.append(f"lesion {piece.number} merged into lesion {into}, which has no row")
                return
            burden.notes.append(f"lesion {piece.number} has merged into lesion {into} and is measured there")
            continue
        size = size_of(piece, origin, visit)
        if size.value is None:
            burden.missing.append(f"lesion {piece.number} {size.why}")
            return
        if size.why:
            burden.notes.append(f"lesion {piece.number} {size.why}")
        value += size.value
        longest = max(longest, size.value if size.length is None else size.length)
    if len(pieces) > 1:
        burden.notes.append(f"lesion {number} is the sum of its parts {', '.join(str(p.number) for p in pieces)}")
    burden.sizes[number] = value
    burden.total += value
    if not is_node(origin):
        burden.largest_non_nodal = max(burden.largest_non_nodal, longest)
    elif origin.site == "porta_hepatis_node":
        burden.largest_porta_node = max(burden.largest_porta_node, longest)
    else:
        burden.largest_node = max(burden.largest_node, longest)
