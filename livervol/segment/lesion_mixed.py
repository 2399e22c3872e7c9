"""Large lesions of mixed brightness: regions most of whose tissue is off the parenchyma, in whichever direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from livervol.kernels.components import keep_largest, label_components
from livervol.kernels.fill import fill_holes
from livervol.kernels.morphology import close_mm, erode_mm, open_mm
from livervol.scan import Phase
from livervol.segment.lesion_regions import equivalent_diameter_mm
from livervol.segment.lesion_tissue import Bools, Tissue, WorkGrid, smoothed_inside

__all__ = ["MixedLesion", "mixed_lesions"]

#: A voxel is off when its residual, smoothed by so many times the scatter's smoothing, exceeds so many sigmas.
OFF_SIGMAS, OFF_SMOOTH_SHARE = 2.0, 4 / 3
#: The region: more than half of the voxels nearby are off; found coarsely, outlined finely (Gaussian, mm).
OFF_SHARE, FIND_MM, OUTLINE_MM = 0.5, 5.0, 2.5
#: What a ball of the first radius cannot enter is a vessel or an edge; gaps for the second are filled (mm).
OPEN_MM, CLOSE_MM = 8.0, 6.0
#: Smallest such lesion (smaller ones are blobs) and least mean share of off voxels in it.
MIN_MIXED_MM, MIN_MEAN_SHARE = 50.0, 0.7
#: Voxels nearer to the tissue's edge are partial volume and do not vote (mm).
EDGE_MM = 2.5


class MixedLesion(NamedTuple):
    """``mask`` on the working grid, the ``phases`` whose median is off, the mean ``share`` of off voxels."""

    mask: Bools
    phases: tuple[Phase, ...]
    share: float


def mixed_lesions(tissues: Mapping[Phase, Tissue], inside: Bools, work: WorkGrid) -> list[MixedLesion]:
    """Lesions of at least 50 mm equivalent diameter in which most voxels are off the parenchyma in some phase."""
    off, known = np.zeros(inside.shape, bool), inside.copy()
    for tissue in tissues.values():
        smooth = smoothed_inside(
            np.clip(tissue.residual, -80, 80), tissue.inside, OFF_SMOOTH_SHARE * tissue.smooth_mm, work.grid
        )
        off |= np.abs(smooth) > OFF_SIGMAS * tissue.sigma
        known &= tissue.depth_mm > EDGE_MM
    votes = (off & known).astype(np.float32)
    share = smoothed_inside(votes, known, FIND_MM, work.grid)
    labels, stats = label_components(
        open_mm((share > OFF_SHARE) & inside, OPEN_MM, work.grid.spacing_mm), connectivity=6
    )
    large = [
        n
        for n, voxels in enumerate(stats.voxels, 1)
        if equivalent_diameter_mm(float(voxels) * work.grid.voxel_ml) >= MIN_MIXED_MM
    ]
    if not large:
        return []
    fine = smoothed_inside(votes, known, OUTLINE_MM, work.grid) > OFF_SHARE
    found = []
    for number in large:
        mean_share = float(share[labels == number].mean())
        if mean_share < MIN_MEAN_SHARE:
            continue
        mask = _outlined(labels == number, fine, work)
        core = mask & inside
        phases = tuple(
            p for p, t in tissues.items() if abs(float(np.median(t.residual[core]))) > 0.5 * OFF_SIGMAS * t.sigma
        )
        found.append(MixedLesion(mask, phases or tuple(tissues)[:1], round(min(0.95, mean_share), 2)))
    return found


def _outlined(coarse: Bools, fine: Bools, work: WorkGrid) -> Bools:
    """The coarse region with its outer layer judged again at fine scale: the coarse edge is blurred by 5 mm."""
    spacing = work.grid.spacing_mm
    deep = erode_mm(coarse, FIND_MM, spacing) != 0
    kept = keep_largest(open_mm(coarse & (deep | fine), OUTLINE_MM, spacing))
    closed = fill_holes(close_mm(kept, CLOSE_MM, spacing)) != 0
    return np.asarray(closed & work.liver)
