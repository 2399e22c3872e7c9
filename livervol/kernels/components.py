"""Connected components of a mask with their statistics, in one pass over the runs of each row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, pack
from livervol.kernels.runs import Runs, join_runs, runs_of_rows, write_runs

__all__ = ["ComponentStats", "component_stats", "keep_largest", "label_components", "remove_small"]


class ComponentStats(NamedTuple):
    """What is known of each component; row ``k`` describes label ``k + 1``. Index units, no millimetres."""

    voxels: NDArray[np.int64]  # (n,)
    start_zyx: NDArray[np.int64]  # (n, 3) first index inside the bounding box
    stop_zyx: NDArray[np.int64]  # (n, 3) first index past it
    sum_zyx: NDArray[np.int64]  # (n, 3) sum of the voxels' indices

    @property
    def centroid_zyx(self) -> NDArray[np.float64]:
        """Mean index of each component's voxel centres, shape (n, 3)."""
        return self.sum_zyx / self.voxels[:, None]


def label_components(mask: NDArray[Any], connectivity: int = 26) -> tuple[NDArray[np.int32], ComponentStats]:
    """Label of each voxel (0 background, 1..n in the scan order of each component's first voxel), with statistics.

    Voxels belong together when they share a face (``connectivity`` 6), an edge (18) or a corner (26). ``mask`` is
    [z, y, x], bool or uint8 with zero as background; other types are compared with zero first. Labels are int32.
    Method: runs of each row joined by union-find (He, Chao & Suzuki 2008, IEEE Trans Image Process 17:749).
    """
    runs, numbers, stats = _join(mask, connectivity)
    labels = np.zeros(mask.shape, np.int32)
    write_runs(labels, runs, numbers)
    return labels, stats


def component_stats(mask: NDArray[Any], connectivity: int = 26) -> ComponentStats:
    """Voxel counts, bounding boxes and index sums of what ``label_components`` finds, without its label image."""
    return _join(mask, connectivity)[2]


def keep_largest(mask: NDArray[Any], connectivity: int = 6) -> NDArray[np.uint8]:
    """Mask (0 and 1) of the component with the most voxels; the first in scan order on a tie; empty stays empty."""
    runs, numbers, stats = _join(mask, connectivity)
    keep = np.zeros(stats.voxels.size + 1, np.uint8)
    if stats.voxels.size:
        keep[1 + int(np.argmax(stats.voxels))] = 1
    chosen = np.zeros(mask.shape, np.uint8)
    write_runs(chosen, runs, keep[numbers])
    return chosen


def remove_small(mask: NDArray[Any], min_voxels: int, connectivity: int = 6) -> NDArray[np.uint8]:
    """Mask (0 and 1) of the components with at least ``min_voxels`` voxels."""
    runs, numbers, stats = _join(mask, connectivity)
    keep = np.zeros(stats.voxels.size + 1, np.uint8)
    keep[1:] = stats.voxels >= min_voxels
    chosen = np.zeros(mask.shape, np.uint8)
    write_runs(chosen, runs, keep[numbers])
    return chosen


def _join(mask: NDArray[Any], connectivity: int) -> tuple[Runs, NDArray[np.int32], ComponentStats]:
    # the runs of the mask, the label of each run, and the statistics
    if connectivity not in (6, 18, 26):
        raise ValueError(f"connectivity is not a neighbourhood: expected 6, 18 or 26, got {connectivity}.")
    nz, ny, nx = mask.shape
    runs = runs_of_rows(pack(as_bytes(mask)), nx)
    parent = join_runs(runs, nz, ny, connectivity)
    count = _number(parent)
    tallies = np.zeros((count, 10), np.int64)
    _tally(runs.offsets, runs.starts, runs.stops, parent, ny, tallies)
    stats = ComponentStats(tallies[:, 0], tallies[:, 1:4], tallies[:, 4:7], tallies[:, 7:10])
    return runs, parent, stats


@njit(cache=True, nogil=True)
def _number(parent):
    # roots hold the smallest run of their component, so one forward pass settles every run
    count = 0
    for run in range(parent.size):
        if parent[run] == run:
            count += 1
            parent[run] = count
        else:
            parent[run] = parent[parent[run]]
    return count


@njit(cache=True, nogil=True)
def _tally(offsets, starts, stops, numbers, ny, tallies):
    # each row of tallies: voxels, start zyx, stop zyx, sum zyx, side by side because they are touched together
    for row in range(offsets.size - 1):
        z, y = row // ny, row % ny
        for run in range(offsets[row], offsets[row + 1]):
            k = numbers[run] - 1
            a, b = np.int64(starts[run]), np.int64(stops[run])
            length = b - a
            if tallies[k, 0] == 0:
                tallies[k, 1], tallies[k, 2], tallies[k, 3] = z, y, a
            else:
                tallies[k, 2] = min(tallies[k, 2], y)
                tallies[k, 3] = min(tallies[k, 3], a)
            tallies[k, 4] = z + 1
            tallies[k, 5] = max(tallies[k, 5], y + 1)
            tallies[k, 6] = max(tallies[k, 6], b)
            tallies[k, 0] += length
            tallies[k, 7] += z * length
            tallies[k, 8] += y * length
            tallies[k, 9] += (a + b - 1) * length // 2
