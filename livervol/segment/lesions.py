"""Focal lesions inside a liver: darker or brighter than its parenchyma, of several sizes, in the phases present."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from livervol.errors import ScanError, refusal
from livervol.kernels.smooth import gaussian
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesion_benign import cyst_words, dense_warnings
from livervol.segment.lesion_blobs import find_blobs
from livervol.segment.lesion_mixed import mixed_lesions
from livervol.segment.lesion_regions import Region, grow
from livervol.segment.lesion_shells import layered_outline, surrounded_lesions
from livervol.segment.lesion_star import deviations
from livervol.segment.lesion_tissue import (
    Bools,
    Floats,
    Tissue,
    WorkGrid,
    liver_tissue,
    smoothed_inside,
    work_grid,
)

__all__ = ["MIN_DIAMETER_MM", "LesionResult", "segment_lesions"]

#: Lesions below this equivalent diameter are not reported (mm).
MIN_DIAMETER_MM = 8.0
#: A believed lesion: response in contrast units and over noise, compactness, contact with the outside, leak.
MIN_RESPONSE, MIN_SIGMAS, MIN_COMPACTNESS, MAX_CONTACT, MAX_LEAK = 5.0, 4.4, 0.50, 0.45, 0.25
#: At large scales most of the liver is near the lesion, which then passes for noise: fewer sigmas from this scale (mm).
LARGE_SCALE_MM, LARGE_SIGMAS = 8.0, 3.5
#: Blobs of two phases at one place, each too weak alone, are believed together when response and noise of both, added
#: as squares, reach what two phases just believed would have; they share at least this much (Dice).
BOTH, SHARED_DICE = 2**0.5, 0.4
#: Small lesions closer to the surface are fissures and partial volume more often than lesions.
MIN_CENTRE_DEPTH_MM, SURE_RESPONSE = 4.5, 10.0
#: The same where vessels look like the lesions sought (bright in the portal phase, dark before contrast).
STRICT_DIAMETER_MM, STRICT_RESPONSE, STRICT_COMPACTNESS, STRICT_LEAK, STRICT_CONTACT = 12.0, 8.0, 0.60, 0.03, 0.3

#: Parenchyma that scatters more than this after 1.5 mm of smoothing is said to be noisy (HU, percent of MR signal).
NOISY = 12.0

ARTERIAL = (Phase.LATE_ARTERIAL, Phase.EARLY_ARTERIAL)
VENOUS = (Phase.PORTAL_VENOUS, Phase.DELAYED, Phase.TRANSITIONAL)


@dataclass(frozen=True, eq=False)
class LesionResult:
    """``segmentation`` holds lesions 1..n by decreasing volume; ``confidence`` 0 to 1 per number ranks them.

    Confidence is a rank (contrast over noise, roundness, free border, phases that agree), not a probability.
    """

    segmentation: Segmentation
    confidence: Mapping[int, float]
    warnings: tuple[str, ...] = ()
    phases: Mapping[int, tuple[Phase, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass
class _Found:
    """A lesion on the working grid with what supports it."""

    mask: Bools
    phases: list[Phase]
    score: float
    large: bool = False


def segment_lesions(phases: Mapping[Phase, Scan], liver: Segmentation) -> LesionResult:
    """Focal lesions of the liver as labels 1..n by decreasing volume.

    A lesion is a round region of at least 8 mm equivalent diameter that differs from the parenchyma expected there
    (robust quadratic field) in at least one phase, or a mixed region of at least 50 mm most of whose tissue differs.
    Tubes, sheets, fat and its partial volume are not lesions; simple cysts are left out and reported in ``warnings``.
    All phases and the liver lie on one grid (``GridError`` otherwise); ``ScanError`` when there is no phase or too
    little liver to learn from. Outlines run at half contrast.
    """
    if not phases:
        raise ScanError(refusal("no scan to look for lesions in", expected="at least one phase", got="none"))
    for scan in phases.values():
        liver.require_grid(scan.grid)
    work = work_grid(liver)
    values = {phase: liver_tissue(scan, work) for phase, scan in phases.items()}
    kept, warnings = find_in(values, phases, work)
    tissues = _used(values)
    segmentation, order = _on_grid(kept, liver, work)
    warnings += _noise_warnings(tissues, phases) + dense_warnings(phases, segmentation)
    confidence = {number: kept[i].score for number, i in order.items()}
    seen = {number: tuple(kept[i].phases) for number, i in order.items()}
    return LesionResult(segmentation, MappingProxyType(confidence), tuple(warnings), MappingProxyType(seen))


def find_in(
    values: Mapping[Phase, Tissue], phases: Mapping[Phase, Scan], work: WorkGrid
) -> tuple[list[_Found], list[str]]:
    """Lesions on the working grid, cysts left out and told of."""
    tissues = _used(values)
    inside = np.logical_and.reduce([t.inside for t in tissues.values()])
    found = [_Found(m.mask, list(m.phases), m.share, large=True) for m in mixed_lesions(tissues, inside, work)]
    faint: list[tuple[Phase, Region]] = []
    for phase in tissues:
        for sign in (-1, 1):
            strict = _is_strict(phase, phases[phase], sign)
            faint += [(phase, region) for region in _add_blobs(found, phase, sign, strict, tissues, work)]
    _add_agreeing(found, faint, inside.shape)
    _add_surrounded(found, tissues, work)
    return _without_cysts(found, values, phases, work)


def _add_surrounded(found: list[_Found], tissues: Mapping[Phase, Tissue], work: WorkGrid) -> None:
    """Adds what only all sides together show, and the living rim to dark cores."""
    off = deviations(tissues, work)
    for lesion in found:
        whole = None if lesion.large else layered_outline(lesion.mask, tissues, off, work)
        if whole is not None:
            lesion.mask = whole
    taken = np.logical_or.reduce([f.mask for f in found]) if found else np.zeros(work.liver.shape, bool)
    for one in surrounded_lesions(tissues, taken, work):
        found.append(_Found(one.mask, list(one.phases), round(min(0.6, 0.4 * one.score), 2)))


def _used(tissues: Mapping[Phase, Tissue]) -> dict[Phase, Tissue]:
    # before contrast, lesions hardly differ: native counts only where nothing else was taken
    enhanced: dict[Phase, Tissue] = {p: t for p, t in tissues.items() if p != Phase.NATIVE}
    return enhanced or dict(tissues)


def _is_strict(phase: Phase, scan: Scan, sign: int) -> bool:
    if scan.sequence in ("T2", "DWI"):
        return sign < 0
    if phase in (Phase.NATIVE, Phase.HEPATOBILIARY):
        return True
    return sign > 0 and phase not in ARTERIAL


def _add_blobs(
    found: list[_Found], phase: Phase, sign: int, strict: bool, tissues: Mapping[Phase, Tissue], work: WorkGrid
) -> list[Region]:
    """Adds what one phase shows; returns what has a lesion's shape there but too little strength."""
    faint = []
    tissue = tissues[phase]
    spacing = work.grid.spacing_mm
    smooth = smoothed_inside(tissue.residual, tissue.inside, tissue.smooth_mm, work.grid)
    taken = np.zeros(tissue.inside.shape, bool)
    for blob in find_blobs(tissue.residual, tissue.depth_mm, spacing, sign):
        if taken[blob.at] or any(f.mask[blob.at] and phase in f.phases for f in found):
            continue
        region = grow(blob, smooth, tissue.inside, spacing, sign)
        if region is None or not _is_shaped(region, tissue, strict) or _is_vessel(region, phase, sign, tissues, work):
            continue
        least = LARGE_SIGMAS if blob.scale_mm >= LARGE_SCALE_MM else MIN_SIGMAS
        if blob.response < MIN_RESPONSE or blob.sigmas < least:
            faint.append(region)
            continue
        taken[region.box] |= region.mask
        _merge(found, region, phase, taken.shape)
    return faint


def _add_agreeing(found: list[_Found], faint: list[tuple[Phase, Region]], shape: tuple[int, ...]) -> None:
    """Adds faint regions that another phase shows at the same place, strongest first."""
    faint = sorted(faint, key=lambda one: -one[1].blob.sigmas)
    for i, (phase, region) in enumerate(faint):
        for other_phase, other in faint[i + 1 :]:
            one, two = region.blob, other.blob
            strong = (
                math.hypot(one.response, two.response) >= BOTH * MIN_RESPONSE
                and math.hypot(one.sigmas, two.sigmas) >= BOTH * MIN_SIGMAS
            )
            if other_phase is not phase and strong and _dice(region, other, shape) >= SHARED_DICE:
                _merge(found, region, phase, shape)
                _merge(found, other, other_phase, shape)


def _dice(a: Region, b: Region, shape: tuple[int, ...]) -> float:
    whole = np.zeros(shape, bool)
    whole[a.box] = a.mask
    return 2.0 * float((whole[b.box] & b.mask).sum()) / float(a.mask.sum() + b.mask.sum())


def _is_shaped(region: Region, tissue: Tissue, strict: bool) -> bool:
    """Whether size, shape and place are a lesion's, whatever its strength."""
    blob = region.blob
    if region.diameter_mm < MIN_DIAMETER_MM:
        return False
    if region.compactness < MIN_COMPACTNESS or region.contact > MAX_CONTACT or region.leak > MAX_LEAK:
        return False
    if tissue.depth_mm[blob.at] < MIN_CENTRE_DEPTH_MM and blob.response < SURE_RESPONSE:
        return False
    if not strict:
        return True
    round_enough = region.compactness >= STRICT_COMPACTNESS and region.leak <= STRICT_LEAK
    strong = region.diameter_mm >= STRICT_DIAMETER_MM and blob.response >= STRICT_RESPONSE
    return round_enough and strong and region.contact <= STRICT_CONTACT


def _is_vessel(region: Region, phase: Phase, sign: int, tissues: Mapping[Phase, Tissue], work: WorkGrid) -> bool:
    """Dark in the arterial but bright in a venous phase (hepatic vein), or bright in both and not round (portal)."""
    if phase not in ARTERIAL:
        return False
    for other in VENOUS:
        if other not in tissues:
            continue
        later = float(tissues[other].residual[region.box][region.mask].mean())
        bright = later > max(10.0, 2 * tissues[other].sigma)
        if bright and (sign < 0 or region.compactness < STRICT_COMPACTNESS):
            return True
    return False


def _merge(found: list[_Found], region: Region, phase: Phase, shape: tuple[int, ...]) -> None:
    """Add the region, or let it confirm a lesion it shares a fifth of the smaller volume with."""
    size = int(region.mask.sum())
    score = _score(region)
    for lesion in found:
        shared = int((lesion.mask[region.box] & region.mask).sum())
        if shared >= 0.2 * min(size, int(lesion.mask.sum())):
            if phase not in lesion.phases:
                lesion.phases.append(phase)
                lesion.score = min(0.99, max(lesion.score, score) + 0.1)
            # a blob inside a larger lesion is a part of it; a larger one around it replaces its outline
            if size > lesion.mask.sum():
                lesion.mask[region.box] |= region.mask
            return
    mask = np.zeros(shape, bool)
    mask[region.box] = region.mask
    found.append(_Found(mask, [phase], score))


def _score(region: Region) -> float:
    strength = min(1.0, region.blob.sigmas / 10.0)
    return round(min(0.9, 0.5 * strength + 0.3 * region.compactness + 0.2 * (1 - region.contact)), 2)


def _without_cysts(
    found: list[_Found], values: Mapping[Phase, Tissue], phases: Mapping[Phase, Scan], work: WorkGrid
) -> tuple[list[_Found], list[str]]:
    if not all(scan.modality == "CT" for scan in phases.values()):
        return found, []
    words = [cyst_words(lesion.mask, values, work) for lesion in found]
    return [one for one, word in zip(found, words, strict=True) if not word], [word for word in words if word]


def _on_grid(kept: list[_Found], liver: Segmentation, work: WorkGrid) -> tuple[Segmentation, dict[int, int]]:
    """Labels on the liver's grid by decreasing volume (ties: scan order of first voxels), and which lesion each is."""
    grid = liver.grid
    part = grid.crop([s.start for s in work.box], [s.stop for s in work.box])
    inside = liver.mask()[work.box]
    claimed = np.zeros(part.shape_zyx, np.uint16)
    for i, lesion in enumerate(sorted(kept, key=lambda f: -int(f.mask.sum())), 1):
        soft: Floats = gaussian(lesion.mask, 1.0, work.grid.spacing_mm)
        fine = Scan(soft, work.grid, "MR", "other").resampled(part, outside=0.0).voxels
        claimed[(fine >= 0.5) & inside & (claimed == 0)] = i
    by_size = sorted(range(len(kept)), key=lambda i: -int(kept[i].mask.sum()))
    counts = np.bincount(claimed.ravel(), minlength=len(kept) + 1)
    first = {v: int(np.flatnonzero(claimed.ravel() == v)[0]) for v in range(1, len(kept) + 1) if counts[v]}
    ranked = sorted(first, key=lambda v: (-int(counts[v]), first[v]))
    renumber = np.zeros(len(kept) + 1, np.uint16)
    for number, value in enumerate(ranked, 1):
        renumber[value] = number
    labels = np.zeros(grid.shape_zyx, np.uint8 if len(ranked) < 256 else np.uint16)
    labels[work.box] = renumber[claimed]
    names = {n: f"lesion {n}" for n in range(1, len(ranked) + 1)}
    made_by = "livervol lesions 2: parenchyma field, blobs, mixed regions, rays"
    order = {number: by_size[value - 1] for number, value in enumerate(ranked, 1)}
    return Segmentation(labels, grid, names, made_by), order


def _noise_warnings(tissues: Mapping[Phase, Tissue], phases: Mapping[Phase, Scan]) -> list[str]:
    noisy = [
        f"{p.value}: liver scatters by {t.scatter:.0f} {'HU' if phases[p].modality == 'CT' else '% of its signal'}, "
        "small or faint lesions may be missed"
        for p, t in tissues.items()
        if t.scatter > NOISY
    ]
    return noisy + [f"{p.value}: only native, faint lesions may be missed" for p in tissues if p is Phase.NATIVE]
