"""How typical a liver's shape is of those the Couinaud network was fitted on: a mirrored or resected liver is not."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["DESCRIPTORS", "shape_descriptors", "shape_distance"]

#: What describes a shape: size, extents and the centroid's place in the bounding box (z, y, x), tilt and skewness of
#: the mass, then what the network made of it.
DESCRIPTORS = (
    *("log_volume", "extent_z", "extent_y", "extent_x", "centroid_z", "centroid_y", "centroid_x"),
    *("tilt_zy", "tilt_zx", "tilt_yx", "skew_z", "skew_y", "skew_x"),
    *("confidence", "share_1", "share_2_3", "share_4", "share_5_8", "share_6_7"),
)


def shape_descriptors(
    occupancy: NDArray[np.float32], spacing_mm: float, shares: NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """Numbers that describe a liver's shape, in the order of ``DESCRIPTORS``.

    ``occupancy`` is the share of liver per voxel of the network's box, not empty; ``shares`` the eight segments' shares
    of the liver. Extents are in units of the cube root of the volume, centroids run from -1 to 1 over the bounding box;
    shares are log odds of a share kept above 0.5 %.
    """
    index = np.argwhere(occupancy >= 0.5).astype(np.float64)
    if not len(index):
        index = np.argwhere(occupancy >= occupancy.max()).astype(np.float64)
    low, high, centre = index.min(axis=0), index.max(axis=0), index.mean(axis=0)
    half = np.maximum(0.5, (high - low) / 2)
    spread = np.maximum(index.std(axis=0), 0.1)
    scaled = (index - centre) / spread
    tilt = scaled.T @ scaled / len(index)
    grouped = np.array([shares[0], shares[1:3].sum(), shares[3], shares[[4, 7]].sum(), shares[[5, 6]].sum()])
    grouped = np.clip(grouped, 0.005, 0.995)
    return np.concatenate(
        [
            [math.log(len(index) * spacing_mm**3 / 1000.0)],
            (high - low + 1) / np.cbrt(len(index)),
            (centre - (low + high) / 2) / half,
            [tilt[0, 1], tilt[0, 2], tilt[1, 2]],
            (scaled**3).mean(axis=0),
            [confidence],
            np.log(grouped / (1.0 - grouped)),
        ]
    )


def shape_distance(
    descriptors: NDArray[np.float64], mean: NDArray[np.float64], precision: NDArray[np.float64]
) -> tuple[float, str]:
    """Mahalanobis distance of a shape from those fitted on, and the descriptor that deviates most on its own."""
    off = descriptors - mean
    distance = math.sqrt(max(0.0, float(off @ precision @ off)))
    alone = np.abs(off) * np.sqrt(np.diag(precision))
    return distance, DESCRIPTORS[int(alone.argmax())]
