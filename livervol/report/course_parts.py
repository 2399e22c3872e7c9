"""The tables of a course's page: lesions over visits, growth of the remnant, conversion, pathology, treatment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from livervol.errors import CriteriaError
from livervol.measure.growth import growth
from livervol.report.cells import Cell, Column, Table, Verdict, measured, operation_name
from livervol.report.charts import Lane, Mark, timeline_chart
from livervol.report.pages import said
from livervol.report.solids import roman
from livervol.report.words import Words

__all__ = ["conversion_parts", "events_parts", "growth_table", "lesion_tables", "pathology_table", "weeks_between"]

_MEASURES = (("viable_longest_mm", 1), ("longest_mm", 1), ("viable_volume_ml", 1), ("necrosis_percent", 0))
#: Kinds of events in the order of a timeline.
_KINDS = (
    "dose", "tace", "haic", "ablation", "radiation", "new_therapy", "adverse_event", "ecog", "labs", "vessels",
    "extrahepatic",
)  # fmt: skip
#: Kinds that are findings, not treatment: in the table, not on the timeline.
_FINDINGS = ("ecog", "labs", "vessels", "extrahepatic")
_MOST_LETTERS = 14


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def weeks_between(start: str, day: str) -> float | None:
    """Weeks from one ISO date to another; None where either is not a whole date."""
    first, second = _day(start), _day(day)
    return None if first is None or second is None else (second - first).days / 7


def lesion_tables(
    document: Mapping[str, Any], visits: Sequence[Mapping[str, Any]], w: Words
) -> list[tuple[str, Table]]:
    """Every lesion over the visits, a table per measure, with the role each criterion proposes for it."""
    numbers = sorted({int(one["number"]) for visit in visits for one in visit.get("lesions", [])})
    days = [w.date(v.get("date", "")) for v in document.get("visits", [])]
    roles = {
        int(one["number"]): str(one["role"]) for one in document.get("proposed_roles", {}).get("mrecist", [])
    }  # fmt: skip
    columns = (
        Column(w("lesion.number"), True),
        Column(w("course.role"), True),
        *(Column(w("course.visit_column", number=n, date=day)) for n, day in enumerate(days, 1)),
    )
    found = []
    for key, decimals in _MEASURES:
        rows = []
        for number in numbers:
            cells = [_lesion_cell(visit, number, key, decimals, w) for visit in visits]
            first = next(n for n, v in enumerate(visits) if any(int(one["number"]) == number for one in v["lesions"]))
            role = roles.get(number) or ("new" if first else "")
            rows.append([_named(visits[first], number, w), Cell(w.term("role", role) if role else ""), *cells])
        if rows:
            found.append((w(f"course.table_{key}"), Table(columns, rows)))
    return found


def _named(visit: Mapping[str, Any], number: int, w: Words) -> Cell:
    lesion = next(one for one in visit["lesions"] if int(one["number"]) == number)
    segment = lesion.get("site_segment")
    place = w("lesion.segment", segment=roman(segment)) if segment else w.term("site", lesion.get("site", ""))
    return Cell(number, place)


def _lesion_cell(visit: Mapping[str, Any], number: int, key: str, decimals: int, w: Words) -> Cell:
    lesion = next((one for one in visit.get("lesions", []) if int(one["number"]) == number), None)
    if lesion is None:
        return Cell(w("course.not_seen"))
    return measured(w, lesion, key, decimals)


def growth_table(visits: Sequence[Mapping[str, Any]], document: Mapping[str, Any], w: Words) -> Table:
    """The remnant of each operation over the visits, with its growth since the first visit that measured it."""
    columns = (
        Column(w("flr.operation"), True), Column(w("course.visit"), True), Column(w("flr.volume")),
        Column(w("flr.functional")), Column(w("growth.increase")), Column(w("growth.hypertrophy")),
        Column(w("growth.rate")),
    )  # fmt: skip
    days = [str(v.get("date", "")) for v in document.get("visits", [])]
    rows: list[list[Cell]] = []
    for slug in dict.fromkeys(slug for visit in visits for slug in visit.get("remnant", {})):
        before: tuple[str, Mapping[str, Any]] | None = None
        for number, (day, visit) in enumerate(zip(days, visits, strict=False), 1):
            values = visit.get("remnant", {}).get(slug)
            if not values or values.get("volume_ml") is None:
                continue
            grown = {} if before is None else _growth(slug, before, day, values)
            before = before or (day, values)
            rows.append(
                [
                    Cell(operation_name(w, slug)),
                    Cell(number, w.date(day)),
                    measured(w, values, "volume_ml", 0),
                    measured(w, values, "flr_of_functional_percent", 1),
                    Cell(w.signed(grown.get("increase_percent"), 1, "%")),
                    Cell(w.signed(grown.get("hypertrophy_points"), 1, "")),
                    Cell(w.number(grown.get("kinetic_growth_rate"), 2)),
                ]
            )
    return Table(columns, rows)


def _growth(
    slug: str, before: tuple[str, Mapping[str, Any]], day: str, after: Mapping[str, Any]
) -> dict[str, float | None]:
    """Growth since the first visit: percent of volume, and with a body size points and points a week."""
    first, values = before
    old, new, weeks = float(values["volume_ml"]), float(after["volume_ml"]), weeks_between(first, day)
    plain: dict[str, float | None] = {"increase_percent": 100 * (new - old) / old if old > 0 else None}
    share = after.get("sflr_percent")
    if not share or not weeks or weeks <= 0:
        return plain
    try:
        found = growth(slug, old, new, 7 * weeks, 100 * new / float(share))
    except CriteriaError:
        return plain
    return {m.name.rsplit(".", 1)[-1]: m.value for m in found}


def conversion_parts(conversion: Mapping[str, Any] | None, w: Words) -> dict[str, Any] | None:
    """The conversion checklist: each item met, not met or open, why, and what would change it."""
    if not conversion:
        return None
    columns = (
        Column(w("conversion.item"), True), Column(w("conversion.answer"), True), Column(w("conversion.why"), True),
        Column(w("conversion.change"), True),
    )  # fmt: skip
    rows, kinds = [], {True: "met", False: "unmet", None: "open"}
    for item in conversion["items"]:
        kind = "unsure" if item.get("borderline") else kinds[item["met"]]
        word = kinds[item["met"]]
        rows.append(
            [
                Cell(w.term("item", item["name"])),
                Cell(verdict=Verdict(kind, w(f"conversion.item_{word}"))),
                Cell(said(w, item["reason"])),
                Cell(said(w, item["would_change"])),
            ]
        )
    kind = kinds[conversion.get("met")]
    return {
        "table": Table(columns, rows),
        "verdict": Verdict(kind, w(f"conversion.{kind}_long")),
        "note": w("conversion.note", protocol=conversion.get("protocol", "")),
    }


def pathology_table(
    visits: Sequence[Mapping[str, Any]],
    document: Mapping[str, Any],
    surgery: str,
    necrosis_percent: float | None,
    w: Words,
) -> Table:
    """Imaging at the last visit before surgery beside the pathologist's residual viable tumour."""
    if necrosis_percent is None:
        return Table()
    days = [str(v.get("date", "")) for v in document.get("visits", [])]
    before = [n for n, day in enumerate(days) if not surgery or not day or day <= surgery]
    if not before or before[-1] >= len(visits):
        return Table()
    tumor = visits[before[-1]].get("tumor", {})
    imaging = tumor.get("necrosis_percent")
    columns = (Column(w("pathology.what"), True), Column(w("pathology.imaging")), Column(w("pathology.pathology")))
    viable = None if imaging is None else 100 - float(imaging)
    rows = [
        [Cell(w("pathology.viable")), Cell(w.number(viable, 0, "%")), Cell(w.number(100 - necrosis_percent, 0, "%"))],
        [Cell(w("pathology.necrosis")), Cell(w.number(imaging, 0, "%")), Cell(w.number(necrosis_percent, 0, "%"))],
        [Cell(w("pathology.viable_ml")), Cell(w.number(tumor.get("viable_volume_ml"), 1, "ml")), Cell("")],
        [Cell(w("pathology.when")), Cell(w.date(days[before[-1]])), Cell(w.date(surgery))],
    ]
    if imaging is not None:
        difference = w.signed(float(imaging) - necrosis_percent, 0, "")
        rows.insert(2, [Cell(w("pathology.difference")), Cell(difference), Cell("")])
    return Table(columns, rows)


def _word(w: Words, text: str) -> str:
    """A word of the tables as the catalogue has it; anything a person wrote stays as it is."""
    known = w.term("word", text)
    return known if known != text.replace("_", " ") else text


def events_parts(events: Sequence[Mapping[str, Any]], start: str, w: Words) -> dict[str, Any] | None:
    """Treatment, adverse events and findings: a timeline of the first two, a table of all."""
    if not events:
        return None
    columns = tuple(Column(w(f"event.{name}"), True) for name in ("date", "kind", "name", "value"))
    order = {kind: n for n, kind in enumerate(_KINDS)}
    dated = sorted(events, key=lambda e: (str(e.get("date", "")), order.get(str(e.get("kind")), len(order))))
    rows: list[list[Cell]] = []
    lanes: dict[str, list[Mark]] = {kind: [] for kind in _KINDS if kind not in _FINDINGS}
    for event in dated:
        kind, name = str(event.get("kind", "")), str(event.get("name", ""))
        value = " ".join(part for part in (str(event.get("text", "")), str(event.get("unit", ""))) if part)
        if kind == "adverse_event" and value:
            value = w("event.grade", grade=value)
        told = [Cell(w.date(event.get("date", ""))), Cell(w.term("event_kind", kind))]
        rows.append([*told, Cell(_word(w, name)), Cell(_word(w, value))])
        weeks = weeks_between(start, str(event.get("date", "")))
        if weeks is not None and kind in lanes:
            title = w("event.mark", date=w.date(event["date"]), name=name or w.term("event_kind", kind), value=value)
            short = value if kind == "adverse_event" else name
            lanes[kind].append(Mark(weeks, short[:_MOST_LETTERS], title))
    chart = timeline_chart(
        [Lane(w.term("event_kind", kind), marks) for kind, marks in lanes.items()],
        label=w("event.alt", count=len(rows)),
        x_name=w("course.weeks"),
    )
    return {"table": Table(columns, rows), "chart": chart}
