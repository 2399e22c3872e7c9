"""A visit's vessels and segments, where methods disagree on the segments, and what an operation does to the vessels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from livervol.measure.vascular import judge_resection, vascular_measurements
from livervol.measure.vascular_facts import vascular_facts
from livervol.records import Measurement
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.couinaud import MODEL, ShapeReading, read_shape, segment_couinaud
from livervol.segment.couinaud_combined import combine_couinaud
from livervol.segment.model import find_model
from livervol.segment.vessels import VesselsResult, segment_vessels, vessels_of_mask
from livervol.workflows.plan import spread_of
from livervol.workflows.visit_state import Work

__all__ = ["SEGMENT_METHODS", "VENOUS", "find_anatomy", "vessel_measurements", "vessels_entry"]

#: ``shape`` alone, which the intervals were calibrated for, or ``combined`` with the middle hepatic vein and the portal
#: territories.
SEGMENT_METHODS = ("shape", "combined")

#: Phases that may show the veins of the liver.
VENOUS = (Phase.PORTAL_VENOUS, Phase.DELAYED)


def find_anatomy(work: Work, method: str = "shape", *, look_for_vessels: bool = True) -> None:
    """Vessels and segments into ``work``: masks, confidence, warnings, and where the methods disagree.

    Vessels are those given, else looked for in a venous CT phase. Segments are those given, else by ``method``; when
    vessels are known, ``segments_disagreement`` marks where shape and vessels put a voxel into different segments.
    """
    liver = work.masks["liver"]
    segments_given = "segments" in work.masks
    wanted = "vessels" in work.masks or (look_for_vessels and _venous(work))
    if segments_given and not wanted:
        return
    if not liver.labels.any():
        # the segments' own refusal says what is wrong
        segment_couinaud(liver)
    reading = read_shape(liver, find_model(MODEL))
    if wanted:
        _find_vessels(work, liver, reading)
    if segments_given:
        return
    if work.vessels is None or not work.vessels.branches:
        shape = segment_couinaud(liver, reading=reading)
        work.masks["segments"] = shape.segmentation
        work.quality += shape.warnings
    else:
        combined = combine_couinaud(liver, work.vessels, reading=reading)
        shape = combined.shape
        work.masks["segments"] = combined.segmentation if method == "combined" else shape.segmentation
        work.masks["segments_disagreement"] = combined.disagreement
        work.disagreement_percent = {name: round(float(v), 2) for name, v in combined.percent.items()}
        work.quality += [w for w in combined.warnings if w not in work.quality]
    work.spread = spread_of(shape)
    work.confidence["segments"] = round(shape.confidence, 3)


def _venous(work: Work) -> dict[Phase, Scan]:
    return {
        phase: scan
        for phase, scan in work.phases.items()
        if phase in VENOUS and scan.modality == "CT" and scan.grid.matches(work.masks["liver"].grid)
    }


def _find_vessels(work: Work, liver: Segmentation, reading: ShapeReading) -> None:
    if "vessels" in work.masks:
        found = vessels_of_mask(work.masks["vessels"], liver, reading=reading)
    else:
        found = segment_vessels(_venous(work), liver, reading=reading)
        work.masks["vessels"] = found.segmentation
    work.vessels = found
    work.quality += found.warnings
    work.confidence["vessels"] = {kind: round(float(v), 3) for kind, v in found.confidence.items()}


def vessel_measurements(work: Work, resections: Sequence[str]) -> tuple[Measurement, ...]:
    """What each operation does to the vessels, as measurements; none without a vessel tree or an operation."""
    if work.vessels is None or not work.vessels.branches or not resections:
        return ()
    scan = next(iter(_venous(work).values()), None)
    facts = vascular_facts(work.masks["liver"], work.masks["segments"], work.masks.get("lesions"), work.vessels, scan)
    return vascular_measurements(judge_resection(facts, slug) for slug in resections)


def vessels_entry(found: VesselsResult | None) -> dict[str, Any]:
    """The key ``vessels`` of measurements.json: confidence by kind, main branches' numbers, phase read."""
    if found is None:
        return {}
    return {
        "vessels": {
            "confidence": {kind: round(float(v), 3) for kind, v in found.confidence.items()},
            "main": {name: _numbers(numbers) for name, numbers in found.main.items()},
            "phase": found.phase.value,
        }
    }


def _numbers(values: Iterable[int]) -> list[int]:
    return [int(v) for v in values]
