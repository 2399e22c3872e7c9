"""How far the boundaries between Couinaud segments may lie elsewhere: the network's doubt as volumes in ml."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AS_RELEASED", "REFITTED", "SPREAD_BOUNDARIES", "Refit", "boundary_shares", "half_widths"]

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


@dataclass(frozen=True)
class Refit:
    """What is changed of a released model's spread after its release.

    ``factors``   by boundary, on the released scales.
    ``together``  on the sum of the released spreads of segment I's boundary and the left fissure, which move together:
                  both decide what is left of the liver when IV to VIII go.
    ``method``    how they were found, for the record.
    """

    factors: tuple[float, ...]
    together: float
    method: str


AS_RELEASED = Refit((1.0,) * len(SPREAD_BOUNDARIES), 0.0, "")

#: By model name. Found by ``benchmarks/segments.py intervals`` on the training livers alone.
REFITTED: dict[str, Refit] = {
    "couinaud_shape_v1": Refit(
        factors=(1.054, 1.018, 0.838, 1.113, 1.086, 1.050),
        together=0.621,
        method="refitted by operation on the same livers",
    )
}


def boundary_shares(mixing: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mixing dealt out to the boundaries, shape (boundaries, 8, 8); every pair of segments lies on one."""
    shares = np.zeros((len(SPREAD_BOUNDARIES), 8, 8))
    for row, sides in zip(shares, SPREAD_BOUNDARIES.values(), strict=True):
        for first, second in sides:
            for s in first:
                for t in second:
                    row[s - 1, t - 1], row[t - 1, s - 1] = mixing[s - 1, t - 1], mixing[t - 1, s - 1]
    return shares


def half_widths(mixing: NDArray[np.float64], scales: NDArray[np.float64], refit: Refit) -> NDArray[np.float64]:
    """Half widths of 95 % intervals, as shares of the liver, shape (causes, 8, 8): causes err independently.

    One cause per boundary (mixing times the released ``scales``), and one that moves segment I's boundary and the left
    fissure together.
    """
    released = boundary_shares(mixing) * scales[:, None, None]
    apart = released * np.asarray(refit.factors)[:, None, None]
    together = refit.together * (released[_CAUDATE] + released[_LEFT])
    return np.concatenate([apart, together[None]])
