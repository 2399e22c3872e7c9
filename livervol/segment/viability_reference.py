"""Reference tissue for viability: a few balls of even liver parenchyma away from lesions, vessels and edges."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.distance import distance_mm, distance_to
from livervol.kernels.smooth import gaussian

__all__ = ["Reference", "reference_of"]

#: Balls of about 1 cm3 (radius 6.2 mm), at least three where there is room, their centres well apart.
BALLS, BALL_RADIUS_MM, BALLS_APART_MM = 3, 6.2, 20.0
#: Centres keep the whole ball so far from the liver's edge and from every lesion (mm).
EDGE_MM, LESION_MM = 3.0, 5.0
#: Where no ball fits: eroded liver without what lies outside this many robust deviations (vessels).
ERODED_MM, VESSEL_SIGMAS = 4.0, 2.0
MAD_TO_SIGMA = 1.4826


class Reference(NamedTuple):
    """``balls`` labels 1..n of the reference voxels, their robust ``mean`` (median) and ``sd`` (1.4826 MAD)."""

    balls: NDArray[np.uint8]
    mean: float
    sd: float
    method: str


def reference_of(
    values: NDArray[np.float32],
    liver: NDArray[np.bool_],
    lesions: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> Reference | None:
    """Median and robust deviation of ``values`` (their unit) over even parenchyma, None when the liver has no room.

    Balls are chosen in turn where a ball-sized neighbourhood is most even and nearest the parenchyma's median, so that
    vessels, perfusion differences and missed lesions are avoided; the same input gives the same balls.
    """
    healthy = liver & ~lesions
    depth = distance_mm(healthy, spacing_mm, border_is_background=True)
    core = healthy & (depth > ERODED_MM)
    away = distance_to(lesions, spacing_mm, LESION_MM + BALL_RADIUS_MM + 1) if lesions.any() else None
    if away is not None:
        core &= away > LESION_MM
    if np.count_nonzero(core) < 50:
        return None
    inner = values[core]
    middle = float(np.median(inner, overwrite_input=True))
    np.abs(np.subtract(inner, middle, out=inner), out=inner)
    scatter = max(1e-6, MAD_TO_SIGMA * float(np.median(inner, overwrite_input=True)))
    room = core & (depth > BALL_RADIUS_MM + EDGE_MM)
    if away is not None:
        room &= away > LESION_MM + BALL_RADIUS_MM
    balls = np.zeros(values.shape, np.uint8)
    if room.any():
        _place(values, room, (middle, scatter), spacing_mm, balls)
    if balls.any():
        chosen, method = values[balls != 0], f"median over {int(balls.max())} balls of 1 ml parenchyma"
    else:
        even = core & (np.abs(values - middle) < VESSEL_SIGMAS * scatter)
        balls[even] = 1
        chosen, method = values[even], "median over the eroded liver without lesions and vessels"
    mean = float(np.median(chosen))
    return Reference(balls, mean, MAD_TO_SIGMA * float(np.median(np.abs(chosen - mean))), method)


def _place(
    values: NDArray[np.float32],
    room: NDArray[np.bool_],
    usual: tuple[float, float],
    spacing_mm: tuple[float, float, float],
    balls: NDArray[np.uint8],
) -> None:
    middle, scatter = usual
    off = values - middle
    off /= scatter
    np.clip(off, -4, 4, out=off)
    # a Gaussian of 0.6 radius weighs the ball's neighbourhood: mean offset and mean square tell bias and unevenness
    cost = np.abs(gaussian(off, 0.6 * BALL_RADIUS_MM, spacing_mm))
    off *= off
    cost += gaussian(off, 0.6 * BALL_RADIUS_MM, spacing_mm)
    cost[~room] = np.inf
    for number in range(1, BALLS + 1):
        z, y, x = np.unravel_index(int(np.argmin(cost)), cost.shape)
        centre = (int(z), int(y), int(x))
        if not np.isfinite(cost[centre]):
            return
        box, axes = _around(centre, values.shape, BALL_RADIUS_MM, spacing_mm)
        away = [((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing_mm, strict=True)]
        balls[box][away[0][:, None, None] + away[1][:, None] + away[2] <= BALL_RADIUS_MM**2] = number
        box, axes = _around(centre, values.shape, BALLS_APART_MM, spacing_mm)
        away = [(a * s - c * s) ** 2 for a, c, s in zip(axes, centre, spacing_mm, strict=True)]
        cost[box][np.sqrt(away[0][:, None, None] + away[1][:, None] + away[2]) < BALLS_APART_MM] = np.inf


def _around(
    centre: tuple[int, int, int], shape: tuple[int, ...], radius_mm: float, spacing_mm: tuple[float, float, float]
) -> tuple[tuple[slice, ...], list[NDArray[np.int64]]]:
    """The box of a ball around a voxel, and its indices along each axis."""
    box = []
    for c, n, s in zip(centre, shape, spacing_mm, strict=True):
        reach = math.ceil(radius_mm / s)
        box.append(slice(max(0, c - reach), min(n, c + reach + 1)))
    return tuple(box), [np.arange(b.start, b.stop) for b in box]
