"""Ratios of an enhanced T1 series to the same study's native series, where MR has no absolute unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.scan import Scan, Segmentation
from livervol.segment.phase_landmarks import Coarse, coarse_of, disc_path
from livervol.segment.phase_rules import OrganRatios

__all__ = ["sample_ratios"]

#: Native signal below this share of its 99th percentile is background: a ratio there is noise.
BACKGROUND = 0.08
#: The aorta's usual place between front (0) and back (1) of the body, less the window's own offset behind it.
SPINE_DEPTH = 0.68
#: How far the ratio in the aorta stands out at most when the path is scored.
RATIO_CAP = 1.0


def sample_ratios(scan: Scan, native: Scan, liver: Segmentation | None = None) -> OrganRatios:
    """Signal ratios (no unit) of aorta, portal and hepatic vein, enhanced over native, on one common grid.

    The aorta is the best even disc in the ratio image near the body's midline; the veins are the brightest half
    percent of the liver's lower 60 % and the brightest percent of its upper 30 % (needs ``liver``). NaN where not
    found.
    """
    enhanced, before = coarse_of(scan), coarse_of(native)
    ratio, body = _ratio(enhanced, before)
    if not body.any():
        return OrganRatios()
    line = _midline(body)
    as_ratio = Coarse(ratio, enhanced.spacing_mm, enhanced.block)
    path, fit = disc_path(as_ratio, line, contrast_cap=RATIO_CAP)
    at = np.array([ratio[z, y, x] for z, (y, x) in enumerate(path)])
    aorta = float(np.median(at[fit >= np.median(fit)]))
    if liver is None or not enhanced.mask_of(liver).any():
        return OrganRatios(aorta=aorta)
    inside = enhanced.mask_of(liver)
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    low, high = int(slices[0]), int(slices[-1]) + 1
    lower, upper = slice(low, int(low + 0.6 * (high - low)) + 1), slice(int(low + 0.7 * (high - low)), high)
    portal, vein = ratio[lower][inside[lower]], ratio[upper][inside[upper]]
    return OrganRatios(aorta, float(np.percentile(portal, 99.5)), float(np.percentile(vein, 99)))


def _ratio(enhanced: Coarse, before: Coarse) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    floor = BACKGROUND * float(np.percentile(before.values, 99))
    body = ndimage.binary_fill_holes(ndimage.gaussian_filter(before.values, (0, 2, 2)) > floor)
    ratio = np.where(before.values > floor, enhanced.values / np.maximum(before.values, floor), 1.0)
    return np.clip(ratio, 0, 10).astype(np.float32), body


def _midline(body: NDArray[np.bool_]) -> NDArray[np.float64]:
    outline = body.mean(axis=0) > 0.5
    ys, xs = np.nonzero(outline if outline.any() else body.any(axis=0))
    centre = (ys.min() + SPINE_DEPTH * np.ptp(ys), (xs.min() + xs.max()) / 2)
    return np.repeat(np.array([centre], np.float64), len(body), axis=0)
