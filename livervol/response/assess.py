"""The one door: a course under a named criterion, one row per visit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from livervol.errors import CriteriaError, refusal
from livervol.records import Course, ResponseRow
from livervol.response.choi import mean_attenuation
from livervol.response.course import sums_only
from livervol.response.easl import easl_sizer, who_sizer
from livervol.response.irecist import assess_irecist
from livervol.response.lirads import assess_lirads
from livervol.response.mrecist import mrecist_sizer
from livervol.response.recist import recist_sizer
from livervol.response.rulebook import Rulebook, Value
from livervol.response.rulefiles import load_rulebook
from livervol.response.timepoint import Criterion, assess_course
from livervol.response.volumetric import volumetric_sizer

__all__ = ["CRITERIA", "assess", "assess_all", "rules"]

_BY_SUMS = {
    c.name: c
    for c in (
        Criterion("mrecist", mrecist_sizer, accepts_sums=True),
        Criterion("recist11", recist_sizer, accepts_sums=True),
        Criterion("easl", easl_sizer),
        Criterion("who", who_sizer),
        Criterion("choi", recist_sizer, accepts_sums=True, attenuation=mean_attenuation),
        Criterion("volumetric", volumetric_sizer),
    )
}
_OTHERS = {"irecist": assess_irecist, "lirads": assess_lirads}

_ON_BARE_SUMS = (*(name for name, c in _BY_SUMS.items() if c.accepts_sums), "irecist")

#: Every criterion by name; ``all`` means each of them in turn.
CRITERIA = (*_BY_SUMS, *_OTHERS, "all")


@lru_cache(maxsize=64)
def _book(name: str, changes: tuple[tuple[str, Value], ...]) -> Rulebook:
    return load_rulebook(name).with_parameters(dict(changes))


def _check(criterion: str) -> None:
    if criterion not in CRITERIA:
        raise CriteriaError(refusal("criterion is not known", expected=", ".join(CRITERIA), got=repr(criterion)))


def rules(criterion: str, parameters: Mapping[str, Value] | None = None) -> Rulebook:
    """The rulebook of a criterion; ``print`` it to read every parameter and rule with its source."""
    _check(criterion)
    return _book(criterion, tuple(sorted((parameters or {}).items())))


def assess(course: Course, criterion: str, parameters: Mapping[str, Value] | None = None) -> tuple[ResponseRow, ...]:
    """Responses of one course, one row per visit (per visit and criterion for ``all``).

    ``parameters`` override the rulebook's by name; with ``all`` each criterion takes those it knows. Every row's
    reasons name the rule, the numbers that met it and the visit.
    """
    _check(criterion)
    if criterion == "all":
        return _assess_every(course, dict(parameters or {}))
    book = rules(criterion, parameters)
    if criterion in _OTHERS:
        return _OTHERS[criterion](course, book)
    return assess_course(course, _BY_SUMS[criterion], book)


def _assess_every(course: Course, parameters: dict[str, Value]) -> tuple[ResponseRow, ...]:
    bare = sums_only(course)
    names = [name for name in CRITERIA if name != "all" and (not bare or name in _ON_BARE_SUMS)]
    known = {key for name in names for key in load_rulebook(name).parameters}
    if unknown := set(parameters) - known:
        raise CriteriaError(
            refusal("no criterion has this parameter", expected=", ".join(sorted(known)), got=str(unknown))
        )
    rows: list[ResponseRow] = []
    for name in names:
        own = load_rulebook(name).parameters
        rows += assess(course, name, {k: v for k, v in parameters.items() if k in own})
    return tuple(rows)


def assess_all(
    courses: Iterable[Course], criterion: str, parameters: Mapping[str, Value] | None = None
) -> Iterator[ResponseRow]:
    """``assess`` over many courses, in their order, one course in memory at a time."""
    for course in courses:
        yield from assess(course, criterion, parameters)
