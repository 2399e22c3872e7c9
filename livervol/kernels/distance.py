"""Exact Euclidean distances on an anisotropic grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, bits_box, pack, tail_bits
from livervol.kernels.runs import row_runs
from livervol.kernels.slabs import over_slabs

__all__ = ["distance_mm", "distance_squared_mm2", "distance_to"]

Spacing = tuple[float, float, float]
INFINITE = np.float32(np.inf)
BLOCK = 64  # columns settled together: one word of bits


def distance_mm(mask: NDArray[Any], spacing_mm: Spacing, border_is_background: bool = False) -> NDArray[np.float32]:
    """Distance in mm from each foreground voxel's centre to the nearest background voxel's centre; 0 in background.

    The array's border is not background: a mask that fills the array is infinitely far from any. With
    ``border_is_background`` the voxels just outside count as background. ``mask`` is [z, y, x], zero for background;
    the result is float32, within 1e-6 of the exact value relatively. Method: one axis after the other, each time the
    lowest parabola (Felzenszwalb & Huttenlocher 2012, Theory of Computing 8:415).
    """
    squared = distance_squared_mm2(mask, spacing_mm, border_is_background)
    over_slabs(_roots, squared.shape[0], squared.size, squared)
    return squared


def distance_squared_mm2(
    mask: NDArray[Any], spacing_mm: Spacing, border_is_background: bool = False
) -> NDArray[np.float32]:
    """Square of ``distance_mm`` in mm2, float32 (one rounding fewer)."""
    source = as_bytes(mask)
    bits = pack(source)
    z0, z1, y0, y1, x0, x1 = bits_box(bits)
    squared = np.zeros(source.shape, np.float32)
    if z1 == 0:
        return squared
    if border_is_background:
        framed = np.pad(source[z0:z1, y0:y1, x0:x1], 1)
        squared[z0:z1, y0:y1, x0:x1] = _squared(pack(framed), framed.shape[2], spacing_mm)[1:-1, 1:-1, 1:-1]
        return squared
    # the nearest background of a voxel in the box lies at most one voxel outside the box
    nz, ny, nx = source.shape
    box = (slice(max(0, z0 - 1), min(nz, z1 + 1)), slice(max(0, y0 - 1), min(ny, y1 + 1)))
    columns = slice(max(0, x0 - 1), min(nx, x1 + 1))
    inner = np.ascontiguousarray(source[box[0], box[1], columns])
    squared[box[0], box[1], columns] = _squared(pack(inner), inner.shape[2], spacing_mm)
    return squared


def distance_to(mask: NDArray[Any], spacing_mm: Spacing, limit_mm: float = np.inf) -> NDArray[np.float32]:
    """Distance in mm from each voxel's centre to the nearest foreground voxel's centre; 0 in the foreground.

    Voxels farther than ``limit_mm``, and all voxels when the mask is empty, are infinite. A limit makes it quick.
    ``mask`` is [z, y, x], zero for background; the result is float32, within 1e-6 relatively.
    """
    source = as_bytes(mask)
    bits = pack(source)
    first_last = bits_box(bits)
    far = np.full(source.shape, INFINITE, np.float32)
    if first_last[1] == 0:
        return far
    box = []
    for axis in range(3):
        reach = source.shape[axis] if np.isinf(limit_mm) else int(limit_mm / spacing_mm[axis]) + 1
        start, stop = first_last[2 * axis], first_last[2 * axis + 1]
        box.append(slice(max(0, start - reach), min(source.shape[axis], stop + reach)))
    inner = np.ascontiguousarray(source[tuple(box)] == 0).view(np.uint8)
    near = _squared(pack(inner), inner.shape[2], spacing_mm)
    over_slabs(_roots, near.shape[0], near.size, near)
    near[near > limit_mm] = INFINITE
    far[tuple(box)] = near
    return far


def _squared(bits: NDArray[np.uint64], nx: int, spacing_mm: Spacing) -> NDArray[np.float32]:
    nz, ny, _ = bits.shape
    squared = np.zeros((nz, ny, nx), np.float32)
    dz, dy, dx = (float(s) for s in spacing_mm)
    rows, tail = bits.reshape(nz * ny, -1), tail_bits(nx)
    over_slabs(_along_x, nz * ny, squared.size, rows, tail, squared.reshape(nz * ny, nx), dx)
    over_slabs(_along_y, nz, squared.size, bits, squared, dy)
    over_slabs(_along_z, ny, squared.size, bits, squared, dz)
    return squared


@njit(cache=True, nogil=True)
def _roots(values, z_start, z_stop):
    for z in range(z_start, z_stop):
        for y in range(values.shape[1]):
            row = values[z, y]
            for x in range(row.size):
                row[x] = np.sqrt(row[x])


@njit(cache=True, nogil=True)
def _along_x(rows, tail, squared, dx, row_start, row_stop):
    # squared distance to the nearest clear bit of the same row; infinite in a row that has none
    nx = squared.shape[1]
    starts = np.empty(nx // 2 + 1, np.int32)
    stops = np.empty(nx // 2 + 1, np.int32)
    for at in range(row_start, row_stop):
        row = squared[at]
        for run in range(row_runs(rows, at, np.uint64(0), tail, starts, stops, 0)):
            a, b = np.int64(starts[run]), np.int64(stops[run])
            part = row[a:b]
            left = 1 if a > 0 else nx + 1
            right = b - a if b < nx else 2 * nx + 1
            if a == 0 and b == nx:
                part[:] = INFINITE
            else:
                for i in range(part.size):
                    steps = min(left + i, right - i) * dx
                    part[i] = steps * steps


@njit(cache=True, nogil=True)
def _lowest(block, line, low, high, rise, best, bests):
    # Lowest parabola at one line of a block among the lines from low to high: outwards until the steps alone exceed
    # every value. ``bests`` is the same memory as ``best`` read as integers, which order as positive floats do and
    # whose maximum is found in parallel.
    void = block.shape[0] - 1  # the last line is infinite: it stands for the lines out of range
    width = block.shape[1]  # always BLOCK; a count unknown to the compiler keeps it from unrolling before vectorising
    for i in range(width):
        best[i] = block[line, i]
    for step in range(max(1, low - line, line - high), max(line - low, high - line) + 1, 2):
        worst = np.int32(0)
        for i in range(width):
            worst = max(worst, bests[i])
        bests[width] = worst
        if rise[step] >= best[width]:
            break
        a = line - step if line - step >= low else void
        b = line + step if line + step <= high else void
        c = line - step - 1 if line - step > low else void
        d = line + step + 1 if line + step < high else void
        near, far = rise[step], rise[step + 1]
        for i in range(width):
            one = min(block[a, i], block[b, i]) + near
            two = min(block[c, i], block[d, i]) + far
            best[i] = min(best[i], min(one, two))


@njit(cache=True, nogil=True)
def _lowest_and_where(block, line, low, high, rise, best, bests, where, idle):
    # as _lowest; also the first and the last line on which a column's lowest parabola stands
    void = block.shape[0] - 1
    width = block.shape[1]
    for i in range(width):
        best[i] = block[line, i]
        where[i] = line
    for step in range(max(1, low - line, line - high), max(line - low, high - line) + 1):
        worst = np.int32(0)
        for i in range(width):
            worst = max(worst, bests[i])
        bests[width] = worst
        if rise[step] >= best[width]:
            break
        a = line - step if line - step >= low else void
        b = line + step if line + step <= high else void
        near = rise[step]
        before, after = np.int32(line - step), np.int32(line + step)
        for i in range(width):
            one, two = block[a, i] + near, block[b, i] + near
            nearest = before if one <= two else after
            least = min(one, two)
            where[i] = nearest if least < best[i] else where[i]
            best[i] = min(best[i], least)
    first, last = np.int32(void), np.int32(-1)
    for i in range(width):
        first = min(first, where[i] if idle[i] == 0 else np.int32(void))
        last = max(last, where[i] if idle[i] == 0 else np.int32(-1))
    return first, last


@njit(cache=True, nogil=True)
def _along(bits, squared, spacing):
    """Lowest parabolas along axis 0 of bits (n, words) and squared (n, nx), in place.

    The line on which a column's lowest parabola stands never moves back from one line to the next, so the lines already
    settled on either side bound the search: first every 2^k-th line, then those halfway, down to every fourth.
    """
    n, nx = squared.shape
    rise = np.empty(n + 2, np.float32)
    for step in range(n + 2):
        rise[step] = (step * spacing) * (step * spacing)
    block = np.empty((n + 1, BLOCK), np.float32)
    block[n] = INFINITE
    best = np.empty(BLOCK + 1, np.float32)
    bests = best.view(np.int32)
    where = np.empty(BLOCK, np.int32)
    idle = np.empty(BLOCK, np.int32)
    first = np.empty(n + 1, np.int64)
    last = np.empty(n + 1, np.int64)
    coarsest = 4
    while coarsest < n:
        coarsest *= 2
    for w in range(bits.shape[1]):
        some = np.uint64(0)
        for line in range(n):
            some |= bits[line, w]
        if some == 0:
            continue
        x0 = w * BLOCK
        width = min(BLOCK, nx - x0)
        if not _load(squared, x0, width, block, best, idle):
            continue
        stride = coarsest
        while stride >= 4:
            for line in range(stride % coarsest, n, min(2 * stride, coarsest)):
                if bits[line, w] == 0:
                    first[line], last[line] = line, line
                    continue
                low = first[line - stride] if line >= stride else 0
                high = last[line + stride] if line + stride < n else n - 1
                first[line], last[line] = _lowest_and_where(block, line, low, high, rise, best, bests, where, idle)
                _store(squared, line, x0, width, best, idle)
            stride //= 2
        for line in range(n):
            if line % 4 and bits[line, w] != 0:
                right = line - line % 4 + 4
                high = last[right] if right < n else n - 1
                _lowest(block, line, first[right - 4], high, rise, best, bests)
                _store(squared, line, x0, width, best, idle)


@njit(cache=True, nogil=True)
def _load(squared, x0, width, block, least, idle):
    # one block of columns; those that are infinite throughout stay so and sit idle, as do those past the row's end
    n = squared.shape[0]
    least[:] = INFINITE
    for line in range(n):
        part = squared[line, x0 : x0 + width]
        for i in range(width):
            block[line, i] = part[i]
            least[i] = min(least[i], part[i])
    idle[:] = 1
    some = False
    for i in range(BLOCK):
        if least[i] < INFINITE:
            idle[i] = 0
            some = True
        else:
            block[:n, i] = 0
    return some


@njit(cache=True, nogil=True)
def _store(squared, line, x0, width, best, idle):
    part = squared[line, x0 : x0 + width]
    for i in range(width):
        part[i] = best[i] if idle[i] == 0 else INFINITE


@njit(cache=True, nogil=True)
def _along_y(bits, squared, dy, z_start, z_stop):
    for z in range(z_start, z_stop):
        _along(bits[z], squared[z], dy)


@njit(cache=True, nogil=True)
def _along_z(bits, squared, dz, y_start, y_stop):
    for y in range(y_start, y_stop):
        _along(bits[:, y], squared[:, y], dz)
