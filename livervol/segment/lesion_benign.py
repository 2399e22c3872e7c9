"""What is no tumour or hides one: simple cysts, lipiodol and calcification."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from livervol.kernels.morphology import erode_mm
from livervol.kernels.smooth import gaussian
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesion_regions import equivalent_diameter_mm
from livervol.segment.lesion_tissue import Bools, Tissue, WorkGrid

__all__ = ["cyst_words", "dense_warnings"]

#: Simple cysts: water-like, even, not enhancing (HU).
CYST_MAX_HU, CYST_MIN_HU, CYST_SPREAD, CYST_ENHANCEMENT_HU = 20.0, -10.0, 1.6, 10.0
#: Lipiodol and calcification: native above 100 HU; without native, every phase above 130 HU.
DENSE_NATIVE_HU, DENSE_ENHANCED_HU = 100.0, 130.0


def cyst_words(mask: Bools, values: Mapping[Phase, Tissue], work: WorkGrid) -> str:
    """What to say of a lesion that looks like a simple cyst in every CT phase; empty when it does not."""
    core = next(c for c in (_inner(mask, mm, work) for mm in (4.0, 2.0, 0.0)) if c.any())
    if not _is_cyst(core, values, work):
        return ""
    at = work.grid.index_to_lps(np.argwhere(core).mean(axis=0))
    size = equivalent_diameter_mm(float(mask.sum()) * work.grid.voxel_ml)
    where = ", ".join(f"{v:.0f}" for v in at)
    return f"cyst-like, not counted as a lesion: {size:.0f} mm at LPS ({where}) mm"


def _inner(mask: Bools, depth_mm: float, work: WorkGrid) -> Bools:
    return np.asarray(erode_mm(mask, depth_mm, work.grid.spacing_mm) != 0)


def _is_cyst(core: Bools, values: Mapping[Phase, Tissue], work: WorkGrid) -> bool:
    means = [float(t.values[core].mean()) for t in values.values()]
    even = all(
        float(gaussian(t.values, t.smooth_mm, work.grid.spacing_mm)[core].std()) <= CYST_SPREAD * t.sigma
        for t in values.values()
    )
    water = all(CYST_MIN_HU <= m < CYST_MAX_HU for m in means)
    return water and even and max(means) - min(means) < CYST_ENHANCEMENT_HU


def dense_warnings(phases: Mapping[Phase, Scan], lesions: Segmentation) -> list[str]:
    """Lesions that hold lipiodol or calcification, in percent of their volume."""
    ct = {p: s for p, s in phases.items() if s.modality == "CT"}
    if not ct or not lesions.names:
        return []
    if Phase.NATIVE in ct:
        dense = ct[Phase.NATIVE].voxels > DENSE_NATIVE_HU
    else:
        dense = np.logical_and.reduce([s.voxels > DENSE_ENHANCED_HU for s in ct.values()])
    highest = len(lesions.names)
    whole = np.bincount(lesions.labels.ravel(), minlength=highest + 1)
    part = np.bincount(lesions.labels[dense], minlength=highest + 1)
    return [
        f"lesion {n}: {100 * part[n] / whole[n]:.0f} % dense like lipiodol or calcification"
        for n in range(1, highest + 1)
        if part[n] > 0.05 * whole[n]
    ]
