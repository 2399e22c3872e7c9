"""What each tissue class looks like in one scan: intensity histograms learned under the prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from livervol.kernels.atlas import class_histograms
from livervol.segment.body import StraightScan
from livervol.segment.liver_prior import CLASSES, LIVER

__all__ = ["BINS", "intensity_bins", "learned", "starting_histograms"]

#: Intensity bins between the tissue bounds of a scan (6.25 HU wide on CT).
BINS = 64

#: Where a class is looked for before the scan has spoken: mean and spread in HU over native, arterial, portal-venous
#: and delayed scans, healthy and fatty livers; wide on purpose.
_CT_HU = (
    (-124, 6), (-122, 8), (-95, 22), (95, 35), (105, 35), (150, 55), (60, 90), (10, 15), (150, 60), (130, 45), (85, 35),
    (200, 60), (55, 25), (110, 50), (50, 55),
)  # fmt: skip

#: Decay of the intensities of air and lung in MR, as a fraction of the bright end.
_MR_NOISE = 0.05

#: Part of the liver that is taken to be even parenchyma, and its widest spread in bins.
_ONE_TISSUE, _WIDEST = 0.75, 5.0

#: Pseudo-weight of the previous histogram, in ml of image.
_INERTIA_ML = 25.0


def intensity_bins(values: NDArray[np.float32], straight: StraightScan) -> NDArray[np.uint8]:
    """Histogram bin of each value, 0 to ``BINS - 1``; values beyond the scan's tissue bounds take the end bins."""
    width = max(straight.high - straight.low, 1e-6) / BINS
    bins: NDArray[np.uint8] = np.clip((values - np.float32(straight.low)) / np.float32(width), 0, BINS - 1).astype(
        np.uint8
    )
    return bins


def starting_histograms(straight: StraightScan, bins: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Likelihood (BINS, n_classes) of each class before the scan has spoken.

    CT: broad bells in HU. MR, where the unit is arbitrary: air and lung dark, all else like the scan's brighter part.
    """
    if straight.modality == "CT":
        centres = np.clip(straight.low + (np.arange(BINS) + 0.5) * (straight.high - straight.low) / BINS, -120, 270)
        means, spreads = np.array(_CT_HU, dtype=float).T
        likelihood = np.exp(-0.5 * ((centres[:, None] - means) / spreads) ** 2) + 0.01
    else:
        counts = np.bincount(bins, minlength=BINS) + 1.0
        dark = np.exp(-np.arange(BINS) / (_MR_NOISE * BINS)) + 1e-3
        likelihood = np.tile((counts * (1 - dark).clip(0.05))[:, None], (1, len(CLASSES)))
        likelihood[:, [CLASSES.index("outside"), CLASSES.index("lung or gas")]] = dark[:, None]
    scaled: NDArray[np.float32] = (likelihood / likelihood.sum(axis=0)).astype(np.float32)
    return scaled


def learned(
    priors: NDArray[np.float32],
    bins: NDArray[np.uint8],
    weights: NDArray[np.float32],
    likelihood: NDArray[np.float32],
    rounds: int,
) -> NDArray[np.float32]:
    """Likelihood (BINS, n_classes; columns sum to 1) after ``rounds`` of expectation-maximisation.

    A spatial-prior mixture (Ashburner & Friston 2005, NeuroImage 26:839) with smoothed histograms for the classes. A
    class seen little keeps its histogram, drawn towards all tissue. ``priors`` (n, n_classes); ``weights`` in ml.
    """
    everything = np.bincount(bins, weights=weights, minlength=BINS) + 0.01
    everything /= everything.sum()
    for _ in range(rounds):
        sums, _ = class_histograms(priors, bins, weights, likelihood)
        smooth = gaussian_filter1d(sums, 1.0, axis=0, mode="nearest")
        mixed = smooth + _INERTIA_ML * (0.6 * likelihood + 0.4 * everything[:, None])
        mixed /= mixed.sum(axis=0)
        mixed[:, LIVER] = _mostly_one_tissue(mixed[:, LIVER])
        likelihood = mixed.astype(np.float32)
    return likelihood


def _mostly_one_tissue(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The histogram drawn towards one bell at its mode: most of a liver is parenchyma, the rest vessels and lesions."""
    mode = int(histogram.argmax())
    below_half = np.flatnonzero(histogram < 0.5 * histogram[mode])
    left, right = below_half[below_half < mode], below_half[below_half > mode]
    half_width = min(mode - left[-1] if left.size else BINS, right[0] - mode if right.size else BINS)
    spread = np.clip(half_width / 1.177, 1.0, _WIDEST)
    bell = np.exp(-0.5 * ((np.arange(BINS) - mode) / spread) ** 2)
    mixed: NDArray[np.float64] = _ONE_TISSUE * bell / bell.sum() + (1 - _ONE_TISSUE) * histogram
    return mixed
