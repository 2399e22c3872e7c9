"""Where a lesion plainly goes on beyond a liver mask that has lost a part of it: a giant at the dome, a dead core."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from livervol.edit.gesture import Mask
from livervol.edit.star import NEIGHBOURS, RAYS, Tissue
from livervol.kernels.distance import distance_to
from livervol.kernels.rays import within_planes
from livervol.kernels.smooth import gaussian
from livervol.kernels.star import rays_of

__all__ = ["mended_liver"]

Spacing = tuple[float, float, float]

#: The lost part lies inside the liver's hull and so far (mm) beyond it, is wide enough for a ball of this radius (mm).
HULL_MM, BALL_MM = 12.0, 4.5
#: Every so manieth direction of the rays bounds the hull.
PLANES = 4
#: Tissue: at least so many of the parenchyma's level, at most so many deviations above what the liver holds.
LEAST_SHARE, ABOVE = 0.0, 2.0
#: Means on both sides of the mask's border are taken within about this (mm); the lesion goes on where they differ by
#: less than so many deviations in every phase, differ from the parenchyma by more than so many in one, and nothing
#: darker by so many lies between them.
NEAR_MM, SAME, UNLIKE, GAP = 5.0, 2.0, 1.0, 1.5
#: The border moves on with what was found so often.
ROUNDS = 2
#: What is found lies so near (mm) to an open place.
REACH_MM = 60.0
#: Gaps in what was found are filled up to twice this width (mm).
CLOSE_MM = 9.0


def mended_liver(tissues: Sequence[Tissue], liver: Mask, spacing: Spacing) -> Mask:
    """The liver mask and what a lesion in it goes on into.

    The border is open where the mean tissue on both sides, in every phase, is alike and unlike the parenchyma, with no
    plane of fat between; what lies beyond belongs to the lesion as far as an open place of the border is nearer than a
    closed one.
    """
    whole = liver
    for _ in range(ROUNDS):
        beyond = _candidates(tissues, whole, spacing)
        found = _beyond_openings(tissues, whole, beyond, spacing)
        if not found.any():
            break
        whole = whole | found
    return _closed(whole, liver, spacing) if whole is not liver else liver


def _closed(whole: Mask, liver: Mask, spacing: Spacing) -> Mask:
    """Gaps that are narrow or enclosed filled near what was found."""
    near = distance_to((whole & ~liver).view(np.uint8), spacing, CLOSE_MM + 1.0) <= CLOSE_MM
    away = distance_to(whole.view(np.uint8), spacing, CLOSE_MM + 1.0) > CLOSE_MM
    closed = distance_to(away.view(np.uint8), spacing, CLOSE_MM + 1.0) > CLOSE_MM
    filled: Mask = whole | (near & closed)
    return filled


def _candidates(tissues: Sequence[Tissue], liver: Mask, spacing: Spacing) -> Mask:
    """Soft tissue outside the liver but in its hull, thick enough."""
    soft = ~liver
    for tissue in tissues:
        most = np.float32(np.percentile(tissue.values[liver][::5], 99.5) + ABOVE * tissue.sigma)
        soft &= (tissue.values > LEAST_SHARE * tissue.level) & (tissue.values < most)
    normals = rays_of(RAYS, NEIGHBOURS).directions[::PLANES]
    offsets = ((np.argwhere(liver)[::5] * np.asarray(spacing)) @ normals.T).max(axis=0) + HULL_MM
    inside = within_planes(soft, spacing, normals, offsets)
    deep = distance_to((~(inside | liver)).view(np.uint8), spacing, BALL_MM + 1.0) > BALL_MM
    thick: Mask = inside & (distance_to(deep.view(np.uint8), spacing, BALL_MM + 2.0) <= BALL_MM + 0.5)
    return thick


def _beyond_openings(tissues: Sequence[Tissue], liver: Mask, beyond: Mask, spacing: Spacing) -> Mask:
    """What of ``beyond`` lies nearer to an open place of the liver's border than to a closed one."""
    step = 1.01 * max(spacing)
    outer = beyond & (distance_to(liver.view(np.uint8), spacing, 2 * step) <= step)
    if not outer.any():
        return outer
    border = outer | (liver & (distance_to(beyond.view(np.uint8), spacing, 2 * step) <= step))

    def spread(values: NDArray[np.generic]) -> NDArray[np.float32]:
        return gaussian(values.astype(np.float32), NEAR_MM, spacing)[outer]

    sides = [liver & ~border, beyond & ~border, border]
    shares = [spread(side) for side in sides]
    alike, unlike = (shares[0] > 0.02) & (shares[1] > 0.02), np.zeros(len(shares[0]), bool)
    for tissue in tissues:
        off = np.clip((tissue.values - tissue.level) / tissue.sigma, -12.0, 12.0)
        inside, outside, between = (
            spread(off * side) / np.maximum(share, 0.01) for side, share in zip(sides, shares, strict=True)
        )
        alike &= (np.abs(inside - outside) < SAME) & (np.minimum(inside, outside) - between < GAP)
        unlike |= np.abs(inside) > UNLIKE
    opened, closed = np.zeros_like(liver), np.zeros_like(liver)
    opened[outer], closed[outer] = alike & unlike, ~(alike & unlike)
    if not opened.any():
        return opened
    from_opened, from_closed = (distance_to(place.view(np.uint8), spacing, REACH_MM) for place in (opened, closed))
    nearer: Mask = beyond & (from_opened < from_closed)
    return nearer
