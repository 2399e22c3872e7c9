"""A user's plane through the liver, and the two-part maps that planes and wedges make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.kernels.distance import distance_to
from livervol.kernels.morphology import dilate_mm
from livervol.kernels.planes import least_squares_plane, plane_in_index, positive_side
from livervol.scan import Segmentation

__all__ = ["KEPT", "REMOVED", "Plane", "plane_parts", "surround", "wedge_parts"]

#: Values of a two-part map.
KEPT, REMOVED = 1, 2
_PARTS = {KEPT: "kept", REMOVED: "removed"}

#: Below this ratio of the smaller to the larger spread, points lie on a line and fix no plane (1 mm over 50 mm).
_MIN_SPREAD = 0.02

#: A tissue voxel at exactly the margin stays although its float32 distance may round down.
_EDGE = 1.0 - 1e-6


@dataclass(frozen=True)
class Plane:
    """An oriented plane in LPS mm: ``normal`` (unit) points to the positive side, ``offset_mm`` = normal . point."""

    normal: tuple[float, float, float]
    offset_mm: float

    def __post_init__(self) -> None:
        size = float(np.linalg.norm(self.normal))
        if not (np.isfinite(size) and abs(size - 1.0) < 1e-6 and np.isfinite(self.offset_mm)):
            raise GridError(refusal("plane normal", expected="a finite vector of length 1", got=f"length {size:g}"))

    @classmethod
    def through(cls, points_lps_mm: ArrayLike, positive_lps_mm: ArrayLike, *, along: ArrayLike | None = None) -> Plane:
        """Plane of least squared distance to points, shape (n, 3) in mm, positive where ``positive_lps_mm`` lies.

        ``along`` is a direction the plane must contain (an axis); then two points are enough. Raises ``GridError`` when
        the points fix no plane or the positive point lies on it.
        """
        points = np.atleast_2d(np.asarray(points_lps_mm, dtype=np.float64))
        direction = None if along is None else np.asarray(along, dtype=np.float64)
        least = 3 if direction is None else 2
        plane, sureness = np.zeros(4), 0.0
        if len(points) >= least and np.isfinite(points).all():
            plane, sureness = least_squares_plane(points, direction)
        if sureness < _MIN_SPREAD:
            raise GridError(
                refusal(
                    "points fix no plane",
                    expected=f"at least {least} points that are not on one line",
                    got=f"{len(points)} points, spread ratio {sureness:.3f}",
                    do="Place the points farther apart.",
                )
            )
        side = float(plane[:3] @ np.asarray(positive_lps_mm, dtype=np.float64) + plane[3])
        if abs(side) < 1e-6:
            raise GridError(refusal("plane's positive side", expected="a point off the plane", got="a point on it"))
        plane *= np.sign(side)
        a, b, c, d = (float(v) for v in plane)
        return cls((a, b, c), -d)

    def signed_mm(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Signed distance in mm of points, shape (..., 3) to (...)."""
        distance: NDArray[np.float64] = np.asarray(points_lps_mm, dtype=np.float64) @ self.normal - self.offset_mm
        return distance


def plane_parts(liver: Segmentation, plane: Plane) -> Segmentation:
    """The liver in two parts: removed (2) where a voxel's centre is on the plane's positive side, else kept (1)."""
    mask = (liver.labels != 0).view(np.uint8)
    four = np.array([*plane.normal, -plane.offset_mm])
    beyond = positive_side(mask, plane_in_index(four, liver.grid.matrix))
    return Segmentation(mask + beyond, liver.grid, _PARTS, made_by="plane")


def wedge_parts(
    liver: Segmentation, lesions: Segmentation, margin_mm: float, numbers: Sequence[int] | None = None
) -> Segmentation:
    """The liver in two parts: removed (2) is every voxel nearer than ``margin_mm`` to a lesion, and the lesion.

    Distances are between the voxels' boxes (``surround``), so the tissue left has at least the margin everywhere.
    ``numbers`` picks lesions (None: all). Raises ``ScanError`` for a negative margin or a lesion that is not there.
    """
    lesions.require_grid(liver.grid)
    if not (np.isfinite(margin_mm) and margin_mm >= 0):
        raise ScanError(refusal("margin of a wedge", expected="0 mm or more", got=f"{margin_mm:g} mm"))
    chosen = lesions.labels != 0 if numbers is None else np.isin(lesions.labels, list(numbers))
    if not chosen.any():
        wanted = "any lesion" if numbers is None else f"lesions {list(numbers)}"
        raise ScanError(refusal("nothing to cut out", expected=wanted, got="no voxel of it"))
    near = distance_to(surround(chosen), liver.grid.spacing_mm, limit_mm=margin_mm + 1.0) < margin_mm * _EDGE
    mask = (liver.labels != 0).view(np.uint8)
    return Segmentation(mask + (mask & (near | chosen)), liver.grid, _PARTS, made_by=f"wedge of {margin_mm:g} mm")


def surround(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The mask and its 26 neighbours, 0 and 1.

    From a voxel's box to another's the distance per axis is one step less than between their centres, so the distance
    from this set's centres is exactly the distance from the mask's outer faces to the other voxel's.
    """
    return dilate_mm(mask.view(np.uint8), 1.75, (1.0, 1.0, 1.0))
