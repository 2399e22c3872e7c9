"""Closed polygons on a pixel grid: which pixel centres lie inside."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["polygon_parity"]


def polygon_parity(points_yx: NDArray[np.float64], shape_yx: tuple[int, int]) -> NDArray[np.uint8]:
    """1 for the pixels whose centre a closed polygon runs round an odd number of times, else 0.

    ``points_yx`` shape (n, 2), pixel centres at whole numbers; the last point joins the first. A centre exactly on an
    edge belongs to one side only: below and right of the edge (half-open rows), so neighbours share no pixel.
    """
    parity = np.zeros(shape_yx, np.uint8)
    _fill(np.ascontiguousarray(points_yx, np.float64), parity)
    return parity


@njit(cache=True, nogil=True)
def _fill(points, parity):
    ny, nx = parity.shape
    n = points.shape[0]
    for k in range(n):
        y0, x0 = points[k]
        y1, x1 = points[(k + 1) % n]
        if y0 == y1:
            continue
        if y0 > y1:
            y0, x0, y1, x1 = y1, x1, y0, x0
        first, last = max(0, int(np.ceil(y0))), min(ny - 1, int(np.ceil(y1)) - 1)
        for y in range(first, last + 1):
            crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            # everything right of the crossing changes sides
            x = int(np.ceil(crossing))
            if x < nx:
                parity[y, max(0, x)] ^= 1
    for y in range(ny):
        inside = np.uint8(0)
        for x in range(nx):
            inside ^= parity[y, x]
            parity[y, x] = inside
