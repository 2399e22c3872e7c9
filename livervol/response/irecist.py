"""iRECIST: RECIST 1.1 whose progression is unconfirmed until a later scan confirms it (Seymour 2017, Lancet Oncol)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from livervol.errors import CriteriaError, refusal
from livervol.records import Course, Lesion, ResponseRow, Visit
from livervol.response.course import Burden, Roles, is_node
from livervol.response.dates import fewest_days
from livervol.response.mrecist import mrecist_sizer
from livervol.response.new_lesions import NewFinding, new_lesion_findings, new_size
from livervol.response.recist import recist_sizer
from livervol.response.rulebook import Rulebook
from livervol.response.rulefiles import load_rulebook
from livervol.response.timepoint import (
    Criterion,
    baseline_row,
    follow_up_row,
    non_target_finding,
    open_course,
    target_finding,
)

__all__ = ["assess_irecist"]

_BASES = {"recist11": recist_sizer, "mrecist": mrecist_sizer}
_RANK = {"CR": 0, "PR": 1, "SD": 2, "PD": 3}
_IMMUNE = {"CR": "iCR", "PR": "iPR", "SD": "iSD", "NON-CR/NON-PD": "NON-iCR/NON-iUPD", "NE": "NE", "NED": "NED"}


@dataclass
class _NewNow:
    """New lesions at one visit: those present, the sum of the measured ones, those missing and those that grew."""

    present: set[int] = field(default_factory=set)
    total: float = 0.0
    missing: list[int] = field(default_factory=list)
    increased: int = 0


@dataclass
class _Anchor:
    """The visit that set iUPD, against which confirmation is judged."""

    visit: Visit
    total: float | None
    target: str
    non_target: str
    new: set[int]
    new_total: float


@lru_cache(maxsize=64)
def _base_book(book: Rulebook) -> Rulebook:
    base = str(book.values["base_criterion"])
    if base not in _BASES:
        raise CriteriaError(refusal("parameter base_criterion", expected=", ".join(_BASES), got=repr(base)))
    if base == "recist11":
        return book
    measured = load_rulebook(base)
    own = load_rulebook("irecist")
    # the immune rules on the other criterion's parameters and rules
    return Rulebook(
        book.name,
        {"title": f"{own.title}, measured by {base} (investigational)", "source": own.source, "unit": own.unit},
        {**book.parameters, **measured.parameters},
        {**book.facts, **measured.facts},
        {**measured.sections, "confirm": own.sections["confirm"]},
    )


def assess_irecist(course: Course, book: Rulebook) -> tuple[ResponseRow, ...]:
    """iRECIST responses, one row per visit: iCR, iPR, iSD, NON-iCR/NON-iUPD, iUPD, iCPD, NE.

    New lesions are measured apart (attribute ``new_role`` target or non_target, else by size) and never join the sum. A
    visit that is NE lends no nadir. After iCPD the course stays iCPD.
    """
    sizer = _BASES[str(_base_book(book).values["base_criterion"])]
    book = _base_book(book)
    criterion = Criterion("irecist", sizer, accepts_sums=True)
    course, state, notes = open_course(course, criterion, book)
    news = {} if state.sums else new_lesion_findings(course, state.roles, book)
    machine = _Machine(book)
    rows = []
    for visit in course.visits:
        if visit.number <= state.roles.baseline.number:
            rows.append(baseline_row(course, visit, state, book, notes))
            continue
        reasons: list[str] = []
        target = target_finding(visit, state, book, criterion, reasons)
        non_target = non_target_finding(visit, state, book, reasons)
        finding = news.get(visit.number, NewFinding())
        now = _new_now(visit, state.roles, finding, machine.known, book)
        reasons += finding.reasons
        category = machine.step(visit, target, non_target, state.current, now, reasons)
        words = (target, non_target, finding.status, category)
        rows.append(follow_up_row(course, visit, book, words, state, tuple(reasons)))
        state.hand_on("CR" if category == "iCR" else category, nadir=category != "NE")
    return tuple(rows)


def _measured_apart(lesion: Lesion, book: Rulebook) -> bool:
    role = lesion.attributes.get("new_role", "")
    if role:
        return role == "target"
    size = new_size(lesion)
    limit = book.real("new_target_node_min_mm" if is_node(lesion) else "new_target_min_mm")
    return size is not None and size >= limit - 1e-6


def _new_now(visit: Visit, roles: Roles, finding: NewFinding, known: dict[int, bool], book: Rulebook) -> _NewNow:
    """The new lesions of a visit; ``known`` keeps which ones are measured, decided when first seen."""
    now = _NewNow()
    seen = {one.number: one for one in visit.lesions}
    others = {*roles.targets, *roles.non_targets, *roles.fragments}
    for number, lesion in seen.items():
        if number in others or lesion.state in ("equivocal", "not_evaluable"):
            continue
        if lesion.state == "absent" or (number not in known and finding.status != "yes"):
            continue
        measured = known.setdefault(number, _measured_apart(lesion, book))
        now.present.add(number)
        if measured:
            now.total += new_size(lesion) or 0.0
        elif lesion.state == "unequivocal_progression":
            now.increased += 1
    now.missing = [n for n in known if n not in seen or seen[n].state == "not_evaluable"]
    return now


class _Machine:
    """The states of iRECIST: no progression, unconfirmed (an anchor stands), confirmed."""

    def __init__(self, book: Rulebook) -> None:
        self.book = book
        self.known: dict[int, bool] = {}
        self.anchor: _Anchor | None = None
        self.confirmed = False
        self.accepted: set[int] = set()
        self.accepted_total = 0.0

    def step(
        self, visit: Visit, target: str, non_target: str, burden: Burden | None, now: _NewNow, reasons: list[str]
    ) -> str:
        """The immune response of one visit; reasons are added."""
        if self.confirmed:
            reasons.append(f"visit {visit.number}: {self.book.name} confirm.after: progression was confirmed before")
            return "iCPD"
        if self.anchor is None:
            return self._without_anchor(visit, target, non_target, burden, now, reasons)
        facts = self._facts(self.anchor, visit, target, non_target, burden, now)
        decision = self.book.decide("confirm", facts)
        if decision.category != "iCPD" and now.missing:
            reasons.append(f"visit {visit.number}: new lesions {_names(now.missing)} were not assessed")
            return "NE"
        reasons.append(f"visit {visit.number}: {decision.reason}")
        if decision.category == "iCPD":
            self.confirmed = True
            days, late = facts["days_since_iupd"], self.book.real("confirm_max_days")
            if days is not None and days > late:
                reasons.append(f"note: confirmed {days:g} days after iUPD, later than confirm_max_days = {late:g}")
            return "iCPD"
        if decision.category == "iUPD":
            if facts["days_since_iupd"] is None:
                reasons.append("note: without dates an iUPD cannot be confirmed")
            return "iUPD"
        self.accepted, self.accepted_total, self.anchor = set(now.present), now.total, None
        return self._immune(visit, target, non_target, reasons)

    def _without_anchor(
        self, visit: Visit, target: str, non_target: str, burden: Burden | None, now: _NewNow, reasons: list[str]
    ) -> str:
        further = now.present - self.accepted
        grown = bool(self.accepted) and now.total >= self.accepted_total + self.book.real("confirm_growth_mm") - 1e-6
        causes = [
            name
            for name, holds in (
                ("targets PD", target == "PD"),
                ("non-targets PD", non_target == "PD"),
                (f"new lesions {_names(further)}", bool(further)),
                ("accepted new lesions have grown", grown and not further),
            )
            if holds
        ]
        if causes:
            total = burden.total if burden is not None else None
            self.anchor = _Anchor(visit, total, target, non_target, set(now.present), now.total)
            reasons.append(
                f"visit {visit.number}: {self.book.name} iupd: progression, unconfirmed: {', '.join(causes)}"
            )
            return "iUPD"
        return self._immune(visit, target, non_target, reasons)

    def _immune(self, visit: Visit, target: str, non_target: str, reasons: list[str]) -> str:
        overall = self.book.overall(target, non_target, "no")
        reasons.append(f"visit {visit.number}: {overall.reason}")
        return _IMMUNE[overall.category]

    def _facts(
        self, anchor: _Anchor, visit: Visit, target: str, non_target: str, burden: Burden | None, now: _NewNow
    ) -> dict[str, float | None]:
        days = fewest_days(anchor.visit.date, visit.date)
        growth = None if burden is None or anchor.total is None else burden.total - anchor.total
        better = _RANK.get(target, 9) < _RANK.get(anchor.target, -1)
        return {
            "days_since_iupd": None if days is None else float(days),
            "target_was_pd": float(anchor.target == "PD"),
            "target_is_pd": float(target == "PD"),
            "target_growth": growth,
            "non_target_was_pd": float(anchor.non_target == "PD"),
            "non_target_is_pd": float(non_target == "PD"),
            "another_new": float(len(now.present - anchor.new)),
            "new_growth": now.total - anchor.new_total,
            "new_non_target_increase": float(now.increased),
            "still_pd": float((target == "PD") + (non_target == "PD")),
            "new_present": float(len(now.present & anchor.new)),
            "target_improved": float(better),
        }


def _names(numbers: set[int] | list[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
