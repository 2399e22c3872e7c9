"""One visit: read, recognise phases, align, segment, measure, write the output folder."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from livervol import __version__
from livervol.align import align
from livervol.errors import GridError, ScanError, refusal
from livervol.files import atomic_folder, write_text
from livervol.grid import Grid
from livervol.io.images import read_labels
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.io.tables import SCHEMA_VERSION, lesion_entry, nested_values, write_measurements
from livervol.measure.pairing import pair_lesions, renumbered
from livervol.measure.remnant import RemnantSettings, SegmentSpread, measure_remnants
from livervol.measure.resection import operation
from livervol.measure.standard_volume import PatientSize
from livervol.measure.visit import VisitMeasurements, measure_visit
from livervol.report.visit import VisitPage, visit_html
from livervol.scan import Phase, Scan, Segmentation, Source
from livervol.segment.couinaud import segment_couinaud
from livervol.segment.lesions import segment_lesions
from livervol.segment.liver import segment_liver
from livervol.segment.phase import recognise_phases
from livervol.segment.viability import segment_viability
from livervol.workflows.inputs import VisitScans, choose_reference, one_per_phase, read_visit
from livervol.workflows.plan import spread_entry, spread_of

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

Progress = Callable[[str], None]

#: Masks a caller may give instead of having them segmented, in nesting order.
MASK_NAMES = ("liver", "lesions", "viable", "segments", "vessels")


@dataclass(frozen=True)
class GivenMasks:
    """Paths of masks that replace a segmentation step; None means: segment it (or leave it out)."""

    liver: Path | None = None
    lesions: Path | None = None
    viable: Path | None = None
    segments: Path | None = None
    vessels: Path | None = None

    def read(self) -> dict[str, Segmentation]:
        """The given masks by name."""
        paths = {name: getattr(self, name) for name in MASK_NAMES}
        return {name: read_labels(path, made_by="given") for name, path in paths.items() if path is not None}


@dataclass(frozen=True)
class VisitSettings:
    """What a user may decide about a visit; recorded in the provenance."""

    accept_early_arterial: bool = False
    overwrite: bool = False
    resections: tuple[str, ...] = ()
    patient: PatientSize | None = None


@dataclass(frozen=True, eq=False)
class VisitOutput:
    """What a run wrote: the folder, the document of measurements.json, the measured numbers and the masks."""

    folder: Path
    document: Mapping[str, Any]
    measured: VisitMeasurements
    masks: Mapping[str, Segmentation]
    date: str


@dataclass(eq=False)
class _Work:
    """A visit's state between the steps."""

    masks: dict[str, Segmentation]
    phases: dict[Phase, Scan] = field(default_factory=dict)
    reference: Phase | None = None
    grid: Grid | None = None
    phase_rows: list[dict[str, Any]] = field(default_factory=list)
    quality: list[str] = field(default_factory=list)
    confidence: dict[str, Any] = field(default_factory=dict)
    evaluable: bool = False
    evaluable_reason: str = "no arterial phase was given"
    viability_method: str = ""
    sources: list[Source] = field(default_factory=list)
    not_subtracted: set[Phase] = field(default_factory=set)
    spread: SegmentSpread | None = None

    @property
    def stored(self) -> Grid | None:
        """The grid on which masks are written: the reference scan's own file order."""
        return self.phases[self.reference].source.stored if self.reference is not None else self.grid


def silent(_: str) -> None:
    """Progress that tells nobody."""


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
    settings = settings or VisitSettings()
    _check_resections(settings)
    with atomic_folder(out, overwrite=settings.overwrite) as folder:
        progress("reading")
        visit = read_visit(inputs)
        work = _Work(masks=(given or GivenMasks()).read())
        progress("recognising phases")
        _recognise(work, visit)
        progress("finding the liver")
        _find_liver(work)
        progress("aligning phases")
        _align(work)
        progress("finding lesions")
        _find_lesions(work, earlier)
        progress("judging viability")
        _judge_viability(work, settings)
        progress("finding segments")
        _find_segments(work)
        return _measure_and_write(work, settings, folder, Path(out), progress)


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
    _check_resections(settings)
    with atomic_folder(out, overwrite=settings.overwrite) as folder:
        progress("reading")
        work = _Work(masks=given.read())
        if "liver" not in work.masks:
            raise ScanError(refusal("liver mask missing", expected="--liver PATH", got="none", do="Give a liver mask."))
        if inputs:
            _recognise(work, read_visit(inputs))
            _align(work)
        else:
            work.grid = work.masks["liver"].grid
        _require_one_grid(work)
        progress("finding segments")
        _find_segments(work)
        if "viable" in work.masks:
            work.evaluable, work.evaluable_reason = True, "viable tissue was given by the caller"
        else:
            work.evaluable_reason = "no viable mask was given"
        return _measure_and_write(work, settings, folder, Path(out), progress)


def _require_one_grid(work: _Work) -> None:
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


def _recognise(work: _Work, visit: VisitScans) -> None:
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


def _find_liver(work: _Work) -> None:
    assert work.reference is not None
    if "liver" not in work.masks:
        found = segment_liver(work.phases[work.reference])
        work.masks["liver"] = found.segmentation
        work.confidence["liver"] = round(float(found.confidence), 3)
        work.quality += found.warnings
    _require_one_grid(work)


def _align(work: _Work) -> None:
    assert work.reference is not None
    fixed = work.phases[work.reference]
    for phase, moving in list(work.phases.items()):
        if phase is work.reference:
            continue
        aligned = align(moving, fixed, mask=work.masks.get("liver"))
        work.quality += [f"{phase.value.replace('_', ' ')}: {warning}" for warning in aligned.warnings]
        row = next(r for r in work.phase_rows if r["used"] and r["phase"] == phase.value)
        row["aligned_by"], row["shift_mm"] = aligned.method, round(aligned.shift_mm, 2)
        work.phases[phase] = aligned.scan
        if not aligned.usable_for_subtraction:
            work.not_subtracted.add(phase)


def _find_lesions(work: _Work, earlier: Sequence[VisitOutput]) -> None:
    if "lesions" not in work.masks:
        found = segment_lesions(work.phases, work.masks["liver"])
        work.masks["lesions"] = found.segmentation
        work.quality += found.warnings
        confidences = {str(k): round(float(v), 3) for k, v in found.confidence.items()}
    else:
        confidences = {}
    if earlier:
        before = [(output.masks["lesions"], output.masks["liver"]) for output in earlier]
        pairing = pair_lesions(before, work.masks["lesions"], work.masks["liver"])
        work.masks["lesions"] = renumbered(work.masks["lesions"], pairing.numbers)
        work.quality += pairing.warnings
        work.quality += [
            f"lesion {number} of an earlier visit was not found: confirm that it is gone."
            for number in pairing.vanished
        ]
        confidences = {str(pairing.numbers[int(k)]): v for k, v in confidences.items()}
    if confidences:
        work.confidence["lesions"] = confidences


def _judge_viability(work: _Work, settings: VisitSettings) -> None:
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
    )
    work.evaluable, work.evaluable_reason = result.mrecist_evaluable, result.reason
    work.quality += result.warnings
    work.viability_method = result.method
    work.masks.update(viable=result.viable, necrosis=result.necrosis, uncertain=result.uncertain)


def _check_resections(settings: VisitSettings) -> None:
    for slug in settings.resections:
        operation(slug)  # an unknown name is refused before any work is done


def _find_segments(work: _Work) -> None:
    if "segments" in work.masks:
        return
    found = segment_couinaud(work.masks["liver"])
    work.masks["segments"] = found.segmentation
    work.spread = spread_of(found)
    work.confidence["segments"] = round(found.confidence, 3)
    work.quality += found.warnings


def _with_remnants(work: _Work, settings: VisitSettings, measured: VisitMeasurements) -> VisitMeasurements:
    if not settings.resections:
        return measured
    remnants = measure_remnants(
        work.masks["liver"],
        work.masks["segments"],
        work.masks.get("lesions"),
        settings.resections,
        settings.patient,
        RemnantSettings(spread=work.spread),
    )
    return replace(measured, measurements=(*measured.measurements, *remnants))


def _document(work: _Work, settings: VisitSettings, measured: VisitMeasurements) -> dict[str, Any]:
    lesions = [lesion_entry(lesion) for lesion in measured.lesions]
    conventions = sorted(
        {m.method for lesion in measured.lesions for m in lesion.measurements if m.name == "longest_mm"}
    )
    return {
        "schema_version": SCHEMA_VERSION,
        **nested_values(measured.measurements),
        "lesions": lesions,
        "phases": work.phase_rows,
        "mrecist_evaluable": work.evaluable,
        "mrecist_reason": work.evaluable_reason,
        "diameter_convention": "; ".join(conventions),
        "confidence": work.confidence,
        **({"segment_spread": spread_entry(work.spread)} if work.spread is not None else {}),
        "quality": list(dict.fromkeys([*work.quality, *measured.warnings])),
        "provenance": {
            "program": "livervol",
            "version": __version__,
            "python": platform.python_version(),
            "reference_phase": work.reference.value if work.reference else "",
            "grid": work.grid.describe() if work.grid else "",
            "methods": {name: mask.made_by for name, mask in work.masks.items()},
            "viability_method": work.viability_method,
            "settings": {
                "accept_early_arterial": settings.accept_early_arterial,
                "resections": list(settings.resections),
            },
            "inputs": [
                {"kind": source.kind, "uids": list(source.uids), "voxels_sha256": source.sha256}
                for source in work.sources
            ],
        },
    }


def _measure_and_write(
    work: _Work, settings: VisitSettings, folder: Path, final: Path, progress: Progress
) -> VisitOutput:
    progress("measuring")
    measured = measure_visit(
        work.masks["liver"],
        lesions=work.masks.get("lesions"),
        viable=work.masks.get("viable"),
        segments=work.masks.get("segments"),
        uncertain=work.masks.get("uncertain"),
    )
    measured = _with_remnants(work, settings, measured)
    document = _document(work, settings, measured)
    progress("writing")
    for name, mask in work.masks.items():
        write_nifti_labels(folder / f"{name}.nii.gz", mask, stored=work.stored)
    if len(work.phases) > 1:
        (folder / "phases").mkdir()
        for phase, scan in work.phases.items():
            placed = replace(scan, source=replace(scan.source, stored=work.stored))
            write_nifti_scan(folder / "phases" / f"{phase.value}.nii.gz", placed)
    write_measurements(folder, document, measured.measurements, measured.lesions)
    reference = work.reference.value if work.reference else ""
    date = next((row["date"] for row in work.phase_rows if row["date"]), "")
    page = VisitPage(
        title=f"Visit {date}".strip(),
        document=document,
        masks=work.masks,
        scans={phase.value: scan for phase, scan in work.phases.items()},
        reference=reference,
    )
    progress("reporting")
    write_text(folder / "report.html", visit_html(page))
    return VisitOutput(final, document, measured, dict(work.masks), date)
