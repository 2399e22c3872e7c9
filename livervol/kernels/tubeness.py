"""Tubeness: how strongly values bulge across two directions and run on along the third, at several widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, bits_box, pack
from livervol.kernels.slabs import over_slabs
from livervol.kernels.smooth import TRUNCATE_SIGMAS, gaussian

__all__ = ["tubeness"]

Spacing = tuple[float, float, float]


def tubeness(
    values: NDArray[Any],
    spacing_mm: Spacing,
    scales_mm: Sequence[float],
    mask: NDArray[Any] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Response of bright tubes in the unit of ``values`` (HU), and 1 + the scale it was greatest at (0: no response).

    At each scale the values are smoothed by a Gaussian of that standard deviation in mm (``smooth.gaussian``: sampled,
    cut at four, border repeated) and second differences between neighbouring voxels, in mm, make the Hessian. With its
    eigenvalues a >= b >= c the response is scale^2 sqrt(b c) where b < 0, else 0 (the geometric mean of Sato 1998, Med
    Image Anal 2:143, equation 9 and 22): a ball answers as a tube does, a sheet (b near 0) hardly at all; a straight
    tube of Gaussian profile and standard deviation s answers most at scale s. The greatest over the scales counts.
    For dark tubes give negated values. ``mask`` (zero for no) says where an answer is wanted; elsewhere it is 0, but
    values there still count as surroundings. Arrays [z, y, x]; float32 and uint8; relative error about 1e-5 of the
    greatest magnitude around.
    """
    source = np.ascontiguousarray(values)
    wanted = np.ones(source.shape, np.uint8) if mask is None else as_bytes(mask)
    if wanted.shape != source.shape:
        raise ValueError(f"mask does not fit the values: expected {source.shape}, got {wanted.shape}.")
    response = np.zeros(source.shape, np.float32)
    scale_of = np.zeros(source.shape, np.uint8)
    z0, z1, y0, y1, x0, x1 = (int(v) for v in bits_box(pack(wanted)))
    if z1 == 0:
        return response, scale_of
    box = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
    inner = np.ascontiguousarray(wanted[box])
    best, chosen = np.zeros(inner.shape, np.float32), np.zeros(inner.shape, np.uint8)
    dz, dy, dx = (float(s) for s in spacing_mm)
    for number, scale in enumerate(scales_mm, 1):
        # one voxel for the differences and all that the Gaussian sees: the crop then changes nothing
        room = [int(TRUNCATE_SIGMAS * scale / s + 0.5) + 1 for s in spacing_mm]
        window = tuple(
            slice(max(0, b.start - r), min(n, b.stop + r)) for b, r, n in zip(box, room, source.shape, strict=True)
        )
        smooth = gaussian(np.ascontiguousarray(source[window]), float(scale), spacing_mm)
        first = tuple(b.start - w.start for b, w in zip(box, window, strict=True))
        over_slabs(
            _answer, best.shape[0], best.size, smooth, inner, first, (dz, dy, dx), float(scale), number, best, chosen
        )
    response[box], scale_of[box] = best, chosen
    return response, scale_of


@njit(cache=True, nogil=True, inline="always")
def _cross_curvature(hzz, hyy, hxx, hzy, hzx, hyx):
    # product of the two least eigenvalues where both are negative, else 0
    trace = hzz + hyy + hxx
    minors = hzz * hyy - hzy * hzy + hzz * hxx - hzx * hzx + hyy * hxx - hyx * hyx
    det = hzz * (hyy * hxx - hyx * hyx) - hzy * (hzy * hxx - hyx * hzx) + hzx * (hzy * hyx - hyy * hzx)
    # Descartes: with real roots the negative ones are as many as the changes of sign along 1, trace, minors, det
    if trace >= 0.0:
        if minors >= 0.0 or det <= 0.0:
            return 0.0
    elif minors <= 0.0 and det <= 0.0:
        return 0.0
    # the greatest eigenvalue in closed form (Smith 1961, Commun ACM 4:168); the product of the others follows
    mean = trace / 3.0
    spread = mean * mean - minors / 3.0
    if spread <= 0.0:
        return mean * mean
    root = np.sqrt(spread)
    half = 0.5 * (2.0 * mean * mean * mean - mean * minors + det)
    angle = np.arccos(min(1.0, max(-1.0, half / (spread * root)))) / 3.0
    greatest = mean + 2.0 * root * np.cos(angle)
    return max(0.0, minors - greatest * (trace - greatest))


@njit(cache=True, nogil=True)
def _answer(smooth, wanted, first, spacing, scale, number, best, chosen, z_start, z_stop):
    nz, ny, nx = smooth.shape
    dz, dy, dx = spacing
    izz, iyy, ixx = 1.0 / (dz * dz), 1.0 / (dy * dy), 1.0 / (dx * dx)
    izy, izx, iyx = 0.25 / (dz * dy), 0.25 / (dz * dx), 0.25 / (dy * dx)
    for k in range(z_start, z_stop):
        z = k + first[0]
        below, above = smooth[max(z - 1, 0)], smooth[min(z + 1, nz - 1)]
        here = smooth[z]
        for j in range(wanted.shape[1]):
            y = j + first[1]
            front, back = max(y - 1, 0), min(y + 1, ny - 1)
            for i in range(wanted.shape[2]):
                if wanted[k, j, i] == 0:
                    continue
                x = i + first[2]
                left, right = max(x - 1, 0), min(x + 1, nx - 1)
                twice = 2.0 * here[y, x]
                product = _cross_curvature(
                    (np.float64(above[y, x]) + below[y, x] - twice) * izz,
                    (np.float64(here[back, x]) + here[front, x] - twice) * iyy,
                    (np.float64(here[y, right]) + here[y, left] - twice) * ixx,
                    ((np.float64(above[back, x]) - above[front, x]) - (np.float64(below[back, x]) - below[front, x]))
                    * izy,
                    ((np.float64(above[y, right]) - above[y, left]) - (np.float64(below[y, right]) - below[y, left]))
                    * izx,
                    (
                        (np.float64(here[back, right]) - here[back, left])
                        - (np.float64(here[front, right]) - here[front, left])
                    )
                    * iyx,
                )
                if product > 0.0:
                    value = np.float32(scale * scale * np.sqrt(product))
                    if value > best[k, j, i]:
                        best[k, j, i] = value
                        chosen[k, j, i] = number
