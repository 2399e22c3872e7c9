"""LI-RADS treatment response of each lesion, 2018 and 2024 (ACR LI-RADS; 2024 has its own algorithm for radiation)."""

from __future__ import annotations

from livervol.errors import CriteriaError, refusal
from livervol.records import Course, Lesion, ResponseRow, Visit
from livervol.response.course import baseline_visit, is_node, sums_only
from livervol.response.rulebook import Decision, Rulebook

__all__ = ["assess_lirads", "treatment_response"]

#: Worst first: a visit's category is its worst lesion's.
_WORST_FIRST = ("Viable", "Nonprogressing", "Equivocal", "Nonevaluable", "Nonviable")
_WORDS = {"yes": 1.0, "no": 0.0}


def treatment_response(lesion: Lesion, visit: Visit, smallest_before_mm: float | None, book: Rulebook) -> Decision:
    """LI-RADS treatment response of one treated lesion: Viable, Nonprogressing, Equivocal, Nonviable or Nonevaluable.

    Attributes (yes, no, or absent for uncertain): ``masslike``, ``aphe``, ``washout``, ``like_before``, ``ancillary``;
    ``trend`` new, enlarging, stable or decreasing; ``treatment`` radiation. Where ``masslike`` is not given, a viable
    diameter speaks for it: arterially enhancing tissue above 0 mm, none at 0. ``smallest_before_mm`` is the smallest
    viable diameter of earlier visits.
    """
    words = lesion.attributes
    viable = lesion.value("viable_longest_mm")
    masslike, aphe = _WORDS.get(words.get("masslike", "")), _WORDS.get(words.get("aphe", ""))
    if lesion.state == "absent":
        masslike = 0.0
    elif masslike is None and words.get("masslike") != "uncertain" and viable is not None:
        masslike, aphe = float(viable > 0), float(viable > 0)
    growth = None if viable is None or smallest_before_mm is None else viable - smallest_before_mm
    trend = words.get("trend", "")
    facts = {
        "evaluable": float(lesion.state != "not_evaluable" and visit.attributes.get("mrecist_evaluable") != "no"),
        "masslike": masslike,
        "aphe": aphe,
        "washout": _WORDS.get(words.get("washout", "")),
        "like_before": _WORDS.get(words.get("like_before", "")),
        "newly": float(trend == "new"),
        "enlarging": float(trend == "enlarging") if trend else None,
        "growth": None if trend else growth,
        "ancillary": _WORDS.get(words.get("ancillary", "")),
    }
    return book.decide(_section(words.get("treatment", ""), book), facts)


def _section(treatment: str, book: Rulebook) -> str:
    version = str(book.values["version"])
    if version not in ("2018", "2024"):
        raise CriteriaError(refusal("parameter version", expected="2018 or 2024", got=repr(version)))
    return "v2024_radiation" if version == "2024" and treatment == "radiation" else f"v{version}"


def _treated(visit: Visit) -> list[Lesion]:
    """The liver lesions a treatment response is for: those marked ``treated`` = yes, or all when none is marked."""
    lesions = [one for one in visit.lesions if one.site == "liver" and not is_node(one)]
    return [one for one in lesions if one.attributes.get("treated") == "yes"] or lesions


def _worst(categories: list[str]) -> str:
    return next((word for word in _WORST_FIRST if word in categories), "")


def assess_lirads(course: Course, book: Rulebook) -> tuple[ResponseRow, ...]:
    """LI-RADS treatment response, one row per visit: ``overall`` is the worst lesion's, ``reasons`` name each."""
    if sums_only(course):
        raise CriteriaError(
            refusal("lirads needs lesions", expected="one row per lesion and visit", got="sums of diameters only")
        )
    baseline = baseline_visit(course)
    targets = {one.number for one in baseline.lesions if one.role == "target"}
    smallest: dict[int, float] = {}
    rows = []
    for visit in course.visits:
        head = (course.subject, visit.reader, visit.number, visit.date, book.name)
        if visit.number <= baseline.number:
            rows.append(ResponseRow(*head, reasons=(f"visit {visit.number}: baseline",)))
        else:
            found = {
                one.number: treatment_response(one, visit, smallest.get(one.number), book) for one in _treated(visit)
            }
            of_targets = _worst([d.category for n, d in found.items() if n in targets])
            others = _worst([d.category for n, d in found.items() if n not in targets])
            reasons = tuple(f"visit {visit.number}, lesion {n}: {d.category}, {d.reason}" for n, d in found.items())
            overall = _worst([d.category for d in found.values()])
            rows.append(ResponseRow(*head, of_targets, others, "no", overall, reasons=reasons))
        for one in visit.lesions:
            viable = one.value("viable_longest_mm")
            if viable is not None and visit.number >= baseline.number:
                smallest[one.number] = min(viable, smallest.get(one.number, viable))
    return tuple(rows)
