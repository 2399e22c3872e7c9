"""Pictures of a visit's slices: a grey image with the outlines and diameter lines drawn over it as vectors.

All pictures show the patient's right on the left and, in coronal and sagittal views, the head up. Each is one SVG with
the slice inside, so lines stay sharp at any size and on paper.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from livervol.grid import Grid
from livervol.kernels.tally import label_boxes
from livervol.scan import Scan, Segmentation

__all__ = [
    "COLORS",
    "DASHES",
    "Ruler",
    "View",
    "box_of",
    "display_window",
    "jpeg_uri",
    "key_views",
    "lesion_box",
    "slice_svg",
]

#: Colour-blind safe (Okabe and Ito), bright on grey.
COLORS = {
    "liver": "#56B4E9",
    "lesions": "#F0E442",
    "viable": "#FF7A1A",
    "longest": "#F0E442",
    "short": "#5BE0B8",
    "viable_longest": "#FF7A1A",
    "viable_perpendicular": "#E79BC8",
}
#: What colour says is also said by the dash.
DASHES = {"viable": "5 3", "viable_perpendicular": "2 2", "short": "2 2"}
_OTHER = "#CC79A7"

#: Abdominal soft tissue window in HU.
CT_WINDOW_HU = (-110.0, 240.0)
_LESION_MARGIN_MM = 25.0
_LIVER_MARGIN_MM = 18.0
#: A line farther than this from its slice, in slices, was not measured in it and is not drawn on it.
_OFF_PLANE_SLICES = 0.75
_JPEG_QUALITY = 86
#: Outlines are simplified by less than this, in pixels of the picture.
_OUTLINE_TOLERANCE_PX = 0.35
_LETTERS = (("R", "L", "A", "P"), ("R", "L", "H", "F"), ("A", "P", "H", "F"))
_BAR_MM = 20.0

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class View:
    """A plane to show: axis 0 axial, 1 coronal, 2 sagittal, its index, and the box of voxels shown (both included)."""

    axis: int
    index: int
    box: Box

    @property
    def rows(self) -> tuple[int, int]:
        """First and last voxel downwards or upwards."""
        return self.box[0 if self.axis else 1]

    @property
    def columns(self) -> tuple[int, int]:
        """First and last voxel from left to right."""
        return self.box[1 if self.axis == 2 else 2]

    @property
    def cut(self) -> tuple[int | slice, ...]:
        """The plane's place in an array ``[z, y, x]``."""
        spans: list[int | slice] = [slice(low, high + 1) for low, high in self.box]
        spans[self.axis] = self.index
        return tuple(spans)


@dataclass(frozen=True)
class Ruler:
    """A measured length: its kind (a key of ``COLORS``) and its ends in LPS mm."""

    kind: str
    ends_lps_mm: Sequence[Sequence[float]]


def display_window(scan: Scan) -> tuple[float, float]:
    """Darkest and brightest shown value: a soft tissue window for CT, the 1st to 99.5th percentile for MR."""
    if scan.modality == "CT":
        return CT_WINDOW_HU
    sample = scan.voxels[:: max(1, scan.voxels.shape[0] // 16), ::2, ::2]
    inside = sample[sample > sample.min()]
    if not inside.size:
        return float(sample.min()), float(sample.min()) + 1.0
    low, high = np.percentile(inside, [1, 99.5])
    return float(low), max(float(high), float(low) + 1.0)


def jpeg_uri(pixels: NDArray[np.uint8]) -> str:
    """Pixels, grey or RGB, as ``data:image/jpeg;base64,...``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def box_of(segmentation: Segmentation, margin_mm: float, values: Sequence[int] = ()) -> Box:
    """The box of some labels (all when none are given) with a margin, cut off at the grid's ends."""
    grid, labels = segmentation.grid, segmentation.labels
    boxes = label_boxes(labels.view(np.uint8) if labels.dtype == np.bool_ else labels)
    chosen = [v for v in (values or range(1, len(boxes))) if 0 < v < len(boxes) and boxes[v].any()]
    found: list[tuple[int, int]] = []
    for axis in range(3):
        margin, last = int(np.ceil(margin_mm / grid.spacing_mm[axis])), grid.shape_zyx[axis] - 1
        low = min((int(boxes[v, axis, 0]) for v in chosen), default=0)
        high = max((int(boxes[v, axis, 1]) - 1 for v in chosen), default=last)
        found.append((max(0, low - margin), min(last, high + margin)))
    return found[0], found[1], found[2]


def lesion_box(lesions: Segmentation, number: int) -> Box:
    """The box in which a lesion's close-ups are shown."""
    return box_of(lesions, _LESION_MARGIN_MM, [number])


def key_views(liver: Segmentation, slices: int = 6) -> list[View]:
    """Axial planes spread over the liver from head to feet, then the coronal and sagittal plane with most liver."""
    box = box_of(liver, _LIVER_MARGIN_MM)
    inside = liver.labels[tuple(slice(low, high + 1) for low, high in box)] != 0
    counts = [inside.sum(axis=tuple(i for i in range(3) if i != axis)) for axis in range(3)]
    used = np.flatnonzero(counts[0])
    spots = np.linspace(used[-1], used[0], slices + 2)[1:-1] if used.size else [inside.shape[0] // 2]
    axial = dict.fromkeys(round(float(spot)) + box[0][0] for spot in spots)
    return [View(0, index, box) for index in axial] + [
        View(axis, int(np.argmax(counts[axis])) + box[axis][0], box) for axis in (1, 2)
    ]


def slice_svg(
    view: View,
    scan: Scan | None,
    masks: Mapping[str, Segmentation],
    label: str,
    *,
    rulers: Sequence[Ruler] = (),
    width_px: int = 360,
) -> Markup:
    """One plane as SVG: the slice, the outline of every mask's labels, lines measured in it, sides and a scale bar.

    ``label`` says in words what is shown; a ruler is drawn only on the plane in which it was measured.
    """
    grid = scan.grid if scan is not None else next(iter(masks.values())).grid
    row_axis, column_axis = (i for i in range(3) if i != view.axis)
    height_mm = (view.rows[1] - view.rows[0] + 1) * grid.spacing_mm[row_axis]
    width_mm = (view.columns[1] - view.columns[0] + 1) * grid.spacing_mm[column_axis]
    frame = _Frame(view, width_px, max(1, round(width_px * height_mm / width_mm)))
    drawn = [_outlines(frame, name, mask) for name, mask in masks.items()]
    drawn += [_ruler(frame, ruler, grid) for ruler in rulers]
    picture = Markup("")
    if scan is not None:
        uri = jpeg_uri(frame.picture(scan))
        picture = Markup(f'<image href="{uri}" width="{frame.width}" height="{frame.height}"/>')
    return Markup(
        f'<svg class="slice" role="img" viewBox="0 0 {frame.width} {frame.height}" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">'
        f'<rect width="{frame.width}" height="{frame.height}" fill="#000"/>{picture}{"".join(drawn)}'
        f"{_letters(frame)}{_scale_bar(frame, width_mm)}</svg>"
    )


@dataclass(frozen=True)
class _Frame:
    """A view laid on ``width`` x ``height`` pixels."""

    view: View
    width: int
    height: int

    @property
    def upwards(self) -> bool:
        """True where rows run from feet to head and the picture shows the head up."""
        return self.view.axis != 0

    def x(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels from the left of a voxel column counted in the box, centres at whole numbers."""
        low, high = self.view.columns
        return (column + 0.5) * self.width / (high - low + 1)

    def y(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels from the top of a voxel row counted in the box."""
        low, high = self.view.rows
        count = high - low + 1
        down = (row + 0.5) * self.height / count
        return self.height - down if self.upwards else down

    def picture(self, scan: Scan) -> NDArray[np.uint8]:
        low, high = display_window(scan)
        plane = scan.voxels[self.view.cut].astype(np.float32)
        grey = (np.clip((plane - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)
        if self.upwards:
            grey = grey[::-1]
        fine = Image.fromarray(np.ascontiguousarray(grey)).resize((self.width, self.height), Image.Resampling.BICUBIC)
        return np.asarray(fine)


def _outlines(frame: _Frame, name: str, mask: Segmentation) -> str:
    plane = mask.labels[frame.view.cut]
    parts = []
    for value in np.unique(plane):
        if value == 0:
            continue
        padded = np.zeros((plane.shape[0] + 2, plane.shape[1] + 2), np.float32)
        padded[1:-1, 1:-1] = plane == value
        for outline in find_contours(padded, 0.5):
            points = np.column_stack([frame.x(outline[:, 1] - 1), frame.y(outline[:, 0] - 1)])
            points = approximate_polygon(points, _OUTLINE_TOLERANCE_PX)
            parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1]) + "Z")
    if not parts:
        return ""
    color, dash = COLORS.get(name, _OTHER), DASHES.get(name, "")
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{"".join(parts)}" fill="none" stroke="{color}" stroke-width="1.4"{dashed}/>'


def _ruler(frame: _Frame, ruler: Ruler, grid: Grid) -> str:
    view = frame.view
    ends = grid.lps_to_index(np.asarray(ruler.ends_lps_mm, dtype=np.float64))
    if np.abs(ends[:, view.axis] - view.index).max() > _OFF_PLANE_SLICES:
        return ""
    row_axis, column_axis = (i for i in range(3) if i != view.axis)
    x = frame.x(ends[:, column_axis] - view.columns[0])
    y = frame.y(ends[:, row_axis] - view.rows[0])
    along = np.array([x[1] - x[0], y[1] - y[0]])
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6) * 4.0
    strokes = [((x[0], y[0]), (x[1], y[1]))]
    strokes += [((a - across[0], b - across[1]), (a + across[0], b + across[1])) for a, b in zip(x, y, strict=True)]
    path = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for (a, b), (c, d) in strokes)
    color = COLORS.get(ruler.kind, _OTHER)
    # a dark edge keeps the line visible on bright tissue
    return (
        f'<path class="ruler" d="{path}" fill="none" stroke="#000" stroke-opacity="0.55" stroke-width="3.4"/>'
        f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>'
    )


def _letters(frame: _Frame) -> str:
    w, h = frame.width, frame.height
    left, right, top, bottom = _LETTERS[frame.view.axis]
    places = ((9, h / 2, left), (w - 9, h / 2, right), (w / 2, 15, top), (w / 2, h - 6, bottom))
    return "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" fill="#fff" font-size="12" text-anchor="middle">{letter}</text>'
        for x, y, letter in places
    )


def _scale_bar(frame: _Frame, width_mm: float) -> str:
    length = _BAR_MM * frame.width / width_mm
    y = frame.height - 9
    return (
        f'<path d="M10 {y}h{length:.1f}" stroke="#fff" stroke-width="2.5"/>'
        f'<text x="{10 + length / 2:.1f}" y="{y - 4}" fill="#fff" font-size="10" text-anchor="middle">20 mm</text>'
    )
