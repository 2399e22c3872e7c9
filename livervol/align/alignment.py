"""Bring one scan onto another's grid, with figures of the match and a refusal of what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.align.deform import Figures, deform
from livervol.align.rigid import (
    FULL_OVERLAP_PERCENT,
    MIN_OVERLAP_PERCENT,
    overlap_percent,
    refine,
    region_of,
    starts,
)
from livervol.align.transform import Transform
from livervol.errors import GridError, ScanError, refusal
from livervol.grid import Grid
from livervol.scan import Scan, Segmentation

__all__ = ["Alignment", "align"]

#: A moving scan coarser than this many times the fixed slice spacing is not subtracted.
MAX_SPACING_RATIO = 2.0


@dataclass(frozen=True, eq=False)
class Alignment:
    """``scan``: the moving scan on the fixed grid, outside its field the minimum value.

    ``shift_mm``             largest displacement of the region's corners by the rigid step (0: header geometry kept).
    ``method``               "header geometry", "rigid" or "deformable".
    ``information_before``   Mattes mutual information over the region by header geometry (nats, higher is better).
    ``information_after``    the same after the rigid step that was accepted.
    ``overlap_percent``      share of the region inside the moving scan's field.
    ``usable_for_subtraction``  False where a difference of voxels would mislead; ``warnings`` say why.
    ``transform``            where places of the fixed world lie in the moving world.
    ``correlation_before``   squared local correlation (0 to 1) around the liver before the bend; NaN: none was sought.
    ``correlation_after``    the same after what was accepted.
    ``bend_mm``              largest displacement inside the region by the bend alone (0: none accepted).
    ``jacobian_range``       least and greatest local change of volume by the bend inside the region (1: none).
    ``liver_dice_before``    Dice of the fixed liver and the moving liver after the rigid step; NaN without both livers.
    ``liver_dice_after``     the same after what was accepted.
    """

    scan: Scan
    shift_mm: float
    method: str
    information_before: float
    information_after: float
    overlap_percent: float
    usable_for_subtraction: bool
    warnings: tuple[str, ...]
    transform: Transform
    correlation_before: float = float("nan")
    correlation_after: float = float("nan")
    bend_mm: float = 0.0
    jacobian_range: tuple[float, float] = (1.0, 1.0)
    liver_dice_before: float = float("nan")
    liver_dice_after: float = float("nan")

    def map_points(self, points_lps_mm: ArrayLike, *, to: Literal["moving", "fixed"]) -> NDArray[np.float64]:
        """LPS mm of the same tissue in the other scan, shape (..., 3) in and out; ``to`` names the scan asked for."""
        return self.transform.to_moving(points_lps_mm) if to == "moving" else self.transform.to_fixed(points_lps_mm)

    def warp_labels(
        self, labels: Segmentation, grid: Grid, *, to: Literal["moving", "fixed"] = "fixed"
    ) -> Segmentation:
        """Labels drawn on one scan, on a grid of the other, nearest neighbour; ``to`` names the scan ``grid`` is of."""
        transform = self.transform if to == "fixed" else self.transform.inverse()
        return transform.labels(labels, grid)


def align(
    moving: Scan,
    fixed: Scan,
    *,
    mask: Segmentation | None = None,
    moving_liver: Segmentation | None = None,
    deformable: bool = False,
) -> Alignment:
    """The moving scan on the fixed scan's grid, with the quality of the match.

    Headers place both scans in one world; scans of different frames of reference are first centred on each other, or
    laid liver on liver where both livers are known and that fits better. A rigid transform is then fitted by Mattes
    mutual information (Mattes et al. 2003, IEEE Trans Med Imaging 22:120) over the mask's box and 12 mm around it,
    coarse to fine; the same scans give the same result. It replaces the header geometry only if it raises the
    information by 1 % and moves no corner of the region by 40 mm or more (120 mm between two frames of reference).

    ``deformable`` adds a smooth bend (:func:`livervol.align.bending.bend_onto`) steered by the liver and 6 mm around
    it. It is refused, with a warning, when it folds or changes a volume fourfold, reaches beyond 45 mm or pulls known
    livers apart; it is left out silently when it hardly raises the local correlation.
    ``mask`` lies on the fixed grid (usually the liver), ``moving_liver`` on the moving grid. Raises ``GridError`` when
    a mask is on another grid or the fields of view do not overlap, ``ScanError`` when the modalities differ.
    """
    if moving.modality != fixed.modality:
        raise ScanError(
            refusal(
                "modalities differ", expected=fixed.modality, got=moving.modality, do="Align scans of one modality."
            )
        )
    for liver, scan in ((mask, fixed), (moving_liver, moving)):
        if liver is not None:
            liver.require_grid(scan.grid)
    region = region_of(fixed.grid, mask)
    guesses = starts(moving.grid, fixed.grid, region, (moving_liver, mask))
    if not guesses:
        raise GridError(
            refusal(
                "fields of view do not overlap",
                expected=f"at least {MIN_OVERLAP_PERCENT:.0f} % of the region inside both scans",
                got="less",
                do="Check that both scans show the liver and belong to one patient.",
            )
        )
    rigid = refine(moving, fixed, region, guesses)
    transform, notes = Transform(rigid.matrix), rigid.notes
    figures = Figures()
    if deformable:
        transform, figures, said = deform(moving, fixed, region, transform, (moving_liver, mask))
        notes += said
    overlap = overlap_percent(moving.grid, region, rigid.matrix)
    usable, why = _usable(moving, fixed, overlap)
    return Alignment(
        transform.scan(moving, fixed.grid),
        rigid.shift_mm,
        "deformable" if transform.bend is not None else "rigid" if rigid.shift_mm > 0 else "header geometry",
        rigid.before,
        rigid.after,
        overlap,
        usable,
        notes + why,
        transform,
        *figures,
    )


def _usable(moving: Scan, fixed: Scan, overlap: float) -> tuple[bool, tuple[str, ...]]:
    why = []
    thick, thin = moving.grid.spacing_mm[0], fixed.grid.spacing_mm[0]
    if thick > MAX_SPACING_RATIO * thin:
        why.append(
            f"{moving.phase.value} slices every {thick:.1f} mm are more than twice as coarse as {thin:.1f} mm: "
            "not subtracted"
        )
    if moving.sequence != fixed.sequence:
        why.append(f"{moving.sequence} and {fixed.sequence} are different sequences: not subtracted")
    kvp = (moving.source.hints.get("kvp", ""), fixed.source.hints.get("kvp", ""))
    if all(kvp) and kvp[0] != kvp[1]:
        why.append(f"tube voltages differ ({kvp[0]} and {kvp[1]} kVp): not subtracted")
    if overlap < FULL_OVERLAP_PERCENT:
        why.append(f"only {overlap:.0f} % of the region lies inside the {moving.phase.value} scan: not subtracted")
    return not why, tuple(why)
