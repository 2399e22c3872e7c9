"""Shortest distances from one set of voxels to each label of a label map, exact, by runs instead of voxels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LabelRuns", "label_runs", "least_gaps"]

Spacing = tuple[float, float, float]

#: Rows on a side of the blocks that a body is searched by.
BLOCK_ROWS = 4


class LabelRuns(NamedTuple):
    """Runs along x of one value each: row (z, y), first and last x, value; in scan order, background left out."""

    place: NDArray[np.int32]  # (n, 4): z, y, first x, last x
    value: NDArray[np.int32]  # (n,)


def label_runs(labels: NDArray[Any], within: NDArray[Any] | None = None) -> LabelRuns:
    """The runs of a label map [z, y, x]; with ``within`` only where that is not zero."""
    mask = labels if within is None else within
    count = _walk(labels, mask, np.empty((0, 4), np.int32), np.empty(0, np.int32))
    place, value = np.empty((count, 4), np.int32), np.empty(count, np.int32)
    _walk(labels, mask, place, value)
    return LabelRuns(place, value)


def least_gaps(runs: LabelRuns, body: LabelRuns, spacing_mm: Spacing, size: int) -> NDArray[np.float64]:
    """Shortest distance in mm from any voxel centre of ``body`` to any of each value, shape (size,); infinite if none.

    Both are runs on one grid. Exact: the least of ``(dz sz)^2 + (dy sy)^2 + (dx sx)^2`` in double precision whatever
    the order, so a part of a scan gives the same bits as the whole. Rows are left out by the distance to the body's
    box alone where that is no shorter than what was found.
    """
    best = np.full(size, np.inf)
    if body.value.size:
        blocks = _blocks(body.place)
        _search(runs.place, runs.value, *blocks, np.asarray(spacing_mm, np.float64), best)
    return np.sqrt(best)


def _blocks(place: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Runs ordered by blocks of neighbouring rows; where each block starts; low and high corners of the blocks' boxes
    and, last, of the whole.
    """
    keys = (place[:, 0] // BLOCK_ROWS) * (int(place[:, 1].max()) // BLOCK_ROWS + 1) + place[:, 1] // BLOCK_ROWS
    order = np.argsort(keys, kind="stable")
    runs = np.ascontiguousarray(place[order])
    first = np.flatnonzero(np.diff(keys[order], prepend=-1))
    low, high = runs[:, :3], runs[:, [0, 1, 3]]
    lows = np.vstack([np.minimum.reduceat(low, first), low.min(axis=0)])
    highs = np.vstack([np.maximum.reduceat(high, first), high.max(axis=0)])
    return runs, np.append(first, len(runs)), lows, highs


@njit(cache=True, nogil=True)
def _walk(labels, mask, place, value):
    nz, ny, nx = labels.shape
    writing = value.size > 0
    count = 0
    for z in range(nz):
        for y in range(ny):
            row, where = labels[z, y], mask[z, y]
            x = 0
            while x < nx:
                if row[x] == 0 or where[x] == 0:
                    x += 1
                    continue
                first, own = x, row[x]
                while x < nx and row[x] == own and where[x] != 0:
                    x += 1
                if writing:
                    place[count, 0], place[count, 1], place[count, 2], place[count, 3] = z, y, first, x - 1
                    value[count] = own
                count += 1
    return count


@njit(cache=True, nogil=True)
def _apart(low, high, first, last):
    # steps between the nearest voxels of two stretches of an axis
    return max(0, low - last, first - high)


@njit(cache=True, nogil=True)
def _to_box(place, low, high, spacing):
    dz = _apart(place[0], place[0], low[0], high[0]) * spacing[0]
    dy = _apart(place[1], place[1], low[1], high[1]) * spacing[1]
    dx = _apart(place[2], place[3], low[2], high[2]) * spacing[2]
    return dz * dz + dy * dy + dx * dx


@njit(cache=True, nogil=True)
def _to_body(place, body, starts, low, high, spacing, best):
    for block in range(starts.size - 1):
        if _to_box(place, low[block], high[block], spacing) >= best:
            continue
        for k in range(starts[block], starts[block + 1]):
            dz = abs(place[0] - body[k, 0]) * spacing[0]
            dy = abs(place[1] - body[k, 1]) * spacing[1]
            dx = _apart(place[2], place[3], body[k, 2], body[k, 3]) * spacing[2]
            best = min(best, dz * dz + dy * dy + dx * dx)
    return best


@njit(cache=True, nogil=True)
def _search(places, values, body, starts, low, high, spacing, best):
    # blocks of the body's runs with their boxes; the last box is the whole body's
    whole = starts.size - 1
    nearest = np.full(best.size, -1, np.int64)
    least = np.full(best.size, np.inf)
    for run in range(values.size):
        bound = _to_box(places[run], low[whole], high[whole], spacing)
        if bound < least[values[run]]:
            least[values[run]] = bound
            nearest[values[run]] = run
    # the run of each value that could be nearest sets a first mark
    for value in range(best.size):
        if nearest[value] >= 0:
            best[value] = _to_body(places[nearest[value]], body, starts, low, high, spacing, best[value])
    for run in range(values.size):
        value = values[run]
        if _to_box(places[run], low[whole], high[whole], spacing) < best[value]:
            best[value] = _to_body(places[run], body, starts, low, high, spacing, best[value])
