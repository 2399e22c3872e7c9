"""A smooth closed surface round a point: one distance along each of many rays, alike on neighbouring rays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["smooth_steps"]


def smooth_steps(cost: NDArray[Any], links: NDArray[Any], price: float, rounds: int) -> NDArray[np.int64]:
    """Step chosen on each ray, shape (rays,), of low total ``cost`` (rays, steps) and small jumps between rays.

    A jump of one step between linked rays costs ``price``. ``links`` (n, 2) holds every pair of rays both ways round,
    sorted by their second ray. Min-sum belief propagation (Felzenszwalb & Huttenlocher 2006, Int J Comput Vis 70:41)
    with halved updates for ``rounds`` rounds: near the least total, not surely at it.
    """
    source = np.ascontiguousarray(cost, np.float32)
    pairs = np.ascontiguousarray(links, np.int64)
    key = pairs[:, 0] * len(source) + pairs[:, 1]
    order = np.argsort(key)
    back = order[np.searchsorted(key[order], pairs[:, 1] * len(source) + pairs[:, 0])]
    first = np.searchsorted(pairs[:, 1], np.arange(len(source) + 1))
    belief = np.empty_like(source)
    _propagate(source, pairs[:, 0].copy(), back, first, np.float32(price), rounds, belief)
    steps: NDArray[np.int64] = belief.argmin(axis=1)
    return steps


@njit(cache=True, nogil=True)
def _gather(cost, first, told, belief):
    for ray in range(cost.shape[0]):
        for k in range(cost.shape[1]):
            belief[ray, k] = cost[ray, k]
        for link in range(first[ray], first[ray + 1]):
            for k in range(cost.shape[1]):
                belief[ray, k] += told[link, k]


@njit(cache=True, nogil=True)
def _propagate(cost, sender, back, first, price, rounds, belief):
    # told[link] is what the link's first ray tells its second one; all links of a round use the round before
    steps = cost.shape[1]
    told = np.zeros((sender.size, steps), np.float32)
    fresh = np.empty_like(told)
    half = np.float32(0.5)
    for _ in range(rounds):
        _gather(cost, first, told, belief)
        for link in range(sender.size):
            ray, answer, row = sender[link], back[link], fresh[link]
            for k in range(steps):
                row[k] = belief[ray, k] - told[answer, k]
            for k in range(1, steps):
                row[k] = min(row[k], row[k - 1] + price)
            least = row[steps - 1]
            for k in range(steps - 2, -1, -1):
                row[k] = min(row[k], row[k + 1] + price)
                least = min(least, row[k])
            for k in range(steps):
                row[k] = half * told[link, k] + half * (row[k] - least)
        told, fresh = fresh, told
    _gather(cost, first, told, belief)
