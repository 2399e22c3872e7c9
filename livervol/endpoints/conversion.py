"""Conversion criteria of each patient from the events table: the last findings before surgery, or before the cut-off.

| kind | name | value, unit |
|---|---|---|
| labs | bilirubin, albumin, inr, pt (prolongation) | number with its unit |
| labs | ascites, encephalopathy | word or grade |
| ecog | | 0 to 5 |
| vessels | portal_inflow, arterial_inflow, hepatic_outflow, biliary_drainage | yes (intact) or no |
| vessels | portal_thrombus, hepatic_thrombus | stage (Cheng or Vp; HVTT or Vv) |
| extrahepatic | | none, necrotic or viable |
| any | flr_percent | number, % |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from livervol.errors import CriteriaError, refusal
from livervol.io.cohort_tables import CohortEvent, Subject, date_bounds
from livervol.response.conversion import ConversionFindings, ConversionResult, assess_conversion
from livervol.response.protocol import Protocol
from livervol.response.scores import ChildPugh, Lab, child_pugh

__all__ = ["conversion_of"]

_THROMBI = ("portal_thrombus", "hepatic_thrombus")
_CLOTTING = {"inr": "inr", "pt": "s"}
_ANSWERS = {"yes": True, "1": True, "intact": True, "no": False, "0": False}


@dataclass(frozen=True)
class _Latest:
    """The last event of each kind and name up to a day."""

    found: dict[tuple[str, str], CohortEvent]

    def event(self, kind: str, name: str = "") -> CohortEvent | None:
        return self.found.get((kind, name))

    def text(self, kind: str, name: str = "") -> str | None:
        event = self.event(kind, name)
        return event.text if event is not None and event.text else None

    def number(self, kind: str, name: str = "") -> tuple[float, str] | None:
        event = self.event(kind, name)
        if event is None or not event.text:
            return None
        if event.value is None:
            what = name or kind
            where = f"events, row {event.row}, column value"
            raise CriteriaError(
                refusal(f"{what} is not a number", expected="a number", got=repr(event.text), where=where)
            )
        return event.value, event.unit


def _latest(events: Sequence[CohortEvent], until: date | None) -> _Latest:
    found: dict[tuple[str, str], CohortEvent] = {}
    first_days = [(date_bounds(event.date), event) for event in events]
    for span, event in sorted(((s[0], e) for s, e in first_days if s is not None), key=lambda one: one[0]):
        if until is None or span <= until:
            name = event.name.lower()
            found[
                "" if name == "flr_percent" else event.kind, "" if event.kind in ("ecog", "extrahepatic") else name
            ] = event
    return _Latest(found)


def _child_pugh(latest: _Latest) -> ChildPugh | None:
    labs: dict[str, Lab | None] = {}
    for name, default in (("bilirubin", ""), ("albumin", ""), *_CLOTTING.items()):
        found = latest.number("labs", name)
        labs[name] = None if found is None else Lab(found[0], found[1] or default)
    ascites, encephalopathy = latest.text("labs", "ascites"), latest.text("labs", "encephalopathy")
    if not any((*labs.values(), ascites, encephalopathy)):
        return None
    try:
        return child_pugh(labs["bilirubin"], labs["albumin"], labs["inr"] or labs["pt"], ascites, encephalopathy)
    except CriteriaError as error:
        rows = sorted(event.row for (kind, _), event in latest.found.items() if kind == "labs")
        raise CriteriaError(f"{error} (events, one of rows {', '.join(map(str, rows))})") from error


def conversion_of(
    subject: Subject, events: Sequence[CohortEvent], protocol: Protocol, until: date | None
) -> ConversionResult:
    """The five conversion criteria of one patient, each yes, no or unknown, from the last findings up to ``until``."""
    latest = _latest(events, until)
    ecog = latest.number("ecog")
    remnant = latest.number("", "flr_percent")
    names = [name for (kind, name) in latest.found if kind == "vessels" and name not in _THROMBI]
    vessels = {name: _ANSWERS.get((latest.text("vessels", name) or "").lower()) for name in names}
    findings = ConversionFindings(
        child_pugh=_child_pugh(latest),
        ecog=None if ecog is None else round(ecog[0]),
        extrahepatic=latest.text("extrahepatic"),
        vessels=vessels,
        portal_thrombus=latest.text("vessels", _THROMBI[0]) or "",
        hepatic_thrombus=latest.text("vessels", _THROMBI[1]) or "",
        flr_percent=None if remnant is None else remnant[0],
        liver_condition=subject.liver_condition,
    )
    try:
        return assess_conversion(findings, protocol)
    except CriteriaError as error:
        rows = sorted(event.row for event in latest.found.values())
        raise CriteriaError(f"{error} (events, one of rows {', '.join(map(str, rows))})") from error
