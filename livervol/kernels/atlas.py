"""Probability atlas against an image: fit of a pose, warped class priors, mixture responsibilities and their forces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import over_slabs

__all__ = ["class_histograms", "mixture_force", "pose_fit", "posterior", "warped_priors"]


def pose_fit(
    points_mm: NDArray[np.float32],
    bins: NDArray[np.uint8],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    matrix: NDArray[Any],
    offset: NDArray[Any],
) -> float:
    """Weighted sum over points of ``table[atlas voxel nearest to matrix @ point + offset, bin]``, in the table's unit.

    ``points_mm`` shape (n, 3), ``bins`` and ``weights`` (n,), ``table`` (az, ay, ax, n_bins); a point beyond the atlas
    takes the nearest border voxel. ``matrix`` (3, 3) and ``offset`` (3,) map mm to atlas index.
    """
    return float(_pose_fit(points_mm, bins, weights, table, np.asarray(matrix, float), np.asarray(offset, float)))


@njit(cache=True, nogil=True)
def _pose_fit(points, bins, weights, table, m, c):
    az, ay, ax, _ = table.shape
    total = 0.0
    for n in range(points.shape[0]):
        z, y, x = points[n, 0], points[n, 1], points[n, 2]
        i = int(np.floor(m[0, 0] * z + m[0, 1] * y + m[0, 2] * x + c[0] + 0.5))
        j = int(np.floor(m[1, 0] * z + m[1, 1] * y + m[1, 2] * x + c[1] + 0.5))
        k = int(np.floor(m[2, 0] * z + m[2, 1] * y + m[2, 2] * x + c[2] + 0.5))
        i = min(max(i, 0), az - 1)
        j = min(max(j, 0), ay - 1)
        k = min(max(k, 0), ax - 1)
        total += weights[n] * table[i, j, k, bins[n]]
    return total


def warped_priors(
    maps: NDArray[np.float32],
    matrix: NDArray[Any],
    offset: NDArray[Any],
    shape_zyx: tuple[int, int, int],
    shift: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Class maps seen from an image grid, in the unit of ``maps``: trilinear, shape (nz, ny, nx, n_classes).

    ``maps`` shape (az, ay, ax, n_classes); image index (z, y, x) lies at atlas index ``matrix @ (z, y, x) + offset``
    plus ``shift`` (3, nz, ny, nx; atlas voxels). Beyond the atlas its border is repeated.
    """
    nz, ny, nx = shape_zyx
    result = np.empty((nz, ny, nx, maps.shape[3]), np.float32)
    moved = np.zeros((3, 1, 1, 1), np.float32) if shift is None else np.ascontiguousarray(shift, np.float32)
    plan = (np.asarray(matrix, np.float64), np.asarray(offset, np.float64))
    over_slabs(_warped_priors, nz, result.size, maps, *plan, moved, shift is not None, result)
    return result


@njit(cache=True, nogil=True)
def _warped_priors(maps, m, c, shift, shifted, result, z_start, z_stop):
    az, ay, ax, classes = maps.shape
    _, ny, nx, _ = result.shape
    for z in range(z_start, z_stop):
        for y in range(ny):
            for x in range(nx):
                pz = m[0, 0] * z + m[0, 1] * y + m[0, 2] * x + c[0]
                py = m[1, 0] * z + m[1, 1] * y + m[1, 2] * x + c[1]
                px = m[2, 0] * z + m[2, 1] * y + m[2, 2] * x + c[2]
                if shifted:
                    pz += shift[0, z, y, x]
                    py += shift[1, z, y, x]
                    px += shift[2, z, y, x]
                pz = min(max(pz, 0.0), az - 1.0)
                py = min(max(py, 0.0), ay - 1.0)
                px = min(max(px, 0.0), ax - 1.0)
                i, j, k = min(int(pz), az - 2), min(int(py), ay - 2), min(int(px), ax - 2)
                fz, fy, fx = np.float32(pz - i), np.float32(py - j), np.float32(px - k)
                gz, gy, gx = np.float32(1) - fz, np.float32(1) - fy, np.float32(1) - fx
                w0, w1, w2, w3 = gz * gy * gx, gz * gy * fx, gz * fy * gx, gz * fy * fx
                w4, w5, w6, w7 = fz * gy * gx, fz * gy * fx, fz * fy * gx, fz * fy * fx
                for s in range(classes):
                    result[z, y, x, s] = (
                        w0 * maps[i, j, k, s]
                        + w1 * maps[i, j, k + 1, s]
                        + w2 * maps[i, j + 1, k, s]
                        + w3 * maps[i, j + 1, k + 1, s]
                        + w4 * maps[i + 1, j, k, s]
                        + w5 * maps[i + 1, j, k + 1, s]
                        + w6 * maps[i + 1, j + 1, k, s]
                        + w7 * maps[i + 1, j + 1, k + 1, s]
                    )


def class_histograms(
    priors: NDArray[np.float32],
    bins: NDArray[np.uint8],
    weights: NDArray[np.float32],
    likelihood: NDArray[np.float32],
) -> tuple[NDArray[np.float64], float]:
    """Responsibility of each class for each intensity bin (sum of weights), and the weighted log-likelihood (nats).

    The expectation step of a mixture with spatial priors (Ashburner & Friston 2005, NeuroImage 26:839, section 2.1).
    ``priors`` (n, n_classes), ``bins`` and ``weights`` (n,), ``likelihood`` (n_bins, n_classes); result
    (n_bins, n_classes).
    """
    return _class_histograms(priors, bins, weights, likelihood)


@njit(cache=True, nogil=True)
def _class_histograms(priors, bins, weights, likelihood):
    n_bins, classes = likelihood.shape
    sums = np.zeros((n_bins, classes))
    total = 0.0
    for n in range(bins.size):
        w = weights[n]
        if w <= 0:
            continue
        b = bins[n]
        mix = 1e-12
        for s in range(classes):
            mix += priors[n, s] * likelihood[b, s]
        for s in range(classes):
            sums[b, s] += w * priors[n, s] * likelihood[b, s] / mix
        total += w * np.log(mix)
    return sums, total


def mixture_force(
    priors: NDArray[np.float32],
    bins: NDArray[np.uint8],
    weights: NDArray[np.float32],
    likelihood: NDArray[np.float32],
    damping: float,
) -> NDArray[np.float32]:
    """Per-voxel move of the class maps that raises the log-likelihood, in voxels of ``priors``, shape (3, nz, ny, nx).

    The gradient g of the log mixture over its squared length plus ``damping`` (a Gauss-Newton step on one voxel's own
    curvature; Thirion 1998, Med Image Anal 2:243), times the voxel's weight. ``priors`` (nz, ny, nx, n_classes).
    """
    force = np.zeros((3, *bins.shape), np.float32)
    over_slabs(_mixture_force, bins.shape[0], priors.size, priors, bins, weights, likelihood, float(damping), force)
    return force


@njit(cache=True, nogil=True)
def _mixture_force(priors, bins, weights, likelihood, damping, force, z_start, z_stop):
    nz, ny, nx, classes = priors.shape
    for z in range(z_start, z_stop):
        below, above = max(z - 1, 0), min(z + 1, nz - 1)
        for y in range(ny):
            front, back = max(y - 1, 0), min(y + 1, ny - 1)
            for x in range(nx):
                if weights[z, y, x] <= 0:
                    continue
                right, left = max(x - 1, 0), min(x + 1, nx - 1)
                b = bins[z, y, x]
                mix, dz, dy, dx = 1e-12, 0.0, 0.0, 0.0
                for s in range(classes):
                    p = likelihood[b, s]
                    mix += p * priors[z, y, x, s]
                    dz += p * (priors[above, y, x, s] - priors[below, y, x, s])
                    dy += p * (priors[z, back, x, s] - priors[z, front, x, s])
                    dx += p * (priors[z, y, left, s] - priors[z, y, right, s])
                dz, dy, dx = dz / (2 * mix), dy / (2 * mix), dx / (2 * mix)
                scale = weights[z, y, x] / (dz * dz + dy * dy + dx * dx + damping)
                force[0, z, y, x] = scale * dz
                force[1, z, y, x] = scale * dy
                force[2, z, y, x] = scale * dx


def posterior(
    priors: NDArray[np.float32], bins: NDArray[np.uint8], likelihood: NDArray[np.float32], of: int
) -> NDArray[np.float32]:
    """Probability 0 to 1 of class ``of`` in each voxel: prior times likelihood over their sum; shape of ``bins``.

    ``priors`` (nz, ny, nx, n_classes), ``likelihood`` (n_bins, n_classes).
    """
    result = np.empty(bins.shape, np.float32)
    over_slabs(_posterior, bins.shape[0], priors.size, priors, bins, likelihood, of, result)
    return result


@njit(cache=True, nogil=True)
def _posterior(priors, bins, likelihood, of, result, z_start, z_stop):
    _, ny, nx, classes = priors.shape
    for z in range(z_start, z_stop):
        for y in range(ny):
            for x in range(nx):
                b = bins[z, y, x]
                mix = np.float32(1e-12)
                for s in range(classes):
                    mix += priors[z, y, x, s] * likelihood[b, s]
                result[z, y, x] = priors[z, y, x, of] * likelihood[b, of] / mix
