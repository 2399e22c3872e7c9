"""A lesion seen from its middle: along every ray, where tissue unlike the parenchyma ends and parenchyma begins.

A lesion may be layered: a dead core, a living rim, or a rim round tissue just like liver. What counts is not one level
but whether tissue differs from the parenchyma in any phase, either way; the outline runs where the last such layer
ends. Neighbouring rays end at like distances.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from livervol.edit.gesture import Mask, Patch
from livervol.kernels.distance import distance_to
from livervol.kernels.rays import smooth_steps

__all__ = ["LEAST_SCORE", "Star", "Tissue", "star_outline", "tissue_of"]

#: Rays, the step along them and their length (mm); neighbours of a ray.
RAYS, STEP_MM, LONGEST_MM, NEIGHBOURS = 256, 1.0, 58.0, 6
#: Tissue is averaged over so much of a ray on the inner and the outer side (mm); its difference from the parenchyma
#: counts in deviations above the noise's own and up to the most.
INNER_MM, OUTER_MM, NOISE, MOST = 3.0, 4.0, 0.6, 3.0
#: Price of a millimetre between neighbouring rays, and of a millimetre of parenchyma inside the outline.
JUMP, PARENCHYMA = 0.5, 0.02
#: The edge proper is the steepest place so near (mm), over so much on either side; steepness up to so many medians.
EDGE_REACH_MM, EDGE_SIDE_MM, EDGE_MOST, EDGE_JUMP = 3.0, 2.0, 1.3, 0.15
#: A ray ends with the liver.
BEYOND = 3.0
#: Worth of an edge behind which no parenchyma is seen: the liver's surface is one everywhere.
UNSEEN = 0.3
#: Tissue nearer to the liver's surface is mixed with what lies outside and tells nothing (mm).
MIXED_MM = 2.0
#: Values are held within so many deviations.
CLIP = 12.0
#: Below this mean step at the outline (deviations) there is no lesion to be seen.
LEAST_SCORE = 0.4
#: Parenchyma: values within so many deviations of the liver's most frequent one; its scatter is at least this share of
#: its level.
NEAR, LEAST_VOXELS, LEAST_SHARE = 2.5, 100, 0.05
#: Every so manieth voxel of the liver tells its most frequent value.
SPARSE = (2, 6, 6)


class Tissue(NamedTuple):
    """One phase on the patch's grid, with the ``level`` and ``sigma`` of the parenchyma there."""

    values: NDArray[np.float32]
    level: float
    sigma: float


class Star(NamedTuple):
    """The outline on the patch's grid, and the mean step at it in deviations of the parenchyma."""

    mask: Mask
    score: float


def tissue_of(
    values: NDArray[np.float32], part: Mask, voxels: NDArray[np.generic], liver: NDArray[np.generic]
) -> Tissue | None:
    """Parenchyma's level and scatter near a gesture, in the scan's unit; None without enough liver.

    ``values`` and ``part`` of the liver on the patch's grid; ``voxels`` and ``liver`` of the whole scan say which
    level is the parenchyma's where a lesion fills the patch.
    """
    sparse = tuple(slice(None, None, step) for step in SPARSE)
    usual = voxels[sparse][liver[sparse] != 0].astype(np.float32)
    near = values[part]
    if min(len(usual), len(near)) < LEAST_VOXELS:
        return None
    low, high = (float(v) for v in np.percentile(usual, (1, 99)))
    if high <= low:
        return None
    heights, edges = np.histogram(usual, bins=np.linspace(low, high, 101))
    top = int(np.argmax(np.convolve(heights, np.exp(-0.5 * (np.arange(-10, 11) / 4.0) ** 2), "same")))
    level = 0.5 * float(edges[top] + edges[top + 1])
    sigma = _scatter(near, level)
    for _ in range(4):
        like = near[np.abs(near - level) < NEAR * sigma]
        if len(like) < LEAST_VOXELS:
            break
        level = float(np.median(like))
        # the values cut off would have widened it
        sigma = max(1.1 * _scatter(like, level), LEAST_SHARE * abs(level), 1e-6)
    return Tissue(values, level, sigma)


def _scatter(values: NDArray[np.float32], level: float) -> float:
    return max(1.4826 * float(np.median(np.abs(values - np.float32(level)))), 1e-6)


def star_outline(patch: Patch, tissues: Sequence[Tissue], centre_mm: NDArray[np.float64]) -> Star:
    """The outline round a place (mm from the patch's first voxel), the middle moved once to the outline's own.

    ``tissues`` are the phases, all on the patch's grid, inside its liver.
    """
    middle = np.asarray(centre_mm, dtype=np.float64)
    steps, _, _ = _outer_edge(patch, tissues, middle)
    radii = STEP_MM * (steps + 1.5)
    directions, _, _ = _sphere()
    # the centroid of a cone of unit solid angle lies at three quarters of its length
    middle = middle + 0.75 * (directions * radii[:, None] ** 4).sum(axis=0) / (radii**3).sum()
    steps, score, sums = _outer_edge(patch, tissues, middle)
    radii = STEP_MM * (_steepest(steps, sums) + 1.5)
    return Star(_inside(patch, middle, radii), score)


class _Sums(NamedTuple):
    """Sums along the rays up to each step: of every phase's deviations, of steps in the liver; ``left`` the liver."""

    deviations: list[NDArray[np.float32]]
    counted: NDArray[np.float32]
    left: Mask


def _sampled(patch: Patch, tissues: Sequence[Tissue], middle: NDArray[np.float64]) -> _Sums:
    directions, _, _ = _sphere()
    along = STEP_MM * (np.arange(int(LONGEST_MM / STEP_MM)) + 1)
    places = middle[:, None, None] + directions.T[:, :, None] * along
    index = places / np.asarray(patch.spacing)[:, None, None]
    assert patch.liver is not None
    # the patch's own border is no surface
    surface = np.minimum(distance_to(~patch.liver, patch.spacing, MIXED_MM + 2.0), MIXED_MM + 2.0)
    depth = map_coordinates(surface, index, order=1, mode="constant", cval=0.0)
    within, left = depth > MIXED_MM, np.cumsum(depth < 0.5 * STEP_MM, axis=1) > 1

    def summed(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(np.cumsum(values, axis=1, dtype=np.float32), ((0, 0), (1, 0)))

    found = []
    for tissue in tissues:
        off = (map_coordinates(tissue.values, index, order=1, mode="nearest") - tissue.level) / tissue.sigma
        found.append(summed(np.clip(off, -CLIP, CLIP) * within))
    return _Sums(found, summed(within.astype(np.float32)), left)


def _sides(
    sums: NDArray[np.float32], counted: NDArray[np.float32], inner_mm: float, outer_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Means over the steps up to each one and over those after it."""
    steps = sums.shape[1] - 1
    here = np.arange(1, steps + 1)
    start, stop = np.maximum(here - int(inner_mm / STEP_MM), 0), np.minimum(here + int(outer_mm / STEP_MM), steps)
    inner = (sums[:, here] - sums[:, start]) / np.maximum(counted[:, here] - counted[:, start], 1)
    outer = (sums[:, stop] - sums[:, here]) / np.maximum(counted[:, stop] - counted[:, here], 1)
    return inner, outer


def _outer_edge(
    patch: Patch, tissues: Sequence[Tissue], middle: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float, _Sums]:
    """Step at which the lesion ends on every ray, the mean step in deviations there, and the rays' sums."""
    sums = _sampled(patch, tissues, middle)
    inside = outside = np.zeros(sums.left.shape, np.float32)
    for phase in sums.deviations:
        inner, outer = _sides(phase, sums.counted, INNER_MM, OUTER_MM)
        inside = np.maximum(inside, np.minimum(np.abs(inner), MOST))
        outside = np.maximum(outside, np.minimum(np.abs(outer), MOST))
    off = np.maximum(inside - NOISE, 0)
    edge = off - np.maximum(outside - NOISE, 0)
    unseen = np.diff(sums.counted, axis=1, append=sums.counted[:, -1:])[:, 1:] == 0
    edge = np.where(unseen, UNSEEN * edge, edge)
    passed = np.cumsum(np.maximum(0, 1 - off), axis=1) * STEP_MM
    cost = PARENCHYMA * passed - edge + BEYOND * sums.left
    _, links, _ = _sphere()
    steps = smooth_steps(cost, links, JUMP, 25)
    return steps, float(edge[np.arange(len(steps)), steps].mean()), sums


def _steepest(steps: NDArray[np.int64], sums: _Sums) -> NDArray[np.int64]:
    """The steepest place near each step, towards tissue more like parenchyma: the edge at half contrast."""
    near = np.abs(np.arange(sums.left.shape[1]) - steps[:, None]) * STEP_MM <= EDGE_REACH_MM
    slope = np.zeros(sums.left.shape, np.float32)
    for phase in sums.deviations:
        inner, outer = _sides(phase, sums.counted, EDGE_SIDE_MM, EDGE_SIDE_MM)
        slope = np.maximum(slope, np.abs(inner - outer) * (np.abs(inner) > np.abs(outer)))
    usual = float(np.median(np.where(near, slope, 0).max(axis=1))) + 1e-3
    cost = np.where(near, -np.minimum(slope / usual, EDGE_MOST), 2.0) + BEYOND * sums.left
    _, links, _ = _sphere()
    return smooth_steps(cost, links, EDGE_JUMP, 15)


@functools.cache
def _sphere() -> tuple[NDArray[np.float64], NDArray[np.int64], cKDTree]:
    """Directions (z, y, x) spread evenly, links between neighbours both ways, and a tree of the directions."""
    turn = np.pi * (1 + 5**0.5) * (np.arange(RAYS) + 0.5)
    height = 1 - 2 * (np.arange(RAYS) + 0.5) / RAYS
    wide = np.sqrt(1 - height**2)
    directions = np.stack([height, wide * np.sin(turn), wide * np.cos(turn)], axis=1)
    tree = cKDTree(directions)
    _, nearest = tree.query(directions, NEIGHBOURS + 1)
    one = np.repeat(np.arange(RAYS), NEIGHBOURS)
    pairs = np.stack([one, nearest[:, 1:].ravel()], axis=1)
    both = np.unique(np.concatenate([pairs[:, ::-1], pairs]), axis=0)
    # sorted by the second ray: swapped columns of what is sorted by the first
    return directions, np.ascontiguousarray(both[:, ::-1]), tree


def _inside(patch: Patch, middle: NDArray[np.float64], radii: NDArray[np.floating[Any]]) -> Mask:
    """Voxels of the liver nearer to the middle than the surface in their direction."""
    _, _, tree = _sphere()
    axes = [np.arange(n) * s - m for n, s, m in zip(patch.values.shape, patch.spacing, middle, strict=True)]
    away = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    mask = away < radii.min()
    doubtful = np.argwhere(~mask & (away <= radii.max()))
    if len(doubtful):
        distance = away[tuple(doubtful.T)]
        towards = np.stack([axis[doubtful[:, k]] for k, axis in enumerate(axes)], axis=1) / distance[:, None]
        apart, rays = tree.query(towards, 4)
        weight = np.exp(-((apart / 0.12) ** 2))
        surface = (radii[rays] * weight).sum(axis=1) / weight.sum(axis=1)
        mask[tuple(doubtful.T)] = distance <= surface
    assert patch.liver is not None
    inside: Mask = mask & patch.liver
    return inside
