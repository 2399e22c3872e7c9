"""One visit as one self-contained HTML page: warnings, key numbers, pictures, tables; method and provenance last."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from livervol.report.cells import (
    FLR,
    Card,
    Cell,
    Column,
    Table,
    flr_card,
    flr_verdict,
    measured,
    operation_name,
)
from livervol.report.document import sum_of_lesions, visit_date
from livervol.report.pages import ReportSettings, render, said, write_report
from livervol.report.solids import SEGMENT_COLORS, roman
from livervol.report.viewer import viewer_of
from livervol.report.visit_pictures import VisitPage, lesion_pictures, line_keys, slices_of, solids_of
from livervol.report.words import Words, words_of

__all__ = ["VisitPage", "visit_html", "write_visit_report"]

#: Columns of the lesion table after number and site, with their decimals.
LESION_COLUMNS = (
    ("longest_mm", 1),
    ("short_axis_mm", 1),
    ("viable_longest_mm", 1),
    ("viable_perpendicular_mm", 1),
    ("diameter_3d_mm", 1),
    ("volume_ml", 1),
    ("viable_volume_ml", 1),
    ("necrosis_percent", 0),
)
_VIABILITY_COLORS = {"viable": "#C24A00", "necrosis": "#7d8790", "uncertain": "#F0E442"}
#: More operations than this have their number in the table alone.
_MOST_CARDS = 3

Say = Callable[[object], Markup]


@dataclass(frozen=True)
class _Told:
    """The document with the words to say it in."""

    document: Mapping[str, Any]
    w: Words

    def say(self, text: object) -> Markup:
        """A sentence of the data, escaped, marked where it stays English."""
        return said(self.w, text)


def visit_html(page: VisitPage, language: str = "en", viewer: Markup | str = "") -> str:
    """A visit's page as HTML text; pictures are embedded, every word from the data is escaped."""
    w = words_of(language)
    document, told = page.document, _Told(page.document, w)
    day = visit_date(document)
    evaluable = bool(document.get("mrecist_evaluable"))
    pictures, unpictured = lesion_pictures(page, w)
    sums = {
        "longest": _sum_text(w, document, "longest_mm"),
        "viable": _sum_text(w, document, "viable_longest_mm"),
    }
    key, ruler_key = line_keys(page, w)
    return render(
        "visit.html.j2",
        w,
        title=page.title or (w("visit.title", date=w.date(day)) if day else w("visit.title_undated")),
        kicker=w("visit.kicker", version=document.get("provenance", {}).get("version", "")),
        meta=_meta(page, w),
        quality=list(document.get("quality", [])),
        cards=_cards(told),
        solids=solids_of(page, w),
        slices=slices_of(page, w),
        key=key,
        slice_note=w("slice.note", phase=w.term("phase", page.reference)) if page.reference else w("slice.note_masks"),
        operations=_operations(told),
        lesions=_lesions(told),
        sums=sums,
        convention=document.get("diameter_convention", ""),
        pictures=pictures,
        unpictured=unpictured,
        ruler_key=ruler_key,
        evaluable=evaluable,
        evaluable_reason=document.get("mrecist_reason", w("reason_not_stated")),
        viability=_viability(told),
        viability_key=[{"color": c, "text": w(f"viability.{k}_word")} for k, c in _VIABILITY_COLORS.items()],
        viability_method=document.get("provenance", {}).get("viability_method", ""),
        segments=_segments(told),
        disagreement=_disagreement(told),
        images=_images(told),
        provenance=provenance_rows(document, w),
        viewer=viewer,
    )


def write_visit_report(
    path: Path, page: VisitPage, settings: ReportSettings, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write a visit's page, in the settings' language, with the viewer and as PDF where they ask for it."""
    html = visit_html(page, settings.language)
    written = list(write_report(path, html, settings, overwrite=overwrite))
    if settings.viewer:
        # the viewer goes into the page alone: on paper it would be an empty frame
        with_viewer = visit_html(
            page, settings.language, viewer_of(page.masks, page.scans.get(page.reference), settings.words)
        )
        write_report(path, with_viewer, replace(settings, pdf=False), overwrite=True)
    return tuple(written)


def _meta(page: VisitPage, w: Words) -> list[str]:
    parts = []
    if page.subject:
        parts.append(w("visit.subject", subject=page.subject))
    if page.reference:
        parts.append(w("visit.measured_on", phase=w.term("phase", page.reference)))
    grid = page.document.get("provenance", {}).get("grid")
    return [*parts, str(grid)] if grid else parts


def _sum_text(w: Words, document: Mapping[str, Any], name: str) -> str:
    if not document.get("lesions"):
        return w.number(None)
    total, interval = sum_of_lesions(document, name)
    if total is None:
        return w("lesion.sum_incomplete")
    span = w.span(interval)
    return w.number(total, 1, "mm") + (w("in_brackets", text=span) if span else "")


def _cards(told: _Told) -> list[Card]:
    w, document = told.w, told.document
    cards = []
    for slug, values in list(document.get("remnant", {}).items())[:_MOST_CARDS]:
        note = w("card.remnant_ml", volume=w.number(values.get("volume_ml"), 0, "ml"))
        cards.append(flr_card(w, slug, values, note))
    liver, tumor = document.get("liver", {}), document.get("tumor", {})
    if document.get("lesions"):
        total, interval = sum_of_lesions(document, "viable_longest_mm")
        count = len(document["lesions"])
        cards.append(
            Card(
                w("card.viable_sum"),
                w.number(total, 1, "mm"),
                w("card.interval", range=w.span(interval)) if interval else "",
                note=w("card.lesions", count=count) if total is not None else w("card.viable_absent"),
                main=True,
            )
        )
    functional = liver.get("functional_volume_ml")
    cards.append(
        Card(
            w("card.liver"),
            w.number(liver.get("volume_ml"), 0, "ml"),
            note=w("card.functional", volume=w.number(functional, 0, "ml")) if functional is not None else "",
        )
    )
    if tumor.get("volume_ml") is not None:
        viable = tumor.get("viable_volume_ml")
        note = w("card.viable_ml", volume=w.number(viable, 1, "ml")) if viable is not None else ""
        if isinstance(tumor.get("necrosis_percent"), (int, float)):
            note += w("card.necrosis", percent=w.number(tumor["necrosis_percent"], 0, "%"))
        cards.append(Card(w("card.tumor"), w.number(tumor["volume_ml"], 1, "ml"), note=note))
    return cards


def _operations(told: _Told) -> Table:
    w = told.w
    columns = (
        Column(w("flr.operation"), True), Column(w("flr.volume")), Column(w("flr.functional")),
        Column(w("flr.verdict"), True), Column(w("flr.probability")), Column(w("flr.total")), Column(w("flr.standard")),
        Column(w("flr.weight")), Column(w("flr.margin")), Column(w("flr.left")),
    )  # fmt: skip
    rows = []
    for slug, values in told.document.get("remnant", {}).items():
        chance = values.get("probability_at_least_threshold")
        functional = measured(w, values, FLR, 1, told.say)
        rows.append(
            [
                Cell(operation_name(w, slug)),
                measured(w, values, "volume_ml", 0),
                functional,
                Cell(verdict=flr_verdict(w, values.get(FLR), values.get(f"{FLR}_interval"))),
                Cell(w.number(chance, 2)),
                measured(w, values, "flr_of_total_percent", 1),
                measured(w, values, "sflr_percent", 1),
                measured(w, values, "weight_ratio_percent", 2),
                measured(w, values, "margin_mm", 1),
                Cell(w.number(values.get("lesions_remaining"), 0)),
            ]
        )
    return Table(columns, rows)


def _lesions(told: _Told) -> Table:
    w = told.w
    columns = (
        Column(w("lesion.number"), True),
        Column(w("lesion.site"), True),
        *(Column(w(f"lesion.{key}")) for key, _ in LESION_COLUMNS),
    )
    rows = []
    for lesion in told.document.get("lesions", []):
        site = w.term("site", lesion.get("site", ""))
        segment = lesion.get("site_segment")
        place = w("lesion.segment", segment=roman(segment)) if segment else ""
        state = str(lesion.get("state", "measured"))
        note = "" if state == "measured" else w.term("state", state)
        cells = [measured(w, lesion, key, decimals, told.say) for key, decimals in LESION_COLUMNS]
        rows.append([Cell(lesion.get("number", "")), Cell(site, place, note), *cells])
    return Table(columns, rows)


def _viability(told: _Told) -> list[dict[str, Any]]:
    w, rows = told.w, []
    for lesion in told.document.get("lesions", []):
        whole, viable, dead = (lesion.get(k) for k in ("volume_ml", "viable_volume_ml", "necrosis_percent"))
        if not all(isinstance(v, (int, float)) for v in (whole, viable, dead)) or whole <= 0:
            continue
        shares = {"viable": 100 * viable / whole, "necrosis": float(dead)}
        shares["uncertain"] = max(0.0, 100.0 - shares["viable"] - shares["necrosis"])
        texts = {name: w.number(share, 0, "%") for name, share in shares.items()}
        rows.append(
            {
                "number": lesion["number"],
                "viable": w.number(viable, 1, "ml"),
                "necrosis": texts["necrosis"],
                "uncertain": texts["uncertain"],
                "alt": w("viability.alt", number=lesion["number"], **texts),
                "parts": [{"width": f"{share:.1f}", "color": _VIABILITY_COLORS[n]} for n, share in shares.items()],
            }
        )
    return rows


def _segments(told: _Told) -> Table:
    w, document = told.w, told.document
    columns = (Column(w("segment.name"), True), Column(w("segment.volume")), Column(w("segment.of_liver")))
    whole = document.get("liver", {}).get("volume_ml")
    rows = []
    for number, values in document.get("segments", {}).items():
        volume = values.get("volume_ml")
        share = 100 * volume / whole if volume is not None and whole else None
        color = SEGMENT_COLORS.get(int(number), "") if str(number).isascii() and str(number).isdigit() else ""
        rows.append([Cell(roman(number), swatch=color), measured(w, values, "volume_ml", 0), Cell(w.number(share, 1))])
    return Table(columns, rows)


def _disagreement(told: _Told) -> str:
    share = told.document.get("segments_disagreement_percent", {}).get("any")
    return told.w("segment.disagreement", percent=told.w.number(share, 0, "%")) if share is not None else ""


def _images(told: _Told) -> Table:
    w = told.w
    columns = tuple(
        Column(w(f"image.{name}"), True) for name in ("phase", "modality", "date", "voxels", "aligned", "reason")
    )
    rows = []
    for row in told.document.get("phases", []):
        aligned = w("image.reference") if row.get("reference") else w.term("aligned", row.get("aligned_by", ""))
        if isinstance(row.get("shift_mm"), (int, float)):
            aligned += w("in_brackets", text=w.number(row["shift_mm"], 1, "mm"))
        rows.append(
            [
                Cell(w.term("phase", row.get("phase", ""))),
                Cell(row.get("modality", "")),
                Cell(w.date(row.get("date", ""))),
                Cell(row.get("voxels", "")),
                Cell(aligned),
                Cell(told.say(row.get("reason", ""))),
            ]
        )
    return Table(columns, rows)


def provenance_rows(document: Mapping[str, Any], w: Words) -> list[tuple[str, str]]:
    """What made the numbers, key by key."""
    rows = []
    for key, value in document.get("provenance", {}).items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((w.term("provenance", key), shown))
    return rows
