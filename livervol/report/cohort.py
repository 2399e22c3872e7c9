"""A cohort as one page: rates with intervals, plots with their numbers, conversion, pathology, agreement, failures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from livervol.report.cells import Card, Cell, Column, Table, Verdict
from livervol.report.cohort_plots import Bar, Lane, Step, Thread, spider, survival_plot, swimmer, waterfall
from livervol.report.pages import render, said
from livervol.report.plots import Plot, figure_words, svg_of
from livervol.report.visit import provenance_rows
from livervol.report.words import Words, words_of

__all__ = ["CohortPage", "Curves", "cohort_html", "page_document", "page_from", "plots_of"]

_ITEMS = ("child_pugh", "ecog", "extrahepatic", "vessels", "flr")
_CARDS = ("ORR", "DCR", "conversion")


@dataclass(frozen=True)
class Curves:
    """The Kaplan-Meier curves of one endpoint, and per curve its median's row (None: unknown)."""

    endpoint: str
    steps: Sequence[Step] = ()
    medians: Sequence[Mapping[str, Any] | None] = ()


@dataclass(frozen=True, eq=False)
class CohortPage:
    """What a cohort's page shows; everything in it is plain, so that ``cohort.json`` can hold it.

    ``rows`` are the endpoint rows of endpoints.csv, ``conversion`` counts of each checklist item (met, unmet, open),
    ``agreement`` one row per criterion, ``pathology`` one row per patient with ``pathology_summary``, ``treatment``
    and ``adverse_events`` counts, ``failed`` visits that have no result.
    """

    title: str
    protocol: Mapping[str, Any]
    patients: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]]
    best: Mapping[str, int]
    notes: Sequence[str] = ()
    bars: Sequence[Bar] = ()
    threads: Sequence[Thread] = ()
    lanes: Sequence[Lane] = ()
    curves: Sequence[Curves] = ()
    conversion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    agreement: Sequence[Mapping[str, Any]] = ()
    pathology: Sequence[Mapping[str, Any]] = ()
    pathology_summary: Mapping[str, Any] = field(default_factory=dict)
    treatment: Mapping[str, int] = field(default_factory=dict)
    adverse_events: Sequence[Mapping[str, Any]] = ()
    failed: Sequence[Mapping[str, Any]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


def page_document(page: CohortPage) -> dict[str, Any]:
    """The page as plain data without NaN, for ``cohort.json``."""
    found = _plain(asdict(page))
    assert isinstance(found, dict)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def page_from(document: Mapping[str, Any]) -> CohortPage:
    """The page that ``page_document`` wrote."""
    known = {**document}
    known["bars"] = [Bar(**one) for one in document["bars"]]
    known["threads"] = [
        Thread(one["patient"], one["category"], tuple(one["months"]), tuple(one["changes_percent"]))
        for one in document["threads"]
    ]
    known["lanes"] = [
        Lane(one["patient"], one["category"], one["months"], one["ongoing"], tuple((k, m) for k, m in one["marks"]))
        for one in document["lanes"]
    ]
    known["curves"] = [
        Curves(one["endpoint"], [_step(step) for step in one["steps"]], one["medians"]) for one in document["curves"]
    ]
    return CohortPage(**known)


def _step(step: Mapping[str, Any]) -> Step:
    ends = {name: [math.nan if v is None else v for v in step[name]] for name in ("low", "high")}
    return Step(**{**step, **ends})


def plots_of(page: CohortPage, language: str = "en") -> dict[str, Plot]:
    """Every figure of the page by its file's stem, in the page's language where a font has its glyphs."""
    w = figure_words(words_of(language))
    plots = {
        "waterfall": waterfall(page.bars, w),
        "spider": spider(page.threads, w),
        "swimmer": swimmer(page.lanes, w),
    }
    for curve in page.curves:
        name = curve.endpoint.lower()
        texts = [_median(w, row) for row in curve.medians]
        plots[f"kaplan_meier_{name}"] = survival_plot(curve.steps, w(f"plot.{name}"), texts, w)
    return plots


def _median(w: Words, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    low, high = (w("plot.not_reached") if row[k] is None else w.number(row[k]) for k in ("low", "high"))
    months = w("plot.median_months", months=w.number(row["estimate"]))
    median = w("plot.not_reached") if row["estimate"] is None else months
    return w("plot.median", median=median, low=low, high=high, events=row["events"], n=row["n"])


def cohort_html(page: CohortPage, plots: Mapping[str, Plot], language: str = "en") -> str:
    """A cohort's page as HTML text; ``plots`` are those of ``plots_of``; every word from the data is escaped."""
    w = words_of(language)
    groups = list(dict.fromkeys(str(row["group"]) for row in page.rows if row["variant"] == "primary"))
    notes = list(page.notes)
    if figure_words(w).language != language:
        notes.append(w("cohort.no_font"))
    return render(
        "cohort.html.j2",
        w,
        title=w("cohort.title", title=page.title),
        kicker=w("cohort.kicker", version=page.provenance.get("version", "")),
        meta=[
            w("cohort.patients", population=page.patients["population"], subjects=page.patients["subjects"]),
            w("cohort.protocol", name=page.protocol.get("name", ""), version=page.protocol.get("version", "")),
        ],
        quality=notes,
        cards=_cards(page, w),
        figures={stem: _figure(page, stem, plot, w) for stem, plot in plots.items()},
        curves=[f"kaplan_meier_{curve.endpoint.lower()}" for curve in page.curves],
        endpoints=[{"name": group, "table": _endpoints(page, group, w)} for group in groups],
        best=_best(page, w),
        conversion=_conversion(page, w),
        pathology=_pathology(page, w),
        pathology_text=_pathology_text(page, w),
        agreement=_agreement(page, w),
        treatment=_treatment(page, w),
        adverse=_adverse(page, w),
        failed=_failed(page, w),
        provenance=provenance_rows({"provenance": page.provenance}, w),
    )


def _interval(w: Words, row: Mapping[str, Any], decimals: int = 1) -> str:
    if row["low"] is None and row["high"] is None:
        return ""
    low, high = (w("plot.not_reached") if row[k] is None else w.number(row[k], decimals) for k in ("low", "high"))
    return w("range", low=low, high=high)


def _primary(page: CohortPage, endpoint: str, measure: str) -> Mapping[str, Any] | None:
    wanted = (endpoint, "primary", "", measure)
    return next((r for r in page.rows if (r["endpoint"], r["variant"], r["group"], r["measure"]) == wanted), None)


def _cards(page: CohortPage, w: Words) -> list[Card]:
    cards = []
    for name in _CARDS:
        row = _primary(page, name, "rate")
        if row is None:
            continue
        count = w("cohort.of", events=row["events"], n=row["n"])
        shown = w("card.interval", range=_interval(w, row))
        cards.append(
            Card(w(f"cohort.card_{name.lower()}"), w.number(row["estimate"], 1, "%"), shown, note=count, main=True)
        )
    for name in ("PFS", "OS"):
        row = _primary(page, name, "median")
        if row is None:
            continue
        value = (
            w("plot.not_reached")
            if row["estimate"] is None
            else w("plot.median_months", months=w.number(row["estimate"]))
        )
        shown = w("card.interval", range=_interval(w, row)) if _interval(w, row) else ""
        note = w("cohort.events", events=row["events"], n=row["n"])
        cards.append(Card(w("cohort.card_median", name=name), value, shown, note=note))
    if page.failed:
        cards.append(
            Card(
                w("cohort.card_failed"), w.number(len(page.failed), 0), verdict=Verdict("unsure", w("cohort.see_below"))
            )
        )
    return cards


def _figure(page: CohortPage, stem: str, plot: Plot, w: Words) -> dict[str, Any]:
    # fonts of other machines: the browser's own Chinese font where this machine's is a variant of it
    svg = svg_of(plot).replace("'Noto Sans CJK JP'", "'Noto Sans CJK SC', 'Noto Sans CJK JP'")
    uri = "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")
    name = stem if stem in ("waterfall", "spider", "swimmer") else stem.removeprefix("kaplan_meier_")
    return {"uri": uri, "alt": w("cohort.figure_alt", title=w(f"plot.{name}"), what=_what(page, stem, plot, w)),
            "caption": w("cohort.figure_data", title=w(f"plot.{name}"), file=f"{stem}.csv")}  # fmt: skip


def _what(page: CohortPage, stem: str, plot: Plot, w: Words) -> str:
    """What a figure shows, in a sentence for those who do not see it."""
    if stem == "waterfall" and page.bars:
        changes = [bar.change_percent for bar in page.bars]
        return w("cohort.alt_waterfall", count=len(changes), best=w.signed(min(changes)), worst=w.signed(max(changes)))
    if stem == "spider":
        return w("cohort.alt_spider", count=sum(bool(thread.months) for thread in page.threads))
    if stem == "swimmer":
        return w("cohort.alt_swimmer", count=len(page.lanes), ongoing=sum(lane.ongoing for lane in page.lanes))
    curve = next((c for c in page.curves if stem.endswith(c.endpoint.lower())), None)
    texts = [_median(w, row) for row in curve.medians] if curve is not None else []
    return "; ".join(text for text in texts if text) or w("cohort.alt_rows", count=len(plot.rows))


def _endpoints(page: CohortPage, group: str, w: Words) -> Table:
    columns = (
        Column(w("cohort.endpoint"), True), Column(w("cohort.measure"), True), Column(w("cohort.events_n")),
        Column(w("cohort.estimate")), Column(w("cohort.interval")),
    )  # fmt: skip
    rows = []
    for row in page.rows:
        if row["variant"] != "primary" or row["group"] != group or str(row["endpoint"]).startswith("BOR "):
            continue
        if row["estimate"] is None and str(row["measure"]).startswith("at "):
            continue  # a landmark beyond follow-up says nothing
        decimals = 4 if row["unit"] == "1" else 1
        unit = {"%": "%", "months": w("plot.months")}.get(str(row["unit"]), "")
        value = (
            w("plot.not_reached")
            if row["estimate"] is None and row["unit"] == "months"
            else w.number(row["estimate"], decimals, unit)
        )
        rows.append(
            [
                Cell(
                    said(w, row["endpoint"]),
                    note=said(w, row["method"]) if row["unit"] == "%" and row["measure"] == "rate" else "",
                ),
                Cell(said(w, row["measure"])),
                Cell(w("cohort.of", events=row["events"], n=row["n"])),
                Cell(value),
                Cell(_interval(w, row)),
            ]
        )
    return Table(columns, rows)


def _best(page: CohortPage, w: Words) -> Table:
    columns = (Column(w("cohort.category"), True), Column(w("cohort.count")), Column(w("cohort.share")))
    total = sum(page.best.values())
    rows = [
        [
            Cell(w.term("category", word)),
            Cell(w.number(n, 0)),
            Cell(w.number(100 * n / total if total else None, 1, "%")),
        ]
        for word, n in page.best.items()
    ]
    return Table(columns, rows)


def _conversion(page: CohortPage, w: Words) -> Table:
    columns = (
        Column(w("conversion.item"), True),
        *(Column(w(f"conversion.item_{k}")) for k in ("met", "unmet", "open")),
    )
    rows = [
        [
            Cell(w.term("item", name)),
            *(Cell(w.number(page.conversion[name].get(k, 0), 0)) for k in ("met", "unmet", "open")),
        ]
        for name in _ITEMS
        if name in page.conversion
    ]
    return Table(columns, rows)


def _pathology(page: CohortPage, w: Words) -> Table:
    columns = (
        Column(w("cohort.patient"), True), Column(w("pathology.viable_imaging")),
        Column(w("pathology.viable_pathology")),
        Column(w("pathology.difference")), Column(w("pathology.viable_ml")),
    )  # fmt: skip
    rows = [
        [
            Cell(row["patient"]),
            Cell(w.number(None if row["imaging"] is None else 100 - row["imaging"], 0)),
            Cell(w.number(100 - row["pathology"], 0)),
            Cell(w.signed(None if row["imaging"] is None else row["imaging"] - row["pathology"], 0, "")),
            Cell(w.number(row["viable_ml"], 1)),
        ]
        for row in page.pathology
    ]
    return Table(columns, rows)


def _pathology_text(page: CohortPage, w: Words) -> str:
    found = page.pathology_summary
    if not found:
        return ""
    return w(
        "pathology.summary", n=found["n"], bias=w.signed(found["bias"], 1, ""),
        range=w("range", low=w.number(found["low"]), high=w.number(found["high"])),
        icc=w.number(found["icc"], 2),
        icc_range=w("range", low=w.number(found["icc_low"], 2), high=w.number(found["icc_high"], 2)),
    )  # fmt: skip


def _agreement(page: CohortPage, w: Words) -> Table:
    columns = (
        Column(w("agreement.criterion"), True), Column(w("agreement.readers")), Column(w("agreement.visits")),
        Column(w("agreement.observed")), Column(w("agreement.kappa")), Column(w("agreement.ac1")),
        Column(w("agreement.icc")),
    )  # fmt: skip

    def cell(row: Mapping[str, Any], name: str) -> Cell:
        value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
        return Cell(w.number(value, 2), w.span((low, high), 2) if None not in (low, high) else "")

    rows = [
        [
            Cell(w.term("criterion", row["criterion"]), w("list_separator").join(row["names"])),
            Cell(w.number(row["readers"], 0)),
            Cell(w.number(row["visits"], 0)),
            Cell(w.number(100 * row["observed"], 0, "%")),
            cell(row, "kappa"),
            cell(row, "ac1"),
            cell(row, "icc"),
        ]
        for row in page.agreement
    ]
    return Table(columns, rows)


def _treatment(page: CohortPage, w: Words) -> Table:
    columns = (Column(w("event.kind"), True), Column(w("cohort.patients_with")))
    return Table(columns, [[Cell(w.term("event_kind", k)), Cell(w.number(n, 0))] for k, n in page.treatment.items()])


def _adverse(page: CohortPage, w: Words) -> Table:
    columns = (Column(w("event_kind.adverse_event"), True), Column(w("cohort.any_grade")), Column(w("cohort.severe")))
    rows = [[Cell(r["name"]), Cell(w.number(r["any"], 0)), Cell(w.number(r["severe"], 0))] for r in page.adverse_events]
    return Table(columns, rows)


def _failed(page: CohortPage, w: Words) -> Table:
    columns = (Column(w("cohort.patient"), True), Column(w("course.visit"), True), Column(w("cohort.kind"), True),
               Column(w("cohort.sentence"), True))  # fmt: skip
    rows = [
        [Cell(r["patient"]), Cell(r["visit"]), Cell(w.term("failure", r["kind"])), Cell(said(w, r["sentence"]))]
        for r in page.failed
    ]
    return Table(columns, rows)
