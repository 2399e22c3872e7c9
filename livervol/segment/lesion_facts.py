"""What makes a lesion measurable by mRECIST, read from the scans: arterial enhancement, washout, border, treatment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.kernels.distance import distance_to
from livervol.kernels.smooth import gaussian
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.viability import ViabilityResult
from livervol.segment.viability_rules import ARTERIAL, masked_by_dense

__all__ = ["DELINEATED_PERCENT", "border_percent", "lesion_facts"]

#: A border with less of it sharp than this is ill-defined (percent). An engineering choice, no published number, laid
#: between what it was chosen on: a real HCC of 107 mm 54, 69 and 72 in three outlines, 64 after treatment; 46 of 47
#: drawn metastases 46 to 100 (one of 10 mm 31); made lesions with a border of 1 mm standard deviation 61 to 100, of
#: 4 mm 14 to 49, of 8 mm 5 to 28.
DELINEATED_PERCENT = 40.0
#: Sides of the border are compared within this distance (Gaussian, mm); a sharp step keeps this share of the contrast.
SIDE_MM, SHARP_SHARE = 3.0, 0.55
#: A step must exceed this many deviations of the parenchyma smoothed alike, learnt in a shell so wide (mm).
STEP_SIGMAS, SHELL_MM, NEAR_MM = 2.0, 20.0, 6.0
#: Too little of the border inside the liver to judge (percent of its voxels).
LEAST_BORDER_PERCENT = 20.0
#: Washout: the viable part lies this far below parenchyma in a venous phase (HU; 10 to 15 in use).
WASHOUT_HU = 10.0
#: Lipiodol or calcification of more than this share of a lesion tells of earlier treatment (percent).
TREATED_PERCENT = 2.0

VENOUS = (Phase.PORTAL_VENOUS, Phase.DELAYED)

Bools = NDArray[np.bool_]
Box = tuple[slice, slice, slice]


def lesion_facts(
    phases: Mapping[Phase, Scan], liver: Segmentation, lesions: Segmentation, viability: ViabilityResult
) -> dict[int, dict[str, str]]:
    """Words about each lesion that the response rules read, by number; what cannot be told is left out.

    ``arterial_enhancement`` yes or no: some part is viable by the arterial phase; only where that phase allows mRECIST.
    ``washout`` yes or no: on CT, the viable part is at least 10 HU darker than parenchyma in a venous phase.
    ``enhancement`` typical: both (LI-RADS v2018; Lencioni 2010); atypical: none in an untreated lesion.
    ``delineated_percent``: share of the border inside the liver that is sharp in some enhanced phase;
    below 40 % ``kind`` is infiltrative. ``treated`` yes: more than 2 % lipiodol or calcification.
    Proposals that a reader overrides. ``viability`` as ``segment_viability`` gave it for the same masks; raises
    ``ScanError`` without a phase, ``GridError`` when grids differ.
    """
    if not phases:
        raise ScanError(refusal("no scan to judge lesions on", expected="at least one phase", got="none"))
    for scan in phases.values():
        lesions.require_grid(scan.grid)
    judgement = viability.judgement
    inside = lesions.labels[judgement.box] != 0
    dense = np.zeros(lesions.grid.shape_zyx, bool)
    dense[judgement.box] = masked_by_dense(judgement.evidence, inside, lesions.grid.spacing_mm).dense
    arterial = viability.mrecist_evaluable and judgement.evidence.judged in ARTERIAL
    found = {}
    for number in sorted(int(v) for v in np.unique(lesions.labels) if v):
        box = _around(lesions.labels == number, lesions.grid.spacing_mm)
        lesion, viable = lesions.labels[box] == number, viability.viable.labels[box] == number
        words: dict[str, str] = {}
        if 100.0 * (dense[box] & lesion).sum() > TREATED_PERCENT * lesion.sum():
            words["treated"] = "yes"
        if arterial:
            words["arterial_enhancement"] = "yes" if viable.any() else "no"
            words |= _pattern(words, _washout(phases, viability, box, viable))
        healthy = (liver.labels[box] != 0) & (lesions.labels[box] == 0)
        # before contrast there is little of a border, but noise enough
        shown = [s.voxels[box] for p, s in phases.items() if p is not Phase.NATIVE or len(phases) == 1]
        share = border_percent(shown, lesion, healthy, lesions.grid.spacing_mm)
        if share is not None:
            words["delineated_percent"] = f"{share:.0f}"
            if share < DELINEATED_PERCENT:
                words["kind"] = "infiltrative"
        found[number] = words
    return found


def _pattern(words: Mapping[str, str], washout: bool | None) -> dict[str, str]:
    told = {} if washout is None else {"washout": "yes" if washout else "no"}
    if words["arterial_enhancement"] == "yes":
        return {**told, "enhancement": "typical"} if washout else told
    # dead tissue of a treated lesion says nothing about how it enhanced before
    return {} if "treated" in words else {"enhancement": "atypical"}


def _washout(phases: Mapping[Phase, Scan], viability: ViabilityResult, box: Box, viable: Bools) -> bool | None:
    """True when viable tissue is darker than the reference parenchyma in some venous CT phase; None: not to be told."""
    venous = [phases[p] for p in VENOUS if p in phases and phases[p].modality == "CT"]
    reference = viability.reference_roi.labels != 0
    if not venous or not viable.any() or not reference.any():
        return None
    steps = [float(np.median(s.voxels[reference])) - float(np.median(s.voxels[box][viable])) for s in venous]
    return max(steps) >= WASHOUT_HU


def border_percent(
    phases: Sequence[NDArray[Any]], lesion: Bools, healthy: Bools, spacing_mm: tuple[float, float, float]
) -> float | None:
    """Percent of a lesion's border with parenchyma that is sharp; None when too little of it lies in the liver.

    Sharp where, in some phase, the lesion's side (Gaussian of 3 mm over the lesion alone) and the healthy side (over
    healthy liver alone) differ, either way, by at least 55 % of the lesion's usual difference from the liver around it
    and by 2 deviations of that liver smoothed alike: a lesion of bright and dark parts has a border too, and one part
    of it may be seen in another phase. All arrays lie in one box with some centimetres of room.
    """
    away = distance_to(lesion, spacing_mm, SHELL_MM + 1)
    shell = healthy & (away <= SHELL_MM) & (away > NEAR_MM)
    edge = lesion & (distance_to(~lesion, spacing_mm, 2 * max(spacing_mm)) <= 1.01 * max(spacing_mm[1:]))
    beside = edge & (distance_to(healthy, spacing_mm, NEAR_MM) <= 2.01 * max(spacing_mm[1:]))
    if shell.sum() < 50 or beside.sum() * 100.0 < LEAST_BORDER_PERCENT * edge.sum():
        return None
    sharp = np.zeros(np.count_nonzero(beside), bool)
    for values in phases:
        around, own = _mean_over(values, healthy, spacing_mm), _mean_over(values, lesion, spacing_mm)
        level = float(np.median(around[shell]))
        sigma = 1.4826 * float(np.median(np.abs(around[shell] - level)))
        # on the whole a lesion of bright and dark parts differs from nothing
        contrast = float(np.median(np.abs(own[lesion] - level)))
        sharp |= np.abs(own - around)[beside] >= max(SHARP_SHARE * contrast, STEP_SIGMAS * sigma)
    return 100.0 * float(sharp.mean())


def _mean_over(values: NDArray[Any], where: Bools, spacing_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    weight = gaussian(where.view(np.uint8), SIDE_MM, spacing_mm)
    total = gaussian(np.where(where, values, 0).astype(np.float32), SIDE_MM, spacing_mm)
    return np.divide(total, np.maximum(weight, np.float32(1e-3)), dtype=np.float32)


def _around(mask: Bools, spacing_mm: tuple[float, float, float]) -> Box:
    box = []
    for axis, spacing in enumerate(spacing_mm):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        room = int(np.ceil((SHELL_MM + 5.0) / spacing))
        box.append(slice(max(0, int(there[0]) - room), int(there[-1]) + 1 + room))
    z, y, x = box
    return z, y, x
