"""One course under one criterion: the same small engine for every criterion that compares sums.

Target, non-target and new-lesion findings come from the rulebook; this file collects the facts and keeps the nadir.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from livervol.errors import CriteriaError, refusal
from livervol.records import Course, Lesion, ResponseRow, Visit
from livervol.response.course import (
    FLUID_KINDS,
    Burden,
    Roles,
    SizeOf,
    baseline_visit,
    find_roles,
    is_node,
    sum_of_targets,
    sums_only,
)
from livervol.response.new_lesions import new_lesion_findings
from livervol.response.rulebook import TOLERANCE, Rulebook, number
from livervol.response.targets import count_notes, eligibility, has_no_roles, propose_targets, roles_applied

__all__ = [
    "CourseState",
    "Criterion",
    "assess_course",
    "baseline_row",
    "follow_up_row",
    "non_target_finding",
    "open_course",
    "target_finding",
]

Sizer = Callable[[Rulebook, Roles], tuple[SizeOf, str]]
Extra = Callable[[Visit, Roles], float | None]


@dataclass(frozen=True)
class Criterion:
    """A criterion that compares sums: its rulebook's name, how it measures a lesion, what a bare sum may stand for.

    ``attenuation`` gives the mean HU of a visit's targets where the criterion asks for it.
    """

    name: str
    sizer: Sizer
    accepts_sums: bool = False
    attenuation: Extra | None = None


@dataclass
class CourseState:
    """What earlier visits of the course hand on."""

    roles: Roles
    sums: bool
    size_of: SizeOf
    baseline: Burden
    baseline_hu: float | None
    other_floor: Rulebook | None
    current: Burden | None = None
    nadir: float | None = None
    had_cr: bool = False
    gone: set[int] = field(default_factory=set)

    @property
    def has_targets(self) -> bool:
        """True when there is a sum to follow."""
        return self.sums or bool(self.roles.targets)

    def hand_on(self, category: str, *, nadir: bool = True) -> None:
        """Take the current visit in: its complete sum may lower the nadir, targets may be gone, a CR is remembered."""
        self.had_cr = self.had_cr or category == "CR"
        burden = self.current
        if burden is None:
            return
        if burden.complete and nadir:
            self.nadir = burden.total if self.nadir is None else min(self.nadir, burden.total)
        for lesion, value in burden.sizes.items():
            if value <= TOLERANCE:
                self.gone.add(lesion)
            else:
                self.gone.discard(lesion)


def assess_course(course: Course, criterion: Criterion, book: Rulebook) -> tuple[ResponseRow, ...]:
    """One row per visit; visits up to baseline have no overall response.

    Raises ``CriteriaError`` for a course that cannot be read: no role at baseline, a target first seen later, bare sums
    for a criterion that needs lesions.
    """
    course, state, notes = open_course(course, criterion, book)
    news = {} if state.sums else new_lesion_findings(course, state.roles, book)
    rows = []
    for visit in course.visits:
        if visit.number <= state.roles.baseline.number:
            rows.append(baseline_row(course, visit, state, book, notes))
            continue
        new = news.get(visit.number)
        reasons: list[str] = []
        target = target_finding(visit, state, book, criterion, reasons)
        non_target = non_target_finding(visit, state, book, reasons)
        status = new.status if new else "no"
        reasons += new.reasons if new else []
        overall = book.overall(target, non_target, status)
        reasons.append(f"visit {visit.number}: {overall.reason}")
        category = overall.category
        if category == "CR" and visit.attributes.get("cr_doubtful") == "yes":
            category = "PR"
            reasons.append(f"{book.name} overall.doubtful_cr: the reader doubts this CR, it counts as PR")
        words = (target, non_target, status, category)
        rows.append(follow_up_row(course, visit, book, words, state, tuple(reasons)))
        state.hand_on(category)
    return tuple(rows)


def open_course(course: Course, criterion: Criterion, book: Rulebook) -> tuple[Course, CourseState, list[str]]:
    """The course with proposed roles where nobody gave any, its state at baseline, and notes for the baseline row."""
    sums = sums_only(course)
    if sums and not criterion.accepts_sums:
        raise CriteriaError(
            refusal(f"{book.name} needs lesions", expected="one row per lesion and visit", got="sums of diameters only")
        )
    notes = []
    if not sums and has_no_roles(course):
        course = roles_applied(course, propose_targets(baseline_visit(course), book))
        notes.append("note: nobody gave roles: targets were proposed by size and eligibility")
    roles = Roles(baseline_visit(course)) if sums else find_roles(course)
    size_of, size_note = criterion.sizer(book, roles)
    notes += [f"note: {size_note}"] if size_note else []
    state = CourseState(roles, sums, size_of, Burden(), None, _other_floor(book))
    state.baseline = _burden(roles.baseline, state)
    if state.baseline.complete:
        state.nadir = state.baseline.total
    if criterion.attenuation:
        state.baseline_hu = criterion.attenuation(roles.baseline, roles)
    return course, state, notes


@lru_cache(maxsize=64)
def _other_floor(book: Rulebook) -> Rulebook | None:
    """The book with the other reading of the absolute increase, where the criterion disputes it."""
    if "floor_compared_mm" not in book.values:
        return None
    mine, other = book.real("min_abs_increase_mm"), book.real("floor_compared_mm")
    return book.with_parameters({"min_abs_increase_mm": 0.0 if mine == other else other})


def _burden(visit: Visit, state: CourseState) -> Burden:
    if not state.sums:
        return sum_of_targets(visit, state.roles, state.size_of)
    value = visit.value("sum_mm")
    if value is None:
        return Burden(missing=["the sum was not given"])
    return Burden(total=value, largest_non_nodal=value)


def baseline_row(course: Course, visit: Visit, state: CourseState, book: Rulebook, notes: list[str]) -> ResponseRow:
    """The row of a visit up to baseline: its sum, its targets and what a reader should know about them."""
    head = (course.subject, visit.reader, visit.number, visit.date, book.name)
    if visit.number < state.roles.baseline.number:
        return ResponseRow(*head, reasons=(f"visit {visit.number}: before baseline",))
    roles, burden = state.roles, state.baseline
    names = ", ".join(map(str, roles.targets)) or "none"
    reasons = [f"visit {visit.number}: baseline, {'sum given' if state.sums else f'target lesions {names}'}"]
    reasons += notes
    reasons += [f"note: lesion {n} is followed as non-target: {why}" for n, why in roles.demoted.items()]
    for lesion in roles.targets.values():
        decision = eligibility(lesion, visit, book)
        if decision.category != "target":
            reasons.append(f"note: target lesion {lesion.number} is not eligible: {decision.reason}")
    reasons += count_notes(roles.targets, book)
    reasons += [f"note: {text}; the baseline sum is incomplete" for text in burden.missing]
    if state.has_targets and burden.complete and burden.total <= TOLERANCE:
        reasons.append("note: the baseline sum is 0: there is nothing to follow")
    total = burden.total if state.has_targets and burden.complete else None
    return ResponseRow(*head, sum_mm=total, baseline_sum_mm=total, reasons=tuple(reasons))


def _facts(visit: Visit, burden: Burden, state: CourseState, criterion: Criterion) -> dict[str, float | None]:
    facts: dict[str, float | None] = {
        "sum": burden.total,
        "baseline": state.baseline.total if state.baseline.complete else None,
        "baseline_known": float(state.baseline.complete),
        "nadir": state.nadir,
        "missing_targets": float(len(burden.missing)),
        "largest_non_nodal": burden.largest_non_nodal,
        "largest_node": burden.largest_node,
        "largest_porta_node": burden.largest_porta_node,
        "after_overall_cr": float(state.had_cr),
        "re_enhancing": float(sum(burden.sizes.get(n, 0.0) > TOLERANCE for n in state.gone)),
    }
    if criterion.attenuation:
        facts["mean_hu"] = criterion.attenuation(visit, state.roles)
        facts["baseline_hu"] = state.baseline_hu
    return facts


def target_finding(visit: Visit, state: CourseState, book: Rulebook, criterion: Criterion, reasons: list[str]) -> str:
    """The target category of a visit, empty without targets; ``state.current`` keeps the burden, reasons are added."""
    if not state.has_targets:
        return ""
    burden = state.current = _burden(visit, state)
    facts = _facts(visit, burden, state, criterion)
    decision = book.decide("target", facts)
    reasons.append(f"visit {visit.number}: {decision.reason}")
    if decision.rule == "target.sd":
        reasons[-1] += _sd_numbers(burden.total, facts)
    reasons += [f"note: {text}" for text in burden.notes]
    reasons += [f"not evaluable: {text}" for text in burden.missing]
    if state.other_floor is not None and state.nadir is not None and burden.total > state.nadir:
        other = state.other_floor.decide("target", facts)
        if other.category != decision.category:
            mine, theirs = book.real("min_abs_increase_mm"), state.other_floor.real("min_abs_increase_mm")
            reasons.append(
                f"note: PD floor disputed: {decision.category} with min_abs_increase_mm {mine:g}, "
                f"{other.category} with {theirs:g} (sum {number(burden.total)}, nadir {number(state.nadir)})"
            )
    return decision.category


def non_target_finding(visit: Visit, state: CourseState, book: Rulebook, reasons: list[str]) -> str:
    """The non-target category of a visit, empty where there is none; reasons are added."""
    raised = book.flag("markers_count") and visit.attributes.get("markers") == "abnormal"
    if not state.roles.non_targets and not raised:
        return ""
    counts, details = _non_target_counts(visit, state.roles, book)
    counts["markers_abnormal"] = float(raised)
    decision = book.decide("non_target", counts)
    reasons += [decision.reason, *details]
    return decision.category


def _sd_numbers(total: float, facts: Mapping[str, float | None]) -> str:
    base, nadir = facts["baseline"], facts["nadir"]
    shown = [f"sum {number(total)}"]
    shown += [f"baseline {number(base)}"] if base is not None else []
    shown += [f"nadir {number(nadir)}"] if nadir is not None else []
    return f" ({', '.join(shown)})"


def _percent(value: float | None, reference: float | None) -> float | None:
    if value is None or reference is None or reference <= TOLERANCE:
        return None
    return 100.0 * (value - reference) / reference


def follow_up_row(
    course: Course,
    visit: Visit,
    book: Rulebook,
    words: tuple[str, str, str, str],
    state: CourseState,
    reasons: tuple[str, ...],
) -> ResponseRow:
    """The row of a visit after baseline; ``words`` are target, non-target, new lesion and overall."""
    total = state.current.total if state.current is not None and state.current.complete else None
    base = state.baseline.total if state.has_targets and state.baseline.complete else None
    nadir = state.nadir if state.has_targets else None
    return ResponseRow(
        course.subject,
        visit.reader,
        visit.number,
        visit.date,
        book.name,
        *words,
        total,
        base,
        nadir,
        _percent(total, base),
        _percent(total, nadir),
        reasons,
    )


def _non_target_counts(visit: Visit, roles: Roles, book: Rulebook) -> tuple[dict[str, float | None], list[str]]:
    """The non-target facts of one visit: how many, progressed, not evaluable, still present, gone; and details."""
    seen = {lesion.number: lesion for lesion in visit.lesions}
    counts = {"progressed": 0, "missing": 0, "persisting": 0, "gone": 0}
    details = []
    for lesion_number, origin in roles.non_targets.items():
        kind, detail = _non_target_state(seen.get(lesion_number), origin, visit, book)
        counts[kind] += 1
        if detail:
            details.append(f"note: non-target lesion {lesion_number} {detail}")
    facts: dict[str, float | None] = {k: float(v) for k, v in counts.items()}
    return facts, details


def _non_target_state(lesion: Lesion | None, origin: Lesion, visit: Visit, book: Rulebook) -> tuple[str, str]:
    if lesion is None:
        return "missing", "has no row"
    words = lesion.attributes
    if lesion.state == "not_evaluable":
        return "missing", "was not evaluable"
    if lesion.state == "unequivocal_progression":
        fluid = origin.attributes.get("kind") in FLUID_KINDS or words.get("kind") in FLUID_KINDS
        if fluid and book.flag("cytology_required") and words.get("cytology") != "positive":
            return "persisting", "is fluid without malignant cytology: no progression (cytology_required)"
        return "progressed", "has progressed unequivocally"
    if lesion.state == "absent":
        return "gone", ""
    if is_node(origin):
        short = lesion.value("short_axis_mm")
        limit = book.real("porta_normal_mm" if origin.site == "porta_hepatis_node" else "node_normal_mm")
        if short is not None and short < limit - TOLERANCE:
            return "gone", f"is a normal node now: short axis {number(short)} mm"
        return "persisting", ""
    if lesion.value("longest_mm") == 0:
        return "gone", ""
    if book.flag("viable_only") and (lesion.value("viable_longest_mm") == 0 or lesion.value("viable_volume_ml") == 0):
        return "gone", "has no viable tissue left"
    return "persisting", ""
