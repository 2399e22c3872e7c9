"""The liver's own tissue in one phase: where it is, how bright it should be there, and how much it scatters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.kernels.components import label_components
from livervol.kernels.distance import distance_mm
from livervol.kernels.morphology import dilate_mm, erode_mm, open_mm
from livervol.kernels.smooth import gaussian
from livervol.scan import Scan, Segmentation

__all__ = ["Tissue", "WorkGrid", "liver_tissue", "peak_of", "smoothed_inside", "work_grid"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Cubic working voxel in mm: three across the smallest lesion reported.
WORK_MM = 2.0
#: Room around the liver in mm.
MARGIN_MM = 8.0
#: Fissural fat on lightly smoothed CT: connected voxels below the first, some of them below the second (HU); a cyst has
#: none of those. Its partial volume reaches so far (mm).
FAT_HU, SURE_FAT_HU, FAT_REACH_MM = 5.0, -20.0, 2.5
#: Smoothing before fat is looked for (mm), the first after which parenchyma scatters no more than this (HU).
FAT_SMOOTH_MM, FAT_SCATTER_HU = (1.0, 1.5, 2.5, 4.0), 16.0
#: Slivers thinner than twice this, left between fat and capsule, are no tissue to be judged (mm).
SLIVER_MM = 3.0
#: Signal of MR liver parenchyma is scaled to this, so that one set of contrast thresholds serves CT and MR.
MR_LIVER_SIGNAL = 100.0
#: The scatter round the fitted field may exceed that of the most frequent value by this factor.
WIDEST = 1.25
#: Smoothing the scatter is learnt at (mm): the first, unless a CT scatters more than usual there (HU); then the first
#: at which it is small, lest lesions pass for scatter.
SMOOTH_MM, USUAL_SCATTER_HU, SMALL_SCATTER_HU = (1.5, 2.5, 4.0, 6.0), 9.0, 6.5
#: Least liver in which parenchyma can be told from lesions (ml).
MIN_LIVER_ML = 100.0


@dataclass(frozen=True, eq=False)
class WorkGrid:
    """The liver's box as cubic voxels; ``liver`` is the mask there."""

    grid: Grid
    box: tuple[slice, slice, slice]
    liver: Bools


@dataclass(frozen=True, eq=False)
class Tissue:
    """One phase on the working grid.

    ``values``    HU (CT) or signal scaled to a liver of 100 (MR).
    ``residual``  values less the expected parenchyma there; 0 outside ``inside``.
    ``inside``    liver without fat, its partial volume and slivers; ``depth_mm`` the distance to its outside.
    ``level``     usual parenchyma value; ``sigma`` its scatter after smoothing by ``smooth_mm``, 1.5 unless noisy.
    ``scatter``   what it would be after 1.5 mm.
    """

    values: Floats
    residual: Floats
    inside: Bools
    depth_mm: Floats
    level: float
    sigma: float
    smooth_mm: float
    scatter: float


def work_grid(liver: Segmentation) -> WorkGrid:
    """The box around the liver with 2 mm cubic voxels. Raises ``ScanError`` for a liver below 100 ml."""
    mask, grid = liver.mask(), liver.grid
    volume_ml = float(mask.sum()) * grid.voxel_ml
    if volume_ml < MIN_LIVER_ML:
        raise ScanError(
            refusal(
                "liver is too small to judge",
                expected=f"at least {MIN_LIVER_ML:.0f} ml",
                got=f"{volume_ml:.0f} ml",
                do="Check the liver mask.",
            )
        )
    box = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = math.ceil(MARGIN_MM / grid.spacing_mm[axis])
        box.append(slice(max(0, int(there[0]) - margin), min(grid.shape_zyx[axis], int(there[-1]) + 1 + margin)))
    z, y, x = box
    work = grid.crop([s.start for s in box], [s.stop for s in box]).with_spacing((WORK_MM,) * 3)
    return WorkGrid(work, (z, y, x), _to_work(mask, grid, (z, y, x), work) >= 0.5)


def _to_work(values: NDArray[np.generic], grid: Grid, box: tuple[slice, slice, slice], work: Grid) -> Floats:
    part = np.ascontiguousarray(values[box]).astype(np.float32)
    source = grid.crop([s.start for s in box], [s.stop for s in box])
    if min(source.spacing_mm) < 0.8 * WORK_MM:
        part = gaussian(part, 0.3 * WORK_MM, source.spacing_mm)  # finer voxels: average, do not pick
    result: Floats = Scan(part, source, "MR", "other").resampled(work, outside=float(part.min())).voxels
    return result


def smoothed_inside(values: Floats, inside: Bools, sigma_mm: float, grid: Grid) -> Floats:
    """Gaussian mean over ``inside`` only (normalised convolution, Knutsson & Westin 1993, CVPR 515)."""
    weight = gaussian(inside.view(np.uint8), sigma_mm, grid.spacing_mm)
    total = gaussian(np.where(inside, values, 0).astype(np.float32), sigma_mm, grid.spacing_mm)
    return np.divide(total, np.maximum(weight, np.float32(1e-3)), dtype=np.float32)


def liver_tissue(scan: Scan, work: WorkGrid) -> Tissue:
    """Parenchyma model of one phase: a quadratic in place fitted robustly around the liver's most frequent value."""
    spacing = work.grid.spacing_mm
    values = _to_work(scan.voxels, scan.grid, work.box, work.grid)
    inside = work.liver
    if scan.modality == "CT":
        fat = _fat(_quiet(values, inside, work.grid), dilate_mm(inside, 2.0, spacing) != 0)
        inside = inside & (dilate_mm(fat, FAT_REACH_MM, spacing) == 0)
    inside = open_mm(inside, SLIVER_MM, spacing) != 0
    limits = (USUAL_SCATTER_HU, SMALL_SCATTER_HU) if scan.modality == "CT" else (math.inf, math.inf)
    tissue = _fitted(values, inside, work.grid, limits)
    if scan.modality == "MR" and tissue.level > 0:
        scale = np.float32(MR_LIVER_SIGNAL / tissue.level)
        tissue = replace(
            tissue,
            values=values * scale,
            residual=tissue.residual * scale,
            level=MR_LIVER_SIGNAL,
            sigma=float(tissue.sigma * scale),
            scatter=float(tissue.scatter * scale),
        )
    return tissue


def _quiet(values: Floats, liver: Bools, grid: Grid) -> Floats:
    """Values smoothed by 1 mm, or as far as it takes for noise not to look like fat."""
    core = erode_mm(liver, 4.0, grid.spacing_mm) != 0
    smooth = gaussian(values, FAT_SMOOTH_MM[0], grid.spacing_mm)
    for smooth_mm in FAT_SMOOTH_MM[1:]:
        if not core.any() or peak_of(smooth[core])[1] <= FAT_SCATTER_HU:
            break
        smooth = gaussian(values, smooth_mm, grid.spacing_mm)
    return smooth


def _fat(smooth: Floats, near_liver: Bools) -> Bools:
    labels, stats = label_components((smooth < FAT_HU) & near_liver, connectivity=6)
    sure = np.zeros(len(stats.voxels) + 1, bool)
    sure[np.unique(labels[smooth < SURE_FAT_HU])] = True
    sure[0] = False
    return np.asarray(sure[labels])


def _fitted(values: Floats, inside: Bools, grid: Grid, limits: tuple[float, float]) -> Tissue:
    core = erode_mm(inside, 4.0, grid.spacing_mm) != 0
    if core.sum() * grid.voxel_ml < 0.25 * MIN_LIVER_ML:
        raise ScanError(
            refusal(
                "no liver tissue to learn from",
                expected=f"{0.25 * MIN_LIVER_ML:.0f} ml of liver away from fat and capsule",
                got=f"{core.sum() * grid.voxel_ml:.0f} ml",
                do="Check that the liver mask fits the scan.",
            )
        )
    scatter = 0.0
    for smooth_mm in SMOOTH_MM:
        smooth = gaussian(values, smooth_mm, grid.spacing_mm)
        level, sigma = peak_of(smooth[core])
        scatter = scatter or sigma
        if sigma <= limits[smooth_mm > SMOOTH_MM[0]]:
            break
    widest = WIDEST * sigma
    at = np.argwhere(core)
    centre, scale = at.mean(axis=0), at.std(axis=0) + 1.0
    some = at[:: max(1, len(at) // 40000)]
    base, seen = _quadratic(some, centre, scale), smooth[tuple(some.T)].astype(np.float64)
    coefficients = np.zeros(base.shape[1])
    coefficients[0] = level
    for _ in range(8):
        # Tukey's biweight: lesions and vessels drop out; the small penalty keeps the field from following them
        off = seen - base @ coefficients
        weight: NDArray[np.float64] = np.maximum(0, 1 - (off / (3 * sigma)) ** 2) ** 2
        penalty = np.diag([1e-6] + [0.02 * float(weight.sum())] * (base.shape[1] - 1))
        weighted = base * weight[:, None]
        coefficients = np.linalg.solve(weighted.T @ base + penalty, weighted.T @ seen)
        near = np.abs(off) < 3 * sigma
        # where lesions take much of the liver, each round would let more of them in
        sigma = min(widest, max(1e-3 * abs(level) + 1e-6, 1.4826 * float(np.median(np.abs(off[near])))))
    place = np.argwhere(inside)
    residual = np.zeros_like(values)
    residual[inside] = values[inside] - (_quadratic(place, centre, scale) @ coefficients).astype(np.float32)
    # the field of view ends like a surface: the first and last slices are half outside
    depth = distance_mm(inside, grid.spacing_mm, border_is_background=True)
    return Tissue(values, residual, inside, depth, level, sigma, smooth_mm, max(scatter, sigma))


def _quadratic(
    index: NDArray[np.int64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    z, y, x = ((index - centre) / scale).T
    columns = np.stack([np.ones_like(z), z, y, x, z * z, y * y, x * x, z * y, z * x, y * x], axis=1)
    return columns


def peak_of(values: Floats) -> tuple[float, float]:
    """Most frequent value and the standard deviation of its peak, from the half width on the narrower side."""
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
    if high <= low:
        return low, 1e-3 * abs(low) + 1e-6
    heights, edges = np.histogram(values, bins=np.linspace(low, high, 121))
    smooth = np.convolve(heights, np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2), mode="same")
    top = int(np.argmax(smooth))
    above = smooth > 0.5 * smooth[top]
    left = top - next((i for i in range(top, -1, -1) if not above[i]), -1)
    right = next((i for i in range(top, len(above)) if not above[i]), len(above)) - top
    width = float(edges[1] - edges[0])
    return float(edges[top] + 0.5 * width), max(width, min(left, right) * width / 1.1774)
