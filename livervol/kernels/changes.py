"""Where two label arrays differ, as runs; and a run list written into an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["change_runs", "write_change"]


def change_runs(
    before: NDArray[Any], after: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint16]]:
    """(starts, lengths, old, new) of the runs of voxels that differ, with one old and one new value each.

    Arrays [z, y, x] of the same shape, values 0 to 65535; ``starts`` are flat indices into that shape, increasing; a
    run ends with its row.
    """
    runs = _room(_walk(before, after, *_room(0)))
    _walk(before, after, *runs)
    return runs


def _room(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint16]]:
    places = np.empty((2, count), np.int64)
    values = np.empty((2, count), np.uint16)
    return places[0], places[1], values[0], values[1]


def write_change(
    line: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64], old: NDArray[Any], new: NDArray[Any]
) -> int:
    """Set the runs of a flat array from ``old`` to ``new``; returns how many voxels held something else.

    Nothing is written unless every voxel holds its old value.
    """
    wrong = int(_misfits(line, starts, lengths, old))
    if wrong == 0:
        _write(line, starts, lengths, new)
    return wrong


@njit(cache=True, nogil=True)
def _walk(before, after, starts, lengths, old, new):
    # with empty arrays the runs are only counted
    nz, ny, nx = before.shape
    writing = starts.size > 0
    count = 0
    for z in range(nz):
        for y in range(ny):
            a, b = before[z, y], after[z, y]
            x = 0
            while x < nx:
                if a[x] == b[x]:
                    x += 1
                    continue
                first = x
                while x < nx and a[x] == a[first] and b[x] == b[first]:
                    x += 1
                if writing:
                    starts[count], lengths[count] = (z * ny + y) * nx + first, x - first
                    old[count], new[count] = a[first], b[first]
                count += 1
    return count


@njit(cache=True, nogil=True)
def _misfits(line, starts, lengths, old):
    wrong = 0
    for k in range(starts.size):
        for i in range(starts[k], starts[k] + lengths[k]):
            wrong += line[i] != old[k]
    return wrong


@njit(cache=True, nogil=True)
def _write(line, starts, lengths, new):
    for k in range(starts.size):
        for i in range(starts[k], starts[k] + lengths[k]):
            line[i] = new[k]
