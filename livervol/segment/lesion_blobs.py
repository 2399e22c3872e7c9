"""Blobs of several sizes: places where a residual bulges in all three directions at once, unlike sheets and tubes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels.smooth import gaussian

__all__ = ["SCALES_MM", "Blob", "find_blobs", "halved"]

#: Standard deviations searched; a ball answers most strongly at radius / 1.73, so these serve 10 to 80 mm across.
SCALES_MM = (3.0, 4.2, 6.0, 8.5, 12.0, 17.0, 24.0)
#: Smallest over largest curvature of a blob; tubes and sheets have one curvature near zero.
ROUNDNESS = 0.25
#: Least curvature response: in contrast units and in its own noise.
MIN_RESPONSE, MIN_RESPONSE_SIGMAS = 4.0, 3.5
#: Residuals are clipped here, so that one bright or fatty voxel does not make a blob.
CLIP = 80.0
#: Blobs are centred at least so deep in the tissue, and noise is learned deeper (mm).
MIN_DEPTH_MM, NOISE_DEPTH_MM = 2.5, 6.0
#: Above this scale the residual is halved in size first; the answer is smooth there.
COARSE_FROM_MM = 8.0


class Blob(NamedTuple):
    """``response`` in contrast units, ``sigmas`` the same over its noise, ``scale_mm``, ``at`` the index (z, y, x)."""

    response: float
    sigmas: float
    scale_mm: float
    at: tuple[int, int, int]


def find_blobs(
    residual: NDArray[np.float32],
    depth_mm: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    sign: int,
) -> list[Blob]:
    """Blobs darker (``sign`` -1) or brighter (+1) than their surroundings, strongest first, each place once.

    ``residual`` is zero outside the tissue, so that the liver's edge is no contrast. The response is the smallest
    eigenvalue of the scale-normalised Hessian (Lindeberg 1998, Int J Comput Vis 30:79): a tube or a sheet has none.
    """
    found: list[Blob] = []
    shallow = (depth_mm > 0) & (depth_mm < MIN_DEPTH_MM)
    clipped = np.clip(sign * residual, -CLIP, CLIP).astype(np.float32)
    clipped[shallow] = 0  # partial volume with what lies outside
    for scale in SCALES_MM:
        step = 2 if scale >= COARSE_FROM_MM and min(residual.shape) >= 16 else 1
        coarse = halved(clipped) if step == 2 else clipped
        depth = depth_mm[::2, ::2, ::2][tuple(slice(n) for n in coarse.shape)] if step == 2 else depth_mm
        spacing = (spacing_mm[0] * step, spacing_mm[1] * step, spacing_mm[2] * step)
        for response, sigmas, (z, y, x) in _peaks(gaussian(coarse, scale, spacing), depth, spacing, scale):
            found.append(Blob(response, sigmas, scale, (z * step, y * step, x * step)))
    found.sort(reverse=True)
    kept: list[Blob] = []
    for blob in found:
        if all(_apart_mm(blob, other, spacing_mm) > max(1.2 * other.scale_mm, blob.scale_mm) for other in kept):
            kept.append(blob)
    return kept


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of blocks of 2 x 2 x 2 voxels; an odd last row is left out."""
    z, y, x = (n // 2 for n in values.shape)
    blocks = values[: 2 * z, : 2 * y, : 2 * x].reshape(z, 2, y, 2, x, 2)
    result: NDArray[np.float32] = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return result


def _apart_mm(a: Blob, b: Blob, spacing_mm: tuple[float, float, float]) -> float:
    return float(np.linalg.norm((np.array(a.at) - np.array(b.at)) * spacing_mm))


def _curvatures(
    smooth: NDArray[np.float32], at: NDArray[np.int64], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Ascending negative second derivatives at the given places, shape (n, 3): positive where the values bulge."""
    padded = np.pad(smooth, 1, mode="edge")
    z, y, x = (at + 1).T
    hessian: NDArray[np.float64] = np.empty((len(at), 3, 3))
    value: Any
    for i in range(3):
        for j in range(i, 3):
            u, v = np.eye(3, dtype=np.int64)[i], np.eye(3, dtype=np.int64)[j]
            if i == j:
                ends = padded[z + u[0], y + u[1], x + u[2]] + padded[z - u[0], y - u[1], x - u[2]]
                value = (ends - 2 * padded[z, y, x]) / spacing_mm[i] ** 2
            else:
                p, m = u + v, u - v
                same = padded[z + p[0], y + p[1], x + p[2]] + padded[z - p[0], y - p[1], x - p[2]]
                cross = padded[z + m[0], y + m[1], x + m[2]] + padded[z - m[0], y - m[1], x - m[2]]
                value = (same - cross) / (4 * spacing_mm[i] * spacing_mm[j])
            hessian[:, i, j] = hessian[:, j, i] = -value
    return np.asarray(np.linalg.eigvalsh(hessian), dtype=np.float64)


def _peaks(
    smooth: NDArray[np.float32], depth_mm: NDArray[np.float32], spacing_mm: tuple[float, float, float], scale: float
) -> list[tuple[float, float, tuple[int, int, int]]]:
    deep = np.argwhere(depth_mm > NOISE_DEPTH_MM)
    if len(deep) < 200:
        return []
    sample = _curvatures(smooth, deep[:: max(1, len(deep) // 20000)], spacing_mm)[:, 0] * scale**2
    noise = max(1e-6, 1.4826 * float(np.median(np.abs(sample - np.median(sample)))))
    least = max(MIN_RESPONSE, MIN_RESPONSE_SIGMAS * noise)
    # the Laplacian bounds three times the smallest curvature: most voxels need no eigenvalues
    second = [np.gradient(np.gradient(smooth, s, axis=a), s, axis=a) for a, s in enumerate(spacing_mm)]
    bulge = -np.sum(second, axis=0) * scale**2
    places = np.argwhere((depth_mm >= MIN_DEPTH_MM) & (bulge > 1.5 * least))
    if not len(places):
        return []
    curvature = _curvatures(smooth, places, spacing_mm)
    response = np.zeros(smooth.shape, np.float32)
    round_enough = curvature[:, 0] > ROUNDNESS * curvature[:, 2]
    response[tuple(places.T)] = np.where(round_enough, curvature[:, 0] * scale**2, 0)
    top = np.argwhere((response >= least) & (response == ndimage.maximum_filter(response, size=3)))
    return [(float(response[z, y, x]), float(response[z, y, x]) / noise, (int(z), int(y), int(x))) for z, y, x in top]
