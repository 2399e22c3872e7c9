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
    return _depth(mask, spacing_mm, border_is_background, rooted=True)


def distance_squared_mm2(
    mask: NDArray[Any], spacing_mm: Spacing, border_is_background: bool = False
) -> NDArray[np.float32]:
    """Square of ``distance_mm`` in mm2, float32 (one rounding fewer)."""
    return _depth(mask, spacing_mm, border_is_background, rooted=False)


def _depth(mask: NDArray[Any], spacing_mm: Spacing, border_is_background: bool, rooted: bool) -> NDArray[np.float32]:
    source = as_bytes(mask)
    z0, z1, y0, y1, x0, x1 = bits_box(pack(source))
    if z1 == 0:
        return np.zeros(source.shape, np.float32)
    if border_is_background:
        depth = np.zeros(source.shape, np.float32)
        framed = np.pad(source[z0:z1, y0:y1, x0:x1], 1)
        depth[z0:z1, y0:y1, x0:x1] = _nearest(framed, spacing_mm, rooted)[1:-1, 1:-1, 1:-1]
        return depth
    # the nearest background of a voxel in the box lies at most one voxel outside the box
    nz, ny, nx = source.shape
    box = (slice(max(0, z0 - 1), min(nz, z1 + 1)), slice(max(0, y0 - 1), min(ny, y1 + 1)))
    columns = slice(max(0, x0 - 1), min(nx, x1 + 1))
    inner = source[box[0], box[1], columns]
    if 2 * inner.size > source.size:  # not worth two copies
        return _nearest(source, spacing_mm, rooted)
    depth = np.zeros(source.shape, np.float32)
    depth[box[0], box[1], columns] = _nearest(np.ascontiguousarray(inner), spacing_mm, rooted)
    return depth


def distance_to(mask: NDArray[Any], spacing_mm: Spacing, limit_mm: float = np.inf) -> NDArray[np.float32]:
    """Distance in mm from each voxel's centre to the nearest foreground voxel's centre; 0 in the foreground.

    Voxels farther than ``limit_mm``, and all voxels when the mask is empty, are infinite. A limit makes it quick.
    ``mask`` is [z, y, x], zero for background; the result is float32, within 1e-6 relatively.
    """
    source = as_bytes(mask)
    bits = pack(source)
    first_last = bits_box(bits)
    if first_last[1] == 0:
        return np.full(source.shape, INFINITE, np.float32)
    box = []
    for axis in range(3):
        reach = source.shape[axis] if np.isinf(limit_mm) else int(limit_mm / spacing_mm[axis]) + 1
        start, stop = first_last[2 * axis], first_last[2 * axis + 1]
        box.append(slice(max(0, start - reach), min(source.shape[axis], stop + reach)))
    inner = np.ascontiguousarray(source[tuple(box)] == 0).view(np.uint8)
    near = _nearest(inner, spacing_mm, rooted=True)
    if np.isfinite(limit_mm):
        near[near > limit_mm] = INFINITE
    if near.shape == source.shape:
        return near
    far = np.full(source.shape, INFINITE, np.float32)
    far[tuple(box)] = near
    return far


def _nearest(mask: NDArray[np.uint8], spacing_mm: Spacing, rooted: bool) -> NDArray[np.float32]:
    bits = pack(mask)
    nz, ny, nx = mask.shape
    squared = np.zeros(mask.shape, np.float32)
    dz, dy, dx = (float(s) for s in spacing_mm)
    over_slabs(_along_x_and_y, nz, mask.size, bits.reshape(nz * ny, -1), tail_bits(nx), squared, dx, dy, False)
    over_slabs(_along_z, ny, mask.size, bits.ravel(), squared, dz, rooted)
    return squared


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
def _nearest_lines(before, after, low, high, void):
    # the next four lines to try, two on each side, or all on the side that is left; then where to go on
    if before >= low and after <= high:
        c = before - 1 if before > low else void
        d = after + 1 if after < high else void
        return before, after, c, d, before - 2, after + 2
    if before >= low:
        b, c = max(before - 1, low), max(before - 2, low)
        return before, b, c, max(before - 3, low), before - 4, after
    b, c = min(after + 1, high), min(after + 2, high)
    return after, b, c, min(after + 3, high), before, after + 4


@njit(cache=True, nogil=True)
def _lowest(block, line, low, high, rise, best, bests):
    # Lowest parabola at one line of a block among the lines from low to high: outwards until the steps alone exceed
    # every value. ``bests`` is the same memory as ``best`` read as integers, which order as positive floats do and
    # whose maximum is found in parallel.
    void = block.shape[0] - 1  # the last line is infinite: it stands for the lines out of range
    width = block.shape[1]  # always BLOCK; a count unknown to the compiler keeps it from unrolling before vectorising
    for i in range(width):
        best[i] = block[line, i]
    before, after = min(line - 1, high), max(line + 1, low)
    while before >= low or after <= high:
        worst = np.int32(0)
        for i in range(width):
            worst = max(worst, bests[i])
        bests[width] = worst
        a, b, c, d, before, after = _nearest_lines(before, after, low, high, void)
        if rise[abs(a - line)] >= best[width]:
            break
        rise_a, rise_b, rise_c, rise_d = (
            rise[abs(a - line)],
            rise[abs(b - line)],
            rise[abs(c - line)],
            rise[abs(d - line)],
        )
        for i in range(width):
            one = min(block[a, i] + rise_a, block[b, i] + rise_b)
            two = min(block[c, i] + rise_c, block[d, i] + rise_d)
            best[i] = min(best[i], min(one, two))


@njit(cache=True, nogil=True)
def _lowest_and_where(block, line, low, high, rise, best, bests, where, idle):
    # as _lowest; also the first and the last line on which a column's lowest parabola stands
    void = block.shape[0] - 1
    width = block.shape[1]
    for i in range(width):
        best[i] = block[line, i]
        where[i] = line
    before, after = min(line - 1, high), max(line + 1, low)
    while before >= low or after <= high:
        worst = np.int32(0)
        for i in range(width):
            worst = max(worst, bests[i])
        bests[width] = worst
        a, b, c, d, before, after = _nearest_lines(before, after, low, high, void)
        if rise[abs(a - line)] >= best[width]:
            break
        rise_a, rise_b, rise_c, rise_d = (
            rise[abs(a - line)],
            rise[abs(b - line)],
            rise[abs(c - line)],
            rise[abs(d - line)],
        )
        at_a, at_b, at_c, at_d = np.int32(a), np.int32(b), np.int32(c), np.int32(d)
        for i in range(width):
            from_a, from_b = block[a, i] + rise_a, block[b, i] + rise_b
            from_c, from_d = block[c, i] + rise_c, block[d, i] + rise_d
            one, two = min(from_a, from_b), min(from_c, from_d)
            at_one = at_a if from_a <= from_b else at_b
            at_two = at_c if from_c <= from_d else at_d
            least = min(one, two)
            at = at_one if one <= two else at_two
            where[i] = at if least < best[i] else where[i]
            best[i] = min(best[i], least)
    first, last = np.int32(void), np.int32(-1)
    for i in range(width):
        first = min(first, where[i] if idle[i] == 0 else np.int32(void))
        last = max(last, where[i] if idle[i] == 0 else np.int32(-1))
    return first, last


@njit(cache=True, nogil=True)
def _along(bits, squared, lines, rise, rooted):
    """Lowest parabolas along an axis of bits and squared, in place; their roots when asked.

    ``lines`` says which: how many lines, their length, and of bits and of squared, both flat, the first line's start
    and the steps to the next; so both axes share one kernel, in which a line's voxels are neighbours. The line on which
    a column's lowest parabola stands never moves back from one line to the next, so the lines already settled on either
    side bound the search: first every 2^k-th line, then those halfway, down to every fourth.
    """
    n, nx, bits_start, bits_step, start, step = lines
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
    for w in range((nx + BLOCK - 1) // BLOCK):
        words = bits_start + w
        x0 = start + w * BLOCK
        width = min(BLOCK, nx - w * BLOCK)
        if not _load(bits, squared, (n, words, bits_step, x0, step, width), block, best, idle):
            continue
        stride = coarsest
        while stride >= 4:
            for line in range(stride % coarsest, n, min(2 * stride, coarsest)):
                if bits[words + line * bits_step] == 0:
                    first[line], last[line] = line, line
                    continue
                low = first[line - stride] if line >= stride else 0
                high = last[line + stride] if line + stride < n else n - 1
                first[line], last[line] = _lowest_and_where(block, line, low, high, rise, best, bests, where, idle)
                _store(squared, x0 + line * step, width, best, idle, rooted)
            stride //= 2
        for line in range(n):
            if line % 4 and bits[words + line * bits_step] != 0:
                right = line - line % 4 + 4
                high = last[right] if right < n else n - 1
                _lowest(block, line, first[right - 4], high, rise, best, bests)
                _store(squared, x0 + line * step, width, best, idle, rooted)


@njit(cache=True, nogil=True)
def _load(bits, squared, column, block, least, idle):
    # one block of columns; those that are infinite throughout stay so and sit idle, as do those past the row's end;
    # False where nothing is to be done
    n, words, bits_step, x0, step, width = column
    least[:] = INFINITE
    some = False
    for line in range(n):
        if bits[words + line * bits_step] == 0:
            block[line] = 0
            least[:width] = 0
            continue
        some = True
        part = squared[x0 + line * step : x0 + line * step + width]
        for i in range(width):
            block[line, i] = part[i]
            least[i] = min(least[i], part[i])
    if not some:
        return False
    some = False
    for i in range(BLOCK):
        idle[i] = least[i] == INFINITE
        if idle[i]:
            block[: block.shape[0] - 1, i] = 0
        else:
            some = True
    return some


@njit(cache=True, nogil=True)
def _store(squared, at, width, best, idle, rooted):
    part = squared[at : at + width]
    for i in range(width):
        value = best[i] if idle[i] == 0 else INFINITE
        part[i] = np.sqrt(value) if rooted else value


@njit(cache=True, nogil=True)
def _rises(n, spacing):
    rise = np.empty(n + 4, np.float32)
    for step in range(n + 4):
        rise[step] = (step * spacing) * (step * spacing)
    return rise


@njit(cache=True, nogil=True)
def _along_x_and_y(rows, tail, squared, dx, dy, rooted, z_start, z_stop):
    nz, ny, nx = squared.shape
    rise = _rises(ny, dy)
    lines = squared.reshape(nz * ny, nx)
    words = rows.shape[1]
    for z in range(z_start, z_stop):
        _along_x(rows, tail, lines, dx, z * ny, (z + 1) * ny)
        _along(rows.ravel(), squared.ravel(), (ny, nx, z * ny * words, words, z * ny * nx, nx), rise, rooted)


@njit(cache=True, nogil=True)
def _along_z(bits, squared, dz, rooted, y_start, y_stop):
    nz, ny, nx = squared.shape
    rise = _rises(nz, dz)
    words = bits.size // (nz * ny)
    for y in range(y_start, y_stop):
        _along(bits, squared.ravel(), (nz, nx, y * words, ny * words, y * nx, ny * nx), rise, rooted)
