"""The body on a straight coarse grid: patient axes, even spacing, soft tissue apart from air, table and padding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.kernels import blocks
from livervol.kernels.components import keep_largest
from livervol.kernels.morphology import open_mm
from livervol.scan import Scan

__all__ = ["BodyBox", "StraightScan", "block_means", "body_box", "soft_tissue", "straight_scan"]

#: CT above which a voxel counts as soft tissue. Fat lies at -120..-60 HU; stays clear of windows clipped at -100.
SOFT_TISSUE_HU = -60.0

#: The same for MR, as a fraction of the bright end (99.5th percentile): air and lung are noise, fat may be suppressed.
SOFT_TISSUE_MR_FRACTION = 0.08


@dataclass(frozen=True, eq=False)
class StraightScan:
    """A scan averaged onto a cubic lattice along the patient's axes.

    ``values`` float32, shape (nz, ny, nx), unit of the scan, the field's minimum outside it; ``inside`` is the field of
    view; ``grid`` has LPS axes and spacing ``spacing_mm`` on each. ``low`` and ``high`` bound the tissue intensities:
    -125 to 275 HU for CT, 0 to the 99.5th percentile for MR.
    """

    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    grid: Grid
    modality: str
    low: float
    high: float

    @property
    def spacing_mm(self) -> float:
        """Voxel side in mm."""
        return self.grid.spacing_mm[0]

    def points_mm(self, step: int = 1) -> NDArray[np.float32]:
        """LPS positions as (z, y, x) mm of block centres of ``step`` voxels, shape (nz', ny', nx', 3)."""
        shape = [n // step for n in self.values.shape]
        origin = np.asarray(self.grid.origin_lps_mm)[::-1] + (step - 1) / 2 * self.spacing_mm
        axes = [o + step * self.spacing_mm * np.arange(n) for o, n in zip(origin, shape, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)

    def crop(self, box: tuple[slice, slice, slice]) -> StraightScan:
        """The part of the field in a box."""
        grid = self.grid.crop([s.start for s in box], [s.stop for s in box])
        values, inside = np.ascontiguousarray(self.values[box]), np.ascontiguousarray(self.inside[box])
        return replace(self, values=values, inside=inside, grid=grid)


def straight_scan(scan: Scan, spacing_mm: float) -> StraightScan:
    """The scan on a cubic lattice of ``spacing_mm`` along the patient's axes, in the scan's unit.

    Voxels are averaged in whole blocks first, so that fine noise does not fold into the coarse grid, then interpolated
    linearly. Raises ``ScanError`` when the field is thinner than two coarse voxels on an axis.
    """
    fz, fy, fx = (
        min(max(1, int(spacing_mm / s + 0.25)), n)
        for s, n in zip(scan.grid.spacing_mm, scan.grid.shape_zyx, strict=True)
    )
    factors = (fz, fy, fx)
    values = block_means(scan.voxels, factors)
    matrix = scan.grid.matrix
    matrix[:3, 3] = scan.grid.index_to_lps([(f - 1) / 2 for f in factors])
    matrix[:3, :3] *= factors
    averaged = Scan(values, Grid.from_matrix(values.shape, matrix), scan.modality, scan.sequence)
    corners = scan.grid.corners_lps_mm()
    first, last = corners.min(axis=0), corners.max(axis=0)
    shape_xyz = np.floor((last - first) / spacing_mm + 1e-6).astype(int) + 1
    if shape_xyz.min() < 2:
        raise ScanError(
            refusal(
                "field of view is too small for a liver",
                expected=f"more than {2 * spacing_mm:g} mm on every axis",
                got=scan.grid.describe(),
                do="Give the whole volume, not a single slice.",
            )
        )
    origin = first + ((last - first) - (shape_xyz - 1) * spacing_mm) / 2
    grid = Grid.from_parts(shape_xyz[::-1].tolist(), (spacing_mm,) * 3, origin.tolist())
    resampled = averaged.resampled(grid, outside=np.nan).voxels
    inside = np.isfinite(resampled)
    floor = float(values.min())
    low, high = (-125.0, 275.0) if scan.modality == "CT" else (0.0, float(np.percentile(values, 99.5)))
    return StraightScan(np.where(inside, resampled, np.float32(floor)), inside, grid, scan.modality, low, high)


def soft_tissue(values: NDArray[np.float32], straight: StraightScan, spacing_mm: float) -> NDArray[np.bool_]:
    """Mask of the patient's soft tissue and bone: the largest piece above the soft-tissue level, without the table."""
    if straight.modality == "CT":
        level = SOFT_TISSUE_HU
    else:
        level = SOFT_TISSUE_MR_FRACTION * straight.high
    bright = values > level
    opened = open_mm(bright, 1.2 * spacing_mm, (spacing_mm,) * 3)
    return keep_largest(opened if opened.any() else bright).astype(np.bool_)


@dataclass(frozen=True)
class BodyBox:
    """Centre (y, x) and size (depth, width) of the trunk in mm, over a range of levels."""

    centre_yx_mm: tuple[float, float]
    depth_mm: float
    width_mm: float


def body_box(tissue: NDArray[np.bool_], points_mm: NDArray[np.float32], z_mm: float, reach_mm: float) -> BodyBox | None:
    """The trunk's box within ``reach_mm`` of level ``z_mm``, or None where there is no trunk.

    A row or column belongs to the trunk when more than half of the levels have tissue in it: arms and tubes do not
    count. ``tissue`` (nz, ny, nx), ``points_mm`` (nz, ny, nx, 3).
    """
    levels = np.abs(points_mm[:, 0, 0, 0] - z_mm) <= reach_mm
    if not levels.any():
        return None
    inside = tissue[levels]
    rows = np.flatnonzero(inside.any(axis=2).mean(axis=0) > 0.5)
    columns = np.flatnonzero(inside.any(axis=1).mean(axis=0) > 0.5)
    if rows.size < 5 or columns.size < 5:
        return None
    y_mm = points_mm[0, rows[[0, -1]], 0, 1]
    x_mm = points_mm[0, 0, columns[[0, -1]], 2]
    centre = (float(y_mm.mean()), float(x_mm.mean()))
    return BodyBox(centre, float(y_mm[1] - y_mm[0]), float(x_mm[1] - x_mm[0]))


def block_means(values: NDArray[np.generic], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means over whole blocks of ``factors`` voxels per axis, float32; what does not fill a block is left out."""
    if values.dtype.kind in "iu":
        return blocks.block_means(values, factors)
    counts = [n // f for n, f in zip(values.shape, factors, strict=True)]
    whole = values[tuple(slice(0, n * f) for n, f in zip(counts, factors, strict=True))]
    split = whole.reshape([part for pair in zip(counts, factors, strict=True) for part in pair])
    means: NDArray[np.float32] = split.mean(axis=(1, 3, 5), dtype=np.float32)
    return means
