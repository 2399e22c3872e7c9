"""A lesion seen from its middle: along every ray, where tissue unlike the parenchyma ends and parenchyma begins.

A lesion may be layered: a dead core, a living rim, or a rim round tissue just like liver. What counts is not one level
but whether tissue differs from the parenchyma in any phase, either way; the outline runs where the last such layer
ends. Neighbouring rays end at like distances. Every length is a multiple of the look's own step, so that a wide look
sees a giant as a fine one sees a nodule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from livervol.edit.gesture import Mask, Patch
from livervol.kernels.distance import distance_to
from livervol.kernels.rays import smooth_steps
from livervol.kernels.star import means_beside, rays_of, sums_along, voxels_within

__all__ = ["LEAST_SCORE", "NEIGHBOURS", "RAYS", "Star", "Tissue", "peak_of", "star_outline", "tissue_of"]

#: Rays, steps along them, neighbours of a ray.
RAYS, STEPS, NEIGHBOURS = 256, 58, 6
#: Tissue is averaged over so many steps of a ray on the inner and the outer side; its difference from the parenchyma
#: counts in deviations above the noise's own and up to the most.
INNER, OUTER, NOISE, MOST = 3, 4, 0.6, 3.0
#: Price of a step between neighbouring rays, and of a step of parenchyma inside the outline.
JUMP, PARENCHYMA = 0.5, 0.02
#: The edge proper is the steepest place so near (steps), over so much on either side; steepness up to so many medians.
EDGE_REACH, EDGE_SIDE, EDGE_MOST, EDGE_JUMP = 3, 2, 1.3, 0.15
#: Price of a step off the span that a reader has drawn.
ASTRAY = 0.1
#: A ray ends with the liver.
BEYOND = 3.0
#: Worth of an edge behind which no parenchyma is seen: the liver's surface is one everywhere.
UNSEEN = 0.3
#: Tissue nearer to the liver's surface (steps) is mixed with what lies outside and tells nothing.
MIXED = 2.0
#: Values are held within so many deviations.
CLIP = 12.0
#: Below this mean step at the outline (deviations) there is no lesion to be seen.
LEAST_SCORE = 0.4
#: Parenchyma: values within so many deviations of the liver's most frequent one; its scatter is at least this share of
#: its level.
NEAR, LEAST_VOXELS, LEAST_SHARE = 2.5, 100, 0.05
#: Every so manieth voxel of the liver tells its most frequent value.
SPARSE = (2, 6, 6)
#: In a wide patch a voxel so near to the gesture (mm) counts so little for the parenchyma's level, one so far fully.
NEAR_MM, FAR_MM, NEAR_WEIGHT = 20.0, 80.0, 0.02


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


def peak_of(values: NDArray[np.float32], patch: Patch, at_mm: NDArray[np.float64]) -> Tissue | None:
    """Parenchyma's level and scatter where a patch holds most of the liver; None without enough liver.

    The most frequent value away from the gesture at ``at_mm`` (from the patch's first voxel), and the scatter on that
    side of it where no lesion widens it: a giant may fill half of the liver.
    """
    assert patch.liver is not None
    near = values[patch.liver]
    if len(near) < LEAST_VOXELS:
        return None
    weight = np.clip((_distances_mm(patch, at_mm)[patch.liver] - NEAR_MM) / (FAR_MM - NEAR_MM), NEAR_WEIGHT, 1.0)
    low, high = (float(v) for v in np.percentile(near[::7], (1, 99)))
    if high <= low:
        return None
    heights, edges = np.histogram(near, bins=100, range=(low, high), weights=weight)
    kernel = np.exp(-0.5 * (np.arange(-8, 9) / 2.5) ** 2)
    heights = np.convolve(heights, kernel / kernel.sum(), "same")
    top = int(heights.argmax())
    below = np.pad(heights < np.exp(-0.5) * heights[top], 1, constant_values=True)
    right, left = int(np.argmax(below[top + 1 :])), int(np.argmax(below[top + 1 :: -1]))
    level = 0.5 * float(edges[top] + edges[top + 1])
    sigma = max(min(left, right) * (high - low) / 100, LEAST_SHARE * abs(level), 1e-6)
    return Tissue(values, level, sigma)


def _distances_mm(patch: Patch, at_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    z, y, x = (
        ((np.arange(n) * s - m) ** 2).astype(np.float32)
        for n, s, m in zip(patch.values.shape, patch.spacing, at_mm, strict=True)
    )
    distances: NDArray[np.float32] = np.sqrt(z[:, None, None] + y[:, None] + x)
    return distances


class _Ground(NamedTuple):
    """What a look stands on: phases, depth in the liver (mm), step (mm)."""

    tissues: Sequence[Tissue]
    depth: NDArray[np.float32]
    spacing: NDArray[np.float64]
    step_mm: float


def star_outline(
    patch: Patch,
    tissues: Sequence[Tissue],
    centre_mm: NDArray[np.float64],
    step_mm: float = 1.0,
    moves: int = 1,
    span: tuple[float, float] | None = None,
) -> Star:
    """The outline round a place (mm from the patch's first voxel), as far as the patch's liver reaches.

    ``tissues`` are the phases, all on the patch's grid. The middle moves ``moves`` times to the outline's own. ``span``
    (mm) is how near to it and how far from it the outline is expected, where a reader has drawn a diameter.
    """
    assert patch.liver is not None
    # the patch's own border is no surface
    most = (MIXED + 2.0) * step_mm
    depth = np.minimum(distance_to(~patch.liver, patch.spacing, most), most).astype(np.float32)
    spacing = np.asarray(patch.spacing)
    ground = _Ground(tissues, depth, spacing, step_mm)
    middle = np.asarray(centre_mm, dtype=np.float64)
    ways, _ = rays_of(RAYS, NEIGHBOURS)
    for move in range(moves + 1):
        steps, score, sums = _outer_edge(ground, middle, span)
        if move == moves:
            break
        radii = step_mm * (steps + 1.5)
        # the centroid of a cone of unit solid angle lies at three quarters of its length
        middle = middle + 0.75 * (ways * radii[:, None] ** 4).sum(axis=0) / (radii**3).sum()
    radii = step_mm * (_steepest(steps, sums) + 1.5)
    return Star(voxels_within(patch.liver, patch.spacing, middle, ways, radii), score)


class _Sums(NamedTuple):
    """Sums along the rays up to each step: of every phase's deviations, of steps in the liver; ``left`` the liver."""

    deviations: list[NDArray[np.float32]]
    counted: NDArray[np.float32]
    left: Mask


def _sampled(ground: _Ground, middle: NDArray[np.float64]) -> _Sums:
    along = ground.step_mm * (np.arange(STEPS) + 1)
    places = middle[:, None, None] + rays_of(RAYS, NEIGHBOURS).directions.T[:, :, None] * along
    index = places / ground.spacing[:, None, None]
    depth = map_coordinates(ground.depth, index, order=1, mode="constant", cval=0.0)
    within, left = depth > MIXED * ground.step_mm, np.cumsum(depth < 0.5 * ground.step_mm, axis=1) > 1
    raw = []
    for tissue in ground.tissues:
        off = (map_coordinates(tissue.values, index, order=1, mode="nearest") - tissue.level) / tissue.sigma
        raw.append(np.clip(off, -CLIP, CLIP))
    return _Sums([sums_along(off * within) for off in raw], sums_along(within), left)


def _outer_edge(
    ground: _Ground, middle: NDArray[np.float64], span: tuple[float, float] | None
) -> tuple[NDArray[np.int64], float, _Sums]:
    """Step at which the lesion ends on every ray, the mean step in deviations there, and the rays' sums."""
    sums = _sampled(ground, middle)
    inside = outside = np.zeros(sums.left.shape, np.float32)
    for phase in sums.deviations:
        inner, outer = means_beside(phase, sums.counted, INNER, OUTER)
        inside = np.maximum(inside, np.minimum(np.abs(inner), MOST))
        outside = np.maximum(outside, np.minimum(np.abs(outer), MOST))
    off = np.maximum(inside - NOISE, 0)
    edge = off - np.maximum(outside - NOISE, 0)
    unseen = np.diff(sums.counted, axis=1, append=sums.counted[:, -1:])[:, 1:] == 0
    edge = np.where(unseen, UNSEEN * edge, edge)
    passed = np.cumsum(np.maximum(0, 1 - off), axis=1)
    cost = PARENCHYMA * passed - edge + BEYOND * sums.left
    if span is not None:
        radii = ground.step_mm * (np.arange(STEPS) + 1.5)
        cost += ASTRAY * (np.maximum(0, radii - span[1]) + np.maximum(0, span[0] - radii)) / ground.step_mm
    _, links = rays_of(RAYS, NEIGHBOURS)
    steps = smooth_steps(cost, links, JUMP, 25)
    return steps, float(edge[np.arange(len(steps)), steps].mean()), sums


def _steepest(steps: NDArray[np.int64], sums: _Sums) -> NDArray[np.int64]:
    """The steepest place near each step, towards tissue more like parenchyma: the edge at half contrast."""
    near = np.abs(np.arange(sums.left.shape[1]) - steps[:, None]) <= EDGE_REACH
    slope = np.zeros(sums.left.shape, np.float32)
    for phase in sums.deviations:
        inner, outer = means_beside(phase, sums.counted, EDGE_SIDE, EDGE_SIDE)
        slope = np.maximum(slope, np.abs(inner - outer) * (np.abs(inner) > np.abs(outer)))
    usual = float(np.median(np.where(near, slope, 0).max(axis=1))) + 1e-3
    cost = np.where(near, -np.minimum(slope / usual, EDGE_MOST), 2.0) + BEYOND * sums.left
    _, links = rays_of(RAYS, NEIGHBOURS)
    return smooth_steps(cost, links, EDGE_JUMP, 15)
