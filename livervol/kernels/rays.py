"""A smooth closed surface round a point: one distance along each of many rays; and the hull that planes bound."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["smooth_steps", "within_planes"]


def smooth_steps(cost: NDArray[Any], links: NDArray[Any], price: float, rounds: int) -> NDArray[np.int64]:
    """Step chosen on each ray, shape (rays,), of low total ``cost`` (rays, steps) and small jumps between rays.

    A jump of one step between linked rays costs ``price``. ``links`` (n, 2) holds every pair of rays both ways round,
    sorted by their second ray. Min-sum belief propagation (Felzenszwalb & Huttenlocher 2006, Int J Comput Vis 70:41)
    with halved updates for ``rounds`` rounds: near the least total, not surely at it.
    """
    source = np.ascontiguousarray(cost.T, np.float32)
    rays = source.shape[1]
    pairs = np.ascontiguousarray(links, np.int64)
    key = pairs[:, 0] * rays + pairs[:, 1]
    order = np.argsort(key)
    back = order[np.searchsorted(key[order], pairs[:, 1] * rays + pairs[:, 0])]
    first = np.searchsorted(pairs[:, 1], np.arange(rays + 1))
    belief = np.empty_like(source)
    _propagate(source, pairs[:, 0].copy(), back, first, np.float32(price), rounds, belief)
    steps: NDArray[np.int64] = belief.argmin(axis=0)
    return steps


def within_planes(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], normals: NDArray[Any], offsets: NDArray[Any]
) -> NDArray[np.bool_]:
    """Voxels of a mask [z, y, x] whose centre (mm from the first voxel's) lies on the inner side of every plane.

    The planes are where ``normals`` (n, 3) times the place equals ``offsets`` (n,), mm.
    """
    scaled = np.asarray(normals, np.float64) * np.asarray(spacing_mm, np.float64)
    inside = np.zeros(mask.shape, np.bool_)
    _within_planes(np.ascontiguousarray(mask), scaled, np.asarray(offsets, np.float64), inside)
    return inside


@njit(cache=True, nogil=True)
def _within_planes(mask, normals, offsets, inside):
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            # the plane that cut off the last voxel will most often cut off its neighbour
            first = 0
            for x in range(mask.shape[2]):
                if not mask[z, y, x]:
                    continue
                fits = _side(normals[first], z, y, x) <= offsets[first]
                for n in range(offsets.size):
                    if not fits:
                        break
                    if _side(normals[n], z, y, x) > offsets[n]:
                        fits, first = False, n
                inside[z, y, x] = fits


@njit(cache=True, nogil=True)
def _side(normal, z, y, x):
    return normal[0] * z + normal[1] * y + normal[2] * x


@njit(cache=True, nogil=True)
def _gather(cost, first, told, belief):
    for k in range(cost.shape[0]):
        for ray in range(cost.shape[1]):
            total = cost[k, ray]
            for link in range(first[ray], first[ray + 1]):
                total += told[k, link]
            belief[k, ray] = total


@njit(cache=True, nogil=True)
def _propagate(cost, sender, back, first, price, rounds, belief):
    # told[step, link] is what the link's first ray tells its second one; all links of a round use the round before,
    # and a row of links is worked on at once
    steps, links = cost.shape[0], sender.size
    told = np.zeros((steps, links), np.float32)
    fresh = np.empty_like(told)
    least = np.empty(links, np.float32)
    half = np.float32(0.5)
    for _ in range(rounds):
        _gather(cost, first, told, belief)
        for k in range(steps):
            row, known, answers = fresh[k], belief[k], told[k]
            for link in range(links):
                row[link] = known[sender[link]] - answers[back[link]]
            if k > 0:
                _no_dearer(row, fresh[k - 1], price)
        least[:] = fresh[steps - 1]
        for k in range(steps - 2, -1, -1):
            row = fresh[k]
            _no_dearer(row, fresh[k + 1], price)
            for link in range(links):
                least[link] = min(least[link], row[link])
        for k in range(steps):
            row, before = fresh[k], told[k]
            for link in range(links):
                row[link] = half * before[link] + half * (row[link] - least[link])
        told, fresh = fresh, told
    _gather(cost, first, told, belief)


@njit(cache=True, nogil=True)
def _no_dearer(row, beside, price):
    for link in range(row.size):
        row[link] = min(row[link], beside[link] + price)
