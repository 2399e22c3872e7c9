"""Viable, necrotic and uncertain parts of liver lesions from contrast enhancement."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.viability_reference import Reference, reference_of
from livervol.segment.viability_rules import (
    DENOISE_MM,
    Evidence,
    box_of,
    enhances,
    evidence_of,
    masked_by_dense,
    rises,
    viable_threshold,
)
from livervol.segment.viability_shape import (
    NECROSIS,
    UNCERTAIN,
    VIABLE,
    drop_specks,
    is_thin_rim,
    join_viable,
    settle_thin_layers,
)

__all__ = ["Judgement", "ViabilityResult", "judgement_of", "segment_viability"]

MADE_BY = "livervol viability 1"
#: Room around the liver that is looked at (voxels), and around lesions so that what masks them is not cut (mm).
MARGIN, ROOM_MM = (4, 4, 4), 16.0
#: Lipiodol worth a warning (percent of a lesion).
DENSE_WORTH_PERCENT = 2.0


@dataclass(frozen=True, eq=False)
class ViabilityResult:
    """``viable``, ``necrosis`` and ``uncertain`` share out every lesion voxel; their values are the lesions' numbers.

    ``reference_roi``     the parenchyma compared with; ``reference_mean`` and ``reference_sd`` of what was compared
                          (HU, or signal), ``threshold`` the value above which tissue is viable.
    ``judgement``         what the classes were told by, for ``viability_variants``.
    ``mrecist_evaluable`` whether the phases allow mRECIST; ``reason`` says why or why not, ``method`` what was done.
    """

    viable: Segmentation
    necrosis: Segmentation
    uncertain: Segmentation
    reference_roi: Segmentation
    reference_mean: float
    reference_sd: float
    threshold: float
    mrecist_evaluable: bool
    reason: str
    method: str
    judgement: Judgement
    warnings: tuple[str, ...] = ()


def segment_viability(
    phases: Mapping[Phase, Scan],
    liver: Segmentation,
    lesions: Segmentation,
    *,
    accept_early_arterial: bool = False,
    subtract_native: bool = True,
    extrahepatic: Collection[int] = (),
) -> ViabilityResult:
    """Viable, necrotic and uncertain part of each lesion.

    With a native scan of the same sequence: ``S = arterial - native``, viable where S exceeds the parenchyma's mean by
    2 standard deviations (qEASL: Chapiro 2014, Radiology 273:746; Lin 2013) and, on CT, 20 HU; necrosis where no phase
    rises by 10 HU. Without native: viable where the arterial phase exceeds parenchyma by 2 standard deviations and at
    least 10 HU (10 % on MR), necrosis where no enhanced phase reaches 10 HU above unenhanced soft tissue. The rest is
    uncertain: it enhances, but no more than liver; also lipiodol, calcification and a thin uniform rim. Between viable
    parts, uncertain tissue counts as viable in gaps of up to 5 mm, and of up to 20 mm where it clearly enhances (by
    20 HU; 20 % on MR): iso-enhancing tumour among hyperenhancing tumour is alive. Necrosis never counts. Uncertain
    layers under 4 mm go to the nearest class, viable parts under 3 mm in plane or 0.05 ml are dropped.
    ``subtract_native`` False keeps a native scan that does not fit voxel by voxel out of differences; it still tells
    lipiodol from enhancement. Outside the liver (``extrahepatic``, lesion numbers) liver is no yardstick: any tissue
    that rises by 20 HU (20 % on MR) in some phase is viable.

    No arterial phase: tissue that enhances in a venous phase is shown as viable, but ``mrecist_evaluable`` is False. An
    early arterial phase is evaluable only when accepted. No enhanced phase: all is uncertain. Raises ``ScanError``
    without any phase, ``GridError`` when grids differ.
    """
    evaluable, reason = _evaluable(phases, accept_early_arterial)
    judgement = judgement_of(phases, liver, lesions, subtract_native=subtract_native, extrahepatic=extrahepatic)
    evidence, reference, threshold, box = judgement.evidence, judgement.reference, judgement.threshold, judgement.box
    numbers = lesions.labels[box]
    classes, warnings = _classes(judgement, evidence, threshold, numbers, liver.grid.spacing_mm)
    roi = np.zeros(liver.grid.shape_zyx, np.uint8)
    if reference is not None:
        roi[box] = reference.balls
    names = {n: f"reference parenchyma {n}" for n in range(1, int(roi.max()) + 1)}
    return ViabilityResult(
        _part(classes, numbers, VIABLE, lesions, box),
        _part(classes, numbers, NECROSIS, lesions, box),
        _part(classes, numbers, UNCERTAIN, lesions, box),
        Segmentation(roi, liver.grid, names, MADE_BY),
        math.nan if reference is None else reference.mean,
        math.nan if reference is None else reference.sd,
        threshold,
        evaluable,
        reason,
        _method_words(evidence, reference, threshold),
        judgement,
        tuple(_notes(evidence, reference, lesions) + warnings),
    )


@dataclass(frozen=True, eq=False)
class Judgement:
    """What viability is judged by: the evidence in ``box``, the parenchyma compared with, and the threshold.

    ``extrahepatic`` are the numbers of lesions that any enhancement makes viable.
    """

    evidence: Evidence
    reference: Reference | None
    threshold: float
    box: tuple[slice, slice, slice]
    extrahepatic: tuple[int, ...] = ()

    def classes_of(
        self,
        evidence: Evidence,
        threshold: float,
        numbers: NDArray[np.integer],
        spacing: tuple[float, float, float],
    ) -> NDArray[np.bool_]:
        """Where lesions ``numbers`` are viable by other evidence and another threshold, the reference staying."""
        classes, _ = _classes(self, evidence, threshold, numbers, spacing)
        viable: NDArray[np.bool_] = classes == VIABLE
        return viable


def judgement_of(
    phases: Mapping[Phase, Scan],
    liver: Segmentation,
    lesions: Segmentation,
    *,
    subtract_native: bool = True,
    extrahepatic: Collection[int] = (),
) -> Judgement:
    """Evidence, reference and threshold of a visit, as ``segment_viability`` uses them; same errors."""
    if not phases:
        raise ScanError(refusal("no scan to judge viability on", expected="at least one phase", got="none"))
    lesions.require_grid(liver.grid)
    for scan in phases.values():
        liver.require_grid(scan.grid)
    box = _both(liver.labels, lesions.labels)
    spacing = liver.grid.spacing_mm
    evidence = evidence_of(phases, box, spacing, subtract_native)
    numbers = lesions.labels[box]
    reference = (
        reference_of(evidence.signal, liver.labels[box] != 0, numbers != 0, spacing) if evidence.judged else None
    )
    return Judgement(evidence, reference, viable_threshold(evidence, reference), box, tuple(extrahepatic))


def _both(liver: NDArray[np.integer], lesions: NDArray[np.integer]) -> tuple[slice, slice, slice]:
    """The box of the liver and the lesions with a margin; the whole volume where there is neither."""
    boxes = [box for labels in (liver, lesions) if (box := box_of(labels, MARGIN)) is not None]
    boxes = boxes or [(slice(0, liver.shape[0]), slice(0, liver.shape[1]), slice(0, liver.shape[2]))]
    z, y, x = (slice(min(b.start for b in spans), max(b.stop for b in spans)) for spans in zip(*boxes, strict=True))
    return z, y, x


def _method_words(evidence: Evidence, reference: Reference | None, threshold: float) -> str:
    if evidence.judged is None:
        return evidence.words
    words = f"{evidence.words} after a Gaussian of {DENOISE_MM} mm, threshold {threshold:.1f}"
    if reference is None:
        return words
    return f"{words} (reference {reference.mean:.1f}, sd {reference.sd:.1f}, {reference.method})"


def _evaluable(phases: Mapping[Phase, Scan], accept_early: bool) -> tuple[bool, str]:
    if Phase.LATE_ARTERIAL in phases:
        return True, "late arterial phase present"
    if Phase.EARLY_ARTERIAL in phases:
        if accept_early:
            return True, "early arterial phase accepted on request"
        return False, "only an early arterial phase: tumour may not have enhanced yet"
    return False, "no arterial phase"


def _classes(
    judgement: Judgement,
    evidence: Evidence,
    threshold: float,
    numbers: NDArray[np.integer],
    spacing: tuple[float, float, float],
) -> tuple[NDArray[np.uint8], list[str]]:
    """Classes of the lesions' voxels, 0 elsewhere; warnings."""
    whole = np.zeros(numbers.shape, np.uint8)
    box = box_of(numbers, [math.ceil(ROOM_MM / s) for s in spacing])
    if box is None:
        return whole, []
    whole[box], warnings = _classes_inside(judgement, evidence.cut(box), threshold, numbers[box], spacing)
    return whole, warnings


def _classes_inside(
    judgement: Judgement,
    evidence: Evidence,
    threshold: float,
    numbers: NDArray[np.integer],
    spacing: tuple[float, float, float],
) -> tuple[NDArray[np.uint8], list[str]]:
    inside = numbers != 0
    masked = masked_by_dense(evidence, inside, spacing)
    bright = evidence.signal > threshold
    if judgement.extrahepatic:
        outside = np.isin(numbers, judgement.extrahepatic)
        bright[outside] = enhances(evidence)[outside]
    classes = rises(evidence, judgement.reference)
    classes[bright] = VIABLE
    classes[masked.dense | (masked.blurred & bright)] = UNCERTAIN
    warnings = []
    for number in np.unique(numbers[inside]):
        part = box_of(numbers == number, (0, 0, 0))
        assert part is not None
        lesion = numbers[part] == number
        local = np.where(lesion, classes[part], 0).astype(np.uint8)
        held = masked.dense[part] & lesion
        kept_out = held | masked.blurred[part]
        local = join_viable(drop_specks(local, spacing), kept_out, spacing)
        local = drop_specks(settle_thin_layers(local, kept_out, spacing), spacing)
        if is_thin_rim(local == VIABLE, lesion, spacing):
            local[local == VIABLE] = UNCERTAIN
            warnings.append(f"lesion {number}: thin uniform rim of enhancement not counted as viable")
        classes[part][lesion] = local[lesion]
        share = 100 * held.sum() / lesion.sum()
        if share > DENSE_WORTH_PERCENT:
            warnings.append(f"lesion {number}: {share:.0f} % lipiodol or calcification, counted as uncertain")
    classes[~inside] = 0
    return classes, warnings


def _part(
    classes: NDArray[np.uint8],
    numbers: NDArray[np.integer],
    value: int,
    lesions: Segmentation,
    box: tuple[slice, slice, slice],
) -> Segmentation:
    word = {VIABLE: "viable", NECROSIS: "necrotic", UNCERTAIN: "uncertain"}[value]
    labels = np.zeros(lesions.grid.shape_zyx, lesions.labels.dtype)
    # pages without lesions are never touched
    inner = box_of(numbers, (0, 0, 0))
    if inner is not None:
        labels[box][inner] = np.where(classes[inner] == value, numbers[inner], 0)
    names = {n: f"{word} part of {name}" for n, name in lesions.names.items()}
    return Segmentation(labels, lesions.grid, names, MADE_BY)


def _notes(evidence: Evidence, reference: Reference | None, lesions: Segmentation) -> list[str]:
    if not lesions.names:
        return []
    if evidence.judged is None:
        return ["no enhanced phase: the viable part of lesions cannot be told"]
    notes = []
    if not evidence.is_arterial:
        word = evidence.judged.value.replace("_", " ")
        notes.append(f"viability from the {word} phase (any enhancement): not comparable with arterial-phase visits")
    if reference is None:
        notes.append("no parenchyma away from lesions to compare with: viable is what enhances at all")
    if evidence.is_ct and evidence.native is None and evidence.plain is None:
        notes.append("no native scan: lipiodol and blood may pass for enhancement")
    return notes
