"""Star-shaped bodies: rays spread evenly round a middle, sums along them, and the voxels nearer than their ends."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Rays", "means_beside", "rays_of", "sums_along", "voxels_within"]

#: Between rays the surface is the mean of the nearest ones', weighted by a Gaussian of so much chord length.
NEAREST, CHORD = 4, 0.12


class Rays(NamedTuple):
    """``directions`` (n, 3), unit vectors (z, y, x) by falling z; ``links`` (m, 2), every pair of neighbours both ways
    round, sorted by the second ray."""

    directions: NDArray[np.float64]
    links: NDArray[np.int64]


@functools.cache
def rays_of(count: int, neighbours: int) -> Rays:
    """Rays spread evenly over the sphere (Fibonacci's lattice: Gonzalez 2010, Math Geosci 42:49)."""
    turn = np.pi * (1 + 5**0.5) * (np.arange(count) + 0.5)
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    wide = np.sqrt(1 - height**2)
    directions = np.stack([height, wide * np.sin(turn), wide * np.cos(turn)], axis=1)
    nearest = np.argsort(-(directions @ directions.T), axis=1, kind="stable")[:, 1 : neighbours + 1]
    pairs = np.stack([np.repeat(np.arange(count), neighbours), nearest.ravel()], axis=1)
    both = np.unique(np.concatenate([pairs[:, ::-1], pairs]), axis=0)
    # sorted by the second ray: swapped columns of what is sorted by the first
    return Rays(directions, np.ascontiguousarray(both[:, ::-1]))


def sums_along(values: NDArray[Any]) -> NDArray[np.float32]:
    """Sums of the first 0, 1, 2, ... steps of each ray, shape (rays, steps + 1), of ``values`` (rays, steps)."""
    return np.pad(np.cumsum(values, axis=1, dtype=np.float32), ((0, 0), (1, 0)))


def means_beside(
    sums: NDArray[np.float32], counted: NDArray[np.float32], inner: int, outer: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Means over the ``inner`` steps up to each step and over the ``outer`` steps after it, both (rays, steps).

    ``sums`` of the values that count and ``counted``, the sums of ones where they do, as ``sums_along`` gives them.
    """
    steps = sums.shape[1] - 1
    here = np.arange(1, steps + 1)
    start, stop = np.maximum(here - inner, 0), np.minimum(here + outer, steps)
    before = (sums[:, here] - sums[:, start]) / np.maximum(counted[:, here] - counted[:, start], 1)
    after = (sums[:, stop] - sums[:, here]) / np.maximum(counted[:, stop] - counted[:, here], 1)
    return before, after


def voxels_within(
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    middle_mm: NDArray[Any],
    directions: NDArray[np.float64],
    radii_mm: NDArray[Any],
) -> NDArray[np.bool_]:
    """Voxels of a mask [z, y, x] no farther from a middle (mm from the first voxel's centre) than the rays' ends.

    ``directions`` as ``rays_of`` gives them, at least four, with a radius for each.
    """
    found = np.zeros(mask.shape, np.bool_)
    spacing = np.asarray(spacing_mm, np.float64)
    middle, radii = np.asarray(middle_mm, np.float64), np.asarray(radii_mm, np.float64)
    _within(np.ascontiguousarray(mask, np.bool_), spacing, middle, directions, radii, found)
    return found


@njit(cache=True, nogil=True)
def _within(mask, spacing, middle, directions, radii, found):
    least, most = radii.min(), radii.max()
    apart, which = np.empty(NEAREST), np.empty(NEAREST, np.int64)
    toward = np.empty(3)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if not mask[z, y, x]:
                    continue
                toward[0] = z * spacing[0] - middle[0]
                toward[1] = y * spacing[1] - middle[1]
                toward[2] = x * spacing[2] - middle[2]
                away = math.sqrt(toward[0] ** 2 + toward[1] ** 2 + toward[2] ** 2)
                if away < least or away == 0.0:
                    found[z, y, x] = True
                elif away <= most:
                    toward /= away
                    _nearest(toward, directions, apart, which)
                    total = weights = 0.0
                    for k in range(NEAREST):
                        weight = math.exp((apart[0] - apart[k]) / CHORD**2)
                        total += weight * radii[which[k]]
                        weights += weight
                    found[z, y, x] = away * weights <= total


@njit(cache=True, nogil=True)
def _nearest(toward, directions, apart, which):
    # squared chords to the nearest rays: outwards from those at the same height, as long as height alone may be nearer
    count = directions.shape[0]
    down = min(count, max(0, int(0.5 * (1.0 - toward[0]) * count)))
    up = down - 1
    apart[:] = np.inf
    while True:
        above = (directions[up, 0] - toward[0]) ** 2 if up >= 0 else np.inf
        below = (directions[down, 0] - toward[0]) ** 2 if down < count else np.inf
        if min(above, below) >= apart[NEAREST - 1]:
            break
        if above < below:
            ray = up
            up -= 1
        else:
            ray = down
            down += 1
        chord = (
            (directions[ray, 0] - toward[0]) ** 2
            + (directions[ray, 1] - toward[1]) ** 2
            + (directions[ray, 2] - toward[2]) ** 2
        )
        k = NEAREST
        while k > 0 and chord < apart[k - 1]:
            if k < NEAREST:
                apart[k], which[k] = apart[k - 1], which[k - 1]
            k -= 1
        if k < NEAREST:
            apart[k], which[k] = chord, ray
