"""Means over whole blocks of voxels: a coarse look at a scan in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import frozen, over_slabs

__all__ = ["block_means"]

Whole = tuple[int, int, int]


def block_means(
    values: NDArray[Any],
    factors: Whole,
    limits: tuple[float, float] = (-np.inf, np.inf),
    box: tuple[Whole, Whole] | None = None,
) -> NDArray[np.float32]:
    """Means over blocks of ``factors`` voxels a side, in the unit of ``values``, float32; values are clipped first.

    ``box`` (first index, index after the last) is the part that is looked at; what does not fill a block at its far
    ends is left out. Summed in double precision: exact for integers.
    """
    first, stop = box or ((0, 0, 0), values.shape)
    shape = tuple((b - a) // f for a, b, f in zip(first, stop, factors, strict=True))
    means = np.empty(shape, np.float32)
    # truth values as the bytes they are: one kernel fewer to compile
    source = frozen(values.view(np.uint8) if values.dtype == np.bool_ else values)
    low, high = (float(limit) for limit in limits)
    looked_at = means.size * factors[0] * factors[1] * factors[2]
    over_slabs(_block_means, shape[0], looked_at, source, tuple(first), tuple(factors), low, high, means)
    return means


@njit(cache=True, nogil=True)
def _block_means(values, first, factors, low, high, means, start, stop):
    fz, fy, fx = factors
    _, ny, nx = means.shape
    share = 1.0 / (fz * fy * fx)
    line = np.empty(nx * fx, np.float64)
    for z in range(start, stop):
        for y in range(ny):
            line[:] = 0.0
            for i in range(fz):
                for j in range(fy):
                    row = values[first[0] + z * fz + i, first[1] + y * fy + j]
                    part = row[first[2] : first[2] + line.size]
                    for x in range(line.size):
                        line[x] += min(max(np.float64(part[x]), low), high)
            for x in range(nx):
                total = 0.0
                for k in range(x * fx, (x + 1) * fx):
                    total += line[k]
                means[z, y, x] = total * share
