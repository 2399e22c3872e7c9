"""The prior bent onto the scan: a smooth displacement that makes the scan likelier, and the liver's probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.kernels.atlas import mixture_force, posterior, warped_priors
from livervol.kernels.smooth import gaussian
from livervol.segment.body import StraightScan, block_means
from livervol.segment.liver_intensity import intensity_bins, learned
from livervol.segment.liver_pose import Pose
from livervol.segment.liver_prior import LIVER, LiverPrior

__all__ = ["LiverMap", "liver_map"]

#: The working box reaches this far beyond where the prior makes a liver likely.
MARGIN_MM = 50.0

#: Smoothness of each step of the displacement and the number of steps, from stiff to supple.
STAGES = ((25.0, 20), (15.0, 20), (10.0, 20))

#: Side in mm of the blocks on which the displacement lives.
BLOCK_MM = 6.0

#: Smoothing of the scan before a voxel is judged by its intensity.
SMOOTHING_MM = 1.5

#: Added to the squared gradient of the log-likelihood (per voxel squared) in a step.
DAMPING = 0.3

#: Longest step in atlas voxels, and the gain that makes up for smoothing a thin force.
_LONGEST_STEP, _GAIN = 0.8, 2.5


@dataclass(frozen=True, eq=False)
class LiverMap:
    """Around the liver, on a straight grid: ``values`` (scan unit), warped class ``priors`` (..., n_classes),
    ``probability`` of liver (0 to 1), ``inside`` the field of view, and the class ``likelihood`` (BINS, n_classes)."""

    grid: Grid
    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    priors: NDArray[np.float32]
    likelihood: NDArray[np.float32]
    bins: NDArray[np.uint8]
    probability: NDArray[np.float32]


def liver_map(straight: StraightScan, prior: LiverPrior, pose: Pose) -> LiverMap:
    """Probability of liver in each coarse voxel around the posed prior.

    The prior's classes are moved by a smooth displacement field, fitted by damped gradient steps on the log-likelihood
    of a mixture with one histogram per class, all learned from this scan (Ashburner & Friston 2005, NeuroImage
    26:839). Raises ``ScanError`` when the posed liver lies outside the field of view.
    """
    straight = straight.crop(_working_box(straight, prior, pose))
    grid = straight.grid
    shift, likelihood = _bend(straight, prior, pose)
    matrix, offset = _index_plan(straight, prior, pose, 1)
    step = max(1, round(BLOCK_MM / straight.spacing_mm))
    priors = warped_priors(prior.maps, matrix, offset, grid.shape_zyx, _finer(shift, grid.shape_zyx, step))
    smooth = gaussian(straight.values, SMOOTHING_MM, grid.spacing_mm)
    bins = intensity_bins(smooth, straight)
    probability = posterior(priors, bins, likelihood, LIVER)
    probability[~straight.inside] = 0
    return LiverMap(grid, straight.values, straight.inside, priors, likelihood, bins, probability)


def _index_plan(
    part: StraightScan, prior: LiverPrior, pose: Pose, step: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # index of a block of `step` voxels -> mm -> atlas index
    matrix, offset = prior.to_index(pose.values)
    first_mm = np.asarray(part.grid.origin_lps_mm)[::-1] + (step - 1) / 2 * part.spacing_mm
    return matrix * (step * part.spacing_mm), matrix @ first_mm + offset


def _working_box(straight: StraightScan, prior: LiverPrior, pose: Pose) -> tuple[slice, slice, slice]:
    distance = (distance_transform_edt(prior.maps[..., LIVER] < 0.15) * prior.spacing_mm).astype(np.float32)
    step = 4
    shape = tuple(-(-n // step) for n in straight.values.shape)
    matrix, offset = _index_plan(straight, prior, pose, 1)
    seen = warped_priors(distance[..., None], matrix * step, offset, (shape[0], shape[1], shape[2]))[..., 0]
    near = np.argwhere(seen < MARGIN_MM) * step
    if not len(near):
        raise ScanError(
            refusal("no liver in the field of view", expected="a scan of the upper abdomen",
                    got="a best place for the liver outside the scan", do="Check the scan, or give --liver.")
        )  # fmt: skip
    first, last = near.min(axis=0), np.minimum(near.max(axis=0) + step, straight.values.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return box[0], box[1], box[2]


def _bend(straight: StraightScan, prior: LiverPrior, pose: Pose) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement in atlas voxels on blocks of voxels, shape (3, nz, ny, nx), and the likelihood then learned."""
    step = max(1, round(BLOCK_MM / straight.spacing_mm))
    whole = block_means(straight.inside, (step,) * 3) > 0.999
    bins = intensity_bins(block_means(straight.values, (step,) * 3), straight)
    matrix, offset = _index_plan(straight, prior, pose, step)
    distance = (distance_transform_edt(prior.maps[..., LIVER] < 0.3) * prior.spacing_mm).astype(np.float32)
    away = warped_priors(distance[..., None], matrix, offset, (bins.shape[0], bins.shape[1], bins.shape[2]))[..., 0]
    weights = (np.exp(-np.maximum(away - 15, 0) / 25) * whole).astype(np.float32)
    block_mm = step * straight.spacing_mm
    block_ml = np.float32(block_mm**3 / 1000)
    shift = np.zeros((3, *bins.shape), np.float32)
    likelihood = pose.likelihood
    for sigma_mm, steps in STAGES:
        for turn in range(steps):
            priors = warped_priors(prior.maps, matrix, offset, (bins.shape[0], bins.shape[1], bins.shape[2]), shift)
            priors += np.float32(1e-4)
            if turn % 3 == 0:
                flat = priors.reshape(-1, priors.shape[3])
                likelihood = learned(flat, bins.ravel(), weights.ravel() * block_ml, likelihood, 1)
            force = mixture_force(priors, bins, weights, likelihood, DAMPING)
            move = np.stack([gaussian(axis, sigma_mm, (block_mm,) * 3) for axis in force]) * np.float32(_GAIN)
            longest = float(np.abs(move).max())
            shift += move * np.float32(min(1.0, _LONGEST_STEP / max(longest, 1e-6)))
            shift = np.stack([gaussian(axis, 0.8 * block_mm, (block_mm,) * 3) for axis in shift]) * np.float32(0.99)
    return shift, likelihood


def _finer(shift: NDArray[np.float32], shape_zyx: tuple[int, int, int], step: int) -> NDArray[np.float32]:
    # block n covers the fine indices step * n ... step * n + step - 1
    result = shift
    for axis, count in enumerate(shape_zyx, start=1):
        place = np.clip((np.arange(count) - (step - 1) / 2) / step, 0, shift.shape[axis] - 1)
        below = np.minimum(place.astype(int), max(shift.shape[axis] - 2, 0))
        above = np.minimum(below + 1, shift.shape[axis] - 1)
        part = (place - below).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
        result = np.take(result, below, axis) * (1 - part) + np.take(result, above, axis) * part
    return result
