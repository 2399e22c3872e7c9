"""Holes of a mask: background that cannot reach the border of the array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, bits_box, pack
from livervol.kernels.runs import find_root, join_runs, runs_of_rows, write_runs
from livervol.kernels.slabs import over_slabs

__all__ = ["fill_holes", "fill_holes_slices"]


def fill_holes(mask: NDArray[Any], max_voxels: int | None = None) -> NDArray[np.uint8]:
    """Mask (0 and 1) with its holes filled: background that no path through voxel faces joins to the array's border.

    ``mask`` is [z, y, x], zero for background. With ``max_voxels`` only holes of at most that many voxels are filled.
    """
    return _filled(mask, max_voxels, flat=False)


def fill_holes_slices(mask: NDArray[Any], max_voxels: int | None = None) -> NDArray[np.uint8]:
    """Mask (0 and 1) with the holes of each slice [z] filled: background that no path through pixel edges within the
    slice joins to the slice's border. With ``max_voxels`` only holes of at most that many pixels are filled.
    """
    return _filled(mask, max_voxels, flat=True)


def _filled(mask: NDArray[Any], max_voxels: int | None, flat: bool) -> NDArray[np.uint8]:
    source = as_bytes(mask)
    nx = source.shape[2]
    bits = pack(source)
    z0, z1, y0, y1, _, _ = bits_box(bits)
    filled = np.empty(source.shape, np.uint8)
    over_slabs(_copy, source.shape[0], source.size, source, filled)
    # a hole has mask on every side of it, so only the mask's box matters, and the box's border reaches the array's
    inner = np.ascontiguousarray(bits[z0:z1, y0:y1])
    runs = runs_of_rows(inner, nx, background=True)
    limit = source.size if max_voxels is None else int(max_voxels)
    parent = join_runs(runs, z1 - z0, y1 - y0, 4 if flat else 6)
    numbers = _holes(parent, runs.offsets, runs.starts, runs.stops, (z1 - z0, y1 - y0, nx), limit, flat)
    write_runs(filled[z0:z1, y0:y1], runs, numbers)
    return filled


@njit(cache=True, nogil=True)
def _copy(source, target, z_start, z_stop):
    for z in range(z_start, z_stop):
        for y in range(source.shape[1]):
            for x in range(source.shape[2]):
                target[z, y, x] = source[z, y, x] != 0


@njit(cache=True, nogil=True)
def _holes(parent, offsets, starts, stops, shape, limit, flat):
    # 1 for the runs of holes of at most limit voxels, 0 for those that reach a face of the box
    nz, ny, nx = shape
    sizes = np.zeros(parent.size, np.int64)
    for z in range(nz):
        for y in range(ny):
            row = z * ny + y
            face = y == 0 or y == ny - 1 or (not flat and (z == 0 or z == nz - 1))
            for run in range(offsets[row], offsets[row + 1]):
                root = find_root(parent, run)
                if face or starts[run] == 0 or stops[run] == nx:
                    sizes[root] = limit + 1
                elif sizes[root] <= limit:
                    sizes[root] += stops[run] - starts[run]
    holes = np.empty(parent.size, np.uint8)
    for run in range(parent.size):
        holes[run] = sizes[find_root(parent, run)] <= limit
    return holes
