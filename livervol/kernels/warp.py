"""Reading a volume at places given by an affine map and a coarse lattice of displacements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.lattice import cell_of
from livervol.kernels.slabs import frozen, over_slabs

__all__ = ["warp_linear", "warp_nearest"]

Floats = NDArray[np.float64]
_ONE = np.uintp(1)


def warp_linear(
    voxels: NDArray[Any],
    plan: tuple[Floats, Floats, NDArray[np.float32]],
    shape_zyx: tuple[int, int, int],
    outside: Any,
) -> NDArray[Any]:
    """Voxels read trilinearly at warped places, in their unit and type (integers rounded), shape ``shape_zyx``.

    ``plan`` is (``matrix``, ``lattice_matrix``, ``shifts``): output index i = (z, y, x) reads the voxel index
    ``matrix @ (i, 1)`` plus the displacement that ``shifts`` (3, lz, ly, lx; voxel indices) shows trilinearly at
    lattice index ``lattice_matrix @ (i, 1)``; beyond the lattice its border is repeated. Both matrices have shape
    (3, 4). Places more than half a voxel beyond the outermost centres are ``outside``.
    """
    result = np.empty(shape_zyx, voxels.dtype)
    fill = voxels.dtype.type(outside)
    _over(_linear, _linear_straight, voxels, plan, (fill, voxels.dtype.kind in "iu"), result)
    return result


def warp_nearest(
    voxels: NDArray[Any],
    plan: tuple[Floats, Floats, NDArray[np.float32]],
    shape_zyx: tuple[int, int, int],
    outside: Any,
) -> NDArray[Any]:
    """The nearest voxel at each warped place (labels stay labels); ``plan`` and ``outside`` as for ``warp_linear``."""
    result = np.empty(shape_zyx, voxels.dtype)
    fill = voxels.dtype.type(outside)
    _over(_nearest, _nearest_straight, voxels, plan, (fill,), result)
    return result


def _over(
    bent: Any, straight: Any, voxels: NDArray[Any], plan: Any, how: tuple[Any, ...], result: NDArray[Any]
) -> None:
    matrix, lattice_matrix = (np.ascontiguousarray(m, np.float64) for m in plan[:2])
    source, planes = frozen(voxels), result.shape[0]
    if not plan[2].any():
        over_slabs(straight, planes, result.size, source, matrix, *how, result)
        return
    # the three components of one node side by side: one cache line serves them all
    shifts = np.ascontiguousarray(np.moveaxis(plan[2], 0, -1), np.float32)
    over_slabs(bent, planes, result.size, source, matrix, lattice_matrix, shifts, *how, result)


@njit(cache=True, nogil=True, inline="always")
def _shift(shifts, z, y, x):
    nz, ny, nx, _ = shifts.shape
    z0, fz = cell_of(z, nz)
    y0, fy = cell_of(y, ny)
    x0, fx = cell_of(x, nx)
    z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
    gz, gy, gx = 1.0 - fz, 1.0 - fy, 1.0 - fx
    w000, w001, w010, w011 = gz * gy * gx, gz * gy * fx, gz * fy * gx, gz * fy * fx
    w100, w101, w110, w111 = fz * gy * gx, fz * gy * fx, fz * fy * gx, fz * fy * fx
    dz = dy = dx = 0.0
    for c in range(3):
        value = (
            w000 * shifts[z0, y0, x0, c]
            + w001 * shifts[z0, y0, x1, c]
            + w010 * shifts[z0, y1, x0, c]
            + w011 * shifts[z0, y1, x1, c]
            + w100 * shifts[z1, y0, x0, c]
            + w101 * shifts[z1, y0, x1, c]
            + w110 * shifts[z1, y1, x0, c]
            + w111 * shifts[z1, y1, x1, c]
        )
        if c == 0:
            dz = value
        elif c == 1:
            dy = value
        else:
            dx = value
    return dz, dy, dx


@njit(cache=True, nogil=True, inline="always")
def _place(m, n, shifts, i, j, k):
    dz, dy, dx = _shift(
        shifts,
        n[0, 0] * i + n[0, 1] * j + n[0, 2] * k + n[0, 3],
        n[1, 0] * i + n[1, 1] * j + n[1, 2] * k + n[1, 3],
        n[2, 0] * i + n[2, 1] * j + n[2, 2] * k + n[2, 3],
    )
    return (
        m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3] + dz,
        m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3] + dy,
        m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3] + dx,
    )


@njit(cache=True, nogil=True, inline="always")
def _inside(z, y, x, nz, ny, nx):
    return -0.5 <= z <= nz - 0.5 and -0.5 <= y <= ny - 0.5 and -0.5 <= x <= nx - 0.5


@njit(cache=True, nogil=True, inline="always")
def _blended(voxels, low, high, part, whole):
    z0, y0, x0 = low
    z1, y1, x1 = high
    fz, fy, fx = part
    near = (voxels[z0, y0, x0] * (1 - fx) + voxels[z0, y0, x1] * fx) * (1 - fy) + (
        voxels[z0, y1, x0] * (1 - fx) + voxels[z0, y1, x1] * fx
    ) * fy
    far = (voxels[z1, y0, x0] * (1 - fx) + voxels[z1, y0, x1] * fx) * (1 - fy) + (
        voxels[z1, y1, x0] * (1 - fx) + voxels[z1, y1, x1] * fx
    ) * fy
    value = near * (1 - fz) + far * fz
    return voxels.dtype.type(np.rint(value) if whole else value)


@njit(cache=True, nogil=True, inline="always")
def _read_linear(voxels, z, y, x, fill, whole):
    nz, ny, nx = voxels.shape
    if not _inside(z, y, x, nz, ny, nx):
        return fill
    z0, fz = cell_of(z, nz)
    y0, fy = cell_of(y, ny)
    x0, fx = cell_of(x, nx)
    z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
    return _blended(voxels, (z0, y0, x0), (z1, y1, x1), (fz, fy, fx), whole)


@njit(cache=True, nogil=True, inline="always")
def _read_nearest(voxels, z, y, x, fill):
    nz, ny, nx = voxels.shape
    if not _inside(z, y, x, nz, ny, nx):
        return fill
    a = min(max(int(np.floor(z + 0.5)), 0), nz - 1)
    b = min(max(int(np.floor(y + 0.5)), 0), ny - 1)
    c = min(max(int(np.floor(x + 0.5)), 0), nx - 1)
    return voxels[a, b, c]


@njit(cache=True, nogil=True)
def _linear(voxels, matrix, lattice_matrix, shifts, fill, whole, result, start, stop):
    for i in range(start, stop):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                z, y, x = _place(matrix, lattice_matrix, shifts, i, j, k)
                result[i, j, k] = _read_linear(voxels, z, y, x, fill, whole)


@njit(cache=True, nogil=True)
def _nearest(voxels, matrix, lattice_matrix, shifts, fill, result, start, stop):
    for i in range(start, stop):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                z, y, x = _place(matrix, lattice_matrix, shifts, i, j, k)
                result[i, j, k] = _read_nearest(voxels, z, y, x, fill)


@njit(cache=True, nogil=True)
def _within(m, shape, i, j, columns):
    """First and last + 1 column of a row whose places lie well between the outermost centres along every axis."""
    first, last = 0, columns
    for axis in range(3):
        at, step = m[axis, 0] * i + m[axis, 1] * j + m[axis, 3], m[axis, 2]
        low, high = 1e-6 - at, shape[axis] - 1.0 - 1e-6 - at
        if step == 0.0:
            if low > 0.0 or high < 0.0:
                return 0, 0
            continue
        one, two = low / step, high / step
        if one > two:
            one, two = two, one
        # a column less on either side pays for the rounding of the division
        first = max(first, int(min(max(np.ceil(one) + 1.0, 0.0), columns)))
        last = min(last, int(min(max(np.floor(two), 0.0), columns)))
    return (first, last) if first < last else (0, 0)


@njit(cache=True, nogil=True)
def _linear_straight(voxels, m, fill, whole, result, start, stop):
    columns = result.shape[2]
    for i in range(start, stop):
        for j in range(result.shape[1]):
            first, last = _within(m, voxels.shape, i, j, columns)
            z_row, y_row, x_row = m[0, 0] * i + m[0, 1] * j, m[1, 0] * i + m[1, 1] * j, m[2, 0] * i + m[2, 1] * j
            for k in range(columns):
                z, y, x = z_row + m[0, 2] * k + m[0, 3], y_row + m[1, 2] * k + m[1, 3], x_row + m[2, 2] * k + m[2, 3]
                if first <= k < last:
                    # eight neighbours are sure to exist; unsigned, for an index that may be negative costs a question
                    low = np.uintp(int(z)), np.uintp(int(y)), np.uintp(int(x))
                    high = low[0] + _ONE, low[1] + _ONE, low[2] + _ONE
                    part = z - int(z), y - int(y), x - int(x)
                    result[i, j, k] = _blended(voxels, low, high, part, whole)
                else:
                    result[i, j, k] = _read_linear(voxels, z, y, x, fill, whole)


@njit(cache=True, nogil=True)
def _nearest_straight(voxels, m, fill, result, start, stop):
    columns = result.shape[2]
    for i in range(start, stop):
        for j in range(result.shape[1]):
            first, last = _within(m, voxels.shape, i, j, columns)
            z_row, y_row, x_row = m[0, 0] * i + m[0, 1] * j, m[1, 0] * i + m[1, 1] * j, m[2, 0] * i + m[2, 1] * j
            for k in range(columns):
                z, y, x = z_row + m[0, 2] * k + m[0, 3], y_row + m[1, 2] * k + m[1, 3], x_row + m[2, 2] * k + m[2, 3]
                if first <= k < last:
                    # places are positive: the whole part is the floor
                    a, b, c = np.uintp(int(z + 0.5)), np.uintp(int(y + 0.5)), np.uintp(int(x + 0.5))
                    result[i, j, k] = voxels[a, b, c]
                else:
                    result[i, j, k] = _read_nearest(voxels, z, y, x, fill)
