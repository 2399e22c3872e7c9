"""What the vessels of a liver are to its segments and lesions, whatever is resected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.distance import distance_to
from livervol.kernels.tally import label_boxes, label_moments, overlap_counts
from livervol.measure.planes import surround
from livervol.measure.vascular_thrombus import Suspicion, find_thrombus
from livervol.measure.vascular_tree import VesselTree
from livervol.scan import Scan, Segmentation

__all__ = ["VascularFacts", "vascular_facts"]

_REACH_MM = 25.0


@dataclass(frozen=True, eq=False)
class VascularFacts:
    """What does not depend on the operation.

    ``joint``       voxels by segment value (row) and branch number (column).
    ``liver_voxels`` by segment value.
    ``tumor_mm``    by lesion number: shortest way in mm from the lesion's outer face to each branch's voxels, by branch
                    number, 0 where they touch; infinite for a branch without voxels.
    ``depth_mm``    by branch number: shape (points, values), way from each centreline point to each segment, 0 inside.
    ``thrombus``    suspicions by branch number.
    """

    tree: VesselTree
    values: tuple[int, ...]
    joint: NDArray[np.int64]
    liver_voxels: Mapping[int, int]
    tumor_mm: Mapping[int, NDArray[np.float64]]
    depth_mm: Mapping[int, NDArray[np.float64]]
    thrombus: Mapping[int, tuple[Suspicion, ...]]


def vascular_facts(
    liver: Segmentation,
    segments: Segmentation,
    lesions: Segmentation | None,
    tree: VesselTree,
    scan: Scan | None = None,
) -> VascularFacts:
    """The facts all operations share: voxels per segment and branch, ways in mm to lesions and to segments.

    Ways between lesions and branches run between voxel faces, exactly (``planes.surround``). ``scan`` (portal-venous,
    same grid) is searched for runs of a vessel that do not enhance. All masks on one grid, else ``GridError``.
    """
    for mask in (segments, tree.branch_labels, *(() if lesions is None else (lesions,))):
        mask.require_grid(liver.grid)
    (z0, z1), (y0, y1), (x0, x1) = label_boxes((liver.labels != 0).view(np.uint8))[1].tolist()
    box = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
    inside = liver.labels[box] != 0
    parts = np.where(inside, segments.labels[box], 0)
    branches = np.where(inside, tree.branch_labels.labels[box], 0)
    size = len(tree.branches) + 1
    joint = np.zeros((int(parts.max(initial=0)) + 1, size), np.int64)
    counts = overlap_counts(parts, branches)
    joint[:, : counts.shape[1]] = counts
    present = tuple(int(v) for v in np.flatnonzero(joint.sum(axis=1)) if v)
    tumor: dict[int, NDArray[np.float64]] = {}
    if lesions is not None:
        marked = np.where(inside, lesions.labels[box], 0)
        for number in np.unique(marked[marked > 0]).tolist():
            away = distance_to(surround(marked == number), liver.grid.spacing_mm)
            least = label_moments(branches, away).least
            ways = np.full(size, np.inf)
            ways[: len(least)] = least
            tumor[int(number)] = ways
    place = liver.grid.crop([s.start for s in box], [s.stop for s in box])
    fields = [distance_to(parts == value, place.spacing_mm, limit_mm=_REACH_MM) for value in present]
    depth: dict[int, NDArray[np.float64]] = {}
    for branch in tree.branches:
        index = np.rint(place.lps_to_index(branch.points_lps_mm)).astype(int)
        within = ((index >= 0) & (index < place.shape_zyx)).all(axis=1)
        ways = np.zeros((len(index), len(present)))
        at = tuple(np.clip(index, 0, np.array(place.shape_zyx) - 1).T)
        # points outside the liver, at the hilum and the vena cava, are in no part that a resection takes
        inner = within & inside[at]
        for column, values in enumerate(fields):
            ways[inner, column] = values[at][inner]
        depth[branch.number] = ways
    voxels = {value: int(np.count_nonzero(parts == value)) for value in present}
    suspicions = find_thrombus(liver, lesions, tree.branches, tree.branch_labels, scan)
    return VascularFacts(tree, present, joint, voxels, tumor, depth, suspicions)
