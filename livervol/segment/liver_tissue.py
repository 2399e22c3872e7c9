"""What liver looks like in this very scan: each voxel's grey value as a vote for or against it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.smooth import gaussian

__all__ = ["tissue_votes"]

#: Grey values between the 0.5th and 99.5th percentile are counted in this many bins, smoothed twice over neighbours.
BINS = 64

#: Smoothing of the scan before a voxel is judged, and how far from the likely liver tissue is compared (mm).
SMOOTHING_MM, NEAR_MM = 1.0, 8.0

#: Most that one voxel may say, in nats: vessels and lesions look like nothing the liver is.
MOST_NATS = 2.0

#: Share of even counts mixed into each histogram.
_EVEN = 1e-3


def tissue_votes(
    values: NDArray[np.float32], probability: NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Log-likelihood ratio of liver to its surroundings for each voxel's grey value, in nats, bounded.

    Both histograms are taken from the scan itself near the likely liver, weighted by the squared probability for and
    against liver, so that voxels in doubt teach little.
    """
    smooth = gaussian(values, SMOOTHING_MM, spacing_mm)
    near = gaussian((probability > 0.5).astype(np.float32), NEAR_MM, spacing_mm) > 0.02
    low, high = (float(v) for v in np.percentile(smooth, [0.5, 99.5]))
    bins = np.clip((smooth - low) * np.float32(BINS / max(high - low, 1e-6)), 0, BINS - 1).astype(np.intp)
    seen, share = bins[near], probability[near].astype(np.float64)
    liver, other = _histogram(seen, share**2), _histogram(seen, (1 - share) ** 2)
    votes = np.clip(np.log(liver) - np.log(other), -MOST_NATS, MOST_NATS).astype(np.float32)
    found: NDArray[np.float32] = votes[bins]
    return found


def _histogram(bins: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = np.bincount(bins, weights=weights, minlength=BINS)
    shares: NDArray[np.float64] = counts / max(float(counts.sum()), 1e-9) + _EVEN / BINS
    for _ in range(2):
        shares = np.convolve(np.pad(shares, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    return shares / float(shares.sum())
