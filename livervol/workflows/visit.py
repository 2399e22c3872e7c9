"""One visit: read, recognise phases, align, segment, measure, write the output folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from livervol.errors import GridError, ScanError, refusal
from livervol.files import atomic_folder
from livervol.kernels.beside import Beside
from livervol.measure.pairing import EarlierVisit, pair_lesions, renumbered
from livervol.measure.resection import operation
from livervol.scan import Phase, Scan
from livervol.segment.external import liver_segmenter
from livervol.segment.lesion_facts import lesion_facts
from livervol.segment.lesions import segment_lesions
from livervol.segment.liver import LiverResult
from livervol.segment.phase import recognise_phases
from livervol.segment.viability import segment_viability
from livervol.workflows.anatomy import SEGMENT_METHODS, VENOUS, find_anatomy
from livervol.workflows.inputs import VisitScans, choose_reference, one_per_phase, read_visit
from livervol.workflows.visit_align import begin_alignments, place_phases, tell_alignments
from livervol.workflows.visit_output import measure_and_write
from livervol.workflows.visit_state import (
    MASK_NAMES,
    GivenMasks,
    Progress,
    VisitOutput,
    VisitSettings,
    Work,
    silent,
)

__all__ = [
    "MASK_NAMES",
    "GivenMasks",
    "Progress",
    "VisitOutput",
    "VisitSettings",
    "measure_masks",
    "run_visit",
    "silent",
]


def run_visit(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    given: GivenMasks | None = None,
    settings: VisitSettings | None = None,
    earlier: Sequence[VisitOutput] = (),
    progress: Progress = silent,
) -> VisitOutput:
    """Segment, measure and report one visit; writes ``out`` whole or not at all.

    ``inputs`` are INPUT words (a DICOM folder, ``phase=PATH`` pairs, one image); ``earlier`` are the same
    course's visits so far, whose lesion numbers are kept. Raises ``LivervolError`` when the input is refused.
    """
    settings, given = settings or VisitSettings(), given or GivenMasks()
    _check(settings, given)
    draw = liver_segmenter(settings.model)
    with atomic_folder(out, overwrite=settings.overwrite) as folder:
        progress("reading")
        visit = read_visit(inputs)
        work = Work(masks=given.read(visit.scans))
        progress("recognising phases")
        _recognise(work, visit)
        del visit  # its scans give way to the aligned ones
        progress("finding the liver")
        _find_liver(work, draw)
        progress("aligning phases")
        with Beside() as beside:
            alignments = begin_alignments(work, beside, _is_venous)
            # vessels are read in venous phases alone; neither they nor segments wait for lesions
            place_phases(work, alignments, _is_venous)
            apart = work.apart()
            anatomy = beside.begin(partial(find_anatomy, apart, settings.segments_method))
            place_phases(work, alignments, lambda phase: not _is_venous(phase))
            tell_alignments(work, alignments)
            del alignments
            progress("finding lesions")
            _find_lesions(work, earlier)
            progress("judging viability")
            _judge_viability(work, settings)
            progress("finding vessels and segments")
            anatomy()
            work.join(apart)
            del anatomy, apart
        return measure_and_write(work, settings, folder, Path(out), progress)


def measure_masks(
    given: GivenMasks,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    settings: VisitSettings | None = None,
    progress: Progress = silent,
) -> VisitOutput:
    """Measure masks that already exist and write the same folder as ``run_visit``; images are optional.

    Only Couinaud segments are added, from the liver's shape, when none are given; what else was not given is absent,
    with the reason.
    """
    settings = settings or VisitSettings()
    _check(settings, given)
    with atomic_folder(out, overwrite=settings.overwrite) as folder:
        progress("reading")
        visit = read_visit(inputs) if inputs else None
        work = Work(masks=given.read(visit.scans if visit else ()))
        if "liver" not in work.masks:
            raise ScanError(refusal("liver mask missing", expected="--liver PATH", got="none", do="Give a liver mask."))
        if visit:
            _recognise(work, visit)
            with Beside() as beside:
                alignments = begin_alignments(work, beside, _is_venous)
                place_phases(work, alignments, lambda _: True)
                tell_alignments(work, alignments)
        else:
            work.grid = work.masks["liver"].grid
        _require_one_grid(work)
        progress("finding segments")
        find_anatomy(work, settings.segments_method, look_for_vessels=False)
        if "viable" in work.masks:
            work.evaluable, work.evaluable_reason = True, "viable tissue was given by the caller"
        else:
            work.evaluable_reason = "no viable mask was given"
        return measure_and_write(work, settings, folder, Path(out), progress)


def _require_one_grid(work: Work) -> None:
    assert work.grid is not None
    for name, mask in work.masks.items():
        if not mask.grid.matches(work.grid):
            raise GridError(
                refusal(
                    f"{name} mask is not on the reference grid",
                    expected=work.grid.describe(),
                    got=mask.grid.describe(),
                    do="Draw it on the same scan, or resample it to that scan's grid.",
                )
            )
        # a rounding-sized difference in the header must not make two grids out of one
        work.masks[name] = replace(mask, grid=work.grid)


def _recognise(work: Work, visit: VisitScans) -> None:
    given = work.masks.get("liver")
    livers = {n: given for n, scan in enumerate(visit.scans) if given is not None and given.grid.matches(scan.grid)}
    report = recognise_phases(visit.scans, livers, stated=visit.stated)
    work.quality += report.warnings
    work.sources = [scan.source for scan in report.scans]
    chosen, warnings = one_per_phase(report.scans)
    work.quality += warnings
    for scan in report.scans:
        work.quality += scan.source.warnings
    work.phases = chosen
    liver = work.masks.get("liver")
    on_grid = [p for p, scan in chosen.items() if liver is not None and liver.grid.matches(scan.grid)]
    if liver is not None and not on_grid:
        some = chosen[choose_reference(chosen)]
        raise GridError(
            refusal(
                "liver mask is not on the grid of any phase",
                expected=some.grid.describe(),
                got=liver.grid.describe(),
                do="Draw it on one of the given scans, or resample it to that scan's grid.",
            )
        )
    work.reference = choose_reference({p: chosen[p] for p in on_grid} if on_grid else chosen)
    work.grid = chosen[work.reference].grid
    for scan, reason in zip(report.scans, report.reasons, strict=True):
        work.phase_rows.append(
            {
                "phase": scan.phase.value,
                "modality": scan.modality,
                "sequence": scan.sequence,
                "date": scan.date or "",
                "voxels": scan.grid.describe(),
                "reference": scan is chosen[work.reference],
                "used": any(scan is s for s in chosen.values()),
                "reason": reason,
            }
        )


def _is_venous(phase: Phase) -> bool:
    return phase in VENOUS


def _find_liver(work: Work, draw: Callable[[Scan], LiverResult]) -> None:
    assert work.reference is not None
    if "liver" not in work.masks:
        found = draw(work.phases[work.reference])
        work.masks["liver"] = found.segmentation
        if found.uncertain is not None:
            work.masks["liver_uncertain"] = found.uncertain
        # other people's models say nothing of their confidence
        if not math.isnan(found.confidence):
            work.confidence["liver"] = round(float(found.confidence), 3)
        work.quality += found.warnings
    _require_one_grid(work)


def _find_lesions(work: Work, earlier: Sequence[VisitOutput]) -> None:
    if "lesions" not in work.masks:
        found = segment_lesions(work.phases, work.masks["liver"])
        work.masks["lesions"] = found.segmentation
        work.quality += found.warnings
        confidences = {str(k): round(float(v), 3) for k, v in found.confidence.items()}
    else:
        confidences = {}
    if earlier:
        before = [EarlierVisit(output.masks["lesions"], output.masks["liver"]) for output in earlier]
        pairing = pair_lesions(before, work.masks["lesions"], work.masks["liver"])
        work.masks["lesions"] = renumbered(work.masks["lesions"], pairing.numbers)
        work.tracks = pairing.tracks
        work.quality += pairing.warnings
        work.quality += [
            f"lesion {number} of an earlier visit was not found: confirm that it is gone."
            for number in pairing.vanished
        ]
        confidences = {str(pairing.numbers[int(k)]): v for k, v in confidences.items()}
    if confidences:
        work.confidence["lesions"] = confidences


def _judge_viability(work: Work, settings: VisitSettings) -> None:
    if "viable" in work.masks:
        work.evaluable, work.evaluable_reason = True, "viable tissue was given by the caller"
        return
    result = segment_viability(
        work.phases,
        work.masks["liver"],
        work.masks["lesions"],
        accept_early_arterial=settings.accept_early_arterial,
        # a native scan that does not fit voxel by voxel would turn misfit into enhancement; it still shows lipiodol
        subtract_native=Phase.NATIVE not in work.not_subtracted,
        extrahepatic=settings.extrahepatic,
    )
    work.lesion_words = lesion_facts(work.phases, work.masks["liver"], work.masks["lesions"], result)
    work.evaluable, work.evaluable_reason = result.mrecist_evaluable, result.reason
    work.quality += result.warnings
    work.viability_method, work.judgement = result.method, result.judgement
    work.masks.update(viable=result.viable, necrosis=result.necrosis, uncertain=result.uncertain)


def _check(settings: VisitSettings, given: GivenMasks) -> None:
    if settings.sites and given.lesions is None:
        raise ScanError(
            refusal(
                "sites without a lesion mask",
                expected="--lesions PATH with the lesions that the sites are for",
                got="lesions that are still to be found",
                do="Give a mask, or set sites in the viewer.",
            )
        )
    settings.report.check()
    for slug in settings.resections:
        operation(slug)  # an unknown name is refused before any work is done
    if settings.segments_method not in SEGMENT_METHODS:
        raise ScanError(
            refusal("segments method", expected=" or ".join(SEGMENT_METHODS), got=repr(settings.segments_method))
        )
