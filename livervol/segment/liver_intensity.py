"""What each tissue class looks like in one scan: intensity histograms learned from the scan under the prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from livervol.kernels.atlas import class_histograms
from livervol.segment.body import StraightScan
from livervol.segment.liver_prior import CLASSES

__all__ = ["BINS", "flat_histograms", "intensity_bins", "learned", "starting_histograms"]

#: Intensity bins between the tissue bounds of a scan (6.25 HU wide on CT).
BINS = 64

#: Where a class is looked for before the scan has spoken: mean and spread in HU over native, arterial, portal-venous
#: and delayed scans, healthy and fatty livers; wide on purpose.
_CT_HU = (
    (-124, 6), (-122, 8), (-95, 22), (95, 35), (105, 35), (150, 55), (60, 90), (10, 15), (150, 60), (130, 45), (85, 35),
    (200, 60), (50, 45), (110, 50),
)  # fmt: skip

#: Pseudo-weight of the previous histogram, in ml of image.
_INERTIA_ML = 25.0


def intensity_bins(values: NDArray[np.float32], straight: StraightScan) -> NDArray[np.uint8]:
    """Histogram bin of each value, 0 to ``BINS - 1``; values beyond the scan's tissue bounds take the end bins."""
    width = max(straight.high - straight.low, 1e-6) / BINS
    return np.clip((values - np.float32(straight.low)) / np.float32(width), 0, BINS - 1).astype(np.uint8)


def starting_histograms(straight: StraightScan) -> NDArray[np.float32] | None:
    """Likelihood (BINS, n_classes) of each class for CT; None for MR, where the unit is arbitrary."""
    if straight.modality != "CT":
        return None
    centres = np.clip(straight.low + (np.arange(BINS) + 0.5) * (straight.high - straight.low) / BINS, -120, 270)
    means, spreads = np.array(_CT_HU, dtype=float).T
    bells = np.exp(-0.5 * ((centres[:, None] - means) / spreads) ** 2) + 0.01
    return (bells / bells.sum(axis=0)).astype(np.float32)


def flat_histograms(bins: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Every class looks like the whole scan: the start where nothing is known."""
    counts = np.bincount(bins.ravel(), minlength=BINS) + 1.0
    return np.tile((counts / counts.sum())[:, None], (1, len(CLASSES))).astype(np.float32)


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
        likelihood = (mixed / mixed.sum(axis=0)).astype(np.float32)
    return likelihood
