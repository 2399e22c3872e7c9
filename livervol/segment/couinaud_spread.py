"""How far the boundaries between Couinaud segments may lie elsewhere: the network's doubt as volumes in ml."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPREAD_BOUNDARIES", "boundary_shares", "half_widths"]

_Sides = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

#: The surfaces whose displacement makes a remnant's volume uncertain, each with the pairs of sides it separates.
SPREAD_BOUNDARIES: dict[str, _Sides] = {
    "caudate": (((1,), (2, 3, 4, 5, 6, 7, 8)),),
    "main": (((2, 3, 4), (5, 6, 7, 8)),),
    "left": (((4,), (2, 3)),),
    "right": (((5, 8), (6, 7)),),
    "left_vein": (((2,), (3,)),),
    "right_portal": (((5,), (8,)), ((6,), (7,))),
}

_CAUDATE, _LEFT = (list(SPREAD_BOUNDARIES).index(name) for name in ("caudate", "left"))


def boundary_shares(mixing: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mixing dealt out to the boundaries, shape (boundaries, 8, 8); every pair of segments lies on one."""
    shares = np.zeros((len(SPREAD_BOUNDARIES), 8, 8))
    for row, sides in zip(shares, SPREAD_BOUNDARIES.values(), strict=True):
        for first, second in sides:
            for s in first:
                for t in second:
                    row[s - 1, t - 1], row[t - 1, s - 1] = mixing[s - 1, t - 1], mixing[t - 1, s - 1]
    return shares


def half_widths(mixing: NDArray[np.float64], scales: NDArray[np.float64], together: float) -> NDArray[np.float64]:
    """Half widths of 95 % intervals, as shares of the liver, shape (causes, 8, 8): causes err independently.

    One cause per boundary (mixing times the boundary's scale), and one that moves segment I's boundary and the left
    fissure together, because both decide what is left of the liver when IV to VIII go: ``together`` times the sum of
    their spreads.
    """
    apart = boundary_shares(mixing) * scales[:, None, None]
    return np.concatenate([apart, together * (apart[_CAUDATE] + apart[_LEFT])[None]])
