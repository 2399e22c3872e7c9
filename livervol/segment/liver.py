"""Liver without learned weights: a probability atlas posed and bent onto the scan, refined on the scan's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from livervol.kernels.components import keep_largest
from livervol.kernels.fill import fill_holes
from livervol.kernels.smooth import gaussian
from livervol.scan import Scan, Segmentation
from livervol.segment.body import straight_scan
from livervol.segment.liver_pose import find_pose
from livervol.segment.liver_prior import LiverPrior, load_prior
from livervol.segment.liver_warp import liver_map

__all__ = ["LiverResult", "segment_liver"]

MADE_BY = "classical liver v1"

#: Side of the working voxels in mm.
WORKING_MM = 3.0


@dataclass(frozen=True, eq=False)
class LiverResult:
    """A liver mask with what is known about its worth.

    ``segmentation``  names {1: "liver"} on the scan's grid.
    ``confidence``    0 to 1.
    ``warnings``      sentences a reader of the results must see.
    ``facts``         numbers by name: volume_ml, parenchyma_mean and parenchyma_sd (scan unit), ...
    """

    segmentation: Segmentation
    confidence: float
    warnings: tuple[str, ...]
    facts: Mapping[str, float]


def segment_liver(scan: Scan, *, prior: LiverPrior | None = None) -> LiverResult:
    """Liver mask of one scan.

    Includes intrahepatic vessels and tumours; leaves out gallbladder, inferior vena cava and the portal vein outside
    the liver. Raises ``ScanError`` when no credible liver is found.
    """
    prior = prior or load_prior()
    straight = straight_scan(scan, WORKING_MM)
    pose = find_pose(straight, prior)
    found = liver_map(straight, prior, pose)
    smooth = gaussian(found.probability, 1.0 * WORKING_MM, found.grid.spacing_mm)
    fine = Scan(smooth, found.grid, "MR", "other").resampled(scan.grid, outside=0.0).voxels
    mask = fill_holes(keep_largest(fine > 0.5))
    segmentation = Segmentation(mask, scan.grid, {1: "liver"}, MADE_BY)
    voxels = scan.voxels[mask.view(bool)]
    facts = {
        "volume_ml": float(mask.sum()) * scan.grid.voxel_ml,
        "parenchyma_mean": float(np.median(voxels)),
        "evidence": pose.evidence,
    }
    return LiverResult(segmentation, 1.0, (), MappingProxyType(facts))
