"""Longest chord inside a mask: both ends on viable voxels, short gaps allowed, never leaving the lesion.

Which pairs of voxels are allowed is told by ``chord_path.path_allowed``. The search is exact branch and bound over the
lines of a slice, not over its pairs of voxels. A tube holds the lines that run between rows a0 and a1 in the slice's
first column and between rows b0 and b1 in its last one. It is dropped when every line in it provably has too long a
gap, or leaves the lesion, before it could be as long as the best chord: columns in which no viable voxel meets the tube
are a gap for all its lines. Other tubes are halved; in those one voxel wide all pairs are tried, longest first. Steep
lines are searched in the same way with rows and columns exchanged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.chord_path import chord_length, path_allowed
from livervol.kernels.chord_tube import NEVER, ROW, columns_of, judged, may_leave, next_rows
from livervol.kernels.diameter import CENTRE, slice_diameters

__all__ = ["longest_chord", "perpendicular_chord"]

#: Tubes looked at in each slice before any slice is searched closely, and how much more each time.
_FIRST_BUDGET, _MORE = 150, 32

#: Tubes this wide, in voxels, are not halved any more.
_LEAF = 1.0 + 1e-9


@njit(cache=True, nogil=True)
def _try_pair(pair, viable, lesion, hy_mm, hx_mm, limits, convention, across, best, ends):
    """The best value after looking at one pair of voxels (y0, x0, y1, x1); ``ends`` is updated in place."""
    y0, x0, y1, x1 = pair
    if (y1, x1) < (y0, x0):
        y0, x0, y1, x1 = y1, x1, y0, x0
    uy, ux = across
    dy, dx = y1 - y0, x1 - x0
    if uy == 0.0 and ux == 0.0:
        value = chord_length(abs(dy), abs(dx), hy_mm, hx_mm, convention)
    else:
        sy, sx = 2.0 * hy_mm * dy, 2.0 * hx_mm * dx
        if abs(uy * sy + ux * sx) > (hy_mm * abs(uy) + hx_mm * abs(ux)) * (1.0 + 1e-9):
            return best
        value = abs(ux * sy - uy * sx)
    if value < best or (value == best and (y0, x0, y1, x1) >= (ends[0], ends[1], ends[2], ends[3])):
        return best
    if not path_allowed(viable, lesion, y0, x0, y1, x1, hy_mm, hx_mm, limits):
        return best
    ends[0], ends[1], ends[2], ends[3] = y0, x0, y1, x1
    return value


@njit(cache=True, nogil=True)
def _try_tube(tables, tube, runs, within, viable, lesion, hy_mm, hx_mm, limits, convention, across, best, ends):
    """The best value after all pairs of a narrow tube that run ``runs`` (most, least) columns, longest first."""
    next_viable, _, turned, corner = tables
    rows, columns = next_viable.shape
    span = max(columns - 1, 1)
    low_slope, high_slope = (tube[2] - tube[0]) / span, (tube[3] - tube[1]) / span
    first, last = columns_of(tube, columns, rows)
    first, last = max(first, within[0]), min(last, within[1])
    for run in range(runs[0], runs[1] - 1, -1):
        # no line of a search is steeper than 45 degrees in voxels
        if across[0] == 0.0 and across[1] == 0.0 and chord_length(run, run, hy_mm, hx_mm, convention) < best:
            break
        for x in range(first, last - run + 1):
            lo = max(math.ceil(tube[0] + low_slope * x - ROW), 0)
            hi = min(math.floor(tube[1] + high_slope * x + ROW), rows - 1)
            far_lo = max(math.ceil(tube[0] + low_slope * (x + run) - ROW), 0)
            far_hi = min(math.floor(tube[1] + high_slope * (x + run) + ROW), rows - 1)
            for p in range(lo, hi + 1):
                if next_viable[p, x] != p:
                    continue
                for q in range(far_lo, far_hi + 1):
                    if next_viable[q, x + run] != q:
                        continue
                    if turned:
                        pair = (x + corner[0], p + corner[1], x + run + corner[0], q + corner[1])
                    else:
                        pair = (p + corner[0], x + corner[1], q + corner[0], x + run + corner[1])
                    best = _try_pair(pair, viable, lesion, hy_mm, hx_mm, limits, convention, across, best, ends)
    return best


@njit(cache=True, nogil=True)
def _longer(stack, depth):
    # row by row: an assignment of slices compiles the text of its error message as well
    more = np.empty((2 * len(stack), stack.shape[1]))
    for row in range(depth):
        for k in range(stack.shape[1]):
            more[row, k] = stack[row, k]
    return more


@njit(cache=True, nogil=True)
def _search(tables, viable, lesion, hy_mm, hx_mm, limits, convention, across, best, ends, budget):
    """Branch and bound over one way of a slice from ``best`` up; ``ends`` (y0, x0, y1, x1) is updated.

    Returns the new best and whether the search came to its end within ``budget`` tubes.
    """
    next_viable, next_lesion, turned, _ = tables
    rows, columns = next_viable.shape
    hr, hc = (hx_mm, hy_mm) if turned else (hy_mm, hx_mm)
    own = (across[1], across[0]) if turned else across
    stride = 1 if may_leave(next_lesion) else NEVER
    wide = float(columns - 1)
    stack = np.empty((256, 9))
    depth = 0
    # two tubes to be judged at a time; the first is one that holds every line, and none
    two = one = (-wide, rows - 1 + wide, -wide, rows - 1 + wide)
    fresh, within = 1, (0, columns - 1)
    while True:
        # judged in one place: the compiler writes all of it out wherever it is called
        of_two = of_one = (-1.0, 0, 0, 0, 0)
        for k in range(fresh):
            of_one = of_two
            of_two = judged(
                next_viable,
                next_lesion,
                one if k < fresh - 1 else two,
                within,
                hr,
                hc,
                limits,
                convention,
                own,
                best,
                stride,
            )
        if of_one[0] > of_two[0]:
            one, two, of_one, of_two = two, one, of_two, of_one
        if depth + 2 > len(stack):
            stack = _longer(stack, depth)
        # the most promising on top
        for k in range(2):
            part, of = (one, of_one) if k == 0 else (two, of_two)
            if of[0] >= 0.0:
                row = stack[depth]
                row[0], row[1], row[2], row[3] = part
                row[4], row[5], row[6], row[7], row[8] = of
                depth += 1
        while True:
            if depth == 0:
                return best, True
            depth -= 1
            if stack[depth, 4] < best:
                continue
            budget -= 1
            if budget < 0:
                return best, False
            a0, a1, b0, b1 = stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3]
            within = int(stack[depth, 7]), int(stack[depth, 8])
            if max(a1 - a0, b1 - b0) > _LEAF:
                break
            runs, tube = (int(stack[depth, 5]), int(stack[depth, 6])), (a0, a1, b0, b1)
            best = _try_tube(
                tables, tube, runs, within, viable, lesion, hy_mm, hx_mm, limits, convention, across, best, ends
            )
        if a1 - a0 >= b1 - b0:
            middle = 0.5 * (a0 + a1)
            one, two = (a0, middle, b0, b1), (middle, a1, b0, b1)
        else:
            middle = 0.5 * (b0 + b1)
            one, two = (a0, a1, b0, middle), (a0, a1, middle, b1)
        fresh = 2


@njit(cache=True, nogil=True)
def _box(mask):
    ny, nx = mask.shape
    y0, y1, x0, x1 = ny, -1, nx, -1
    for y in range(ny):
        for x in range(nx):
            if mask[y, x]:
                y0, y1, x0, x1 = min(y0, y), max(y1, y), min(x0, x), max(x1, x)
    return y0, y1 + 1, x0, x1 + 1


def _table(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    table = np.empty(mask.shape, np.int32)
    next_rows(np.ascontiguousarray(mask), table)
    return table


def _ways(viable: NDArray[np.bool_], lesion: NDArray[np.bool_]) -> tuple[Any, Any]:
    """A slice's two ways to be searched, lines along rows and lines along columns: tables, turned, the box's corner."""
    y0, y1, x0, x1 = _box(viable)
    living, allowed = viable[y0:y1, x0:x1], lesion[y0:y1, x0:x1]
    along = (_table(living), _table(allowed), False, (y0, x0))
    turned = (_table(living.T), _table(allowed.T), True, (y0, x0))
    return along, turned


def _seen_before(z: int, bounds: NDArray[np.float64], viable: NDArray[np.bool_], lesion: NDArray[np.bool_]) -> bool:
    """Whether a lower slice is the same: its chords are as long and win."""
    return any(
        np.array_equal(viable[y], viable[z]) and np.array_equal(lesion[y], lesion[z])
        for y in np.flatnonzero(bounds[:z] == bounds[z])
    )


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
    ways: dict[int, tuple[Any, Any]] = {}
    while slices:
        unfinished = []
        for z in slices:
            if bounds[z] < best or (bounds[z] == best and z > best_slice):
                continue
            # an equal chord wins in a lower slice and loses in a higher one; in the same slice its ends decide
            longer = best if z <= best_slice else np.nextafter(best, np.inf)
            before = best_ends if z == best_slice else np.full(4, NEVER, np.int64)
            ends = before.copy()
            done = True
            if z not in ways:
                ways[z] = _ways(viable[z], lesion[z])
            for way in ways[z]:
                arguments = (way, viable[z], lesion[z], hy_mm, hx_mm, limits, convention, (0.0, 0.0), longer, ends)
                longer, finished = _search(*arguments, budget)
                done = done and finished
            if (ends != before).any():
                best, best_slice, best_ends = longer, z, ends
            if not done:
                unfinished.append(z)
        slices = [z for z in unfinished if not _seen_before(z, bounds, viable, lesion)]
        budget *= _MORE
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
    best = -1.0
    if not viable.any():
        return best, ends
    along, turned = _ways(viable, lesion)
    # the way that runs across the direction first
    for way in (along, turned) if abs(ux) < abs(uy) else (turned, along):
        arguments = (way, viable, lesion, hy_mm, hx_mm, limits, CENTRE, (float(uy), float(ux)), best, ends)
        best, _ = _search(*arguments, NEVER)
    return best, ends
