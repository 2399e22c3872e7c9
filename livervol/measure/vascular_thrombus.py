"""Suspected thrombus: a lesion in a vessel's lumen, or a stretch of a vessel that does not enhance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from livervol.measure.vascular_tree import Branch
from livervol.scan import Scan, Segmentation

__all__ = ["Suspicion", "find_thrombus"]

#: A stretch counts from this length on (mm), where the vessel is at least so wide (radius, mm).
LEAST_RUN_MM, LEAST_RADIUS_MM = 5.0, 2.0
#: A place does not enhance when it is brighter than the parenchyma by less than this share of the vessels' usual.
ENHANCED = 0.35
#: Without so much usual contrast over the parenchyma, in units of the scan, nothing is said.
LEAST_CONTRAST = 15.0


@dataclass(frozen=True)
class Suspicion:
    """Why thrombus is suspected: ``lesion`` its number or 0, ``voxels`` of overlap, ``length_mm`` of the stretch."""

    reason: str
    lesion: int = 0
    voxels: int = 0
    length_mm: float = 0.0


def find_thrombus(
    liver: Segmentation,
    lesions: Segmentation | None,
    branches: Sequence[Branch],
    branch_labels: Segmentation,
    scan: Scan | None = None,
) -> Mapping[int, tuple[Suspicion, ...]]:
    """Suspicions by branch number: lesion voxels among a branch's voxels, and stretches without contrast.

    A stretch is a run of centreline points, ``LEAST_RUN_MM`` or longer, where the ``scan`` (portal-venous) rises over
    the parenchyma by less than ``ENHANCED`` of what vessels of its kind usually do. Both may have other causes
    (mixing of blood, a mask drawn too large): a reader decides.
    """
    found: dict[int, list[Suspicion]] = {}
    if lesions is not None:
        both = (branch_labels.labels != 0) & (lesions.labels != 0) & (liver.labels != 0)
        pairs, counts = np.unique(
            np.stack([branch_labels.labels[both], lesions.labels[both]], axis=1), axis=0, return_counts=True
        )
        for (branch, lesion), voxels in zip(pairs.tolist(), counts.tolist(), strict=True):
            text = f"lesion {lesion} reaches into its lumen ({voxels} voxels)"
            found.setdefault(branch, []).append(Suspicion(text, lesion, voxels))
    if scan is not None:
        for number, length in _dark_runs(liver, lesions, branches, branch_labels, scan).items():
            text = f"a stretch of {length:.0f} mm does not enhance"
            found.setdefault(number, []).append(Suspicion(text, length_mm=length))
    return MappingProxyType({number: tuple(reasons) for number, reasons in found.items()})


def _dark_runs(
    liver: Segmentation,
    lesions: Segmentation | None,
    branches: Sequence[Branch],
    branch_labels: Segmentation,
    scan: Scan,
) -> dict[int, float]:
    """Length in mm of the longest stretch without contrast of each branch that has one long enough."""
    branch_labels.require_grid(scan.grid)
    tissue = (liver.labels != 0) & (branch_labels.labels == 0)
    if lesions is not None:
        tissue &= lesions.labels == 0
    if not tissue.any():
        return {}
    parenchyma = float(np.median(scan.voxels[tissue]))
    inside = {b.number: _values(b, scan, liver) for b in branches}
    runs: dict[int, float] = {}
    for kind in {b.kind for b in branches}:
        own = [b for b in branches if b.kind == kind]
        wide = [inside[b.number][b.radius_mm >= LEAST_RADIUS_MM] for b in own]
        values = np.concatenate(wide) if wide else np.empty(0)
        values = values[np.isfinite(values)]
        if not len(values) or np.median(values) - parenchyma < LEAST_CONTRAST:
            continue
        limit = parenchyma + ENHANCED * (float(np.median(values)) - parenchyma)
        for branch in own:
            dark = (inside[branch.number] < limit) & (branch.radius_mm >= LEAST_RADIUS_MM)
            length = _longest(dark, branch.points_lps_mm)
            if length >= LEAST_RUN_MM:
                runs[branch.number] = length
    return runs


def _values(branch: Branch, scan: Scan, liver: Segmentation) -> NDArray[np.float64]:
    """Median of the 3x3x3 voxels at each centreline point; NaN outside the liver."""
    index = np.rint(scan.grid.lps_to_index(branch.points_lps_mm)).astype(int)
    shape = np.array(scan.grid.shape_zyx)
    result = np.full(len(index), np.nan)
    for k, at in enumerate(index):
        if (at < 0).any() or (at >= shape).any() or liver.labels[tuple(at)] == 0:
            continue
        window = tuple(slice(max(0, a - 1), a + 2) for a in at)
        result[k] = float(np.median(scan.voxels[window]))
    return result


def _longest(dark: NDArray[np.bool_], points: NDArray[np.float64]) -> float:
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    longest = run = 0.0
    for k, step in enumerate(steps):
        run = run + float(step) if dark[k] and dark[k + 1] else 0.0
        longest = max(longest, run)
    return longest
