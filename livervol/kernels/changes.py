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
    count = _count(before, after)
    starts, lengths = np.empty(count, np.int64), np.empty(count, np.int64)
    old, new = np.empty(count, np.uint16), np.empty(count, np.uint16)
    _fill(before, after, starts, lengths, old, new)
    return starts, lengths, old, new


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
def _count(before, after):
    nz, ny, nx = before.shape
    count = 0
    for z in range(nz):
        for y in range(ny):
            a, b = before[z, y], after[z, y]
            x = 0
            while x < nx:
                if a[x] == b[x]:
                    x += 1
                    continue
                count += 1
                old, new = a[x], b[x]
                while x < nx and a[x] == old and b[x] == new:
                    x += 1
    return count


@njit(cache=True, nogil=True)
def _fill(before, after, starts, lengths, old, new):
    nz, ny, nx = before.shape
    k = 0
    for z in range(nz):
        for y in range(ny):
            a, b = before[z, y], after[z, y]
            x = 0
            while x < nx:
                if a[x] == b[x]:
                    x += 1
                    continue
                first = x
                old[k], new[k] = a[x], b[x]
                while x < nx and a[x] == a[first] and b[x] == b[first]:
                    x += 1
                starts[k] = (z * ny + y) * nx + first
                lengths[k] = x - first
                k += 1


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
