"""Medians of the organs that tell the contrast phase of a CT scan."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels.components import component_stats, label_components
from livervol.scan import Scan, Segmentation
from livervol.segment.phase_landmarks import (
    BODY_HU,
    CLIP_HU,
    Bools,
    Coarse,
    Floats,
    body_mask,
    coarse_of,
    disc_path,
    median_along,
    spine_line,
)
from livervol.segment.phase_rules import OrganSamples

__all__ = ["liver_core", "sample_organs"]


def _local(values: Floats, spacing_mm: tuple[float, float, float], width_mm: float) -> tuple[Floats, Floats]:
    size = [max(1, int(width_mm / s)) | 1 for s in spacing_mm]
    mean = ndimage.uniform_filter(values, size)
    return mean, np.sqrt(np.maximum(0, ndimage.uniform_filter(values * values, size) - mean * mean))


def _lung_base_mm(coarse: Coarse, body: Bools) -> float | None:
    """Height of the lowest slice that holds much air inside the body, in mm from the first slice."""
    air = ndimage.binary_opening(coarse.values < BODY_HU - 2, structure=np.ones((1, 3, 3)), iterations=2)
    area = np.array([(ndimage.binary_fill_holes(b) & a).sum() for b, a in zip(body, air, strict=True)], float)
    area *= coarse.spacing_mm[1] * coarse.spacing_mm[2] / 100.0
    if area.max() < 60.0:
        return None
    z = int(np.argmax(area))
    while z > 0 and area[z - 1] > 0.3 * area.max():
        z -= 1
    return z * coarse.spacing_mm[0]


def _best_region(
    coarse: Coarse,
    mean_and_even: tuple[Floats, Bools],
    centres_hu: range,
    half_width_hu: float,
    min_ml: float,
    score: Callable[[float, float, NDArray[np.float64]], float],
) -> Bools | None:
    """The connected region of one band of values that scores best by (ml, band centre, centroid zyx), or None."""
    mean, even = mean_and_even
    best, chosen = 0.0, (0.0, -1)
    for centre in centres_hu:
        stats = component_stats(even & (np.abs(mean - centre) < half_width_hu), connectivity=6)
        for number, (voxels, at) in enumerate(zip(stats.voxels, stats.centroid_zyx, strict=True)):
            ml = float(voxels) * coarse.voxel_ml
            value = score(ml, float(centre), at) if ml >= min_ml else 0.0
            if value > best:
                best, chosen = value, (float(centre), number)
    if chosen[1] < 0:
        return None
    labels, _ = label_components(even & (np.abs(mean - chosen[0]) < half_width_hu), connectivity=6)
    region: Bools = labels == chosen[1] + 1
    return region


def liver_core(coarse: Coarse, body: Bools, line: NDArray[np.float64]) -> Bools | None:
    """An even part of the liver: the best connected region of one tissue right of the spine below the lungs, or None.

    Tissue is even where 10 mm boxes scatter no more than the quieter soft tissue of the same scan. Bands of 28 HU are
    tried in turn; volume, a place in front of the spine and nearness to the lung bases decide.
    """
    mean, spread = _local(coarse.values, coarse.spacing_mm, 10.0)
    soft = (coarse.values > 0) & (coarse.values < 250)
    if not soft.any():
        return None
    even = (mean > 20) & (mean < 220) & (spread < max(14.0, 1.5 * float(np.percentile(spread[soft], 25))))
    x = np.arange(mean.shape[2])[None, None]
    y = np.arange(mean.shape[1])[None, :, None]
    _, dy, dx = coarse.spacing_mm
    even &= (x < (line[:, 1] - 15 / dx)[:, None, None]) & (y < (line[:, 0] + 45 / dy)[:, None, None])
    base = _lung_base_mm(coarse, body)

    def score(ml: float, centre: float, at: NDArray[np.float64]) -> float:
        z = min(len(line) - 1, int(at[0]))
        result = ml * math.exp(-0.5 * (((at[1] - line[z, 0]) * dy + 35) / 30) ** 2)
        if base is not None:
            result *= math.exp(-0.5 * ((at[0] * coarse.spacing_mm[0] - base + 50) / 70) ** 2)
        return result

    return _best_region(coarse, (mean, even), range(34, 220, 12), 14.0, 30.0, score)


def _outline(core: Bools, spacing_mm: tuple[float, float, float]) -> Bools:
    """The core closed by 16 mm and filled slice by slice: vessels and lesions belong to the liver again."""
    times = max(1, int(16 / spacing_mm[1]))
    filled = np.zeros_like(core)
    for z in np.flatnonzero(core.any(axis=(1, 2))):
        padded = np.pad(core[z], times + 1)
        closed = ndimage.binary_fill_holes(ndimage.binary_closing(padded, iterations=times))
        filled[z] = closed[times + 1 : -times - 1, times + 1 : -times - 1]
    return filled


def _spleen_hu(coarse: Coarse, line: NDArray[np.float64], z_range: tuple[int, int]) -> float:
    """Median of the even region left of the spine that lies like a spleen; muscle-like values count a quarter."""
    mean, spread = _local(coarse.values, coarse.spacing_mm, 8.0)
    _, dy, dx = coarse.spacing_mm
    even = (mean > 20) & (mean < 300) & (spread < 20)
    x = np.arange(mean.shape[2])[None, None]
    y = np.arange(mean.shape[1])[None, :, None]
    centre_y, centre_x = line[:, 0][:, None, None], line[:, 1][:, None, None]
    even &= (x > centre_x + 45 / dx) & (y > centre_y - 75 / dy) & (y < centre_y + 45 / dy)
    even[: int(z_range[0] + 0.3 * (z_range[1] - z_range[0]))] = False
    even[z_range[1] :] = False

    def score(ml: float, centre: float, at: NDArray[np.float64]) -> float:
        z = min(len(line) - 1, int(at[0]))
        back, left = (at[1] - line[z, 0]) * dy, (at[2] - line[z, 1]) * dx
        place = math.exp(-0.5 * ((left - 88) / 18) ** 2 - 0.5 * ((back + 5) / 22) ** 2)
        return math.sqrt(min(ml, 150.0)) * place * (0.25 if 35 < centre < 68 else 1.0)

    found = _best_region(coarse, (mean, even), range(30, 290, 10), 12.0, 8.0, score)
    return math.nan if found is None else float(np.median(mean[found]))


def _kidneys_hu(coarse: Coarse, line: NDArray[np.float64]) -> tuple[float, float, float]:
    """Cortex, medulla and urine from round patches beside the spine: 90th and 10th percentile, brightest spot.

    The spot counts as urine only where it stands out of the cortex by a third; otherwise the urine is plain, 0 HU.
    """
    _, dy, dx = coarse.spacing_mm
    rows = []
    for z, plane in enumerate(coarse.values):
        soft = ndimage.binary_opening((plane > 0) & (plane < CLIP_HU[1] - 5), iterations=2)
        labels, _ = ndimage.label(ndimage.binary_erosion(soft))
        for number, box in enumerate(ndimage.find_objects(labels), 1):
            part = labels[box] == number
            y, x = np.nonzero(part)
            height, width = (np.ptp(y) + 1) * dy, (np.ptp(x) + 1) * dx
            back = (y.mean() + box[0].start - line[z, 0]) * dy
            side = abs(x.mean() + box[1].start - line[z, 1]) * dx
            is_patch = 600 < part.sum() * dy * dx < 4500 and part.sum() * dy * dx > 0.5 * height * width
            if is_patch and 32 < side < 100 and -50 < back < 45 and max(height, width) < 95:
                values = plane[box][part]
                rows.append((*np.percentile(values, (90, 10)), values.max()))
    if len(rows) < 4:
        return math.nan, math.nan, math.nan
    table = np.array(rows)
    bright = table[table[:, 0] >= np.median(table[:, 0])]
    cortex, medulla, spot = (float(v) for v in np.median(bright, axis=0))
    # a renal pelvis full of contrast stands far out of the cortex; the cortex's own brightest voxel does not
    return cortex, medulla, spot if spot > 1.35 * cortex else 0.0


def _veins_hu(coarse: Coarse, outline: Bools, line: NDArray[np.float64]) -> tuple[float, float]:
    """Portal and hepatic vein: brightest half percent of the liver's lower part, of the part near the confluence."""
    _, dy, dx = coarse.spacing_mm
    inner = ndimage.binary_erosion(outline, structure=np.ones((1, 3, 3)), iterations=max(1, int(6 / dy)))
    area = outline.sum(axis=(1, 2)) * dy * dx
    slices = np.flatnonzero(area > 0.2 * area.max())
    low, high = int(slices[0]), int(slices[-1]) + 1
    portal = coarse.values[low : int(low + 0.6 * (high - low)) + 1]
    portal_values = portal[inner[low : int(low + 0.6 * (high - low)) + 1]]
    zone = np.zeros_like(inner)
    zone[int(low + 0.7 * (high - low)) : int(low + 0.9 * (high - low)) + 1] = True
    x = np.arange(inner.shape[2])[None, None]
    y = np.arange(inner.shape[1])[None, :, None]
    zone &= inner & (x > (line[:, 1] - 70 / dx)[:, None, None]) & (x < (line[:, 1] + 10 / dx)[:, None, None])
    zone &= (y > (line[:, 0] - 100 / dy)[:, None, None]) & (y < (line[:, 0] - 25 / dy)[:, None, None])
    vein_values = ndimage.gaussian_filter(coarse.values, (0.5, 1, 1))[zone]
    portal_hu = float(np.percentile(portal_values, 99.5)) if len(portal_values) > 200 else math.nan
    vein_hu = float(np.percentile(vein_values, 99)) if len(vein_values) > 50 else math.nan
    return portal_hu, vein_hu


def sample_organs(scan: Scan, liver: Segmentation | None = None) -> OrganSamples:
    """Medians in HU of the organs that tell the phase of a CT scan; NaN for what was not found."""
    coarse = coarse_of(scan)
    body = body_mask(coarse)
    line = spine_line(coarse, body)
    if line is None:
        return OrganSamples()
    path, fit = disc_path(coarse, line)
    aorta = median_along(coarse.values, path, fit)
    cortex, medulla, urine = _kidneys_hu(coarse, line)
    outline = coarse.mask_of(liver) if liver is not None else None
    core = outline if outline is not None and outline.any() else liver_core(coarse, body, line)
    if core is None:
        return OrganSamples(aorta=aorta, cortex=cortex, medulla=medulla, urine=urine)
    whole = core if outline is not None else _outline(core, coarse.spacing_mm)
    slices = np.flatnonzero(core.any(axis=(1, 2)))
    portal, vein = _veins_hu(coarse, whole, line)
    spleen = _spleen_hu(coarse, line, (int(slices[0]), int(slices[-1]) + 1))
    liver_hu = float(np.median(coarse.values[core]))
    return OrganSamples(aorta, portal, vein, liver_hu, spleen, cortex, medulla, urine)
