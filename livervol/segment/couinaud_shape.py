"""What the shape network for Couinaud segments sees: the liver mask on a fixed box, and where each voxel lies in it.

The box is axis-aligned in LPS, so that oblique grids, CT and MR look alike. The fit script of the model uses the same
functions, so that training and use cannot drift apart.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.grid import Grid
from livervol.kernels.tally import label_boxes
from livervol.scan import Segmentation

__all__ = ["BOX_SHAPE_ZYX", "BOX_SPACING_MM", "N_CHANNELS", "box_grid", "box_occupancy", "shape_channels"]

#: Voxels of the network's box along z, y, x: 224 x 256 x 288 mm at the base spacing holds an adult liver.
BOX_SHAPE_ZYX = (56, 64, 72)
BOX_SPACING_MM = 4.0
N_CHANNELS = 8

#: A liver may fill this share of the box on every axis before the spacing grows.
_FILL = 0.94


def box_grid(liver: Segmentation) -> Grid:
    """The network's box around a liver: axis-aligned LPS, centred on the mask's bounding box.

    The spacing is ``BOX_SPACING_MM``, more when the liver would not fit. The mask must not be empty.
    """
    if liver.grid.axial_tilt_degrees > 1.0:
        index = np.argwhere(liver.labels != 0)
        points = liver.grid.index_to_lps(index[:: max(1, len(index) // 20000)])
    else:
        ends = [(int(low), int(high) - 1) for low, high in _extent(liver)]
        points = liver.grid.index_to_lps(list(product(*ends)))
    low, high = points.min(axis=0), points.max(axis=0)
    size_mm = np.array(BOX_SHAPE_ZYX[::-1]) * _FILL
    spacing = max(BOX_SPACING_MM, float(((high - low) / size_mm).max()))
    origin = (low + high) / 2 - (np.array(BOX_SHAPE_ZYX[::-1]) - 1) / 2 * spacing
    return Grid.from_parts(BOX_SHAPE_ZYX, (spacing,) * 3, origin.tolist())


def box_occupancy(liver: Segmentation, box: Grid) -> NDArray[np.float32]:
    """Share of each box voxel that is liver, 0 to 1, shape ``BOX_SHAPE_ZYX``."""
    # blur to half a box voxel first: plain interpolation would skip voxels finer than the box
    sigma = [0.35 * box.spacing_mm[0] / s for s in liver.grid.spacing_mm]
    margin = [math.ceil(4 * s) + 2 for s in sigma]
    extent = _extent(liver)
    start = [max(0, int(extent[a, 0]) - margin[a]) for a in range(3)]
    stop = [min(liver.labels.shape[a], int(extent[a, 1]) + margin[a]) for a in range(3)]
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    soft = ndimage.gaussian_filter((liver.labels[window] != 0).astype(np.float32), sigma, mode="constant", truncate=3.0)
    place = liver.grid.crop(start, stop)
    matrix = np.linalg.inv(place.matrix) @ box.matrix
    # affine columns are (z, y, x) on both grids, so this maps box index to window index
    occupancy: NDArray[np.float32] = ndimage.affine_transform(
        soft, matrix[:3, :3], matrix[:3, 3], output_shape=box.shape_zyx, order=1, mode="constant", cval=0.0
    )
    return occupancy


def _extent(liver: Segmentation) -> NDArray[np.int64]:
    """First index and last plus one of the mask along each axis, shape (3, 2)."""
    extent: NDArray[np.int64] = label_boxes((liver.labels != 0).view(np.uint8))[1]
    return extent


def shape_channels(occupancy: NDArray[np.float32], spacing_mm: float) -> NDArray[np.float32]:
    """Network input, shape (8, z, y, x): occupancy, depth, position in the bounding box (3), from the centroid (3).

    ``occupancy`` is the share of liver per voxel, ``spacing_mm`` the box spacing. Depth is the distance to the outside
    in units of 30 mm; bounding-box positions run from -1 to 1; centroid offsets are in units of 100 mm.
    """
    inside = occupancy >= 0.5
    channels = np.zeros((N_CHANNELS, *occupancy.shape), dtype=np.float32)
    channels[0] = occupancy
    channels[1] = ndimage.distance_transform_edt(inside) * (spacing_mm / 30.0)
    index = np.argwhere(inside)
    if not len(index):
        return channels
    low, high, centre = index.min(axis=0), index.max(axis=0), index.mean(axis=0)
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = -1
        line = np.arange(occupancy.shape[axis], dtype=np.float32)
        half = max(1.0, (high[axis] - low[axis]) / 2)
        channels[2 + axis] = ((line - (low[axis] + high[axis]) / 2) / half).reshape(shape)
        channels[5 + axis] = ((line - centre[axis]) * (spacing_mm / 100.0)).reshape(shape)
    return np.clip(channels, -3.0, 3.0)
