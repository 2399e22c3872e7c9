"""A closed smooth curve through a few handles: fitted to an outline, cut in two, opened for a bridge.

Points are (row, column) indices of a plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from livervol.errors import LivervolError, refusal

__all__ = ["FIT_PIXELS", "LEAST_PIXELS", "Curve", "fitted_handles", "halves", "opened"]

Points = NDArray[np.float64]

#: A curve follows the mask's outline within this part of a pixel: less than the step of the outline itself.
FIT_PIXELS = 0.75
#: No outline needs more handles; a very ragged one is followed less closely instead.
MOST_HANDLES = 64
#: Outlines smaller than this many pixels are left as voxels: there is nothing to drag.
LEAST_PIXELS = 4
#: Points of the curve per pixel of its length.
_DENSITY = 3.0


@dataclass(frozen=True, eq=False)
class Curve:
    """A closed smooth curve through ``handles``, shape (n, 2), n >= 3, (row, column); ``spacing_mm`` of the plane."""

    handles: Points
    spacing_mm: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        points = np.array(self.handles, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise LivervolError(
                refusal("handles of a curve", expected="3 or more (row, column) points", got=str(points.shape))
            )
        apart = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1) > 1e-6
        if apart.sum() < 3:
            raise LivervolError(refusal("handles of a curve", expected="3 places", got="handles on top of each other"))
        points = points[apart]
        points.flags.writeable = False
        object.__setattr__(self, "handles", points)

    def _spline(self) -> tuple[CubicSpline, NDArray[np.float64]]:
        closed = np.vstack([self.handles, self.handles[:1]])
        # centripetal knots keep the curve from looping between close handles (Lee 1989, Computer-Aided Design 21:363)
        steps = np.sqrt(np.linalg.norm(np.diff(closed, axis=0) * self.spacing_mm, axis=1))
        knots = np.concatenate([[0.0], np.cumsum(steps)])
        return CubicSpline(knots, closed, bc_type="periodic"), knots

    def sampled(self) -> tuple[Points, NDArray[np.int64]]:
        """Points along the curve, shape (m, 2), about three a pixel, and the handle each follows."""
        spline, knots = self._spline()
        lengths = np.linalg.norm(np.diff(self.handles, axis=0, append=self.handles[:1]), axis=1)
        counts = np.maximum(4, np.ceil(_DENSITY * 1.3 * lengths)).astype(int)
        places = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(knots, knots[1:], counts, strict=False)]
        points: Points = spline(np.concatenate(places))
        return points, np.repeat(np.arange(len(counts)), counts)

    def area_pixels(self) -> float:
        """Area inside the curve in pixels (shoelace formula on its sampled points)."""
        points, _ = self.sampled()
        r, c = points.T
        return 0.5 * abs(float(np.dot(r, np.roll(c, -1)) - np.dot(c, np.roll(r, -1))))


def fitted_handles(outline: Points, spacing_mm: tuple[float, float], fit: float = FIT_PIXELS) -> Points:
    """Few handles whose curve stays within ``fit`` pixels of a closed outline, shape (n, 2).

    Begins with four, and adds one where the curve is farthest off.
    """
    n = len(outline)
    steps = np.linalg.norm(np.diff(outline, axis=0, append=outline[:1]) * spacing_mm, axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    total = float(steps.sum())
    chosen = sorted({int(np.searchsorted(along, total * k / 4)) % n for k in range(4)})
    while len(chosen) < min(3, n):
        chosen = sorted({*chosen, next(k for k in range(n) if k not in chosen)})
    while len(chosen) < min(MOST_HANDLES, n):
        points, _ = Curve(outline[chosen], spacing_mm).sampled()
        away, _ = cKDTree(points).query(outline)
        worst = int(np.argmax(away))
        if away[worst] <= fit or worst in chosen:
            break
        chosen = sorted({*chosen, worst})
    handles: Points = outline[chosen]
    return handles


def halves(curve: Curve, start: Points, end: Points) -> list[Curve]:
    """The curve's two sides of a straight cut; the curve itself when the cut does not cross it twice."""
    points, _ = curve.sampled()
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    across = np.array([-along[1], along[0]])
    side = (points - start) @ across
    place = (points - start) @ along
    crosses = np.flatnonzero((side >= 0) != (np.roll(side, -1) >= 0))
    reach = float(np.linalg.norm(end - start))
    crosses = crosses[(place[crosses] >= -1.0) & (place[crosses] <= reach + 1.0)]
    if len(crosses) != 2:
        return [curve]
    i, j = (int(k) for k in crosses)
    halves = []
    for part in (points[i + 1 : j + 1], np.vstack([points[j + 1 :], points[: i + 1]])):
        if len(part) >= 2 * LEAST_PIXELS:
            gap = 0.5 * across * np.sign(np.median((part - start) @ across))
            closing = np.linspace(part[-1], part[0], 9)[1:-1]
            outline = np.vstack([part, closing])
            near = np.abs((outline - start) @ across) < 0.5
            outline[near] += gap
            halves.append(Curve(fitted_handles(outline, curve.spacing_mm), curve.spacing_mm))
    return halves or [curve]


def opened(points: Points, at: int, width_mm: float, spacing_mm: tuple[float, float]) -> Points:
    """The closed curve as an open line that leaves out ``width_mm`` around a point."""
    ring = np.roll(points, -at, axis=0)
    steps = np.linalg.norm(np.diff(ring, axis=0, append=ring[:1]) * spacing_mm, axis=1)
    ahead = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    away = np.minimum(ahead, steps.sum() - ahead)
    kept: Points = ring[away >= min(0.5 * width_mm, 0.25 * float(steps.sum()))]
    return kept
