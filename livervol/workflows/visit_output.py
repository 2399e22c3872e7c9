"""A visit's output folder: measured, documented, written and reported."""

from __future__ import annotations

import platform
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from livervol import __version__
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.io.tables import SCHEMA_VERSION, lesion_entry, nested_values, write_measurements
from livervol.kernels.beside import Beside
from livervol.measure.pairing import Track
from livervol.measure.remnant_rows import RemnantSettings, measure_remnants
from livervol.measure.uncertainty import Spread, spread_of_lesions, with_intervals
from livervol.measure.visit import VisitMeasurements, at_sites, summed, visit_parts
from livervol.report.document import visit_date
from livervol.report.visit import VisitPage, write_visit_report
from livervol.scan import Segmentation
from livervol.segment.viability_spread import boundary_variants, viability_variants
from livervol.workflows.anatomy import vessel_measurements, vessels_entry
from livervol.workflows.plan import spread_entry
from livervol.workflows.visit_state import Progress, VisitOutput, VisitSettings, Work

__all__ = ["measure_and_write"]


def _with_words(measured: VisitMeasurements, work: Work) -> VisitMeasurements:
    """Lesions with what was told of them besides numbers."""
    words = work.lesion_words
    lesions = (replace(one, attributes={**one.attributes, **words.get(one.number, {})}) for one in measured.lesions)
    return replace(measured, lesions=tuple(lesions))


def _of_liver(work: Work, settings: VisitSettings) -> Segmentation | None:
    """The lesions of the liver alone: no operation on the liver removes others."""
    lesions = work.masks.get("lesions")
    return None if lesions is None else lesions.without(settings.extrahepatic)


def _with_remnants(work: Work, settings: VisitSettings, measured: VisitMeasurements) -> VisitMeasurements:
    if not settings.resections:
        return measured
    remnants = measure_remnants(
        work.masks["liver"],
        work.masks["segments"],
        _of_liver(work, settings),
        settings.resections,
        settings.patient,
        RemnantSettings(spread=work.spread),
    )
    vessels = vessel_measurements(work, settings.resections)
    return replace(measured, measurements=(*measured.measurements, *remnants, *vessels))


def _with_spread(work: Work, measured: VisitMeasurements) -> tuple[VisitMeasurements, Spread]:
    """Lesions with intervals: from other thresholds, positions and outlines where viability was judged here, from other
    outlines alone where masks were given."""
    lesions, liver = work.masks.get("lesions"), work.masks["liver"]
    if lesions is None or not measured.lesions:
        return measured, {}
    if work.judgement is not None:
        variants = viability_variants(work.judgement, liver, lesions)
    else:
        variants = boundary_variants(lesions, liver, work.masks.get("viable"))
    spread = spread_of_lesions(measured.lesions, variants, max(lesions.grid.spacing_mm[1:]))
    return replace(measured, lesions=with_intervals(measured.lesions, spread)), spread


def _lesion_spread_entry(spread: Spread) -> dict[str, Any]:
    """What each cause does to each lesion's numbers (steps down and up), as measurements.json keeps it."""
    return {
        str(number): {
            name: {cause: [round(effect.down, 3), round(effect.up, 3)] for cause, effect in effects.items()}
            for name, effects in names.items()
        }
        for number, names in spread.items()
    }


def _track_entry(track: Track) -> dict[str, Any]:
    """What became of a lesion, as measurements.json keeps it under ``tracking``."""
    return {"number": track.number, "state": track.state, "others": list(track.others)}


def _document(work: Work, settings: VisitSettings, measured: VisitMeasurements) -> dict[str, Any]:
    lesions = [lesion_entry(lesion) for lesion in measured.lesions]
    conventions = sorted(
        {m.method for lesion in measured.lesions for m in lesion.measurements if m.name == "longest_mm"}
    )
    return {
        "schema_version": SCHEMA_VERSION,
        **nested_values(measured.measurements),
        "lesions": lesions,
        **({"tracking": [_track_entry(track) for track in work.tracks]} if work.tracks else {}),
        **vessels_entry(work.vessels),
        **({"segments_disagreement_percent": work.disagreement_percent} if work.disagreement_percent else {}),
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
                "segments_method": settings.segments_method,
                **({"model": settings.model} if settings.model else {}),
                **({"sites": {str(number): site for number, site in settings.sites}} if settings.sites else {}),
            },
            "inputs": [
                {"kind": source.kind, "uids": list(source.uids), "voxels_sha256": source.sha256}
                for source in work.sources
            ],
        },
    }


def _measured(work: Work, settings: VisitSettings) -> tuple[VisitMeasurements, Spread]:
    parts = visit_parts(
        work.masks["liver"],
        lesions=work.masks.get("lesions"),
        viable=work.masks.get("viable"),
        segments=work.masks.get("segments"),
        uncertain=work.masks.get("uncertain"),
    )
    measured = _with_words(summed(at_sites(parts, dict(settings.sites))), work)
    measured, spread = _with_spread(work, measured)
    return _with_remnants(work, settings, measured), spread


def _write_images(work: Work, folder: Path) -> None:
    """Masks, and the aligned phases where there are several, as they lie in the reference scan's own files."""
    for name, mask in work.masks.items():
        write_nifti_labels(folder / f"{name}.nii.gz", mask, stored=work.stored)
    if len(work.phases) > 1:
        (folder / "phases").mkdir()
        for phase, scan in work.phases.items():
            placed = replace(scan, source=replace(scan.source, stored=work.stored))
            write_nifti_scan(folder / "phases" / f"{phase.value}.nii.gz", placed)


def measure_and_write(
    work: Work, settings: VisitSettings, folder: Path, final: Path, progress: Progress
) -> VisitOutput:
    """All numbers of the visit into ``folder``, as ``final`` will be called: masks, phases, tables and the report."""
    with Beside() as beside:
        progress("measuring")
        written = beside.begin(partial(_write_images, work, folder))
        measured, spread = _measured(work, settings)
        document = {**_document(work, settings, measured), "lesion_spread": _lesion_spread_entry(spread)}
        progress("writing")
        written()
    write_measurements(folder, document, measured.measurements, measured.lesions)
    reference = work.reference.value if work.reference else ""
    page = VisitPage(
        title="",
        document=document,
        masks=work.masks,
        scans={phase.value: scan for phase, scan in work.phases.items()},
        reference=reference,
    )
    progress("reporting")
    write_visit_report(folder / "report.html", page, settings.report)
    return VisitOutput(final, document, measured, dict(work.masks), visit_date(document))
