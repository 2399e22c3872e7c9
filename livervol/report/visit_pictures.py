"""The pictures of a visit's page: solids, key slices and every lesion's close-ups, each with its caption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from livervol.errors import CriteriaError
from livervol.grid import Grid
from livervol.measure.resection import operation
from livervol.report.cells import key_line, operation_name
from livervol.report.figures import COLORS, DASHES, Ruler, View, jpeg_uri, key_views, lesion_box, slice_svg
from livervol.report.solids import ROMAN, Solid, SolidView, roman
from livervol.report.words import Words
from livervol.scan import Scan, Segmentation

__all__ = ["ARTERIAL", "VisitPage", "lesion_pictures", "line_keys", "slices_of", "solids_of"]

ARTERIAL = ("late_arterial", "early_arterial")
#: Masks drawn as outlines.
_OUTLINED = ("liver", "lesions", "viable")
#: A lesion's lines: their keys' prefix, what they measure, and their colour's name.
_RULERS = (
    ("", "longest_mm", "longest"),
    ("short_axis_", "short_axis_mm", "short"),
    ("viable_", "viable_longest_mm", "viable_longest"),
    ("viable_perpendicular_", "viable_perpendicular_mm", "viable_perpendicular"),
)
#: Lesions beyond this number, smallest first, are in the table alone: a page must stay readable and small.
_MOST_PICTURED = 24
_MOST_SOLIDS = 3
_SIDES = ("front", "below")


@dataclass(frozen=True, eq=False)
class VisitPage:
    """What a visit's page shows: ``document`` is measurements.json, ``scans`` {phase: scan} all on the masks' grid.

    ``masks`` may hold liver, lesions, viable and segments; ``reference`` names the phase the masks were drawn on;
    an empty ``title`` is made from the visit's date; ``subject`` is a pseudonym.
    """

    title: str
    document: Mapping[str, Any]
    masks: Mapping[str, Segmentation]
    scans: Mapping[str, Scan] = field(default_factory=dict)
    reference: str = ""
    subject: str = ""

    @property
    def outlined(self) -> dict[str, Segmentation]:
        """The masks drawn as outlines, in nesting order."""
        return {name: self.masks[name] for name in _OUTLINED if name in self.masks}


def line_keys(page: VisitPage, w: Words) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The keys of the outlines and of the diameter lines: a sample of each line and what it is."""
    outlines = [
        {"line": key_line(COLORS[name], DASHES.get(name, "")), "text": w(f"outline.{name}")} for name in page.outlined
    ]
    rulers = [
        {"line": key_line(COLORS[kind], DASHES.get(kind, "")), "text": w(f"ruler.{kind}")} for _, _, kind in _RULERS
    ]
    return outlines, [*outlines, *rulers]


def solids_of(page: VisitPage, w: Words) -> list[dict[str, Any]]:
    """The segments in 3-D from two sides, then what each measured operation leaves."""
    segments = page.masks.get("segments")
    if segments is None or not segments.labels.any():
        return []
    solid = Solid(segments, page.masks.get("lesions"))
    values = [v for v in segments.names if v in ROMAN]
    shown: list[tuple[str, tuple[int, ...]]] = [("", ())]
    for slug in list(page.document.get("remnant", {}))[:_MOST_SOLIDS]:
        try:
            shown.append((operation_name(w, slug), operation(slug).removed_values(values)))
        except CriteriaError:
            continue
    found = []
    for name, removed in shown:
        for side in _SIDES:
            what = w("solid.remnant", operation=name) if name else w("solid.segments")
            caption = w("solid.caption", what=what, side=w(f"side.{side}"))
            found.append({"picture": _solid_svg(solid.view(side, removed), caption), "caption": caption})
    return found


def _solid_svg(view: SolidView, label: str) -> Markup:
    height, width = view.pixels.shape[:2]
    names = "".join(
        f'<text class="{mark.kind}" x="{mark.x:.0f}" y="{mark.y + 5:.0f}" font-size="15" text-anchor="middle">'
        f"{escape(mark.text)}</text>"
        for mark in view.marks
    )
    return Markup(
        f'<svg class="solid" role="img" viewBox="0 0 {width} {height}" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg"><image href="{jpeg_uri(view.pixels)}" width="{width}" height="{height}"/>'
        f"{names}</svg>"
    )


def slices_of(page: VisitPage, w: Words) -> list[dict[str, Any]]:
    """The key slices of the reference phase with the outlines, from head to feet."""
    masks = page.outlined
    if not masks:
        return []
    scan, first = page.scans.get(page.reference), next(iter(masks.values()))
    names = w("list_separator").join(w(f"outline.{name}") for name in masks)
    found = []
    for view in key_views(first):
        caption = _plane(first.grid, view, w)
        label = w("slice.alt", plane=caption, outlines=names)
        found.append({"picture": slice_svg(view, scan, masks, label), "caption": caption})
    return found


def _plane(grid: Grid, view: View, w: Words) -> str:
    middle = [n / 2 for n in grid.shape_zyx]
    middle[view.axis] = view.index
    position = float(grid.index_to_lps(middle)[2 - view.axis])
    letter = ("S", "P", "L")[view.axis] if position >= 0 else ("I", "A", "R")[view.axis]
    name = w(("slice.axial", "slice.coronal", "slice.sagittal")[view.axis])
    return w("slice.place", name=name, index=view.index, letter=letter, mm=w.number(abs(position), 0, "mm"))


def lesion_pictures(page: VisitPage, w: Words) -> tuple[list[dict[str, Any]], int]:
    """Each lesion's close-ups with its lines, and how many lesions have none because there are too many."""
    lesions = [one for one in page.document.get("lesions", []) if "plane_index" in one]
    if "lesions" not in page.masks:
        return [], 0
    largest = sorted(lesions, key=lambda one: -(one.get("volume_ml") or 0.0))[:_MOST_PICTURED]
    chosen = [one for one in lesions if any(one is other for other in largest)]
    found = []
    for lesion in chosen:
        number = int(lesion["number"])
        box = lesion_box(page.masks["lesions"], number)
        rulers, lengths = [], {}
        for prefix, key, kind in _RULERS:
            ends = lesion.get(f"{prefix}endpoints_lps_mm")
            if ends is not None and isinstance(lesion.get(key), (int, float)):
                rulers.append(Ruler(kind, ends))
                lengths[kind] = w("ruler.length", name=w(f"ruler.{kind}"), mm=w.number(lesion[key], 1, "mm"))
        views = []
        for phase, scan, plane, kinds in _lesion_planes(page, lesion):
            name = w.term("phase", phase) if phase else w("slice.mask")
            caption = w("lesion.plane", phase=name, plane=plane)
            told = w("list_separator").join(lengths[kind] for kind in kinds if kind in lengths)
            label = w("lesion.alt", number=number, plane=caption, lengths=told or w("lesion.no_length"))
            view = View(0, plane, box)
            drawn = [ruler for ruler in rulers if ruler.kind in kinds]
            picture = slice_svg(view, scan, page.outlined, label, rulers=drawn, width_px=420)
            views.append(
                {"picture": picture, "caption": w("lesion.view", plane=caption, lengths=told) if told else caption}
            )
        segment = lesion.get("site_segment")
        heading = w("lesion.heading", number=number)
        if segment:
            heading += w("lesion.heading_segment", segment=roman(segment))
        found.append({"heading": heading, "views": views})
    return found, len(lesions) - len(chosen)


def _lesion_planes(page: VisitPage, lesion: Mapping[str, Any]) -> list[tuple[str, Scan | None, int, tuple[str, ...]]]:
    """The arterial phase at the viable diameter, then the portal venous or reference phase at the longest.

    One picture where there is one phase and one plane. Each comes with the kinds of lines that belong on it.
    """
    whole, alive = ("longest", "short"), ("viable_longest", "viable_perpendicular")
    plane = int(lesion["plane_index"])
    viable_plane = int(lesion.get("viable_plane_index", plane))
    arterial = next((phase for phase in ARTERIAL if phase in page.scans), "")
    other = "portal_venous" if "portal_venous" in page.scans else page.reference
    if arterial == other:
        other = next((phase for phase in page.scans if phase != arterial), arterial)
    views: list[tuple[str, Scan | None, int, tuple[str, ...]]] = []
    if arterial:
        views.append((arterial, page.scans[arterial], viable_plane, alive))
    if not arterial or other != arterial or viable_plane != plane:
        views.append((other, page.scans.get(other), plane, whole))
        if not arterial and viable_plane != plane:
            views.append((other, page.scans.get(other), viable_plane, alive))
    if len(views) == 1:
        views = [(views[0][0], views[0][1], views[0][2], (*whole, *alive))]
    return views
