"""Pictures of a visit: slices with contours and the diameter lines drawn where they were measured.

All pictures show the patient's right on the left and, in coronal and sagittal views, the head up.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.measure import find_contours

from livervol.grid import Grid
from livervol.scan import Scan, Segmentation

__all__ = ["COLORS", "display_window", "lesion_figure", "overview_figure", "png_data_uri"]

#: Colour-blind safe (Okabe and Ito), bright on grey.
COLORS = {"liver": "#56B4E9", "lesions": "#F0E442", "viable": "#D55E00", "longest": "#F0E442", "short": "#009E73"}

#: Abdominal soft tissue window in HU.
CT_WINDOW_HU = (-110.0, 240.0)
_DPI = 110
_LESION_MARGIN_MM = 25.0
_LIVER_MARGIN_MM = 30.0
#: A line farther than this from its slice, in slices, was not measured in it and is not drawn on it.
_OFF_PLANE_SLICES = 0.75

Pair = tuple[float, float]


def png_data_uri(figure: Figure) -> str:
    """A figure as ``data:image/png;base64,...``."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def display_window(scan: Scan) -> Pair:
    """Darkest and brightest shown value: a soft tissue window for CT, the 1st to 99.5th percentile for MR."""
    if scan.modality == "CT":
        return CT_WINDOW_HU
    sample = scan.voxels[:: max(1, scan.voxels.shape[0] // 16), ::2, ::2]
    inside = sample[sample > sample.min()]
    if not inside.size:
        return float(sample.min()), float(sample.min()) + 1.0
    low, high = np.percentile(inside, [1, 99.5])
    return float(low), max(float(high), float(low) + 1.0)


def _plane(array: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    plane: NDArray[Any] = np.take(array, index, axis=axis)
    return plane


def _draw(axes: Axes, scan: Scan | None, masks: Mapping[str, Segmentation], axis: int, index: int) -> None:
    """One plane with contours; axis 0 axial, 1 coronal, 2 sagittal."""
    grid = scan.grid if scan is not None else next(iter(masks.values())).grid
    rows, columns = (i for i in range(3) if i != axis)
    aspect = grid.spacing_mm[rows] / grid.spacing_mm[columns]
    origin: Literal["upper", "lower"] = "upper" if axis == 0 else "lower"
    shape = (grid.shape_zyx[rows], grid.shape_zyx[columns])
    if scan is not None:
        low, high = display_window(scan)
        axes.imshow(
            _plane(scan.voxels, axis, index), cmap="gray", vmin=low, vmax=high, aspect=aspect, origin=origin,
            interpolation="bilinear",
        )  # fmt: skip
    else:
        axes.imshow(np.zeros(shape), cmap="gray", vmin=0, vmax=1, aspect=aspect, origin=origin)
    for name, segmentation in masks.items():
        plane = _plane(segmentation.labels, axis, index)
        for value in np.unique(plane):
            if value == 0:
                continue
            padded = np.pad(plane == value, 1)
            for outline in find_contours(padded.astype(np.float32), 0.5):
                axes.plot(outline[:, 1] - 1, outline[:, 0] - 1, color=COLORS.get(name, "#CC79A7"), linewidth=1.0)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim((shape[0] - 0.5, -0.5) if axis == 0 else (-0.5, shape[0] - 0.5))
    axes.set_xticks([])
    axes.set_yticks([])


def _letters(axes: Axes, axis: int) -> None:
    left, right, top, bottom = (("R", "L", "A", "P"), ("R", "L", "H", "F"), ("A", "P", "H", "F"))[axis]
    style: dict[str, Any] = {
        "color": "white", "fontsize": 8, "transform": axes.transAxes, "ha": "center", "va": "center",
        "bbox": {"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0},
    }  # fmt: skip
    for x, y, letter in ((0.03, 0.5, left), (0.97, 0.5, right), (0.5, 0.96, top), (0.5, 0.04, bottom)):
        axes.text(x, y, letter, **style)


def _key_indices(mask: NDArray[np.bool_], count: int) -> list[int]:
    """``count`` planes of axis 0 spread evenly over the mask's extent, from head to feet."""
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    if not used.size:
        return [mask.shape[0] // 2]
    spots = np.linspace(used[-1], used[0], count + 2)[1:-1]
    return list(dict.fromkeys(round(float(s)) for s in spots))


def _box(mask: NDArray[np.bool_], margin: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    bounds = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        low, high = (int(used[0]), int(used[-1])) if used.size else (0, mask.shape[axis] - 1)
        bounds.append((max(0, low - margin[axis]), min(mask.shape[axis] - 1, high + margin[axis])))
    return tuple(bounds)


def _margin(grid: Grid, margin_mm: float) -> tuple[int, int, int]:
    z, y, x = (int(np.ceil(margin_mm / s)) for s in grid.spacing_mm)
    return z, y, x


def _zoom(axes: Axes, axis: int, box: tuple[tuple[int, int], ...]) -> None:
    rows, columns = (i for i in range(3) if i != axis)
    axes.set_xlim(box[columns][0] - 0.5, box[columns][1] + 0.5)
    low, high = box[rows][0] - 0.5, box[rows][1] + 0.5
    axes.set_ylim((high, low) if axis == 0 else (low, high))


def overview_figure(scan: Scan | None, masks: Mapping[str, Segmentation], slices: int = 6) -> Figure:
    """Axial planes spread over the liver, then one coronal and one sagittal plane through its middle.

    ``masks`` are drawn as outlines in the colours of ``COLORS``; the first one sets the planes.
    """
    mask = next(iter(masks.values())).mask()
    grid = next(iter(masks.values())).grid
    views = [(0, index) for index in _key_indices(mask, slices)]
    for axis in (1, 2):
        weight = mask.sum(axis=tuple(i for i in range(3) if i != axis))
        views.append((axis, int(np.argmax(weight)) if weight.any() else mask.shape[axis] // 2))
    box = _box(mask, _margin(grid, _LIVER_MARGIN_MM))
    columns = 4
    rows = -(-len(views) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.75 * rows), dpi=_DPI, facecolor="black")
    for position, (axis, index) in enumerate(views):
        axes = figure.add_subplot(rows, columns, position + 1)
        _draw(axes, scan, masks, axis, index)
        _zoom(axes, axis, box)
        _letters(axes, axis)
        axes.set_title(_view_title(grid, axis, index), color="white", fontsize=8, pad=3)
    figure.subplots_adjust(0.005, 0.01, 0.995, 0.94, 0.02, 0.12)
    return figure


def _view_title(grid: Grid, axis: int, index: int) -> str:
    middle = [n / 2 for n in grid.shape_zyx]
    middle[axis] = index
    position = float(grid.index_to_lps(middle)[2 - axis])
    name = ("axial", "coronal", "sagittal")[axis]
    letter = ("S", "P", "L")[axis] if position >= 0 else ("I", "A", "R")[axis]
    return f"{name} {index}  ({letter} {abs(position):.0f} mm)"


def lesion_figure(
    views: Sequence[tuple[str, Scan | None, int]],
    masks: Mapping[str, Segmentation],
    number: int,
    lines: Sequence[tuple[str, str, Any, Any]],
) -> Figure:
    """Close-ups of one lesion. ``views`` are (title, scan, plane of axis 0); ``lines`` are (label, colour, start, end).

    ``start`` and ``end`` are LPS mm; a line is drawn only on the plane in which it was measured.
    """
    lesions = masks["lesions"]
    grid = lesions.grid
    box = _box(lesions.mask(number), _margin(grid, _LESION_MARGIN_MM))
    figure = Figure(figsize=(3.6 * len(views), 3.6), dpi=_DPI, facecolor="black")
    for position, (title, scan, plane) in enumerate(views):
        axes = figure.add_subplot(1, len(views), position + 1)
        _draw(axes, scan, masks, 0, plane)
        for label, color, start, end in lines:
            ends = grid.lps_to_index(np.array([start, end]))
            if np.abs(ends[:, 0] - plane).max() > _OFF_PLANE_SLICES:
                continue
            axes.plot(ends[:, 2], ends[:, 1], color=color, linewidth=1.6, marker="|", markersize=6, label=label)
        _zoom(axes, 0, box)
        _letters(axes, 0)
        _scale_bar(axes, box, grid)
        axes.set_title(title, color="white", fontsize=8, pad=3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", fontsize=6.5, framealpha=0.6, facecolor="black", labelcolor="white")
    figure.subplots_adjust(0.005, 0.01, 0.995, 0.93, 0.02, 0.02)
    return figure


def _scale_bar(axes: Axes, box: tuple[tuple[int, int], ...], grid: Grid) -> None:
    length = 20.0 / grid.spacing_mm[2]
    x, y = box[2][0] + 2, box[1][1] - 2
    axes.plot([x, x + length], [y, y], color="white", linewidth=2)
    axes.text(x + length / 2, y - 1, "20 mm", color="white", fontsize=6.5, ha="center", va="bottom")
