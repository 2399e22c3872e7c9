"""Reading a coarse lattice of class scores at the voxels of a fine grid."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import over_slabs

__all__ = ["argmax_allowed", "argmax_trilinear", "cell_of", "sum_probabilities"]


def argmax_trilinear(
    scores: NDArray[np.float32], matrix: NDArray[np.float64], mask: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """1 + the class with the highest trilinearly interpolated score at each mask voxel, 0 elsewhere.

    ``scores`` shape (z, y, x, classes); ``matrix`` shape (3, 4) maps the mask's index (z, y, x, 1) to the lattice's;
    points outside the lattice take its border. The lowest class wins a tie.
    """
    result = np.zeros(mask.shape, np.uint8)
    lattice, plain = np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(mask)
    over_slabs(_argmax, mask.shape[0], mask.size, lattice, np.ascontiguousarray(matrix, np.float64), plain, result)
    return result


def argmax_allowed(
    scores: NDArray[np.float32], matrix: NDArray[np.float64], allowed: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """1 + the class with the highest interpolated score among those a voxel allows, 0 where it allows none.

    ``allowed`` has bit k set where class k may be chosen (at most eight classes); the rest as ``argmax_trilinear``.
    """
    result = np.zeros(allowed.shape, np.uint8)
    lattice, bits = np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(allowed)
    affine = np.ascontiguousarray(matrix, np.float64)
    over_slabs(_argmax_allowed, allowed.shape[0], allowed.size, lattice, affine, bits, result)
    return result


def sum_probabilities(
    probabilities: NDArray[np.float32], matrix: NDArray[np.float64], mask: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Sum over the mask's voxels of the trilinearly interpolated class probabilities, shape (classes,), in voxels."""
    lattice, plain = np.ascontiguousarray(probabilities, np.float32), np.ascontiguousarray(mask)
    totals = np.zeros((mask.shape[0], probabilities.shape[3]), np.float64)
    over_slabs(_sum, mask.shape[0], mask.size, lattice, np.ascontiguousarray(matrix, np.float64), plain, totals)
    return totals.sum(axis=0)


@njit(cache=True, nogil=True, inline="always")
def cell_of(position, size):
    """The lower node and the fraction to the next one at a place along an axis; beyond the ends, the border."""
    if position <= 0.0:
        return 0, 0.0
    if position >= size - 1.0:
        return max(size - 2, 0), 1.0 if size > 1 else 0.0
    low = int(position)
    return low, position - low


@njit(cache=True, nogil=True)
def _scores_at(lattice, z, y, x, out):
    nz, ny, nx, classes = lattice.shape
    z0, fz = cell_of(z, nz)
    y0, fy = cell_of(y, ny)
    x0, fx = cell_of(x, nx)
    z1, y1, x1 = min(z0 + 1, nz - 1), min(y0 + 1, ny - 1), min(x0 + 1, nx - 1)
    for k in range(classes):
        near = (lattice[z0, y0, x0, k] * (1 - fx) + lattice[z0, y0, x1, k] * fx) * (1 - fy) + (
            lattice[z0, y1, x0, k] * (1 - fx) + lattice[z0, y1, x1, k] * fx
        ) * fy
        far = (lattice[z1, y0, x0, k] * (1 - fx) + lattice[z1, y0, x1, k] * fx) * (1 - fy) + (
            lattice[z1, y1, x0, k] * (1 - fx) + lattice[z1, y1, x1, k] * fx
        ) * fy
        out[k] = near * (1 - fz) + far * fz


@njit(cache=True, nogil=True)
def _argmax(lattice, matrix, mask, result, start, stop):
    scores = np.empty(lattice.shape[3], np.float64)
    for i in range(start, stop):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if mask[i, j, k] == 0:
                    continue
                z = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3]
                y = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3]
                x = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3]
                _scores_at(lattice, z, y, x, scores)
                result[i, j, k] = np.argmax(scores) + 1


@njit(cache=True, nogil=True)
def _argmax_allowed(lattice, matrix, allowed, result, start, stop):
    scores = np.empty(lattice.shape[3], np.float64)
    for i in range(start, stop):
        for j in range(allowed.shape[1]):
            for k in range(allowed.shape[2]):
                bits = allowed[i, j, k]
                if bits == 0:
                    continue
                z = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3]
                y = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3]
                x = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3]
                _scores_at(lattice, z, y, x, scores)
                best, chosen = -np.inf, 0
                for c in range(len(scores)):
                    if (bits >> c) & 1 and scores[c] > best:
                        best, chosen = scores[c], c + 1
                result[i, j, k] = chosen


@njit(cache=True, nogil=True)
def _sum(lattice, matrix, mask, totals, start, stop):
    scores = np.empty(lattice.shape[3], np.float64)
    for i in range(start, stop):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if mask[i, j, k] == 0:
                    continue
                z = matrix[0, 0] * i + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3]
                y = matrix[1, 0] * i + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3]
                x = matrix[2, 0] * i + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3]
                _scores_at(lattice, z, y, x, scores)
                for c in range(len(scores)):
                    totals[i, c] += scores[c]
