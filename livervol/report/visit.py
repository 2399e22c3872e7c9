"""One visit as one self-contained HTML page: warnings first, then numbers, pictures, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader

from livervol.measure.resection import operation
from livervol.report.figures import COLORS, lesion_figure, overview_figure, png_data_uri
from livervol.report.solids import segments_figure
from livervol.scan import Scan, Segmentation

__all__ = ["VisitPage", "visit_html"]

#: Columns of the lesion table after number and site, with their decimals.
LESION_COLUMNS = (
    ("volume_ml", 1),
    ("longest_mm", 1),
    ("short_axis_mm", 1),
    ("diameter_3d_mm", 1),
    ("viable_longest_mm", 1),
    ("viable_perpendicular_mm", 1),
    ("viable_volume_ml", 1),
    ("necrosis_percent", 0),
)

_LINE_STYLES = (
    ("", "longest_mm", "longest", COLORS["longest"]),
    ("short_axis_", "short_axis_mm", "short axis", COLORS["short"]),
    ("viable_", "viable_longest_mm", "viable", COLORS["viable"]),
    ("viable_perpendicular_", "viable_perpendicular_mm", "viable perpendicular", "#CC79A7"),
)

ARTERIAL = ("late_arterial", "early_arterial")


@dataclass(frozen=True, eq=False)
class VisitPage:
    """What a visit's page shows: ``document`` is measurements.json, ``scans`` {phase: scan} all on the masks' grid.

    ``masks`` may hold liver, lesions, viable and segments; ``reference`` names the phase the masks were drawn on.
    """

    title: str
    document: Mapping[str, Any]
    masks: Mapping[str, Segmentation]
    scans: Mapping[str, Scan] = field(default_factory=dict)
    reference: str = ""


def _number(value: Any, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _volumes(document: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    words = {"volume_ml": "volume", "functional_volume_ml": "functional volume (without tumour)",
             "viable_volume_ml": "viable volume", "necrosis_percent": "necrosis"}  # fmt: skip
    for structure in ("liver", "tumor"):
        for key, value in document.get(structure, {}).items():
            if key not in words:
                continue
            unit = "%" if key.endswith("percent") else "ml"
            reason = document[structure].get(f"{key}_reason", "")
            shown = f"– ({reason})" if value is None else f"{_number(value, 0 if unit == '%' else 1)} {unit}"
            rows.append({"structure": structure, "name": words[key], "value": shown})
    for number, values in document.get("segments", {}).items():
        rows.append({"structure": f"segment {number}", "name": "volume", "value": f"{values['volume_ml']:.1f} ml"})
    for slug, values in document.get("remnant", {}).items():
        low, high = values.get("flr_of_functional_percent_interval", (None, None))
        shown = f"{_number(values['volume_ml'], 1)} ml, FLR {_number(values['flr_of_functional_percent'], 1)} %"
        if low is not None:
            shown += f" ({low:.1f} to {high:.1f})"
        rows.append({"structure": slug.replace("_", " "), "name": "remnant, FLR of functional liver", "value": shown})
    return rows


def _sum_text(lesions: list[Mapping[str, Any]], key: str) -> str:
    values = [lesion.get(key) for lesion in lesions]
    if not values:
        return "–"
    if any(v is None for v in values):
        return "not complete"
    return f"{sum(float(v) for v in values if v is not None):.1f} mm"


def _lesion_views(page: VisitPage, lesion: Mapping[str, Any]) -> list[tuple[str, Scan | None, int]]:
    """The reference phase at the longest diameter, then the arterial phase at the viable one."""
    views: list[tuple[str, Scan | None, int]] = []
    scan = page.scans.get(page.reference)
    if "plane_index" in lesion:
        label = page.reference.replace("_", " ") or "mask"
        views.append((f"{label}, plane {lesion['plane_index']}", scan, int(lesion["plane_index"])))
    arterial = next((p for p in ARTERIAL if p in page.scans), None)
    plane = lesion.get("viable_plane_index", lesion.get("plane_index"))
    if arterial is not None and plane is not None and (arterial != page.reference or plane != lesion["plane_index"]):
        views.append((f"{arterial.replace('_', ' ')}, plane {plane}", page.scans[arterial], int(plane)))
    return views


def _lesion_rows(page: VisitPage) -> list[dict[str, Any]]:
    rows = []
    masks = {k: page.masks[k] for k in ("liver", "lesions", "viable") if k in page.masks}
    for lesion in page.document.get("lesions", []):
        cells = [
            {"text": _number(lesion.get(key), decimals), "reason": lesion.get(f"{key}_reason", "")}
            for key, decimals in LESION_COLUMNS
        ]
        lines = []
        for prefix, key, label, color in _LINE_STYLES:
            ends = lesion.get(f"{prefix}endpoints_lps_mm")
            if ends is not None:
                lines.append((f"{label} {lesion[key]:.1f} mm", color, ends[0], ends[1]))
        picture = ""
        views = _lesion_views(page, lesion)
        if views and "lesions" in masks:
            picture = png_data_uri(lesion_figure(views, masks, int(lesion["number"]), lines))
        rows.append(
            {
                "number": lesion["number"],
                "site": str(lesion["site"]).replace("_", " "),
                "cells": cells,
                "picture": picture,
                "caption": "; ".join(line[0] for line in lines) or "no diameter",
            }
        )
    return rows


def _solids(page: VisitPage) -> list[dict[str, str]]:
    """The segments in 3-D, then what each measured operation leaves."""
    segments = page.masks.get("segments")
    if segments is None or not segments.labels.any():
        return []
    lesions = page.masks.get("lesions")
    values = [v for v in segments.names if (segments.labels == v).any()]
    pictures = [(segments_figure(segments, lesions), "Couinaud segments")]
    for slug in page.document.get("remnant", {}):
        chosen = operation(slug)
        removed = chosen.removed_values(values)
        pictures.append(
            (segments_figure(segments, lesions, removed=removed), f"{chosen.name}: what stays, and grey what goes")
        )
    return [{"picture": png_data_uri(figure), "caption": caption} for figure, caption in pictures]


def _provenance(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for key, value in document.get("provenance", {}).items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((key.replace("_", " "), shown))
    return rows


def visit_html(page: VisitPage) -> str:
    """A visit's page as HTML text; pictures are embedded, every word from the data is escaped."""
    document = page.document
    lesions = list(document.get("lesions", []))
    masks = {k: page.masks[k] for k in ("liver", "lesions", "viable") if k in page.masks}
    reference = page.scans.get(page.reference)
    overview = png_data_uri(overview_figure(reference, masks)) if masks else ""
    evaluable = "yes" if document.get("mrecist_evaluable") else f"no ({document.get('mrecist_reason', 'not stated')})"
    shown_on = page.reference.replace("_", " ") or "masks alone"
    environment = Environment(loader=PackageLoader("livervol.report"), autoescape=True, trim_blocks=True)
    return environment.get_template("visit.html.j2").render(
        title=page.title,
        subtitle=f"Liver volumetry and lesion measurements, livervol {document['provenance']['version']}",
        quality=document.get("quality", []),
        volumes=_volumes(document),
        overview=overview,
        overview_alt="axial slices through the liver from head to feet, a coronal and a sagittal one, with outlines",
        overview_caption=f"Outlines on the {shown_on}; the patient's right is on the left.",
        colors=[(name, COLORS[name]) for name in masks],
        solids=_solids(page),
        lesions=_lesion_rows(page),
        evaluable=evaluable,
        sums={"longest": _sum_text(lesions, "longest_mm"), "viable": _sum_text(lesions, "viable_longest_mm")},
        convention=document.get("diameter_convention", ""),
        phases=document.get("phases", []),
        provenance=_provenance(document),
    )
