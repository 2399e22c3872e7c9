"""Planes as four numbers (a, b, c, d): a point p lies at the signed distance ``(a, b, c) . p + d`` from the plane."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import over_slabs

__all__ = ["least_squares_plane", "plane_in_index", "positive_side"]


def least_squares_plane(
    points: NDArray[np.float64], along: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], float]:
    """Plane of least squared distance to ``points``, shape (n, 3), and how well it is determined, 0 to 1.

    The plane goes through the points' mean. With ``along`` it contains that direction as well. The second value is the
    spread of the points along the plane's weakest direction over their largest: 0 for points on one line (with
    ``along``: on one line in that direction), when the plane is arbitrary.
    """
    centre = points.mean(axis=0)
    offsets = points - centre
    if along is not None:
        unit = along / np.linalg.norm(along)
        offsets = offsets - np.outer(offsets @ unit, unit)
    spread, axes = np.linalg.svd(offsets, full_matrices=True)[1:]
    spread = np.concatenate([spread, np.zeros(3 - len(spread))])
    if along is None:
        normal, sureness = axes[2], float(spread[1] / spread[0]) if spread[0] > 0 else 0.0
    else:
        normal = np.cross(unit, axes[0])
        size = float(np.linalg.norm(normal))
        normal, sureness = (normal / size, 1.0) if size > 1e-6 and spread[0] > 1e-6 else (normal, 0.0)
    return np.append(normal, -float(normal @ centre)), sureness


def plane_in_index(plane: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The plane's four numbers for indices (z, y, x), still giving mm; ``matrix`` (4, 4) maps them to the world."""
    result: NDArray[np.float64] = plane @ matrix
    return result


def positive_side(mask: NDArray[np.uint8], plane_zyx: NDArray[np.float64]) -> NDArray[np.uint8]:
    """1 at the mask's voxels whose centre lies at a signed distance of at least 0, else 0."""
    result = np.zeros(mask.shape, np.uint8)
    plane = np.ascontiguousarray(plane_zyx, np.float64)
    over_slabs(_positive, mask.shape[0], mask.size, np.ascontiguousarray(mask), plane, result)
    return result


@njit(cache=True, nogil=True)
def _positive(mask, plane, result, z_start, z_stop):
    for z in range(z_start, z_stop):
        for y in range(mask.shape[1]):
            start = plane[0] * z + plane[1] * y + plane[3]
            for x in range(mask.shape[2]):
                if mask[z, y, x] and start + plane[2] * x >= 0.0:
                    result[z, y, x] = 1
