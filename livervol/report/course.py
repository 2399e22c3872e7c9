"""A course of visits as one page: response with reasons and certainty, lesions, remnant, conversion, treatment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from livervol.report.cells import FLR, Card, Cell, Column, Table, Verdict, flr_card, operation_name
from livervol.report.charts import Limit, Series, line_chart
from livervol.report.course_parts import (
    conversion_parts,
    events_parts,
    growth_table,
    lesion_tables,
    pathology_table,
    weeks_between,
)
from livervol.report.pages import render
from livervol.report.visit import provenance_rows
from livervol.report.words import Words, words_of

__all__ = ["CoursePage", "course_html"]

#: The criterion whose answer stands on top.
_FIRST = "mrecist"
_LIMITS = ((-30.0, "PR"), (20.0, "PD"))


@dataclass(frozen=True, eq=False)
class CoursePage:
    """What a course's page shows: ``document`` is course.json, ``visits`` each visit's measurements.json in order.

    ``events`` are rows of the EVENTS table (date, kind, name, text, unit), ``pathology_necrosis_percent`` and
    ``surgery`` come from SUBJECTS; all may be absent.
    """

    document: Mapping[str, Any]
    visits: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]] = ()
    surgery: str = ""
    pathology_necrosis_percent: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def course_html(page: CoursePage, language: str = "en") -> str:
    """A course's page as HTML text; every word from the data is escaped."""
    w, document = words_of(language), page.document
    criteria = list(dict.fromkeys(str(row["criterion"]) for row in document.get("responses", [])))
    start = str(document["visits"][0].get("date", "")) if document.get("visits") else ""
    responses = [_response(page, w, criterion) for criterion in criteria]
    return render(
        "course.html.j2",
        w,
        title=w("course.title", subject=document.get("subject", "")),
        kicker=w("course.kicker", version=document.get("provenance", {}).get("version", "")),
        meta=_meta(document, w),
        quality=[*page.notes, *document.get("quality", [])],
        cards=_cards(page, w),
        responses=responses,
        spider=_spider(page, w, criteria),
        lesions=lesion_tables(page.document, page.visits, w),
        growth=growth_table(page.visits, document, w),
        flr_chart=_flr_chart(page, w),
        conversion=conversion_parts(document.get("conversion"), w),
        pathology=pathology_table(page.visits, document, page.surgery, page.pathology_necrosis_percent, w),
        treatment=events_parts(page.events, start, w),
        provenance=provenance_rows(document, w),
    )


def _meta(document: Mapping[str, Any], w: Words) -> list[str]:
    visits = document.get("visits", [])
    days = [w.date(visit.get("date", "")) for visit in visits]
    parts = [w("course.visits", count=len(visits))]
    return [*parts, w("range", low=days[0], high=days[-1])] if len(days) > 1 and days[0] else parts


def _rows(document: Mapping[str, Any], criterion: str) -> list[Mapping[str, Any]]:
    return [row for row in document.get("responses", []) if row["criterion"] == criterion]


def _chances(document: Mapping[str, Any], criterion: str) -> dict[int, Mapping[str, Any]]:
    """How certain each visit's target response is, by visit."""
    return {
        int(row["visit"]): row for row in document.get("response_probability", []) if row.get("criterion") == criterion
    }


def _overall(w: Words, row: Mapping[str, Any]) -> str:
    return w.term("category", row["overall"]) if row.get("overall") else w("course.baseline")


def _certainty(w: Words, chance: Mapping[str, Any] | None) -> Cell:
    """The probabilities of the target response, and a mark where it would flip."""
    if chance is None:
        return Cell(w.number(None))
    shown = sorted(((p, name) for name, p in chance["probabilities"].items() if p >= 0.005), reverse=True)
    text = w("list_separator").join(w("course.chance", category=n, percent=w.number(100 * p, 0, "%")) for p, n in shown)
    return Cell(text, note=w("course.flips") if chance["flips"] else w("course.holds"))


def _response(page: CoursePage, w: Words, criterion: str) -> dict[str, Any]:
    columns = (
        Column(w("course.visit"), True), Column(w("course.sum")), Column(w("course.from_baseline")),
        Column(w("course.from_nadir")), Column(w("course.target"), True), Column(w("course.non_target"), True),
        Column(w("course.new"), True), Column(w("course.overall"), True), Column(w("course.certainty"), True),
    )  # fmt: skip
    chances, rows, reasons = _chances(page.document, criterion), [], []
    for row in _rows(page.document, criterion):
        chance = chances.get(int(row["visit"]))
        change = chance.get("change_interval_percent") if chance else None
        rows.append(
            [
                Cell(row["visit"], w.date(row.get("date", ""))),
                Cell(w.number(row.get("sum_mm")), w.span(row.get("sum_mm_interval"))),
                Cell(w.signed(row.get("change_from_baseline_percent"), 0, "%"), w.span(change, 0)),
                Cell(w.signed(row.get("change_from_nadir_percent"), 0, "%")),
                Cell(w.term("category", row.get("target", ""))),
                Cell(w.term("category", row.get("non_target", "")) or w.number(None)),
                Cell(w.term("new_lesion", row.get("new_lesion", ""))),
                Cell(_overall(w, row)),
                _certainty(w, chance),
            ]
        )
        said = [reason for reason in row.get("reasons", [])]
        reasons.append({"visit": w("course.visit_heading", number=row["visit"], date=w.date(row.get("date", ""))),
                        "category": _overall(w, row), "reasons": said})  # fmt: skip
    return {
        "name": w.term("criterion", criterion),
        "id": f"criterion-{criterion}" if criterion.isalnum() else "criterion",
        "table": Table(columns, rows),
        "reasons": reasons,
    }


def _cards(page: CoursePage, w: Words) -> list[Card]:
    document, cards = page.document, []
    rows = _rows(document, _FIRST) or list(document.get("responses", []))
    if rows:
        last = rows[-1]
        chance = _chances(document, str(last["criterion"])).get(int(last["visit"]))
        note = w("course.last", number=last["visit"], date=w.date(last.get("date", "")))
        sure = _certainty(w, chance)
        name = w.term("criterion", last["criterion"])
        verdict = Verdict("unsure", str(sure.note)) if chance and chance["flips"] else None
        cards.append(
            Card(
                w("course.card_response", criterion=name),
                _overall(w, last),
                str(sure.text) if chance else "",
                verdict,
                note,
                main=True,
            )
        )
        interval = last.get("sum_mm_interval")
        changes = w("course.card_change", baseline=w.signed(last.get("change_from_baseline_percent")),
                    nadir=w.signed(last.get("change_from_nadir_percent")))  # fmt: skip
        shown = w("card.interval", range=w.span(interval)) if interval else ""
        cards.append(Card(w("course.card_sum"), w.number(last.get("sum_mm"), 1, "mm"), shown, note=changes, main=True))
    last_visit = page.visits[-1] if page.visits else {}
    cards += [flr_card(w, slug, values) for slug, values in list(last_visit.get("remnant", {}).items())[:2]]
    conversion = document.get("conversion")
    if conversion:
        kind = {True: "met", False: "unmet", None: "open"}[conversion.get("met")]
        against = [item for item in conversion["items"] if item["met"] is not True]
        names = w("list_separator").join(w.term("item", item["name"]) for item in against)
        note = w("conversion.failing", items=names) if names else ""
        cards.append(
            Card(
                w("conversion.card"),
                w(f"conversion.{kind}"),
                verdict=Verdict(kind, w(f"conversion.{kind}_long")),
                note=note,
            )
        )
    return cards


def _spider(page: CoursePage, w: Words, criteria: Sequence[str]) -> Markup:
    visits = {int(v["number"]): str(v.get("date", "")) for v in page.document.get("visits", [])}
    start, series = next(iter(visits.values()), ""), []
    for criterion in criteria:
        chances, places, heights, intervals, texts = _chances(page.document, criterion), [], [], [], []
        for row in _rows(page.document, criterion):
            weeks = weeks_between(start, visits.get(int(row["visit"]), ""))
            change = row.get("change_from_baseline_percent")
            change = 0.0 if change is None and not row.get("overall") and row.get("sum_mm") is not None else change
            if weeks is None or change is None:
                continue
            found = chances.get(int(row["visit"]), {}).get("change_interval_percent")
            places.append(weeks)
            heights.append(float(change))
            intervals.append((found[0], found[1]) if found else None)
            texts.append(str(row.get("overall", "")))
        series.append(Series(w.term("criterion", criterion), places, heights, intervals, texts))
    shown = "; ".join(
        f"{one.name}: " + ", ".join(f"{w.number(x, 0)}: {w.signed(y)}" for x, y in zip(one.x, one.y, strict=True))
        for one in series
    )
    return line_chart(
        series,
        label=w("course.spider_alt", values=shown),
        x_name=w("course.weeks"),
        y_name=w("course.change_axis"),
        limits=[Limit(y, f"{name} {w.signed(y)}") for y, name in _LIMITS],
    )


def _flr_chart(page: CoursePage, w: Words) -> Markup:
    days = [str(v.get("date", "")) for v in page.document.get("visits", [])]
    slugs = dict.fromkeys(slug for visit in page.visits for slug in visit.get("remnant", {}))
    series = []
    for slug in slugs:
        places, heights, intervals = [], [], []
        for day, visit in zip(days, page.visits, strict=False):
            values = visit.get("remnant", {}).get(slug, {})
            weeks, value = weeks_between(days[0], day), values.get(FLR)
            if weeks is None or value is None:
                continue
            found = values.get(f"{FLR}_interval")
            places.append(weeks)
            heights.append(float(value))
            intervals.append((found[0], found[1]) if found else None)
        series.append(Series(operation_name(w, slug), places, heights, intervals, [w.number(y, 1) for y in heights]))
    if not any(len(one.x) > 1 for one in series):
        return Markup("")
    shown = "; ".join(f"{one.name}: " + ", ".join(w.number(y, 1, "%") for y in one.y) for one in series)
    return line_chart(
        series,
        label=w("growth.alt", values=shown),
        x_name=w("course.weeks"),
        y_name=w("flr.functional"),
        limits=[Limit(35.0, "35 %")],
    )
