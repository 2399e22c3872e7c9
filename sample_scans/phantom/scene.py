"""The whole picture as labels: structures painted one over the other on any grid."""

from __future__ import annotations

import numpy as np

from livervol.grid import Grid

from .lesions import LesionShape
from .painters import Labels, parts
from .shapes import Array

__all__ = ["paint_scene", "subdivided"]


def subdivided(grid: Grid, times_zyx: tuple[int, int, int]) -> Grid:
    """The grid whose voxels are the given number of equal parts of ``grid``'s along each axis."""
    matrix = grid.matrix
    matrix[:3, :3] = matrix[:3, :3] / np.asarray(times_zyx, dtype=np.float64)
    matrix[:3, 3] = grid.index_to_lps([-0.5 + 0.5 / n for n in times_zyx])
    shape = [n * k for n, k in zip(grid.shape_zyx, times_zyx, strict=True)]
    return Grid.from_matrix(shape, matrix, grid.frame)


def _coordinates(grid: Grid, start: Array, stop: Array, shift: Array) -> tuple[Array, Array, Array]:
    """Patient coordinates of an index block, broadcastable; each one-dimensional when the grid is straight."""
    m = grid.matrix
    index = [np.arange(a, b, dtype=np.float64) for a, b in zip(start.tolist(), stop.tolist(), strict=True)]
    k, j, i = index[0][:, None, None], index[1][None, :, None], index[2][None, None, :]
    found = []
    for axis in range(3):
        terms = [m[axis, n] * values for n, values in enumerate((k, j, i)) if m[axis, n] != 0.0]
        total = m[axis, 3] - shift[axis]
        for term in terms:
            total = total + term
        found.append(total if isinstance(total, np.ndarray) else np.full((1, 1, 1), total))
    return found[0], found[1], found[2]


def _block(grid: Grid, box: tuple[Array, Array], shift: Array) -> tuple[Array, Array] | None:
    """Index range of ``grid`` that holds the patient box, or None when it lies outside."""
    low, high = np.clip(box[0], -2e3, 2e3) + shift, np.clip(box[1], -2e3, 2e3) + shift
    corners = np.array([[(low, high)[(n >> a) & 1][a] for a in range(3)] for n in range(8)])
    index = grid.lps_to_index(corners)
    start = np.maximum(np.floor(index.min(axis=0)).astype(np.int64), 0)
    stop = np.minimum(np.ceil(index.max(axis=0)).astype(np.int64) + 1, np.asarray(grid.shape_zyx))
    return None if (start >= stop).any() else (start, stop)


def paint_scene(
    grid: Grid, lesions: tuple[LesionShape, ...], shift_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Labels:
    """Tissue at every voxel centre of ``grid``, shape (nz, ny, nx) uint8; the patient moved by ``shift_lps_mm``."""
    labels = np.zeros(grid.shape_zyx, dtype=np.uint8)
    shift = np.asarray(shift_lps_mm, dtype=np.float64)
    slab = max(1, 600_000 // max(1, grid.shape_zyx[1] * grid.shape_zyx[2]))
    for part in parts(lesions):
        found = _block(grid, part.box, shift)
        if found is None:
            continue
        start, stop = found
        for first in range(int(start[0]), int(stop[0]), slab):
            a, b = start.copy(), stop.copy()
            a[0], b[0] = first, min(first + slab, int(stop[0]))
            x, y, z = _coordinates(grid, a, b, shift)
            here = labels[a[0] : b[0], a[1] : b[1], a[2] : b[2]]
            part.paint(here, x, y, z)
    return labels
