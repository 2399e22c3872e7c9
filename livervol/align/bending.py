"""A smooth bend of one scan onto another: local correlation climbed by Gauss-Newton steps, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["BendSettings", "bend_onto", "jacobian_determinants", "local_correlation"]

Floats = NDArray[np.float32]
Field = NDArray[np.float32]


@dataclass(frozen=True)
class BendSettings:
    """How a bend is sought; lengths in voxels of the working lattice.

    ``window``      side of the box in which the scans are correlated.
    ``noise``       variance that both scans carry as noise (squared unit of the images); no contrast below it counts.
    ``smooth``      standard deviation of the Gaussian that pools the evidence: the bend's stiffness.
    ``tether``      pull towards no further motion (per squared voxel), for places without contrast.
    ``step``        longest step of one iteration.
    ``still``       an iteration that moves no place further ends the level.
    ``levels``      coarsening factors, coarse to fine, and the most iterations of each.
    """

    window: int = 5
    noise: float = 20.0
    smooth: float = 5.0
    tether: float = 0.02
    step: float = 1.5
    still: float = 0.1
    levels: tuple[tuple[int, int], ...] = ((4, 15), (2, 15), (1, 12))


def local_correlation(fixed: Floats, moving: Floats, weight: Floats, settings: BendSettings) -> float:
    """Squared local correlation of two images on one lattice, 0 to 1, mean over ``weight``.

    Covariance and variances are taken in a box of ``window`` voxels, the noise added to each variance, so that two
    even regions count as uncorrelated rather than as a chance correlation.
    """
    terms = _terms(fixed, moving, settings)
    return _mean_correlation(terms, weight, settings)


def bend_onto(fixed: Floats, moving: Floats, weight: Floats, settings: BendSettings | None = None) -> Field:
    """Displacement field in voxels, shape (3, z, y, x), that takes fixed places to like places of ``moving``.

    Each voxel is compared within its window after a linear adjustment of the moving values, so that contrast phases
    may differ (local normalised correlation: Avants et al. 2008, Med Image Anal 12:26). The displacement of least
    squares is solved for from the evidence pooled by a Gaussian (Lucas and Kanade 1981, IJCAI) and composed with what
    was found so far. ``weight`` (0 to 1) says where evidence counts. Same input, same field.
    """
    settings = settings or BendSettings()
    field: Field | None = None
    for factor, iterations in settings.levels:
        shape = tuple(max(4, n // factor) for n in fixed.shape)
        if factor > 1 and shape == fixed.shape:
            continue
        a, b, w = (_shrunk(image, factor, shape) for image in (fixed, moving, weight))
        field = np.zeros((3, *shape), np.float32) if field is None else _finer(field, shape)
        field = _climb(a, b, w, field, iterations, settings)
    assert field is not None
    return field


def jacobian_determinants(field: Field) -> Floats:
    """Local change of volume (1: none, 0 or less: folded) of the map x + field(x), field in voxels."""
    gradient = np.stack([np.stack(np.gradient(part)) for part in field])
    gradient += np.eye(3, dtype=gradient.dtype)[:, :, None, None, None]
    determinants: Floats = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1))).astype(np.float32)
    return determinants


def _shrunk(image: Floats, factor: int, shape: tuple[int, ...]) -> Floats:
    return image if factor == 1 else _zoomed(ndimage.gaussian_filter(image, 0.4 * factor), shape)


def _zoomed(image: Floats, shape: tuple[int, ...]) -> Floats:
    factors = [n / m for n, m in zip(shape, image.shape, strict=True)]
    zoomed: Floats = ndimage.zoom(image, factors, order=1, grid_mode=True, mode="nearest")
    return zoomed


def _finer(field: Field, shape: tuple[int, ...]) -> Field:
    factors = [n / m for n, m in zip(shape, field.shape[1:], strict=True)]
    return np.stack([_zoomed(part, shape) * np.float32(f) for part, f in zip(field, factors, strict=True)])


@dataclass(frozen=True, eq=False)
class _Terms:
    """Local means, variances (noise included) and covariance."""

    mean_fixed: Floats
    mean_moving: Floats
    var_fixed: Floats
    var_moving: Floats
    covariance: Floats


def _terms(fixed: Floats, moving: Floats, settings: BendSettings) -> _Terms:
    def box(values: Floats) -> Floats:
        mean: Floats = ndimage.uniform_filter(values, settings.window)
        return mean

    mean_fixed, mean_moving = box(fixed), box(moving)
    return _Terms(
        mean_fixed,
        mean_moving,
        np.maximum(box(fixed * fixed) - mean_fixed**2, 0) + np.float32(settings.noise),
        np.maximum(box(moving * moving) - mean_moving**2, 0) + np.float32(settings.noise),
        box(fixed * moving) - mean_fixed * mean_moving,
    )


def _mean_correlation(terms: _Terms, weight: Floats, settings: BendSettings) -> float:
    squared = terms.covariance**2 / (terms.var_fixed * terms.var_moving)
    return float((squared * weight).sum(dtype=np.float64) / max(1e-9, weight.sum(dtype=np.float64)))


def _climb(
    fixed: Floats, moving: Floats, weight: Floats, field: Field, iterations: int, settings: BendSettings
) -> Field:
    places = np.indices(fixed.shape, dtype=np.float32)
    for _ in range(iterations):
        seen: Floats = ndimage.map_coordinates(moving, places + field, order=1, mode="nearest")
        step = _gauss_newton(fixed, seen, weight, settings)
        further = [ndimage.map_coordinates(part, places + step, order=1, mode="nearest") for part in field]
        field = step + np.stack(further)
        if float(np.sqrt((step**2).sum(axis=0)).max()) < settings.still:
            break
    return field


def _gauss_newton(fixed: Floats, seen: Floats, weight: Floats, settings: BendSettings) -> Field:
    """One smooth step in voxels: the pooled least-squares shift at every second voxel, spread over all."""
    terms = _terms(fixed, seen, settings)
    slope = terms.covariance / terms.var_moving
    unexplained = np.maximum(terms.var_fixed - slope * terms.covariance, np.float32(settings.noise))
    residual = (fixed - terms.mean_fixed) - slope * (seen - terms.mean_moving)
    trust = weight * slope / unexplained
    gradient = np.gradient(seen)

    def pooled(values: Floats) -> Floats:
        half: Floats = ndimage.gaussian_filter(_halved(values), settings.smooth / 2)
        return half

    right = np.stack([pooled(trust * residual * g) for g in gradient], axis=-1)
    normal = np.empty((*right.shape, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            normal[..., i, j] = normal[..., j, i] = pooled(trust * slope * gradient[i] * gradient[j])
    normal += np.float32(settings.tether) * np.eye(3, dtype=np.float32)
    step = np.moveaxis(np.linalg.solve(normal, right[..., None])[..., 0], -1, 0)
    length = np.sqrt((step**2).sum(axis=0))
    step = step * np.minimum(1, settings.step / np.maximum(length, 1e-6))
    soft = [ndimage.gaussian_filter(part, settings.smooth / 4) for part in step]
    # nodes of the halved lattice lie between two voxels, as grid_mode has it
    twice = tuple(2 * n for n in right.shape[:3])
    z, y, x = fixed.shape
    return np.stack([_zoomed(part, twice)[:z, :y, :x] for part in soft]).astype(np.float32)


def _halved(values: Floats) -> Floats:
    padded = np.pad(values, [(0, n % 2) for n in values.shape], mode="edge")
    z, y, x = (n // 2 for n in padded.shape)
    halved: Floats = padded.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))
    return halved
