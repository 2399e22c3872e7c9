"""The other phases of a visit on the reference phase's grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from livervol.align import Alignment, align
from livervol.kernels.beside import Beside
from livervol.scan import Phase
from livervol.workflows.visit_state import Work

__all__ = ["Alignments", "begin_alignments", "place_phases", "tell_alignments"]

#: What gives each phase's alignment when it is asked for.
Alignments = Mapping[Phase, Callable[[], Alignment]]


def begin_alignments(work: Work, beside: Beside, first: Callable[[Phase], bool]) -> Alignments:
    """All phases but the reference, every second one begun beside the caller; those that are wanted ``first`` lead."""
    assert work.reference is not None
    fixed, liver = work.phases[work.reference], work.masks.get("liver")
    others = sorted((p for p in work.phases if p is not work.reference), key=lambda p: not first(p))
    steps = [partial(align, work.phases[phase], fixed, mask=liver, deformable=True) for phase in others]
    return dict(zip(others, beside.share(steps), strict=True))


def place_phases(work: Work, alignments: Alignments, which: Callable[[Phase], bool]) -> None:
    """Those phases on the reference's grid."""
    for phase, alignment in alignments.items():
        if which(phase):
            work.phases[phase] = alignment().scan


def tell_alignments(work: Work, alignments: Alignments) -> None:
    """How each phase was brought there, its warnings, and whether it may be subtracted, in the order of the phases."""
    for phase in work.phases:
        if phase is work.reference:
            continue
        aligned = alignments[phase]()
        work.quality += [f"{phase.value.replace('_', ' ')}: {warning}" for warning in aligned.warnings]
        row = next(r for r in work.phase_rows if r["used"] and r["phase"] == phase.value)
        row.update(_entry(aligned))
        if not aligned.usable_for_subtraction:
            work.not_subtracted.add(phase)


def _entry(aligned: Alignment) -> dict[str, Any]:
    """How a phase was brought onto the reference, as measurements.json keeps it."""
    entry: dict[str, Any] = {
        "aligned_by": aligned.method,
        "shift_mm": round(aligned.shift_mm, 2),
        "bend_mm": round(aligned.bend_mm, 2),
    }
    if aligned.method == "deformable":
        entry["jacobian_range"] = [round(float(v), 3) for v in aligned.jacobian_range]
        entry["local_correlation"] = [
            round(float(v), 4) for v in (aligned.correlation_before, aligned.correlation_after)
        ]
    return entry
