"""The liver's outline: the cut through the probabilities that is smooth and follows edges of the scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.cut import smooth_cut
from livervol.kernels.smooth import gaussian
from livervol.segment.liver_prior import LIVER
from livervol.segment.liver_warp import LiverMap

__all__ = ["cut_liver"]

#: Price of a voxel face of outline in nats, in even tissue, and the part of it that is left on the sharpest edge.
PRICE, LEAST_PRICE = 12.0, 0.05

#: An edge is a step of this many spreads of the parenchyma from voxel to voxel.
EDGE_SPREADS = 3.0

#: Nats given to liver in every voxel. Its rivals are many and share what it does not take, so even odds lie a little
#: inside the true surface: over ten CT, cut at the half level, the volume fell 2.8 % short in the mean without it and
#: 1.5 % with it.
HEAD_START_NATS = 0.35

#: Smoothing before the gradient is taken, and rounds of the solver; the outline is read at the half level.
EDGE_MM, ROUNDS = 1.4, 100

#: Most that one voxel may say for or against liver, in nats: vessels and lesions look like nothing the liver is.
MOST_NATS = 4.0


def cut_liver(found: LiverMap) -> NDArray[np.float32]:
    """Membership 0 to 1 of the liver whose half level is its outline, on the grid of ``found``.

    Minimises the log odds against liver inside plus the outline's area, cheap where the scan has an edge (geodesic
    active contour energy: Caselles, Kimmel & Sapiro 1997, Int J Comput Vis 22:61). Vessels and small lesions are
    bridged because each voxel's vote is bounded.
    """
    probability = np.clip(found.probability, 1e-6, 1 - 1e-6)
    against = np.log1p(-probability) - np.log(probability) - HEAD_START_NATS
    cost = np.clip(against, -MOST_NATS, MOST_NATS)
    spacing = found.grid.spacing_mm
    smooth = gaussian(found.values, EDGE_MM, spacing)
    steep = np.sqrt(sum(np.square(np.gradient(smooth, axis=axis)) for axis in range(3)))
    core = smooth[found.priors[..., LIVER] > 0.8]
    spread = 1.4826 * float(np.median(np.abs(core - np.median(core)))) if core.size else 0.0
    edge = steep / max(EDGE_SPREADS * spread, 1e-6)
    price = PRICE * (LEAST_PRICE + np.exp(-np.square(edge)))
    return smooth_cut(cost.astype(np.float32), price.astype(np.float32), spacing, ROUNDS)
