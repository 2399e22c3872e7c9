"""Several readers of one course: where they differ, and which reading stands (third reader, forward adjudication)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from livervol.errors import CriteriaError, refusal
from livervol.records import ResponseRow

__all__ = ["Disagreement", "adjudicate", "disagreements"]

_RULES = ("third_reader", "forward")
Readings = Mapping[str, Sequence[ResponseRow]]


@dataclass(frozen=True)
class Disagreement:
    """One visit at which the readers' overall responses differ, and what each said."""

    visit: int
    overall: Mapping[str, str]


def _by_visit(readings: Readings) -> dict[int, dict[str, ResponseRow]]:
    """Each visit's row by reader; every reader must have read one subject by one criterion."""
    rows = [row for reader in readings.values() for row in reader]
    for what, values in (("subject", {r.patient for r in rows}), ("criterion", {r.criterion for r in rows})):
        if len(values) > 1:
            raise CriteriaError(refusal(f"readings of more than one {what}", expected="one", got=str(len(values))))
    visits: dict[int, dict[str, ResponseRow]] = {}
    for reader, own in readings.items():
        for row in own:
            visits.setdefault(row.visit, {})[reader] = row
    return dict(sorted(visits.items()))


def disagreements(readings: Readings) -> tuple[Disagreement, ...]:
    """Visits that need an adjudicator: the readers' overall responses differ, or one reader has none."""
    found = []
    for visit, rows in _by_visit(readings).items():
        said = {reader: rows[reader].overall if reader in rows else "not read" for reader in readings}
        if len(set(said.values())) > 1:
            found.append(Disagreement(visit, said))
    return tuple(found)


def adjudicate(readings: Readings, picks: Mapping[int, str], rule: str = "third_reader") -> tuple[ResponseRow, ...]:
    """The rows that stand, one per visit, reader ``adjudicated``; ``picks`` says whom the adjudicator chose at a visit.

    ``third_reader``: agreement stands, each disagreement needs its own pick. ``forward``: from the first pick on, the
    chosen reader's rows stand at every later visit until another pick. A disagreement without a pick raises
    ``CriteriaError``. Sums are the chosen reader's own: nadirs of different readers are never mixed within a row.
    """
    if rule not in _RULES:
        raise CriteriaError(refusal("adjudication rule", expected=", ".join(_RULES), got=repr(rule)))
    unknown = sorted(set(picks.values()) - set(readings))
    if unknown:
        raise CriteriaError(
            refusal("adjudicator picked an unknown reader", expected=", ".join(readings), got=str(unknown))
        )
    standing = ""
    rows = []
    for visit, by_reader in _by_visit(readings).items():
        standing = picks.get(visit, standing if rule == "forward" else "")
        if standing:
            how = "picked at this visit" if visit in picks else "picked at an earlier visit (forward adjudication)"
            rows.append(_standing(by_reader, standing, visit, f"reader {standing} {how}"))
            continue
        said = {row.overall for row in by_reader.values()}
        if len(said) > 1 or len(by_reader) < len(readings):
            raise CriteriaError(
                refusal(
                    "readers disagree",
                    expected="an adjudicator's pick",
                    got=", ".join(sorted(said)),
                    where=f"visit {visit}",
                )
            )
        rows.append(_standing(by_reader, next(iter(readings)), visit, "all readers agree"))
    return tuple(rows)


def _standing(by_reader: Mapping[str, ResponseRow], reader: str, visit: int, why: str) -> ResponseRow:
    if reader not in by_reader:
        raise CriteriaError(
            refusal("the picked reader did not read", expected=f"visit {visit}", got=f"reader {reader}")
        )
    row = by_reader[reader]
    return replace(row, reader="adjudicated", reasons=(f"adjudication: {why}", *row.reasons))
