"""What is compared to tell living from dead tumour: phases, thresholds, rises over native, and what masks them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, bits_box, pack
from livervol.kernels.distance import distance_to
from livervol.kernels.morphology import close_mm
from livervol.kernels.smooth import gaussian
from livervol.scan import Phase, Scan
from livervol.segment.viability_reference import Reference
from livervol.segment.viability_shape import ENHANCING, NECROSIS, UNCERTAIN

__all__ = [
    "ARTERIAL",
    "DENOISE_MM",
    "FALLBACK",
    "Evidence",
    "Masked",
    "box_of",
    "enhances",
    "evidence_of",
    "masked_by_dense",
    "rises",
    "viable_threshold",
]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]

#: Noise is taken off by a Gaussian of this standard deviation (mm), about one voxel of a usual scan.
DENOISE_MM = 1.2
#: Viable: above the reference by this many of its standard deviations (qEASL).
SIGMAS = 2.0
#: CT: least rise over native of enhancing tissue, and the rise below which tissue does not enhance (HU).
ENHANCING_HU, NOT_ENHANCING_HU = 20.0, 10.0
#: Without native: least step above the reference (HU, or percent of the reference's signal on MR).
RELATIVE_STEP = 10.0
#: Soft tissue and liver before contrast where there is no native scan to subtract (HU).
ASSUMED_NATIVE_HU, ASSUMED_LIVER_HU = 45.0, 55.0
#: Parenchyma must have risen by this for liver-like tissue in a lesion to count as enhancing (HU).
LIVER_RISE_HU = 15.0
#: Lipiodol and calcification: native above 100; without native, arterial and venous above 130 and less than 20 apart.
DENSE_NATIVE_HU, DENSE_ENHANCED_HU, DENSE_APART_HU = 100.0, 130.0, 20.0
#: Above this in every enhanced phase nothing but lipiodol or calcification is left (HU).
DENSE_SURE_HU = 200.0
#: Brightness this near to what is surely dense belongs to it (mm).
DENSE_GROW_MM = 5.0
#: Bright tissue this near is its blur; pockets between droplets up to twice the second are masked by it (mm).
DENSE_REACH_MM, DENSE_POCKET_MM = 2.0, 3.0
#: Native voxels below this lie outside the native scan's field (HU).
FIELD_MIN_HU = -200.0
#: Room around the lesions (mm) in which nothing of what masks them is cut off: twice the pockets' closing.
_MASKED_ROOM_MM = 8.0

ARTERIAL = (Phase.LATE_ARTERIAL, Phase.EARLY_ARTERIAL)
FALLBACK = (Phase.PORTAL_VENOUS, Phase.DELAYED, Phase.TRANSITIONAL)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is compared, denoised, in the lesions' box.

    ``judged``  the phase judged, None when no phase shows enhancement.   ``signal``  that phase, less native if so.
    ``native``  what was subtracted, or None.   ``plain``  a native scan that may not be subtracted, or None.
    ``enhanced``  every enhanced phase.   ``words``  the comparison in words.
    """

    judged: Phase | None
    signal: Floats
    native: Floats | None
    plain: Floats | None
    enhanced: Mapping[Phase, Floats]
    is_ct: bool
    words: str

    @property
    def is_arterial(self) -> bool:
        """True when an arterial phase is judged."""
        return self.judged in ARTERIAL

    def cut(self, box: tuple[slice, ...]) -> Evidence:
        """The same in a box of it."""
        return Evidence(
            self.judged,
            self.signal[box],
            None if self.native is None else self.native[box],
            None if self.plain is None else self.plain[box],
            {phase: values[box] for phase, values in self.enhanced.items()},
            self.is_ct,
            self.words,
        )


@dataclass(frozen=True, eq=False)
class Masked:
    """``dense``: lipiodol or calcification and the pockets in it; ``blurred``: so near that brightness is its blur."""

    dense: Bools
    blurred: Bools


def box_of(mask: NDArray[Any], room: Sequence[int]) -> Box | None:
    """The box of what is not zero with ``room`` voxels around it, None when all is zero; it may end past the array."""
    z0, z1, y0, y1, x0, x1 = bits_box(pack(as_bytes(mask)))
    if z1 == 0:
        return None
    rz, ry, rx = room
    return slice(max(0, z0 - rz), z1 + rz), slice(max(0, y0 - ry), y1 + ry), slice(max(0, x0 - rx), x1 + rx)


def evidence_of(phases: Mapping[Phase, Scan], box: Box, spacing: Spacing, subtract_native: bool) -> Evidence:
    """Arterial (late before early), else portal venous, delayed or transitional, less native where it may be."""
    usable = {p: s for p, s in phases.items() if p in (*ARTERIAL, *FALLBACK) and s.sequence in ("CT", "T1")}
    judged = next((p for p in (*ARTERIAL, *FALLBACK) if p in usable), None)
    if judged is None:
        shape = next(iter(phases.values())).voxels[box].shape
        return Evidence(None, np.zeros(shape, np.float32), None, None, {}, False, "no enhanced phase")
    sequence = usable[judged].sequence
    usable = {p: s for p, s in usable.items() if s.sequence == sequence}

    def smooth(scan: Scan) -> Floats:
        return gaussian(scan.voxels[box].astype(np.float32), DENOISE_MM, spacing)

    enhanced = {p: smooth(s) for p, s in usable.items()}
    name, is_ct = judged.value.replace("_", " "), usable[judged].modality == "CT"
    before = phases.get(Phase.NATIVE)
    native = smooth(before) if before is not None and before.sequence == sequence else None
    if native is not None and subtract_native:
        signal = enhanced[judged] - native
        return Evidence(judged, signal, native, None, enhanced, is_ct, f"{name} minus native")
    return Evidence(judged, enhanced[judged], None, native, enhanced, is_ct, f"{name} against parenchyma")


def viable_threshold(evidence: Evidence, reference: Reference | None) -> float:
    """Value of the signal above which tissue is viable; infinite when nothing can be said."""
    if evidence.judged is None or (reference is None and not evidence.is_ct):
        return math.inf
    if evidence.is_ct and (reference is None or not evidence.is_arterial):
        # any enhancement: venous tumour is darker than liver, so liver is no yardstick
        return ENHANCING_HU if evidence.native is not None else ASSUMED_NATIVE_HU + ENHANCING_HU
    assert reference is not None
    above = SIGMAS * reference.sd
    if evidence.native is not None:
        return max(reference.mean + above, ENHANCING_HU) if evidence.is_ct else reference.mean + above
    step = RELATIVE_STEP if evidence.is_ct else RELATIVE_STEP / 100.0 * abs(reference.mean)
    return reference.mean + max(above, step)


def rises(evidence: Evidence, reference: Reference | None) -> NDArray[np.uint8]:
    """NECROSIS where no enhanced phase rises by 10 HU over native, ENHANCING where the judged one rises by 20.

    Native is assumed at 45 HU where none can be subtracted; then tissue enhances only if parenchyma has risen too, for
    in an early phase 65 HU is liver before contrast. MR: percent of the native signal; without native all is uncertain.
    """
    classes = np.full(evidence.signal.shape, UNCERTAIN, np.uint8)
    if evidence.judged is None or (evidence.native is None and not evidence.is_ct):
        return classes
    over = _over_native(evidence)
    classes[np.logical_and.reduce([rise < NOT_ENHANCING_HU for rise in over.values()])] = NECROSIS
    has_risen = evidence.native is not None or (
        reference is not None and reference.mean >= ASSUMED_LIVER_HU + LIVER_RISE_HU
    )
    if has_risen:
        classes[over[evidence.judged] >= ENHANCING_HU] = ENHANCING
    if evidence.native is not None and evidence.is_ct:
        classes[evidence.native < FIELD_MIN_HU] = UNCERTAIN
    return classes


def _over_native(evidence: Evidence) -> dict[Phase, Floats]:
    # HU, percent of the native signal on MR
    base: Any = np.float32(ASSUMED_NATIVE_HU) if evidence.native is None else evidence.native
    scale: Any = np.float32(1) if evidence.is_ct else 100 / np.maximum(base, np.float32(1e-6))
    return {p: (v - base) * scale for p, v in evidence.enhanced.items()}


def enhances(evidence: Evidence) -> Bools:
    """Where some phase rises by 20 HU (20 % on MR) over native, taken as 45 HU where none can be subtracted.

    Nowhere when nothing can be said. Soft tissue outside the liver has no liver to be compared with.
    """
    if evidence.judged is None or (evidence.native is None and not evidence.is_ct):
        return np.zeros(evidence.signal.shape, bool)
    risen: Bools = np.logical_or.reduce([rise >= ENHANCING_HU for rise in _over_native(evidence).values()])
    return risen


def masked_by_dense(evidence: Evidence, inside: Bools, spacing: Spacing) -> Masked:
    """Lipiodol and calcification in the lesions, with what they mask.

    With native: above 100 HU there. Without: arterial and venous phase above 130 HU and less than 20 HU apart, or every
    enhanced phase above 200 HU. Around what is surely dense, brightness within 5 mm belongs to it and pockets of up to
    6 mm between droplets cannot be judged.
    """
    dense, blurred = np.zeros(inside.shape, bool), np.zeros(inside.shape, bool)
    box = box_of(inside, [math.ceil(_MASKED_ROOM_MM / s) for s in spacing])
    if evidence.is_ct and box is not None:
        dense[box], blurred[box] = _masked(evidence.cut(box), inside[box], spacing)
    return Masked(dense, blurred)


def _masked(evidence: Evidence, inside: Bools, spacing: Spacing) -> tuple[Bools, Bools]:
    none = np.zeros(inside.shape, bool)
    before = evidence.native if evidence.native is not None else evidence.plain
    lowest = np.minimum.reduce(list(evidence.enhanced.values()))
    similar = none
    if before is not None:
        sure = inside & (before > DENSE_NATIVE_HU)
    else:
        sure = inside & (lowest > DENSE_SURE_HU)
        arterial = next((evidence.enhanced[p] for p in ARTERIAL if p in evidence.enhanced), None)
        venous = next((evidence.enhanced[p] for p in FALLBACK if p in evidence.enhanced), None)
        if arterial is not None and venous is not None:
            similar = inside & (lowest > DENSE_ENHANCED_HU) & (np.abs(arterial - venous) < DENSE_APART_HU)
    if not sure.any():
        return similar, none
    grown = sure | (inside & (lowest > DENSE_ENHANCED_HU) & (distance_to(sure, spacing, 6.0) <= DENSE_GROW_MM))
    masked = inside & (close_mm(grown, DENSE_POCKET_MM, spacing) != 0)
    blurred = distance_to(masked, spacing, DENSE_REACH_MM + 1) <= DENSE_REACH_MM
    return masked | similar, inside & blurred
