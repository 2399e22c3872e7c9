"""A mask that covers a part of a scan's lattice, put back on the scan's whole grid without resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from livervol.errors import GridError, refusal
from livervol.grid import Grid
from livervol.scan import Segmentation

__all__ = ["offset_on", "placed", "placed_on_any"]

#: Distance between a voxel and the lattice's below which they are one: positions are written with one decimal at worst.
_APART_MM = 0.06


def offset_on(grid: Grid, scan: Grid) -> tuple[int, int, int] | None:
    """Index in ``scan`` of voxel (0, 0, 0) of ``grid`` when every voxel of it coincides with one of the scan's lattice.

    Both in canonical axes; parts outside the scan are allowed. None when the lattices differ or the frames of
    reference are known to.
    """
    if grid.frame is not None and scan.frame is not None and grid.frame != scan.frame:
        return None
    start = np.rint(scan.lps_to_index(grid.origin_lps_mm))
    if not np.isfinite(start).all() or np.abs(start).max() > 1 << 20:
        return None
    matrix = scan.matrix
    matrix[:3, 3] = scan.index_to_lps(start)
    # one plane has no step of its own
    for axis, count in enumerate(grid.shape_zyx):
        if count == 1 and float(grid.directions[:, axis] @ scan.directions[:, axis]) > 0.999:
            own = grid.matrix
            own[:3, axis] = matrix[:3, axis]
            grid = Grid.from_matrix(grid.shape_zyx, own, grid.frame)
    there = Grid.from_matrix(grid.shape_zyx, matrix, grid.frame)
    if not there.matches(grid, _APART_MM):
        return None
    z, y, x = (int(v) for v in start)
    return z, y, x


def placed(mask: Segmentation, scan: Grid) -> Segmentation | None:
    """The mask on the scan's whole grid, voxel for voxel, background elsewhere; None when the lattices differ.

    Raises ``GridError`` when labelled voxels lie outside the scan.
    """
    offset = offset_on(mask.grid, scan)
    if offset is None:
        return None
    starts = [max(0, start) for start in offset]
    stops = [min(size, start + n) for start, n, size in zip(offset, mask.grid.shape_zyx, scan.shape_zyx, strict=True)]
    there = tuple(slice(a, max(a, b)) for a, b in zip(starts, stops, strict=True))
    here = tuple(slice(s.start - start, s.stop - start) for s, start in zip(there, offset, strict=True))
    labels = np.zeros(scan.shape_zyx, mask.labels.dtype)
    labels[there] = mask.labels[here]
    outside = int(np.count_nonzero(mask.labels)) - int(np.count_nonzero(labels))
    if outside:
        raise GridError(
            refusal(
                "mask reaches outside the scan",
                expected=f"all labelled voxels in {scan.describe()}",
                got=f"{outside} voxels outside",
                do="Give the scan that the mask was drawn on.",
            )
        )
    return replace(mask, labels=labels, grid=scan)


def placed_on_any(mask: Segmentation, scans: Sequence[Grid]) -> Segmentation:
    """The mask on the first of the scans' grids whose lattice it lies on, else as it is."""
    for scan in scans:
        found = placed(mask, scan)
        if found is not None:
            return found
    return mask
