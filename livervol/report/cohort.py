"""A cohort as one page: rates with intervals, plots with their numbers, conversion, pathology, agreement, failures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from livervol.report.cells import Card, Verdict
from livervol.report.cohort_plots import Bar, Lane, Step, Thread, spider, survival_plot, swimmer, waterfall
from livervol.report.cohort_tables import (
    adverse_table,
    agreement_table,
    best_table,
    conversion_table,
    endpoints_table,
    failed_table,
    interval_text,
    pathology_table,
    pathology_text,
    treatment_table,
)
from livervol.report.pages import render
from livervol.report.plots import Plot, figure_words, svg_of
from livervol.report.visit import provenance_rows
from livervol.report.words import Words, words_of

__all__ = ["CohortPage", "Curves", "cohort_html", "page_document", "page_from", "plots_of"]

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
        endpoints=[{"name": group, "table": endpoints_table(page, group, w)} for group in groups],
        best=best_table(page, w),
        conversion=conversion_table(page, w),
        pathology=pathology_table(page, w),
        pathology_text=pathology_text(page, w),
        agreement=agreement_table(page, w),
        treatment=treatment_table(page, w),
        adverse=adverse_table(page, w),
        failed=failed_table(page, w),
        provenance=provenance_rows({"provenance": page.provenance}, w),
    )


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
        shown = w("card.interval", range=interval_text(w, row))
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
        shown = w("card.interval", range=interval_text(w, row)) if interval_text(w, row) else ""
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
