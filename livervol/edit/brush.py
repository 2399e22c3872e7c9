"""Brush and eraser: discs in a plane and balls, in mm, along the line the reader drew.

``Canvas`` is what is drawn on: the live labels, their spacing, the scan under them and what must be kept. ``Brush`` is
the tool. Points are (z, y, x) indices of the canvas, fractions allowed, shape (n, 3). Every function returns a Change;
nothing is drawn until the change is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.edit.change import Box, Change, Shape
from livervol.errors import LivervolError, refusal
from livervol.kernels.fill import fill_holes, fill_holes_slices
from livervol.kernels.front import geodesic_front
from livervol.kernels.smooth import gaussian

__all__ = ["Brush", "Canvas", "alike_limits", "erase", "paint", "stroke_region"]

#: A voxel centre on the rim belongs to the brush although its distance carries rounding.
_ON_RIM = 1.0 + 1e-9

#: The smart brush trusts this part of its radius; it learns there what the tissue looks like.
_CORE = 0.35
#: A tissue this many standard deviations from the core's costs twice its length to cross, and so on by the square.
_UNLIKE_SIGMAS = 1.5
#: The noise assumed at least, in the unit of the scan (HU): quantised scans show none.
_LEAST_SIGMA = 4.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """What a reader draws on.

    ``mask``     name of the mask.
    ``labels``   the live labels, shape (nz, ny, nx).
    ``spacing_mm`` voxel spacing along z, y, x.
    ``voxels``   the scan shown under it, same shape, or None when the tool needs none.
    ``within``   where voxels may be set at all (non-zero), or None for everywhere.
    ``over``     which values may be painted over: None only background, otherwise these values besides background.
    """

    mask: str
    labels: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    voxels: NDArray[Any] | None = None
    within: NDArray[Any] | None = None
    over: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for what, array in (("scan", self.voxels), ("limit", self.within)):
            if array is not None and array.shape != self.labels.shape:
                raise LivervolError(
                    refusal(
                        f"{what} does not fit the mask",
                        expected=str(self.labels.shape),
                        got=str(array.shape),
                        where=self.mask,
                    )
                )

    @property
    def shape(self) -> Shape:
        """Voxels along z, y, x."""
        z, y, x = self.labels.shape
        return (z, y, x)

    def change(self, box: Box, chosen: NDArray[np.bool_], value: int, tool: str) -> Change:
        """The change that sets the ``chosen`` voxels of a box to ``value``, as far as the canvas allows."""
        before = self.labels[box]
        allowed = chosen & (before != value)
        if value:
            if self.over is None:
                allowed &= before == 0
            else:
                allowed &= np.isin(before, (0, *self.over))
            if self.within is not None:
                allowed &= self.within[box] != 0
        after = np.where(allowed, np.uint16(value), before)
        start = (box[0].start, box[1].start, box[2].start)
        return Change.between(before, after, self.mask, tool, (self.shape, start))


@dataclass(frozen=True)
class Brush:
    """A round brush.

    ``radius_mm`` of the disc or ball. ``axis`` of the plane's normal (0 axial, 1 coronal, 2 sagittal) for a disc; None
    for a ball. ``limits``: least and greatest value (HU) that is painted, None for all. ``snap``: stop at edges.
    """

    radius_mm: float
    axis: int | None = 0
    limits: tuple[float, float] | None = None
    snap: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.radius_mm) and 0 < self.radius_mm <= 200):
            raise LivervolError(refusal("brush radius", expected="above 0 and at most 200 mm", got=f"{self.radius_mm}"))
        if self.axis not in (None, 0, 1, 2):
            raise LivervolError(refusal("plane of the brush", expected="axis 0, 1, 2 or None", got=str(self.axis)))
        if self.limits is not None and not self.limits[0] <= self.limits[1]:
            raise LivervolError(refusal("limits of the brush", expected="low <= high", got=str(self.limits)))


def paint(canvas: Canvas, points_zyx: ArrayLike, brush: Brush, value: int) -> Change:
    """Set what the stroke covers to ``value``: within the brush's limits, up to edges where it snaps.

    Only background is painted over unless the canvas says otherwise.
    """
    if not 1 <= value <= 65535:
        raise LivervolError(refusal("value to paint", expected="1 to 65535", got=str(value)))
    box, region = _covered(canvas, points_zyx, brush)
    return canvas.change(box, region, value, _tool("brush", brush))


def erase(canvas: Canvas, points_zyx: ArrayLike, brush: Brush, values: Sequence[int] | None = None) -> Change:
    """Set what the stroke covers to background; ``values`` picks which labels (None: all)."""
    box, region = _covered(canvas, points_zyx, brush)
    if values is not None:
        region = region & np.isin(canvas.labels[box], list(values))
    return canvas.change(box, region, 0, _tool("eraser", brush))


def stroke_region(
    shape_zyx: Shape, spacing_mm: Sequence[float], points_zyx: ArrayLike, brush: Brush
) -> tuple[Box, NDArray[np.bool_]]:
    """The box and, in it, the voxels whose centre is at most the radius (mm) from the line through the points.

    A disc covers only the slice its points lie in (nearest to their mean along the axis). Outside the mask nothing is
    covered; the box is then empty.
    """
    points = np.atleast_2d(np.asarray(points_zyx, dtype=np.float64))
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all() or not len(points):
        raise LivervolError(refusal("points of a stroke", expected="finite (z, y, x) indices", got=str(points.shape)))
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    reach = brush.radius_mm * _ON_RIM / spacing
    if brush.axis is not None:
        points = points.copy()
        points[:, brush.axis] = np.rint(points[:, brush.axis].mean())
        reach[brush.axis] = 0.0
    box = _clipped(points.min(axis=0) - reach, points.max(axis=0) + reach, shape_zyx)
    region = np.zeros([s.stop - s.start for s in box], bool)
    ends = points[1:] if len(points) > 1 else points
    for a, b in zip(points, ends, strict=False):
        part = _clipped(np.minimum(a, b) - reach, np.maximum(a, b) + reach, shape_zyx)
        inner = tuple(slice(p.start - q.start, p.stop - q.start) for p, q in zip(part, box, strict=True))
        if all(p.stop > p.start for p in part):
            region[inner] |= _capsule(part, a * spacing, b * spacing, spacing, brush.radius_mm * _ON_RIM)
    return box, region


def alike_limits(canvas: Canvas, at_zyx: ArrayLike, radius_mm: float, sigmas: float = 2.5) -> tuple[float, float]:
    """Limits (HU) of what looks like the tissue under the pointer: mean +- ``sigmas`` SD over a disc of its slice."""
    brush = Brush(radius_mm, axis=0)
    box, region = stroke_region(canvas.shape, canvas.spacing_mm, at_zyx, brush)
    values = _scan_of(canvas)[box][region].astype(np.float64)
    if values.size == 0:
        raise LivervolError(refusal("nothing under the brush", expected="voxels of the scan", got="none"))
    mean, spread = float(values.mean()), max(float(values.std()), _LEAST_SIGMA)
    return (mean - sigmas * spread, mean + sigmas * spread)


def _covered(canvas: Canvas, points: ArrayLike, brush: Brush) -> tuple[Box, NDArray[np.bool_]]:
    box, region = stroke_region(canvas.shape, canvas.spacing_mm, points, brush)
    if not region.any():
        return box, region
    if brush.limits is not None:
        values = _scan_of(canvas)[box]
        region &= (values >= brush.limits[0]) & (values <= brush.limits[1])
    if brush.snap and region.any():
        core = replace(brush, radius_mm=max(_CORE * brush.radius_mm, 0.51 * min(canvas.spacing_mm)))
        inner, seeds = stroke_region(canvas.shape, canvas.spacing_mm, points, core)
        centre = np.zeros(region.shape, bool)
        centre[tuple(slice(i.start - b.start, i.stop - b.start) for i, b in zip(inner, box, strict=True))] = seeds
        region = _snapped(canvas, box, region, centre & region, brush)
    return box, region


def _snapped(
    canvas: Canvas, box: Box, region: NDArray[np.bool_], core: NDArray[np.bool_], brush: Brush
) -> NDArray[np.bool_]:
    """The part of the region that the core reaches without crossing an edge.

    A path's price is its length, dearer by the square of how unlike the core's tissue it runs through; tissue that is
    all alike is reached to the rim, an edge is not crossed.
    """
    if not core.any():
        return region
    values: NDArray[np.float32] = gaussian(_scan_of(canvas)[box], 0.5 * min(canvas.spacing_mm), canvas.spacing_mm)
    mean = float(np.median(values[core]))
    spread = max(1.4826 * float(np.median(np.abs(values[core] - mean))), _LEAST_SIGMA)
    price = 1.0 + (np.abs(values - np.float32(mean)) / np.float32(_UNLIKE_SIGMAS * spread)) ** 2
    price[~region] = np.inf
    # alike tissue scatters too: a way of the radius through it costs about 1.5 times its length
    limit = 2.0 * brush.radius_mm
    arrived = geodesic_front(price.astype(np.float32), core.view(np.uint8), canvas.spacing_mm, limit)
    reached = np.isfinite(arrived).view(np.uint8)
    closed = fill_holes(reached) if brush.axis is None else fill_holes_slices(_across(reached, brush.axis))
    if brush.axis is not None:
        closed = np.moveaxis(closed, 0, brush.axis)
    snapped: NDArray[np.bool_] = (closed != 0) & region
    return snapped


def _across(mask: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.moveaxis(mask, axis, 0))


def _scan_of(canvas: Canvas) -> NDArray[Any]:
    if canvas.voxels is None:
        raise LivervolError(
            refusal("brush needs a scan", expected="a scan under the mask", got="none", do="Show a phase first.")
        )
    return canvas.voxels


def _clipped(low: NDArray[np.float64], high: NDArray[np.float64], shape: Shape) -> Box:
    starts = [min(max(0, int(np.ceil(a))), n) for a, n in zip(low, shape, strict=True)]
    stops = [max(a, min(int(np.floor(b)) + 1, n)) for a, b, n in zip(starts, high, shape, strict=True)]
    z, y, x = (slice(a, b) for a, b in zip(starts, stops, strict=True))
    return (z, y, x)


def _capsule(
    box: Box, start_mm: NDArray[np.float64], end_mm: NDArray[np.float64], spacing: NDArray[np.float64], radius: float
) -> NDArray[np.bool_]:
    axes = [np.arange(s.start, s.stop) * step for s, step in zip(box, spacing, strict=True)]
    dz, dy, dx = (
        (axis - at).reshape([-1 if k == i else 1 for k in range(3)])
        for i, (axis, at) in enumerate(zip(axes, start_mm, strict=True))
    )
    along = end_mm - start_mm
    square = float(along @ along)
    if square > 0:
        share = np.clip((dz * along[0] + dy * along[1] + dx * along[2]) / square, 0.0, 1.0)
        dz, dy, dx = dz - share * along[0], dy - share * along[1], dx - share * along[2]
    inside: NDArray[np.bool_] = dz * dz + dy * dy + dx * dx <= radius * radius
    return inside


def _tool(name: str, brush: Brush) -> str:
    kind = "ball" if brush.axis is None else ("axial", "coronal", "sagittal")[brush.axis]
    words = [name, kind, f"{brush.radius_mm:g} mm"]
    if brush.limits is not None:
        words.append(f"{brush.limits[0]:.0f} to {brush.limits[1]:.0f}")
    if brush.snap:
        words.append("to edges")
    return " ".join(words)
