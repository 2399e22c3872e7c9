"""Longest chord inside a mask: both ends on viable voxels, short gaps allowed, never leaving the lesion.

The path of a pair of voxels is the straight segment between their centres, cut into pieces at the voxel faces it
crosses (Amanatides and Woo, A fast voxel traversal algorithm for ray tracing, Eurographics 1987), in whole numbers.
Tie: a segment that crosses exactly at a voxel corner steps diagonally; the two voxels it only touches do not count.
A gap is a run of consecutive non-viable voxels on the path; its length is the length of the segment inside them.
A pair is allowed when no gap is longer than ``min(max(floor_mm, fraction * segment), cap_mm)`` and every voxel on
the path belongs to the lesion.

The search is exact branch and bound over pairs of square tiles, largest possible length first. A pair of tiles is
dropped when it cannot beat the best chord, or when a box that every segment between them must pass proves a gap or
an exit (summed-area tables count the voxels in it).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.diameter import CENTRE, MESH, slice_diameters

__all__ = ["longest_chord", "outer_ends", "path_allowed", "perpendicular_chord"]

#: Gaps this much over the limit, in mm, still pass: rounding of equal numbers.
_SLACK_MM = 1e-9

#: Later than any crossing.
_NEVER = 2**62

#: Pairs of tiles looked at in each slice before any slice is searched to the end.
_FIRST_BUDGET = 1000

#: Stretches of the way in each of which leaving the lesion is looked for.
_STATIONS = 16


@njit(cache=True, nogil=True)
def path_allowed(viable, lesion, y0, x0, y1, x1, hy_mm, hx_mm, limits):
    """True when the path between two viable voxels of a slice has no gap over the limit and stays in the lesion."""
    dy, dx = abs(y1 - y0), abs(x1 - x0)
    step_y = 1 if y1 >= y0 else -1
    step_x = 1 if x1 >= x0 else -1
    length = 2.0 * math.hypot(dy * hy_mm, dx * hx_mm)
    limit = min(max(limits[0], limits[1] * length), limits[2]) + _SLACK_MM
    # face k of an axis is crossed at (2 k + 1) / (2 d) of the way; both axes are counted in parts of 2 dy dx
    unit_y, unit_x = max(dx, 1), max(dy, 1)
    next_y = unit_y if dy else _NEVER
    next_x = unit_x if dx else _NEVER
    longest = limit * (2 * unit_y * unit_x) / length if length > 0.0 else 0.0
    y, x = y0, x0
    gap_start = -1
    left = dy + dx
    while left > 0:
        here = min(next_y, next_x)
        if next_y == here:
            y += step_y
            next_y += 2 * unit_y
            left -= 1
        if next_x == here:
            x += step_x
            next_x += 2 * unit_x
            left -= 1
        if viable[y, x]:
            if gap_start >= 0 and here - gap_start > longest:
                return False
            gap_start = -1
        else:
            if not lesion[y, x]:
                return False
            if gap_start < 0:
                gap_start = here
            elif here - gap_start > longest:
                return False
    return True


@njit(cache=True, nogil=True)
def _chord_length(dy, dx, hy_mm, hx_mm, convention):
    # dy, dx in voxels, not negative; same arithmetic as slice_diameters
    if convention == CENTRE:
        a, b = 2 * dy * hy_mm, 2 * dx * hx_mm
        return math.sqrt(a * a + b * b)
    if convention == MESH:
        a, b = (2 * dy + 2) * hy_mm, 2 * dx * hx_mm
        squared = a * a + b * b
        a, b = 2 * dy * hy_mm, (2 * dx + 2) * hx_mm
        squared = max(squared, a * a + b * b)
        a, b = (2 * dy + 1) * hy_mm, (2 * dx + 1) * hx_mm
        return math.sqrt(max(squared, a * a + b * b))
    a, b = (2 * dy + 2) * hy_mm, (2 * dx + 2) * hx_mm
    return math.sqrt(a * a + b * b)


@njit(cache=True, nogil=True)
def outer_ends(dy, dx, hy_mm, hx_mm, convention):
    """How far, in voxels, a convention moves the ends of a chord outward: (start, end) along y and along x.

    Subtract the first of each from the start voxel, add the second to the end voxel; (dy, dx) is end minus start.
    """
    sign_y = 0.5 if dy >= 0 else -0.5
    sign_x = 0.5 if dx >= 0 else -0.5
    if convention == CENTRE:
        return (0.0, 0.0), (0.0, 0.0)
    if convention == MESH:
        dy, dx = abs(dy), abs(dx)
        along_y = ((2 * dy + 2) * hy_mm) ** 2 + (2 * dx * hx_mm) ** 2
        along_x = (2 * dy * hy_mm) ** 2 + ((2 * dx + 2) * hx_mm) ** 2
        mixed = ((2 * dy + 1) * hy_mm) ** 2 + ((2 * dx + 1) * hx_mm) ** 2
        if along_y >= along_x and along_y >= mixed:
            return (sign_y, sign_y), (0.0, 0.0)
        if along_x >= mixed:
            return (0.0, 0.0), (sign_x, sign_x)
        return (sign_y, 0.0), (0.0, sign_x)
    return (sign_y, sign_y), (sign_x, sign_x)


@njit(cache=True, nogil=True)
def _summed(mask):
    ny, nx = mask.shape
    table = np.zeros((ny + 1, nx + 1), np.int32)
    for y in range(ny):
        run = 0
        for x in range(nx):
            run += mask[y, x]
            table[y + 1, x + 1] = table[y, x + 1] + run
    return table


@njit(cache=True, nogil=True)
def _tiles(mask):
    """Tight boxes (y0, y1, x0, x1) of the tiles of side 1, 2, 4, ... and where each level starts; empty: y0 > y1."""
    ny, nx = mask.shape
    starts = np.zeros(40, np.int64)
    widths = np.zeros(40, np.int64)
    levels, total, h, w = 0, 0, ny, nx
    while True:
        starts[levels] = total
        widths[levels] = w
        total += h * w
        levels += 1
        if h == 1 and w == 1:
            break
        h, w = (h + 1) // 2, (w + 1) // 2
    boxes = np.empty((total, 4), np.int32)
    for y in range(ny):
        for x in range(nx):
            row = boxes[y * nx + x]
            if mask[y, x]:
                row[0], row[1], row[2], row[3] = y, y, x, x
            else:
                row[0], row[1], row[2], row[3] = 2**30, -1, 2**30, -1
    h, w = ny, nx
    for level in range(1, levels):
        below, here = starts[level - 1], starts[level]
        up_h, up_w = (h + 1) // 2, (w + 1) // 2
        for y in range(up_h):
            for x in range(up_w):
                row = boxes[here + y * up_w + x]
                row[0], row[1], row[2], row[3] = 2**30, -1, 2**30, -1
                for cy in range(2 * y, min(2 * y + 2, h)):
                    for cx in range(2 * x, min(2 * x + 2, w)):
                        child = boxes[below + cy * w + cx]
                        row[0] = min(row[0], child[0])
                        row[1] = max(row[1], child[1])
                        row[2] = min(row[2], child[2])
                        row[3] = max(row[3], child[3])
        h, w = up_h, up_w
    return boxes, starts, widths, levels


@njit(cache=True, nogil=True)
def _side(start, end, step, upper):
    """One side of the box round stretch k, as ``base + k * slope``; the whole part is the voxel, plus one if upper.

    The side runs from ``start`` to ``end`` in steps of the way; stretch k needs its extreme. Widened by 1e-9 so that
    a path along a face or through a corner counts as meeting the voxels on both sides.
    """
    slope = (end - start) * step
    if upper:
        return start + max(slope, 0.0) + 1.5 + 1e-9, slope
    return start + min(slope, 0.0) + 0.5 - 1e-9, slope


@njit(cache=True, nogil=True)
def _stretch_empty(table, sides, k):
    # no voxel of the mask meets stretch k of any segment between the two boxes
    y0 = int(sides[0][0] + k * sides[0][1])
    y1 = int(sides[1][0] + k * sides[1][1])
    x0 = int(sides[2][0] + k * sides[2][1])
    x1 = int(sides[3][0] + k * sides[3][1])
    return table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0] == 0


@njit(cache=True, nogil=True)
def _stretches(a, b, step):
    return (
        _side(a[0], b[0], step, False),
        _side(a[1], b[1], step, True),
        _side(a[2], b[2], step, False),
        _side(a[3], b[3], step, True),
    )


@njit(cache=True, nogil=True)
def _blocked(a, b, viable_sums, lesion_sums, may_leave, hy_mm, hx_mm, limits):
    """True when every segment between boxes ``a`` and ``b`` provably has too long a gap or leaves the lesion.

    The way is cut into stretches; ``in_row`` empty ones after each other are longer than any gap allowed here.
    """
    if may_leave:
        sides = _stretches(a, b, 1.0 / _STATIONS)
        for k in range(_STATIONS):
            if _stretch_empty(lesion_sums, sides, k):
                return True
    near_y = max(0, max(a[0] - b[1], b[0] - a[1]))
    near_x = max(0, max(a[2] - b[3], b[2] - a[3]))
    shortest = 2.0 * math.hypot(near_y * hy_mm, near_x * hx_mm)
    far_y = max(a[1] - b[0], b[1] - a[0])
    far_x = max(a[3] - b[2], b[3] - a[2])
    longest = 2.0 * math.hypot(far_y * hy_mm, far_x * hx_mm)
    # a voxel is the least that is looked for: stretches must not become ever smaller with the limit
    limit = max(min(max(limits[0], limits[1] * longest), limits[2]) + 1e-6, 2.0 * min(hy_mm, hx_mm))
    if shortest <= limit:
        return False
    tile_mm = 2.0 * max(max(a[1] - a[0], b[1] - b[0]) * hy_mm, max(a[3] - a[2], b[3] - b[2]) * hx_mm)
    in_row = min(4, 1 + int(limit / (tile_mm + 2.0 * min(hy_mm, hx_mm))))
    step = limit / (shortest * in_row)
    count = int(1.0 / step)
    sides = _stretches(a, b, step)
    seen = -1
    i = in_row - 1
    # as in string search: look at the last stretch of a window first, step a whole window when it is not empty
    while i < count:
        j = i
        while j > seen and _stretch_empty(viable_sums, sides, j):
            j -= 1
        if j <= seen:
            return True
        # stretches after j up to i are known to be empty, j is not
        seen = i if j < i else -1
        i = j + in_row
    return False


@njit(cache=True, nogil=True)
def _bound(a, b, hy_mm, hx_mm, convention, uy, ux):
    """Largest length between boxes ``a`` and ``b``; with a direction, largest offset across it, -1 if not opposite."""
    if uy == 0.0 and ux == 0.0:
        far_y = max(a[1] - b[0], b[1] - a[0])
        far_x = max(a[3] - b[2], b[3] - a[2])
        return _chord_length(far_y, far_x, hy_mm, hx_mm, convention)
    sy, sx = 2.0 * hy_mm, 2.0 * hx_mm
    mid_y, mid_x = 0.5 * sy * (b[0] + b[1] - a[0] - a[1]), 0.5 * sx * (b[2] + b[3] - a[2] - a[3])
    half_y, half_x = 0.5 * sy * (a[1] - a[0] + b[1] - b[0]), 0.5 * sx * (a[3] - a[2] + b[3] - b[2])
    along = abs(uy * mid_y + ux * mid_x) - (abs(uy) * half_y + abs(ux) * half_x)
    if along > (hy_mm * abs(uy) + hx_mm * abs(ux)) * (1.0 + 1e-6) + 1e-9:
        return -1.0
    # a bound must not fall under the exact number by rounding
    return (abs(ux * mid_y - uy * mid_x) + abs(ux) * half_y + abs(uy) * half_x) * (1.0 + 1e-12) + 1e-12


@njit(cache=True, nogil=True)
def _try_pair(y0, x0, y1, x1, viable, lesion, hy_mm, hx_mm, limits, convention, uy, ux, best, ends):
    """The best value after looking at one pair of voxels; ``ends`` is updated in place."""
    if (y1, x1) < (y0, x0):
        y0, x0, y1, x1 = y1, x1, y0, x0
    dy, dx = y1 - y0, x1 - x0
    if uy == 0.0 and ux == 0.0:
        value = _chord_length(abs(dy), abs(dx), hy_mm, hx_mm, convention)
    else:
        sy, sx = 2.0 * hy_mm * dy, 2.0 * hx_mm * dx
        if abs(uy * sy + ux * sx) > (hy_mm * abs(uy) + hx_mm * abs(ux)) * (1.0 + 1e-9):
            return best
        value = abs(ux * sy - uy * sx)
    if value < best:
        return best
    if value == best and (y0, x0, y1, x1) >= (ends[0], ends[1], ends[2], ends[3]):
        return best
    if not path_allowed(viable, lesion, y0, x0, y1, x1, hy_mm, hx_mm, limits):
        return best
    ends[0], ends[1], ends[2], ends[3] = y0, x0, y1, x1
    return value


@njit(cache=True, nogil=True)
def _rows_and_columns_whole(mask):
    # no row or column has a hole in it: a path then rarely leaves the mask
    for flip in range(2):
        turned = mask.T if flip else mask
        for i in range(turned.shape[0]):
            runs = 0
            before = False
            for j in range(turned.shape[1]):
                if turned[i, j] and not before:
                    runs += 1
                before = turned[i, j]
            if runs > 1:
                return False
    return True


@njit(cache=True, nogil=True)
def _search_slice(viable, lesion, hy_mm, hx_mm, limits, convention, uy, ux, best, ends, budget):
    """Branch and bound in one slice from ``best`` up; ``ends`` (y0, x0, y1, x1) is updated.

    Returns the new best and whether the slice was searched to the end within ``budget`` pairs of tiles.
    """
    boxes, starts, widths, levels = _tiles(viable)
    if boxes[-1, 0] > boxes[-1, 1]:
        return best, True
    viable_sums, lesion_sums = _summed(viable), _summed(lesion)
    may_leave = not _rows_and_columns_whole(lesion)
    heights = np.empty(levels, np.int64)
    for level in range(levels):
        stop = starts[level + 1] if level + 1 < levels else len(boxes)
        heights[level] = (stop - starts[level]) // widths[level]
    stack = np.empty((4096, 4), np.int64)
    bounds = np.empty(4096)
    children = np.empty((2, 4), np.int64)
    top = levels - 1
    stack[0] = (top, starts[top], top, starts[top])
    bounds[0] = _bound(boxes[starts[top]], boxes[starts[top]], hy_mm, hx_mm, convention, uy, ux)
    depth = 1
    while depth:
        depth -= 1
        bound = bounds[depth]
        if bound < best:
            continue
        budget -= 1
        if budget < 0:
            return best, False
        la, ia, lb, ib = stack[depth]
        a, b = boxes[ia], boxes[ib]
        if _blocked(a, b, viable_sums, lesion_sums, may_leave, hy_mm, hx_mm, limits):
            continue
        if a[0] == a[1] and a[2] == a[3] and b[0] == b[1] and b[2] == b[3]:
            best = _try_pair(
                a[0], a[2], b[0], b[2], viable, lesion, hy_mm, hx_mm, limits, convention, uy, ux, best, ends
            )
            continue
        same = la == lb and ia == ib
        single = a[0] == a[1] and a[2] == a[3]
        if lb > la or single:
            la, ia, lb, ib = lb, ib, la, ia
        counts = (0, 0)
        # split the larger tile, both when it is paired with itself
        for side in range(2 if same else 1):
            n = 0
            y, x = (ia - starts[la]) // widths[la], (ia - starts[la]) % widths[la]
            for cy in range(2 * y, min(2 * y + 2, heights[la - 1])):
                for cx in range(2 * x, min(2 * x + 2, widths[la - 1])):
                    child = starts[la - 1] + cy * widths[la - 1] + cx
                    if boxes[child, 0] <= boxes[child, 1]:
                        children[side, n] = child
                        n += 1
            counts = (n, n) if side == 0 else (counts[0], n)
        if depth + 16 > len(stack):
            more = np.empty((2 * len(stack), 4), np.int64)
            more[:depth] = stack[:depth]
            stack = more
            wider = np.empty(2 * len(bounds))
            wider[:depth] = bounds[:depth]
            bounds = wider
        first = depth
        for i in range(counts[0]):
            for j in range(i if same else 0, counts[1] if same else 1):
                if same:
                    pair = (la - 1, children[0, i], la - 1, children[1, j])
                else:
                    pair = (la - 1, children[0, i], lb, ib)
                value = _bound(boxes[pair[1]], boxes[pair[3]], hy_mm, hx_mm, convention, uy, ux)
                if value < best or value < 0.0:
                    continue
                # insertion keeps the most promising pair on top
                k = depth
                while k > first and bounds[k - 1] > value:
                    bounds[k] = bounds[k - 1]
                    stack[k] = stack[k - 1]
                    k -= 1
                bounds[k] = value
                stack[k] = pair
                depth += 1
    return best, True


def longest_chord(
    viable: NDArray[np.bool_],
    lesion: NDArray[np.bool_],
    hy_mm: float,
    hx_mm: float,
    limits: NDArray[np.float64],
    convention: int,
) -> tuple[float, int, NDArray[np.int64]]:
    """Longest allowed in-slice chord of a volume, mm (-1: nothing viable), its slice, its voxels (y0, x0, y1, x1).

    ``viable`` inside ``lesion``, shape (nz, ny, nx); ``h*_mm`` half the spacing; ``limits`` (floor_mm, fraction,
    cap_mm). Equal chords: lowest slice, then first start, then first end. A single voxel is a chord.
    """
    bounds, _ = slice_diameters(viable, hy_mm, hx_mm, convention)
    slices = [int(z) for z in np.argsort(-bounds, kind="stable") if bounds[z] >= 0.0]
    best, best_slice = -1.0, -1
    best_ends = np.zeros(4, np.int64)
    # a long chord in one slice saves most of the search in the others: look everywhere a little before looking closely
    budget = _FIRST_BUDGET
    while slices:
        unfinished = []
        for z in slices:
            if bounds[z] < best or (bounds[z] == best and z > best_slice):
                continue
            # an equal chord wins in a lower slice and loses in a higher one; in the same slice its ends decide
            before = best_ends if z == best_slice else np.full(4, _NEVER if z < best_slice else -1)
            ends = before.copy()
            arguments = (viable[z], lesion[z], hy_mm, hx_mm, limits, convention, 0.0, 0.0, best, ends, budget)
            best, finished = _search_slice(*arguments)
            if (ends != before).any():
                best_slice, best_ends = z, ends
            if not finished:
                unfinished.append(z)
        slices = unfinished
        budget *= 8
    return best, best_slice, best_ends


def perpendicular_chord(
    viable: NDArray[np.bool_],
    lesion: NDArray[np.bool_],
    hy_mm: float,
    hx_mm: float,
    limits: NDArray[np.float64],
    uy: float,
    ux: float,
) -> tuple[float, NDArray[np.int64]]:
    """Longest allowed chord of a slice across the unit direction (uy, ux), mm between centres, -1 when none.

    Opposite voxels and the offset across are those of ``perpendicular_width``; the path must be allowed as well.
    """
    ends = np.zeros(4, np.int64)
    best, _ = _search_slice(viable, lesion, hy_mm, hx_mm, limits, CENTRE, uy, ux, -1.0, ends, _NEVER)
    return best, ends
