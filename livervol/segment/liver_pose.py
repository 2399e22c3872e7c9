"""Where the liver is: the pose of the prior under which the scan is most likely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.optimize import minimize

from livervol.errors import ScanError, refusal
from livervol.kernels.atlas import pose_fit
from livervol.segment.body import StraightScan, block_means, body_box, soft_tissue
from livervol.segment.liver_intensity import BINS, intensity_bins, learned, starting_histograms
from livervol.segment.liver_prior import LIVER, LiverPrior

__all__ = ["Pose", "find_pose", "starting_evidence"]

#: Trunk depth and width in mm of the mean atlas body, at the level of the liver.
ATLAS_DEPTH_MM, ATLAS_WIDTH_MM = 205.0, 310.0

#: Levels tried along the body, and the starting heights of the liver relative to the mean.
LEVEL_STEP_MM = 15.0
HEIGHTS = (-0.12, 0.12)

#: Starts that are followed to their optimum, and how far apart they must be.
FOLLOWED, APART_MM = 3, 25.0

#: Optimiser steps: mm for the centre, 10 % for the scales, 0.1 rad for the angles.
_STEPS = np.array([10, 10, 10, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])

#: Spread of log scale and angle over patients, with the body's own size taken out, and of the centre in y and x (mm).
_SCALE_SPREAD, _ANGLE_SPREAD, _CENTRE_SPREAD_MM = 0.13, 0.12, 25.0

#: Nats for one spread away. Neighbouring voxels say much the same, hence far more than one half.
_PENALTY = 40.0


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose of the prior (``values`` as in ``pose_matrix``), class likelihoods (BINS, n_classes) and its evidence.

    ``evidence`` is the mean log-likelihood gain per ml of atlas near the liver over a scan without anatomy, in nats.
    """

    values: NDArray[np.float64]
    likelihood: NDArray[np.float32]
    evidence: float


class _Samples:
    """Block means of the scan as points, in bins, for one resolution of the search."""

    def __init__(self, straight: StraightScan, step: int, prior: LiverPrior) -> None:
        self.means = block_means(straight.values, (step,) * 3)
        whole = block_means(straight.inside, (step,) * 3) > 0.999
        self.grid_points = straight.points_mm(step)
        self.points = self.grid_points[whole]
        self.bins = intensity_bins(self.means[whole], straight)
        self.spacing_mm = step * straight.spacing_mm
        self.ml = self.spacing_mm**3 / 1000
        self.prior = prior
        distance = distance_transform_edt(prior.maps[..., LIVER] < 0.3) * prior.spacing_mm
        near = np.exp(-np.maximum(distance - 10, 0) / 40)
        self.nearness = np.where(distance > 150, 0, near).astype(np.float32)

    def _voxels(self, pose: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        matrix, offset = self.prior.to_index(pose)
        index = np.rint(self.points @ matrix.T.astype(np.float32) + offset.astype(np.float32)).astype(np.int64)
        inside: NDArray[np.bool_] = np.all((index >= 0) & (index < self.nearness.shape), axis=1)
        return np.ravel_multi_index(tuple(index[inside].T), self.nearness.shape), inside

    def near(self, pose: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Points near the liver under a pose, and their weights in ml."""
        voxels, inside = self._voxels(pose)
        weights = np.zeros(len(self.points), np.float32)
        weights[inside] = self.nearness.ravel()[voxels] * self.ml
        chosen = weights > 0.03 * self.ml
        return chosen, weights[chosen]

    def learn(self, pose: NDArray[np.float64], likelihood: NDArray[np.float32], rounds: int) -> NDArray[np.float32]:
        """Class likelihoods refined under a fixed pose."""
        voxels, inside = self._voxels(pose)
        classes = self.prior.maps.shape[3]
        weights = self.nearness.ravel()[voxels] * np.float32(self.ml)
        return learned(self.prior.maps.reshape(-1, classes)[voxels], self.bins[inside], weights, likelihood, rounds)

    def table(self, likelihood: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-likelihood of each bin at each atlas voxel (az, ay, ax, BINS)."""
        result: NDArray[np.float32] = np.log(self.prior.maps @ likelihood.T + np.float32(1e-5))
        return result

    def evidence(self, pose: NDArray[np.float64], likelihood: NDArray[np.float32]) -> float:
        """Nats per ml of atlas near the liver gained over the scan's own histogram; unseen atlas gains nothing."""
        counts = np.bincount(self.bins, minlength=BINS) + 1.0
        tissue = counts.copy()
        tissue[:2] = 1.0
        background = np.log(0.5 * counts / counts.sum() + 0.5 * tissue / tissue.sum()).astype(np.float32)
        voxels, inside = self._voxels(pose)
        mixed = (self.prior.maps.reshape(-1, self.prior.maps.shape[3])[voxels] * likelihood[self.bins[inside]]).sum(1)
        gain = (np.log(mixed + 1e-5) - background[self.bins[inside]]) * self.nearness.ravel()[voxels]
        atlas_ml = self.ml * float(np.exp(pose[3:6].sum()))
        return float(gain.sum()) * atlas_ml / (float(self.nearness.sum()) * self.prior.spacing_mm**3 / 1000)

    def climb(
        self, pose: NDArray[np.float64], start: NDArray[np.float64], likelihood: NDArray[np.float32], free: int
    ) -> NDArray[np.float64]:
        """The best pose near ``pose``, over its first ``free`` values; ``start`` is where penalties are zero."""
        table = self.table(likelihood)
        chosen, weights = self.near(pose)
        points, bins = self.points[chosen], self.bins[chosen]
        if not len(points):
            return pose

        def cost(steps: NDArray[np.float64]) -> float:
            trial = pose.copy()
            trial[:free] = steps * _STEPS[:free]
            away = trial - start
            penalty = ((away[3:6] / _SCALE_SPREAD) ** 2).sum() + ((away[6:] / _ANGLE_SPREAD) ** 2).sum()
            penalty += 0.25 * ((away[1:3] / _CENTRE_SPREAD_MM) ** 2).sum()
            fit = pose_fit(points, bins, weights, table, *self.prior.to_index(trial))
            return _PENALTY * float(penalty) - fit

        options = {"maxfev": 60 * free, "xtol": 0.05, "ftol": 1e-3}
        result = minimize(cost, pose[:free] / _STEPS[:free], method="Powell", options=options)
        found = pose.copy()
        found[:free] = result.x * _STEPS[:free]
        return found


def _starts(samples: _Samples, straight: StraightScan) -> list[NDArray[np.float64]]:
    """Poses along the body, centred on the trunk and scaled to it."""
    tissue = soft_tissue(samples.means, straight, samples.spacing_mm)
    levels = samples.grid_points[:, 0, 0, 0]
    starts = []
    for z_mm in np.arange(levels[0] - 60, levels[-1] + 60, LEVEL_STEP_MM):
        box = body_box(tissue, samples.grid_points, z_mm, 50.0) or body_box(tissue, samples.grid_points, z_mm, 120.0)
        if box is None:
            continue
        scale = [np.log(ATLAS_DEPTH_MM / box.depth_mm), np.log(ATLAS_WIDTH_MM / box.width_mm)]
        starts += [np.array([z_mm, *box.centre_yx_mm, height, *scale, 0, 0, 0]) for height in HEIGHTS]
    return starts


def find_pose(straight: StraightScan, prior: LiverPrior) -> Pose:
    """Pose of the prior in the scan, with the class likelihoods learned on the way.

    Starts along the whole body are ranked and the best few followed by Powell's method, on about 9 mm blocks and
    then with rotation on about 6 mm blocks; the one with most evidence wins. Raises ``ScanError`` when there
    is no body.
    """
    atlas = prior.coarser(2)
    coarse, starts = _first_look(straight, atlas)
    if not starts:
        raise ScanError(
            refusal("no body found", expected="a scan of the trunk", got="no connected soft tissue of a trunk's size",
                    do="Check the scan and its modality, or give --liver.")
        )  # fmt: skip
    first = _first_likelihood(straight, coarse)
    ranked = sorted(((coarse.evidence(p, first(p)), n) for n, p in enumerate(starts)), reverse=True)
    followed: list[NDArray[np.float64]] = []
    for _, n in ranked:
        if len(followed) < FOLLOWED and all(abs(starts[n][0] - p[0]) > APART_MM for p in followed):
            followed.append(starts[n])
    fine = _Samples(straight, max(1, round(6 / straight.spacing_mm)), atlas)
    # two resolutions together: neither alone told the right level in every scan
    return max((_follow(start, first(start), coarse, fine) for start in followed), key=lambda found: found[0])[1]


def starting_evidence(straight: StraightScan, atlas: LiverPrior) -> float:
    """Evidence in nats per ml of the best of the poses a search would start from; 0 where there is no body.

    ``atlas`` is the prior at the resolution of that search, ``prior.coarser(2)``.
    """
    coarse, starts = _first_look(straight, atlas)
    first = _first_likelihood(straight, coarse)
    return max((float(coarse.evidence(pose, first(pose))) for pose in starts), default=0.0)


def _first_look(straight: StraightScan, atlas: LiverPrior) -> tuple[_Samples, list[NDArray[np.float64]]]:
    coarse = _Samples(straight, max(1, round(9 / straight.spacing_mm)), atlas)
    return coarse, _starts(coarse, straight) if min(coarse.means.shape) > 1 else []


def _first_likelihood(straight: StraightScan, coarse: _Samples) -> Callable[[NDArray[np.float64]], NDArray[np.float32]]:
    known = starting_histograms(straight, coarse.bins)
    return lambda pose: coarse.learn(pose, known, 1 if straight.modality == "CT" else 3)


def _follow(
    start: NDArray[np.float64], likelihood: NDArray[np.float32], coarse: _Samples, fine: _Samples
) -> tuple[float, Pose]:
    """The optimum reached from one start, place and scale first, then with rotation; and its summed evidence."""
    pose, total = start, 0.0
    for samples, free in ((coarse, 6), (fine, 9)):
        for _ in range(2):
            likelihood = samples.learn(pose, likelihood, 2)
            pose = samples.climb(pose, start, likelihood, free)
        likelihood = samples.learn(pose, likelihood, 2)
        evidence = samples.evidence(pose, likelihood)
        total += evidence
    return total, Pose(pose, likelihood, evidence)
