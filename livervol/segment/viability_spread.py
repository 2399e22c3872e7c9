"""How the outline of lesions and of their viable part could as well have come out: one cause changed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from livervol.grid import Grid
from livervol.scan import Segmentation
from livervol.segment.viability import Judgement
from livervol.segment.viability_rules import Evidence

__all__ = ["THRESHOLD_SIGMAS", "Variant", "boundary_variants", "viability_variants"]

#: The threshold moves by this many standard deviations of the parenchyma: 2 sigma is itself a convention, published
#: between 1.5 and 2.5 (an engineering choice).
THRESHOLD_SIGMAS = 0.5

#: Room around the lesions that shifted and grown outlines stay in.
_MARGIN_MM = 12.0

#: An outline moves by one voxel within its slice, all round.
_CROSS = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)

Box = tuple[slice, slice, slice]


class Variant(NamedTuple):
    """``factor`` is what was changed (two variants each: one way and the other); the masks are cut around the lesions.

    ``viable`` is None where only the outline is known.
    """

    factor: str
    lesions: Segmentation
    viable: Segmentation | None


def boundary_variants(lesions: Segmentation, liver: Segmentation, viable: Segmentation | None = None) -> list[Variant]:
    """Every lesion, and its viable part where given, one voxel smaller and one voxel larger within its slices.

    None grows into another, nor out of the liver if it lay inside; a viable part stays in its lesion.
    """
    if not lesions.labels.any():
        return []
    box, grid = _around(lesions)
    allowed = liver.labels[box] != 0
    outlines = [_named(moved, grid, lesions) for moved in _moved(lesions.labels[box], allowed)]
    if viable is None:
        return [Variant("outline", outline, None) for outline in outlines]
    parts = _moved(viable.labels[box], np.ones(allowed.shape, bool))
    return [
        Variant("outline", outline, _named(np.where(outline.labels == part, part, 0), grid, viable))
        for outline, part in zip(outlines, parts, strict=True)
    ]


def viability_variants(judgement: Judgement, liver: Segmentation, lesions: Segmentation) -> list[Variant]:
    """The viable part under another threshold, outline and position of the judged phase.

    ``threshold``: half a standard deviation of the parenchyma lower and higher; ``outline``: as in
    ``boundary_variants``; ``alignment z``, ``y``, ``x``: the judged phase one voxel off either way. ``judgement`` is
    that of ``segment_viability`` on the same masks. Only outlines where no phase can be judged; none without lesions.
    """
    if not lesions.labels.any():
        return []
    if judgement.reference is None or not np.isfinite(judgement.threshold):
        return boundary_variants(lesions, liver)
    box, grid = _around(lesions, judgement.box)
    inner = tuple(slice(b.start - j.start, b.stop - j.start) for b, j in zip(box, judgement.box, strict=True))
    cut = judgement.evidence.cut(inner)
    numbers, allowed = lesions.labels[box], liver.labels[box] != 0
    step = THRESHOLD_SIGMAS * judgement.reference.sd

    def viable(evidence: Evidence, threshold: float, outline: NDArray[np.integer]) -> Segmentation:
        classes = judgement.classes_of(evidence, threshold, outline, grid.spacing_mm)
        return _named(np.where(classes, outline, 0), grid, lesions)

    found = [
        Variant("threshold", _named(numbers, grid, lesions), viable(cut, judgement.threshold + sign * step, numbers))
        for sign in (-1, 1)
    ]
    for moved in _moved(numbers, allowed):
        found.append(Variant("outline", _named(moved, grid, lesions), viable(cut, judgement.threshold, moved)))
    for axis, word in enumerate("zyx"):
        for shift in (-1, 1):
            other = _shifted(cut, axis, shift)
            part = viable(other, judgement.threshold, numbers)
            found.append(Variant(f"alignment {word}", _named(numbers, grid, lesions), part))
    return found


def _around(lesions: Segmentation, within: Box | None = None) -> tuple[Box, Grid]:
    """The box of all lesions with room around, inside ``within``, and its grid."""
    spans = []
    for axis, spacing in enumerate(lesions.grid.spacing_mm):
        there = np.flatnonzero(lesions.labels.any(axis=tuple(a for a in range(3) if a != axis)))
        room = int(np.ceil(_MARGIN_MM / spacing))
        low, high = (0, lesions.grid.shape_zyx[axis]) if within is None else (within[axis].start, within[axis].stop)
        spans.append(slice(max(low, int(there[0]) - room), min(high, int(there[-1]) + 1 + room)))
    z, y, x = spans
    return (z, y, x), lesions.grid.crop([s.start for s in spans], [s.stop for s in spans])


def _moved(numbers: NDArray[np.integer], allowed: NDArray[np.bool_]) -> Iterator[NDArray[np.integer]]:
    """The labels one in-slice voxel smaller, then larger."""
    smaller, larger = numbers.copy(), numbers.copy()
    for value in np.unique(numbers[numbers != 0]):
        mask = numbers == value
        inner = ~binary_dilation(~mask, _CROSS)
        # a lesion of one voxel's width stays what it is
        if (mask & inner).any():
            smaller[mask & ~inner] = 0
        grown = binary_dilation(mask, _CROSS) & (larger == 0)
        larger[grown & (allowed | ~allowed[mask].all())] = value
    yield smaller
    yield larger


def _named(labels: NDArray[np.integer], grid: Grid, lesions: Segmentation) -> Segmentation:
    return Segmentation(labels.astype(lesions.labels.dtype), grid, lesions.names, lesions.made_by)


def _shifted(evidence: Evidence, axis: int, shift: int) -> Evidence:
    """The judged phase one voxel off; the native scan stays where it is."""
    assert evidence.judged is not None
    # wrapped voxels lie in the margin
    moved = np.roll(evidence.enhanced[evidence.judged], shift, axis)
    signal = moved if evidence.native is None else moved - evidence.native
    enhanced = {**evidence.enhanced, evidence.judged: moved}
    return Evidence(evidence.judged, signal, evidence.native, evidence.plain, enhanced, evidence.is_ct, evidence.words)
