"""What the liver's shape says about its vessels: where they enter, and where each kind usually runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.grid import Grid
from livervol.kernels.distance import distance_to
from livervol.kernels.lattice import argmax_trilinear
from livervol.segment.couinaud import ShapeReading

__all__ = ["Guide", "shape_guide", "shape_segments"]

#: From the middle of segment I to the portal vein's entry and to the hepatic veins' confluence, LPS mm: medians over 26
#: annotated abdomens with organ labels (standard deviations 7, 9, 7 and 5, 6, 8 mm).
TO_PORTAL_MM, TO_HEPATIC_MM = (-22.0, -18.0, -18.0), (5.0, -1.0, 35.0)
#: Hepatic veins run on these boundaries (Couinaud 1957); the umbilical portion of the portal vein on the left one.
_VEIN_BOUNDARIES = (((2, 3, 4), (5, 6, 7, 8)), ((5, 8), (6, 7)), ((2,), (3,)))
_UMBILICAL = ((4,), (2, 3))
#: On a boundary within the first distance, off it beyond the second (mm).
ON_MM, OFF_MM = 5.0, 20.0
#: So near a root, vessels are of its kind (mm).
ROOT_ZONE_MM = 18.0


@dataclass(frozen=True, eq=False)
class Guide:
    """``portal_root`` and ``hepatic_root`` LPS mm; how misplaced a point is, 0 to 1, as portal and as hepatic vein."""

    portal_root: NDArray[np.float64]
    hepatic_root: NDArray[np.float64]
    grid: Grid
    misplaced_portal: NDArray[np.float32]
    misplaced_hepatic: NDArray[np.float32]

    def misplaced(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean misplacement of points, shape (n, 3) LPS mm, as portal and as hepatic vein, shape (2,)."""
        where = self.grid.lps_to_index(points).T
        fields = (self.misplaced_portal, self.misplaced_hepatic)
        return np.array([float(ndimage.map_coordinates(f, where, order=1, mode="nearest").mean()) for f in fields])


def shape_segments(reading: ShapeReading, grid: Grid, liver: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The shape network's segments 1..8 on any grid, 0 outside ``liver``."""
    matrix = (np.linalg.inv(reading.box.matrix) @ grid.matrix)[:3]
    return argmax_trilinear(reading.logits, matrix, liver.view(np.uint8))


def shape_guide(reading: ShapeReading) -> Guide | None:
    """The guide of a liver's shape on the network's own box; None where the shape shows no segment I."""
    labels = shape_segments(reading, reading.box, reading.occupancy >= 0.5)
    caudate = np.argwhere(labels == 1)
    if not len(caudate):
        return None
    middle = reading.box.index_to_lps(caudate.mean(axis=0))
    portal, hepatic = middle + TO_PORTAL_MM, middle + TO_HEPATIC_MM
    spacing = reading.box.spacing_mm
    to_veins = np.minimum.reduce([_to_boundary(labels, sides, spacing) for sides in _VEIN_BOUNDARIES])
    to_any = np.minimum(to_veins, _to_boundary(labels, _UMBILICAL, spacing))
    points = reading.box.index_to_lps(np.moveaxis(np.indices(labels.shape), 0, -1))
    from_portal = np.linalg.norm(points - portal, axis=-1)
    from_hepatic = np.linalg.norm(points - hepatic, axis=-1)
    as_portal = np.clip((OFF_MM - to_veins) / (OFF_MM - ON_MM), 0, 1) * np.clip(from_portal / ROOT_ZONE_MM - 1, 0, 1)
    as_hepatic = np.clip((to_any - ON_MM) / (OFF_MM - ON_MM), 0, 1) * np.clip(from_hepatic / ROOT_ZONE_MM - 1, 0, 1)
    as_portal = np.maximum(as_portal, from_hepatic < ROOT_ZONE_MM)
    as_hepatic = np.maximum(as_hepatic, from_portal < ROOT_ZONE_MM)
    return Guide(portal, hepatic, reading.box, as_portal.astype(np.float32), as_hepatic.astype(np.float32))


def _to_boundary(
    labels: NDArray[np.uint8], sides: tuple[tuple[int, ...], tuple[int, ...]], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    # the way to the farther of the two sides; far where a side is missing
    ways = [np.minimum(distance_to(np.isin(labels, side), spacing_mm), 200.0) for side in sides]
    result: NDArray[np.float32] = np.maximum(*ways)
    return result
