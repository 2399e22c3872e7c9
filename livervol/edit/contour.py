"""A mask's outline in one plane as smooth closed curves with a few handles, and the way back to voxels.

A ``Curve`` is a closed cubic spline through its handles. ``Contours`` are the curves of one label in one plane; a point
is inside where an odd number of curves runs round it, so a curve inside another is a hole. Every edit returns new
Contours; ``contour_change`` sets and clears only the voxels whose side of the curves has changed, so a curve that fits
the mask to a fraction of a voxel loses nothing elsewhere. Points are (row, column) indices of the plane: the two axes
that are left when ``axis`` is taken out, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change
from livervol.edit.curve import FIT_PIXELS, LEAST_PIXELS, Curve, fitted_handles, halves, opened
from livervol.errors import LivervolError, refusal
from livervol.kernels.polygon import polygon_parity

__all__ = ["Contours", "contour_change", "contours_of"]

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Contours:
    """The curves of label ``value`` in the plane ``index`` of ``axis``; ``shape_yx`` of the plane."""

    axis: int
    index: int
    value: int
    shape_yx: tuple[int, int]
    spacing_mm: tuple[float, float]
    curves: tuple[Curve, ...] = field(default=())

    def inside(self) -> NDArray[np.uint8]:
        """Pixels inside, 0 and 1."""
        parity = np.zeros(self.shape_yx, np.uint8)
        for curve in self.curves:
            parity ^= polygon_parity(curve.sampled()[0], self.shape_yx)
        return parity

    def nearest_handle(self, at_yx: ArrayLike) -> tuple[int, int, float]:
        """(curve, handle, distance in mm) of the handle nearest to a point."""
        best = (-1, -1, np.inf)
        for k, curve in enumerate(self.curves):
            away = np.linalg.norm((curve.handles - np.asarray(at_yx)) * self.spacing_mm, axis=1)
            if away.min() < best[2]:
                best = (k, int(away.argmin()), float(away.min()))
        return best

    def nearest_curve(self, at_yx: ArrayLike) -> tuple[int, float]:
        """(curve, distance in mm) of the curve nearest to a point."""
        best = (-1, np.inf)
        for k, curve in enumerate(self.curves):
            away = np.linalg.norm((curve.sampled()[0] - np.asarray(at_yx)) * self.spacing_mm, axis=1)
            if away.min() < best[1]:
                best = (k, float(away.min()))
        return best

    def handle_moved(self, curve: int, handle: int, to_yx: ArrayLike) -> Contours:
        """One handle dragged to a place."""
        points = self._curve(curve).handles.copy()
        if not 0 <= handle < len(points):
            raise LivervolError(refusal("handle is not there", expected=f"0 to {len(points) - 1}", got=str(handle)))
        points[handle] = np.asarray(to_yx, dtype=np.float64)
        return self._with(curve, points)

    def handle_added(self, curve: int, at_yx: ArrayLike) -> Contours:
        """A handle where the curve is nearest to a point; the curve stays where it is, nearly."""
        points, follows = self._curve(curve).sampled()
        k = int(np.linalg.norm((points - np.asarray(at_yx)) * self.spacing_mm, axis=1).argmin())
        return self._with(curve, np.insert(self._curve(curve).handles, follows[k] + 1, points[k], axis=0))

    def handle_removed(self, curve: int, handle: int) -> Contours:
        """One handle less; a curve keeps at least three."""
        points = self._curve(curve).handles
        if len(points) <= 3:
            raise LivervolError(refusal("curve has too few handles", expected="more than 3", got=str(len(points))))
        return self._with(curve, np.delete(points, handle, axis=0))

    def stretched(self, curve: int, at_yx: ArrayLike, to_yx: ArrayLike, reach_mm: float = 15.0) -> Contours:
        """A stretch of curve dragged from one point to another: all of it, less and less up to ``reach_mm`` away.

        The drag fades with the distance along the curve as half a cosine; beyond the reach nothing moves.
        """
        points, _ = self._curve(curve).sampled()
        at, move = np.asarray(at_yx, dtype=np.float64), np.asarray(to_yx, dtype=np.float64) - np.asarray(at_yx)
        start = int(np.linalg.norm((points - at) * self.spacing_mm, axis=1).argmin())
        ring = np.roll(points, -start, axis=0)
        steps = np.linalg.norm(np.diff(ring, axis=0, append=ring[:1]) * self.spacing_mm, axis=1)
        ahead = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
        along = np.minimum(ahead, steps.sum() - ahead)
        weight = np.where(along < reach_mm, 0.5 * (1.0 + np.cos(np.pi * along / reach_mm)), 0.0)
        return self._with(curve, fitted_handles(ring + weight[:, None] * move, self.spacing_mm))

    def redrawn(self, curve: int, line_yx: ArrayLike) -> Contours:
        """The stretch between the ends of a drawn line replaced by the line; the longer rest of the curve stays."""
        line = _line(line_yx)
        points, _ = self._curve(curve).sampled()
        first, last = (int(np.linalg.norm((points - e) * self.spacing_mm, axis=1).argmin()) for e in line[[0, -1]])
        ring = np.roll(points, -last, axis=0)
        onward = (first - last) % len(points)
        keeps, others = ring[: onward + 1], ring[onward:]
        # the part that stays is the longer way round
        if _length(keeps, self.spacing_mm) >= _length(others, self.spacing_mm):
            outline = np.vstack([line, keeps])
        else:
            outline = np.vstack([line, others[::-1]])
        return self._with(curve, fitted_handles(outline, self.spacing_mm))

    def cut(self, line_yx: ArrayLike) -> Contours:
        """Every curve that a straight line through the ends of a drawn line crosses twice becomes two curves.

        The cut runs along the drawn line, half a pixel is left on either side, so that the parts do not touch.
        """
        line = _line(line_yx)
        pieces: list[Curve] = []
        for curve in self.curves:
            pieces += halves(curve, line[0], line[-1])
        return replace(self, curves=tuple(pieces))

    def joined(self, first: int, second: int, width_mm: float = 4.0) -> Contours:
        """Two curves joined by a bridge of ``width_mm`` where they are nearest to each other."""
        if first == second:
            raise LivervolError(refusal("curves to join", expected="two different curves", got=f"{first} twice"))
        a, b = (self._curve(k).sampled()[0] for k in (first, second))
        away, to = cKDTree(b * self.spacing_mm).query(a * self.spacing_mm)
        i = int(np.argmin(away))
        open_a = opened(a, i, width_mm, self.spacing_mm)
        open_b = opened(b, int(to[i]), width_mm, self.spacing_mm)
        if np.linalg.norm(open_a[-1] - open_b[0]) > np.linalg.norm(open_a[-1] - open_b[-1]):
            open_b = open_b[::-1]
        merged = Curve(fitted_handles(np.vstack([open_a, open_b]), self.spacing_mm), self.spacing_mm)
        rest = [c for k, c in enumerate(self.curves) if k not in (first, second)]
        return replace(self, curves=(*rest, merged))

    def with_curve(self, handles_yx: ArrayLike) -> Contours:
        """One curve more: a new part, or a hole where it lies inside another."""
        new = Curve(np.asarray(handles_yx, dtype=np.float64), self.spacing_mm)
        return replace(self, curves=(*self.curves, new))

    def with_hole(self, centre_yx: ArrayLike, radius_mm: float) -> Contours:
        """A round hole; refused where its centre is not inside."""
        centre = np.asarray(centre_yx, dtype=np.float64)
        at = tuple(int(v) for v in np.rint(centre))
        if any(not 0 <= v < n for v, n in zip(at, self.shape_yx, strict=True)) or not self.inside()[at]:
            raise LivervolError(refusal("hole", expected="a centre inside the outline", got=str(at)))
        angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
        ring = centre + radius_mm * np.column_stack([np.sin(angles), np.cos(angles)]) / self.spacing_mm
        return self.with_curve(ring)

    def without(self, curve: int) -> Contours:
        """One curve less: its part goes, or its hole is closed."""
        self._curve(curve)
        return replace(self, curves=tuple(c for k, c in enumerate(self.curves) if k != curve))

    def _curve(self, curve: int) -> Curve:
        if not 0 <= curve < len(self.curves):
            raise LivervolError(refusal("curve is not there", expected=f"0 to {len(self.curves) - 1}", got=str(curve)))
        return self.curves[curve]

    def _with(self, curve: int, handles: Points) -> Contours:
        changed = Curve(handles, self.spacing_mm)
        return replace(self, curves=tuple(changed if k == curve else c for k, c in enumerate(self.curves)))


def contours_of(
    labels: NDArray[Any], spacing_mm: Sequence[float], plane: tuple[int, int], value: int, fit: float = FIT_PIXELS
) -> Contours:
    """The outline of a label in ``plane`` = (axis, index) as curves within ``fit`` pixels of the voxels' outline.

    Parts of fewer than four pixels get no curve; they stay as they are.
    """
    axis, index = plane
    if axis not in (0, 1, 2) or not 0 <= index < labels.shape[axis]:
        raise LivervolError(refusal("plane is not there", expected=f"axis 0 to 2 of {labels.shape}", got=str(plane)))
    flat = np.take(labels, index, axis) == value
    rows, columns = (float(s) for k, s in enumerate(spacing_mm) if k != axis)
    curves = []
    for polygon in find_contours(np.pad(flat, 1).astype(np.float32), 0.5):
        outline = polygon[:-1] - 1.0
        if len(outline) >= 2 * LEAST_PIXELS:
            curves.append(Curve(fitted_handles(outline, (rows, columns), fit), (rows, columns)))
    shape = (flat.shape[0], flat.shape[1])
    return Contours(axis, index, value, shape, (rows, columns), tuple(curves))


def contour_change(canvas: Canvas, old: Contours, new: Contours) -> Change:
    """The change from one set of curves to another: voxels that came inside are set, those that went are cleared.

    Both must be of the same plane and label; the canvas's rules hold for what is set.
    """
    same = (old.axis, old.index, old.value, old.shape_yx) == (new.axis, new.index, new.value, new.shape_yx)
    if not same:
        raise LivervolError(refusal("curves of different planes", expected="one plane and label", got="two"))
    was, now = old.inside() != 0, new.inside() != 0
    box = _plane_box(canvas.shape, new.axis, new.index)
    before = canvas.labels[box]
    gained = canvas.change(box, np.expand_dims(now & ~was, new.axis), new.value, "contour")
    lost = np.expand_dims(was & ~now, new.axis) & (before == new.value)
    gone = canvas.change(box, lost, 0, "contour")
    return _both(gained, gone)


def _both(a: Change, b: Change) -> Change:
    order = np.argsort(np.concatenate([a.starts, b.starts]), kind="stable")
    columns = (
        np.concatenate([x, y])[order]
        for x, y in ((a.starts, b.starts), (a.lengths, b.lengths), (a.before, b.before), (a.after, b.after))
    )
    starts, lengths, before, after = columns
    return Change(a.mask, a.tool, a.shape_zyx, starts, lengths, before, after)


def _plane_box(shape: tuple[int, int, int], axis: int, index: int) -> Box:
    z, y, x = (slice(index, index + 1) if k == axis else slice(0, n) for k, n in enumerate(shape))
    return (z, y, x)


def _line(line_yx: ArrayLike) -> Points:
    line = np.asarray(line_yx, dtype=np.float64)
    if line.ndim != 2 or line.shape[1] != 2 or len(line) < 2 or not np.isfinite(line).all():
        raise LivervolError(refusal("drawn line", expected="2 or more (row, column) points", got=str(line.shape)))
    return line


def _length(points: Points, spacing_mm: tuple[float, float]) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0) * spacing_mm, axis=1).sum())
