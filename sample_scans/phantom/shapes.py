"""Shapes in continuous LPS mm: each function gives a depth in mm, positive inside, about exact near the surface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ellipsoid", "Field", "Point", "Tube", "bezier", "carve", "join", "tilt"]

Array = NDArray[np.float64]
Point = tuple[float, float, float]

#: Depth in mm at broadcastable coordinate arrays x, y, z.
Field = Callable[[Array, Array, Array], Array]


def join(a: Array, b: Array, blend_mm: float) -> Array:
    """Union of two depths, rounded over ``blend_mm`` where they meet (polynomial smooth maximum)."""
    overlap = np.maximum(blend_mm - np.abs(a - b), 0.0)
    return np.maximum(a, b) + overlap * overlap / (4.0 * blend_mm)


def carve(body: Array, tool: Array, gap_mm: float = 0.0, blend_mm: float = 0.0) -> Array:
    """``body`` without ``tool`` grown by ``gap_mm``, the new edge rounded over ``blend_mm``."""
    cut = -tool - gap_mm
    if blend_mm <= 0.0:
        return np.minimum(body, cut)
    return -join(-body, -cut, blend_mm)


def tilt(degrees_about_x: float = 0.0, degrees_about_y: float = 0.0, degrees_about_z: float = 0.0) -> Array:
    """Rotation matrix about x, then y, then z; its columns are a body's own axes in LPS."""
    ax, ay, az = np.radians([degrees_about_x, degrees_about_y, degrees_about_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(ax), -np.sin(ax)], [0, np.sin(ax), np.cos(ax)]])
    about_y = np.array([[np.cos(ay), 0, np.sin(ay)], [0, 1, 0], [-np.sin(ay), 0, np.cos(ay)]])
    about_z = np.array([[np.cos(az), -np.sin(az), 0], [np.sin(az), np.cos(az), 0], [0, 0, 1]])
    product: Array = about_z @ about_y @ about_x
    return product


@dataclass(frozen=True)
class Ellipsoid:
    """Ellipsoid: ``centre`` and ``radii`` in mm along its own axes, turned by ``turn`` degrees about x, y, z."""

    centre: Point
    radii: Point
    turn: Point = (0.0, 0.0, 0.0)

    def own(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Coordinates along the ellipsoid's own axes, in mm from its centre."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        if self.turn == (0.0, 0.0, 0.0):
            return dx, dy, dz
        m = tilt(*self.turn)
        u = m[0, 0] * dx + m[1, 0] * dy + m[2, 0] * dz
        v = m[0, 1] * dx + m[1, 1] * dy + m[2, 1] * dz
        w = m[0, 2] * dx + m[1, 2] * dy + m[2, 2] * dz
        return u, v, w

    def inside(self, x: Array, y: Array, z: Array) -> NDArray[np.bool_]:
        """True inside or on the surface (exact)."""
        a, b, c = self.radii
        u, v, w = self.own(x, y, z)
        result: NDArray[np.bool_] = (u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2 <= 1.0
        return result

    def depth(self, x: Array, y: Array, z: Array) -> Array:
        """Depth in mm: exact for a sphere, first order near the surface otherwise."""
        a, b, c = self.radii
        u, v, w = self.own(x, y, z)
        k0 = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        k1 = np.sqrt((u / a**2) ** 2 + (v / b**2) ** 2 + (w / c**2) ** 2)
        result: Array = k0 * (1.0 - k0) / np.maximum(k1, 1e-9)
        # at the very centre k0/k1 is 0/0: any deep value serves
        return np.where(k0 < 1e-6, min(self.radii), result)

    def grown(self, by_mm: float) -> Ellipsoid:
        """The ellipsoid with every radius longer by ``by_mm``."""
        a, b, c = self.radii
        return Ellipsoid(self.centre, (a + by_mm, b + by_mm, c + by_mm), self.turn)

    def box(self, margin_mm: float = 0.0) -> tuple[Array, Array]:
        """Lowest and highest LPS corner of the enclosing box."""
        m = tilt(*self.turn) * np.asarray(self.radii)
        half = np.sqrt((m * m).sum(axis=1)) + margin_mm
        return np.asarray(self.centre) - half, np.asarray(self.centre) + half


@dataclass(frozen=True)
class Tube:
    """Chain of round cones: ``points`` in LPS mm, one radius in mm per point."""

    points: tuple[Point, ...]
    radii: tuple[float, ...]

    def pieces(self) -> list[tuple[Array, Array, float, float]]:
        """Start, end and the two radii of each straight piece."""
        ends = [np.asarray(p, dtype=np.float64) for p in self.points]
        return [(p, q, r, s) for p, q, r, s in zip(ends[:-1], ends[1:], self.radii[:-1], self.radii[1:], strict=True)]

    def depth(self, x: Array, y: Array, z: Array) -> Array:
        """Depth in mm below the tube's surface, the radius interpolated along each piece."""
        best: Array | None = None
        for p, q, r, s in self.pieces():
            depth = _piece_depth(x, y, z, p, q, r, s)
            best = depth if best is None else np.maximum(best, depth)
        assert best is not None
        return best

    def box(self, margin_mm: float = 0.0) -> tuple[Array, Array]:
        """Lowest and highest LPS corner of the enclosing box."""
        points, radii = np.asarray(self.points), np.asarray(self.radii)[:, None]
        return (points - radii).min(axis=0) - margin_mm, (points + radii).max(axis=0) + margin_mm


def _piece_depth(x: Array, y: Array, z: Array, p: Array, q: Array, r: float, s: float) -> Array:
    d = q - p
    length2 = float(d @ d)
    dx, dy, dz = x - p[0], y - p[1], z - p[2]
    t = np.clip((dx * d[0] + dy * d[1] + dz * d[2]) / length2, 0.0, 1.0)
    away2 = (dx - t * d[0]) ** 2 + (dy - t * d[1]) ** 2 + (dz - t * d[2]) ** 2
    return r + (s - r) * t - np.sqrt(away2)


def bezier(points: Sequence[Point], radii: tuple[float, float], pieces: int = 6) -> Tube:
    """Tube along the quadratic or cubic curve of 3 or 4 control points, the radius changing evenly along it."""
    t = np.linspace(0.0, 1.0, pieces + 1)[:, None]
    control = np.asarray(points, dtype=np.float64)
    while len(control.shape) == 2:
        control = np.repeat(control[None], len(t), axis=0)
    # de Casteljau: halve the number of control points until one is left
    while control.shape[1] > 1:
        control = (1.0 - t[:, None]) * control[:, :-1] + t[:, None] * control[:, 1:]
    curve = control[:, 0]
    widths = radii[0] + (radii[1] - radii[0]) * t[:, 0]
    return Tube(tuple((float(a), float(b), float(c)) for a, b, c in curve.tolist()), tuple(float(w) for w in widths))
