"""True masks of the phantom on any grid, for tests of segmentation and measuring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid

from .lesions import COURSE_LESIONS
from .plan import VISIT_PLANS
from .scene import paint_scene
from .tissues import IN_LIVER, Tissue

__all__ = ["PhantomMasks", "phantom_masks"]


@dataclass(frozen=True, eq=False)
class PhantomMasks:
    """True labels at voxel centres, each uint8 of the grid's shape.

    ``liver`` 0/1 (lesions and vessels inside it included), ``lesions`` and ``viable`` by lesion number, ``vessels``
    1 portal and 2 hepatic veins inside the liver, ``tissues`` the whole scene as ``phantom.tissues.Tissue``.
    """

    liver: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    viable: NDArray[np.uint8]
    vessels: NDArray[np.uint8]
    tissues: NDArray[np.uint8]


def phantom_masks(visit: int, grid: Grid, *, shift_lps_mm: tuple[float, float, float] | None = None) -> PhantomMasks:
    """True masks of visit 1, 2 or 3 on ``grid``; the patient lies as in that visit's portal venous scan.

    ``shift_lps_mm`` places the patient elsewhere: ``(0, 0, 0)`` is where the MR, oblique and uneven samples were made.
    """
    lesions = COURSE_LESIONS[visit]
    shift = VISIT_PLANS[visit].shift_lps_mm if shift_lps_mm is None else shift_lps_mm
    tissues = paint_scene(grid, lesions, shift)
    # a voxel of tumour belongs to the one lesion whose ellipsoid holds it
    index = np.argwhere(np.isin(tissues, (Tissue.VIABLE, Tissue.NECROSIS)))
    points = grid.index_to_lps(index) - np.asarray(shift)
    numbers = np.zeros(len(index), dtype=np.uint8)
    for lesion in lesions:
        numbers[lesion.inside(points[:, 0], points[:, 1], points[:, 2])] = lesion.number
    of_lesion = np.zeros(grid.shape_zyx, dtype=np.uint8)
    of_lesion[tuple(index.T)] = numbers
    vessels = np.zeros(grid.shape_zyx, dtype=np.uint8)
    vessels[tissues == Tissue.PORTAL_BRANCH] = 1
    vessels[tissues == Tissue.HEPATIC_BRANCH] = 2
    return PhantomMasks(
        liver=np.isin(tissues, IN_LIVER).astype(np.uint8),
        lesions=of_lesion,
        viable=np.where(tissues == Tissue.VIABLE, of_lesion, 0).astype(np.uint8),
        vessels=vessels,
        tissues=tissues,
    )
