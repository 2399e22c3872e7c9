"""A lesion seen from its middle: along every ray, where tissue unlike the parenchyma ends and parenchyma begins.

A lesion may be layered: a dead core in a living rim, or a rim round tissue just like liver. What counts is whether
tissue differs from the parenchyma expected there, in any phase and either way; neighbouring rays end alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from livervol.kernels.rays import smooth_steps
from livervol.kernels.star import means_beside, rays_of, sums_along, voxels_within
from livervol.scan import Phase
from livervol.segment.lesion_tissue import Bools, Floats, Tissue, WorkGrid, smoothed_inside

__all__ = ["Star", "deviations", "star_at"]

#: Rays, the step along them (mm), neighbours of a ray.
RAYS, STEP_MM, NEIGHBOURS = 192, 1.0, 6
#: Tissue is averaged over so much of a ray on the inner and the outer side (mm); its difference from the parenchyma
#: counts in deviations above the noise's own and up to the most.
INNER_MM, OUTER_MM, NOISE, MOST = 3.0, 4.0, 0.8, 3.0
#: Price of a millimetre between neighbouring rays, and of a millimetre of parenchyma inside the outline.
JUMP, PARENCHYMA, ROUNDS = 0.5, 0.02, 20
#: A ray ends with the liver; an edge behind which no parenchyma is seen is worth less.
BEYOND, UNSEEN, MIXED_MM = 3.0, 0.3, 2.0
#: A ray has found an edge when the step there is at least this, and its layer is dark or bright from this (deviations).
SEEN, OFF = 0.6, 0.6
#: Residuals are clipped here, smoothed by a part of what the tissue's scatter was learnt at, held within deviations.
CLIP, SMOOTH_SHARE, MOST_OFF = 150.0, 2 / 3, 12.0


class Star(NamedTuple):
    """What rays from one place see.

    ``mask`` on the working grid; ``score`` the mean step at the outline (deviations); ``coverage`` the share of rays
    with an edge among those that do not end with the liver, ``open_share`` of those that do; ``uneven`` the outline's
    deviation over its mean radius. Per phase, ``layer`` is the mean of the outermost layer in deviations and ``alike``
    the share of rays on which it lies on its usual side of the parenchyma.
    """

    mask: Bools
    score: float
    coverage: float
    open_share: float
    uneven: float
    layer: tuple[float, ...]
    alike: tuple[float, ...]


class _Rays(NamedTuple):
    """Per ray and step: worth of an edge, cost of ending, whether the liver was left, each phase's inner side."""

    edge: Floats
    cost: Floats
    left: Bools
    inner: list[Floats]


def deviations(tissues: Mapping[Phase, Tissue], work: WorkGrid) -> list[Floats]:
    """Every phase's lightly smoothed difference from the parenchyma expected, in its own deviations; 0 outside."""
    found = []
    for tissue in tissues.values():
        clipped = np.clip(tissue.residual, -CLIP, CLIP)
        smooth = smoothed_inside(clipped, tissue.inside, SMOOTH_SHARE * tissue.smooth_mm, work.grid)
        off = np.clip(smooth / np.float32(tissue.sigma), -MOST_OFF, MOST_OFF)
        found.append(np.asarray(off * tissue.inside, dtype=np.float32))
    return found


def star_at(
    off: Sequence[Floats], depth_mm: Floats, spacing_mm: tuple[float, float, float], centre_mm: Any, longest_mm: float
) -> Star:
    """The outline round a place (mm from the first voxel), its middle moved once to the outline's own.

    ``off`` as ``deviations`` gives them, ``depth_mm`` the distance to the outside, ``longest_mm`` the rays' length.
    """
    middle = np.asarray(centre_mm, dtype=np.float64)
    directions, links = rays_of(RAYS, NEIGHBOURS)
    rays = _seen(off, depth_mm, spacing_mm, middle, longest_mm)
    radii = STEP_MM * (smooth_steps(rays.cost, links, JUMP, ROUNDS) + 1.0)
    # the centroid of a cone of unit solid angle lies at three quarters of its length
    middle = middle + 0.75 * (directions * radii[:, None] ** 4).sum(axis=0) / (radii**3).sum()
    rays = _seen(off, depth_mm, spacing_mm, middle, longest_mm)
    steps = smooth_steps(rays.cost, links, JUMP, ROUNDS)
    radii = STEP_MM * (steps + 1.0)
    return _judged(voxels_within(depth_mm > 0, spacing_mm, middle, directions, radii), rays, steps)


def _judged(mask: Bools, rays: _Rays, steps: NDArray[np.int64]) -> Star:
    rows = np.arange(len(steps))
    edge = rays.edge[rows, steps]
    at_end = rays.left[rows, np.minimum(steps + 2, rays.left.shape[1] - 1)]
    free = ~at_end
    open_share = float(at_end.mean())
    uneven = float((steps + 1.0).std() / (steps + 1.0).mean())
    if not free.any():
        return Star(
            mask, float(edge.mean()), 0.0, open_share, uneven, (0.0,) * len(rays.inner), (0.0,) * len(rays.inner)
        )
    layers = [inner[rows, steps][free] for inner in rays.inner]
    return Star(
        mask,
        float(edge.mean()),
        float((edge[free] >= SEEN).mean()),
        open_share,
        uneven,
        tuple(float(np.clip(one, -2 * MOST, 2 * MOST).mean()) for one in layers),
        tuple(float(max((one > OFF).mean(), (one < -OFF).mean())) for one in layers),
    )


def _seen(
    off: Sequence[Floats], depth_mm: Floats, spacing_mm: Any, middle: NDArray[np.float64], longest_mm: float
) -> _Rays:
    directions, _ = rays_of(RAYS, NEIGHBOURS)
    along = STEP_MM * (np.arange(int(longest_mm / STEP_MM)) + 1)
    places = middle[:, None, None] + directions.T[:, :, None] * along
    index = places / np.asarray(spacing_mm)[:, None, None]
    depth = map_coordinates(depth_mm, index, order=1, mode="constant", cval=0.0)
    within, left = depth > MIXED_MM, np.cumsum(depth < 0.5 * STEP_MM, axis=1) > 1
    counted = sums_along(within)
    inside = outside = np.zeros(left.shape, np.float32)
    inners = []
    for phase in off:
        sums = sums_along(map_coordinates(phase, index, order=1, mode="nearest") * within)
        inner, outer = means_beside(sums, counted, int(INNER_MM / STEP_MM), int(OUTER_MM / STEP_MM))
        inners.append(inner)
        inside = np.maximum(inside, np.minimum(np.abs(inner), MOST))
        outside = np.maximum(outside, np.minimum(np.abs(outer), MOST))
    unlike = np.maximum(inside - NOISE, 0)
    edge = unlike - np.maximum(outside - NOISE, 0)
    unseen = np.diff(counted, axis=1, append=counted[:, -1:])[:, 1:] == 0
    edge = np.where(unseen, UNSEEN * edge, edge)
    passed = np.cumsum(np.maximum(0, 1 - unlike), axis=1) * STEP_MM
    return _Rays(edge, PARENCHYMA * passed - edge + BEYOND * left, left, inners)
