"""Two-region cut of an image: the least sum of boundary price and per-voxel cost, by convex relaxation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import over_slabs

__all__ = ["smooth_cut"]


def smooth_cut(
    cost: NDArray[Any], price: NDArray[Any], spacing_mm: tuple[float, float, float], rounds: int
) -> NDArray[np.float32]:
    """Membership 0 to 1 of each voxel whose half level is the region of least cost.

    Minimises the sum over voxels of ``cost`` inside the region plus ``price`` times its boundary (total variation,
    with differences divided by the spacing relative to the finest axis), which is convex when membership may be
    fractional, and whose level sets are minimisers (Chan, Esedoglu & Nikolova 2006, SIAM J Appl Math 66:1632). Solved
    by ``rounds`` of the first-order primal-dual method (Chambolle & Pock 2011, J Math Imaging Vis 40:120, alg. 1).
    ``cost`` and ``price`` float32, [z, y, x]; ``price`` at least 0.
    """
    unit = np.asarray(cost, np.float32)
    weight = np.asarray(price, np.float32)
    finest = min(spacing_mm)
    along = np.array([finest / s for s in spacing_mm], np.float32)
    member = (unit < 0).astype(np.float32)
    ahead = member.copy()
    flow = np.zeros((3, *unit.shape), np.float32)
    # the squared norm of the difference operator is at most 4 times the sum of squared weights
    step = np.float32(1 / np.sqrt(4 * float((along**2).sum())))
    planes = unit.shape[0]
    for _ in range(rounds):
        over_slabs(_push_flow, planes, unit.size, ahead, weight, along, step, flow)
        over_slabs(_move_members, planes, unit.size, flow, unit, along, step, member, ahead)
    return member


@njit(cache=True, nogil=True)
def _push_flow(ahead, price, along, step, flow, z_start, z_stop):
    nz, ny, nx = ahead.shape
    zero = np.float32(0)
    for z in range(z_start, z_stop):
        for y in range(ny):
            for x in range(nx):
                here = ahead[z, y, x]
                a = along[0] * (ahead[z + 1, y, x] - here) if z + 1 < nz else zero
                b = along[1] * (ahead[z, y + 1, x] - here) if y + 1 < ny else zero
                c = along[2] * (ahead[z, y, x + 1] - here) if x + 1 < nx else zero
                a = flow[0, z, y, x] + step * a
                b = flow[1, z, y, x] + step * b
                c = flow[2, z, y, x] + step * c
                size = np.sqrt(a * a + b * b + c * c)
                limit = price[z, y, x]
                if size > limit:
                    shrink = limit / size
                    a, b, c = a * shrink, b * shrink, c * shrink
                flow[0, z, y, x] = a
                flow[1, z, y, x] = b
                flow[2, z, y, x] = c


@njit(cache=True, nogil=True)
def _move_members(flow, cost, along, step, member, ahead, z_start, z_stop):
    _, ny, nx = cost.shape
    for z in range(z_start, z_stop):
        for y in range(ny):
            for x in range(nx):
                spread = along[0] * flow[0, z, y, x] + along[1] * flow[1, z, y, x] + along[2] * flow[2, z, y, x]
                if z > 0:
                    spread -= along[0] * flow[0, z - 1, y, x]
                if y > 0:
                    spread -= along[1] * flow[1, z, y - 1, x]
                if x > 0:
                    spread -= along[2] * flow[2, z, y, x - 1]
                old = member[z, y, x]
                new = old + step * (spread - cost[z, y, x])
                new = min(max(new, np.float32(0)), np.float32(1))
                member[z, y, x] = new
                ahead[z, y, x] = 2 * new - old
