"""A liver with known segments, a portal and a hepatic tree, and its portal-venous scan, on an oblique grid."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from conftest import oblique_grid
from livervol.grid import Grid
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.couinaud import ShapeReading

SPACING = (2.0, 1.6, 1.5)
_GRID = oblique_grid((80, 100, 138), SPACING, (3.0, -4.0, 5.0))
#: LPS mm of the phantom are measured from here.
CENTRE = _GRID.index_to_lps([39.5, 49.5, 68.5])

MAIN_X, RIGHT_X, LEFT_X = 15.0, -35.0, 50.0
CAUDATE, CAUDATE_MM = np.array([20.0, 30.0, -5.0]), 14.0

#: Polylines with radii in mm: portal (1) and hepatic (2), from the roots outwards.
TREES: dict[str, tuple[int, list[tuple[float, float, float]], float]] = {
    "trunk": (1, [(0, 30, -38), (-5, 10, -20)], 5.5),
    "right": (1, [(-5, 10, -20), (-30, 5, -10)], 4.5),
    "right anterior": (1, [(-30, 5, -10), (-22, -5, -6)], 3.6),
    "8": (1, [(-22, -5, -6), (-12, -15, 28)], 2.8),
    "5": (1, [(-22, -5, -6), (-10, -20, -35)], 2.8),
    "right posterior": (1, [(-30, 5, -10), (-50, 10, -5)], 3.6),
    "7": (1, [(-50, 10, -5), (-66, 15, 25)], 2.8),
    "6": (1, [(-50, 10, -5), (-66, 5, -30)], 2.8),
    "left": (1, [(-5, 10, -20), (25, -5, -15), (50, -15, -5)], 4.0),
    "2": (1, [(50, -15, -5), (62, -25, 15), (70, -20, 22)], 2.8),
    "3": (1, [(50, -15, -5), (72, -25, -20)], 2.8),
    "4": (1, [(50, -15, -5), (32, -38, 0)], 2.8),
    "right vein": (2, [(25, 29, 32), (-30, 22, 32), (-36, -5, -2), (-36, -25, -25)], 4.0),
    "middle vein": (2, [(25, 29, 32), (15, 5, 30), (15, -25, 6), (15, -40, -15)], 4.0),
    "left vein": (2, [(25, 29, 32), (50, 10, 10), (78, -12, -2)], 3.6),
}


def _points(grid: Grid) -> NDArray[np.float64]:
    points: NDArray[np.float64] = grid.index_to_lps(np.moveaxis(np.indices(grid.shape_zyx), 0, -1)) - CENTRE
    return points


def _is_liver(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ((points / (95.0, 70.0, 70.0)) ** 2).sum(axis=-1) <= 1
    return inside


def segments_at(points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The phantom's segment 1..8 at points, mm from its centre."""
    x, z = points[..., 0], points[..., 2]
    high = z > 0
    labels = np.select(
        [x > LEFT_X, x > MAIN_X, x > RIGHT_X], [np.where(high, 2, 3), 4, np.where(high, 8, 5)], np.where(high, 7, 6)
    )
    labels[np.linalg.norm(points - CAUDATE, axis=-1) <= CAUDATE_MM] = 1
    return labels.astype(np.uint8)


def line(name: str, step_mm: float = 1.0) -> NDArray[np.float64]:
    """Points every millimetre along one vessel, mm from the phantom's centre."""
    corners = np.array(TREES[name][1], dtype=np.float64)
    pieces = []
    for a, b in pairwise(corners):
        count = int(np.ceil(np.linalg.norm(b - a) / step_mm))
        pieces.append(a + (b - a) * np.linspace(0, 1, count + 1)[:, None])
    return np.vstack(pieces)


class VesselPhantom:
    """``liver``, ``vessels`` (1 portal, 2 hepatic), ``segments``, ``scan``, and a ``reading`` that knows the shape."""

    def __init__(self, seed: int = 0, vessel_hu: float = 165.0, noise: float = 8.0) -> None:
        points = _points(_GRID)
        inside = _is_liver(points)
        kinds = np.zeros(_GRID.shape_zyx, np.uint8)
        for name, (kind, _, radius) in TREES.items():
            for point in line(name):
                middle = np.rint(_GRID.lps_to_index(point + CENTRE)).astype(int)
                box = tuple(slice(max(0, m - 5), m + 6) for m in middle)
                kinds[box][((points[box] - point) ** 2).sum(axis=-1) <= radius**2] = kind
        kinds[~inside] = 0
        values = np.where(inside, np.where(kinds > 0, vessel_hu, 100.0), -80.0)
        values = ndimage.gaussian_filter(values, [1.0 / s for s in SPACING])
        values += np.random.default_rng(seed).normal(0, noise, values.shape)
        self.grid = _GRID
        self.liver = Segmentation(inside.view(np.uint8), _GRID, {1: "liver"})
        self.vessels = Segmentation(kinds, _GRID, {1: "portal vein", 2: "hepatic vein"})
        names = {n: f"segment {n}" for n in range(1, 9)}
        self.segments = Segmentation(np.where(inside, segments_at(points), 0).astype(np.uint8), _GRID, names)
        self.scan = Scan(values.astype(np.int16), _GRID, phase=Phase.PORTAL_VENOUS)
        self.reading = self._reading()

    @staticmethod
    def _reading() -> ShapeReading:
        origin = CENTRE - (np.array([72, 64, 56]) - 1) / 2 * 4.0
        box = Grid.from_parts((56, 64, 72), (4.0, 4.0, 4.0), origin.tolist())
        points = _points(box)
        occupancy = _is_liver(points).astype(np.float32)
        labels = segments_at(points)
        logits = np.where(labels[..., None] == np.arange(1, 9), 4.0, 0.0).astype(np.float32)
        powers = np.exp(logits)
        return ShapeReading(box, occupancy, logits, (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32))
