"""Which operations clear all tumour with the wanted margin, and what liver each leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from livervol import __version__
from livervol.errors import ScanError, refusal
from livervol.files import write_text
from livervol.io.tables import SCHEMA_VERSION, nested_values, read_document, unreadable
from livervol.measure.remnant import Remnant, SegmentSpread, find_remnants
from livervol.measure.remnant_rows import RemnantSettings, remnant_measurements
from livervol.measure.resection import PROTOCOLS, STANDARD, Operation, RemnantProtocol
from livervol.measure.standard_volume import PatientSize
from livervol.records import Measurement
from livervol.response.scores import BSA_FORMULAS, body_surface_area_m2
from livervol.scan import Segmentation
from livervol.segment.couinaud import MODEL, CouinaudResult, segment_couinaud
from livervol.workflows.plan_folder import as_drawn, lesions_of_liver, read_masks
from livervol.workflows.plan_vessels import vessels_under
from livervol.workflows.reading_folder import require_unsigned

__all__ = ["Plan", "PlanSettings", "PlannedOperation", "patient_size", "plan_visit", "spread_entry", "spread_of"]


@dataclass(frozen=True)
class PlanSettings:
    """What a plan is asked: least tumour-free ``margin_mm``, the ``protocol`` that judges FLR, the patient's size.

    ``uncertainty`` false leaves the intervals out (no network is run). ``vessels`` adds what each operation does to the
    visit's vessels, which takes a few seconds more.
    """

    margin_mm: float = 10.0
    protocol: RemnantProtocol = PROTOCOLS["trial"]
    patient: PatientSize | None = None
    uncertainty: bool = True
    vessels: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.margin_mm <= 100:
            raise ScanError(
                refusal("wanted margin", expected="0 to 100 mm", got=f"{self.margin_mm:g}", do="Give it in mm.")
            )


@dataclass(frozen=True)
class PlannedOperation:
    """One operation of a plan: its remnant, its measurements by key, and why it does not do ("" when it does)."""

    remnant: Remnant
    measurements: Mapping[str, Measurement]
    rejected: str = ""

    @property
    def slug(self) -> str:
        """The operation's slug."""
        return self.remnant.operation.slug


@dataclass(frozen=True)
class Plan:
    """``possible`` operations by decreasing FLR %, ``rejected`` ones with reasons, ``warnings``."""

    possible: tuple[PlannedOperation, ...]
    rejected: tuple[PlannedOperation, ...]
    warnings: tuple[str, ...] = field(default=())


def patient_size(height_cm: float | None, weight_kg: float | None, sex: str = "") -> PatientSize:
    """Body size with the body surface by every method; None for what is unknown.

    A height in metres or a weight in grams raises ``CriteriaError``.
    """
    surfaces: dict[str, float] = {}
    if height_cm is not None and weight_kg is not None:
        surfaces = {name: body_surface_area_m2(height_cm, weight_kg, name) for name in BSA_FORMULAS}
    return PatientSize(height_cm, weight_kg, sex, surfaces)


def spread_of(found: CouinaudResult) -> SegmentSpread:
    """The uncertainty of segments from the liver's shape, as remnants need it."""
    return SegmentSpread(tuple(range(1, 9)), found.half_widths_ml, found.interval_floor, found.interval_method)


def spread_entry(spread: SegmentSpread) -> dict[str, Any]:
    """A spread as measurements.json keeps it under ``segment_spread``, so that a plan needs no network."""
    return {
        "values": list(spread.values),
        "half_widths_ml": [[[round(float(v), 3) for v in row] for row in rows] for rows in spread.half_widths_ml],
        "floor": spread.floor,
        "method": spread.method,
    }


def plan_visit(folder: str | Path, settings: PlanSettings | None = None) -> Plan:
    """All standard operations of a visit's output folder, judged by margin and ranked by FLR %; writes ``plan.json``.

    Reads liver, segments and (if there) lesions. Lesions whose site is not the liver count neither for nor against an
    operation; a warning names them. Without lesions every operation is possible and a warning says so.
    Intervals are given when the segments came from the liver's shape: from measurements.json's ``segment_spread`` if it
    is there, else the network runs again. A reader's folder (``readers/<code>``) has the visit's intervals as long as
    the reader moved no boundary. Raises ``LivervolError`` for a folder that lacks a mask, for an existing plan.json
    without ``overwrite``, and for one that a reader has signed.
    """
    settings, root = settings or PlanSettings(), Path(folder)
    require_unsigned(root / "plan.json")
    liver, segments, lesions = read_masks(root)
    path = root / "measurements.json"
    document = read_document(path)
    lesions, told = lesions_of_liver(lesions, document, path)
    warnings = list(told)
    if lesions is None or not lesions.labels.any():
        warnings.append("no lesion is marked in the liver: nothing has to be cleared, every operation is listed")
    drawn = as_drawn(document, root, liver)
    spread = None
    if settings.uncertainty and not {41, 42} & set(segments.names):
        spread = _spread(drawn, path, liver, warnings)
    plan = _judge(liver, segments, lesions, settings, (spread, warnings))
    if settings.vessels:
        plan = _with_vessels(plan, root, (liver, segments, lesions), drawn)
    text = json.dumps(_document(plan, settings), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(root / "plan.json", text + "\n", overwrite=settings.overwrite)
    return plan


def _spread(document: Mapping[str, Any], path: Path, liver: Segmentation, warnings: list[str]) -> SegmentSpread | None:
    """The spread of segments drawn by shape: as stored, else from the network; None for segments from elsewhere."""
    try:
        stored = document.get("segment_spread")
        if stored is not None:
            half_widths = np.array(stored["half_widths_ml"], dtype=np.float64)
            values = tuple(int(v) for v in stored["values"])
            return SegmentSpread(values, half_widths, float(stored["floor"]), str(stored["method"]))
        made_by = str(document.get("provenance", {}).get("methods", {}).get("segments", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(path, type(error).__name__) from error
    if not made_by.startswith(MODEL):
        return None
    found = segment_couinaud(liver)
    warnings += found.warnings
    return spread_of(found)


def _considered(segments: Segmentation) -> list[Operation]:
    split = {41, 42} <= set(segments.names)
    return [op for op in STANDARD if split or not {41, 42} & set(op.removed)]


def _judge(
    liver: Segmentation,
    segments: Segmentation,
    lesions: Segmentation | None,
    settings: PlanSettings,
    known: tuple[SegmentSpread | None, list[str]],
) -> Plan:
    spread, warnings = known
    operations = _considered(segments)
    judged = RemnantSettings(protocol=settings.protocol, spread=spread)
    found = find_remnants(liver, segments, lesions, operations, spread)
    measured = remnant_measurements(found, settings.patient, judged, lesions_known=lesions is not None)
    rows = []
    for remnant in found:
        stem = f"remnant.{remnant.operation.slug}."
        own = {m.name.removeprefix(stem): m for m in measured if m.name.startswith(stem)}
        rows.append(PlannedOperation(remnant, own, _reason(remnant, settings.margin_mm)))
    rows.sort(key=lambda row: -row.remnant.flr_of_functional_percent)
    return Plan(tuple(r for r in rows if not r.rejected), tuple(r for r in rows if r.rejected), tuple(warnings))


def _with_vessels(
    plan: Plan,
    root: Path,
    masks: tuple[Segmentation, Segmentation, Segmentation | None],
    document: Mapping[str, Any],
) -> Plan:
    rows = (*plan.possible, *plan.rejected)
    found, warnings = vessels_under(root, masks, [row.remnant.operation for row in rows], document)

    def more(row: PlannedOperation) -> PlannedOperation:
        return replace(row, measurements={**row.measurements, **found[row.slug]})

    return Plan(
        tuple(more(row) for row in plan.possible),
        tuple(more(row) for row in plan.rejected),
        (*plan.warnings, *warnings),
    )


def _reason(remnant: Remnant, margin_mm: float) -> str:
    if not remnant.removes:
        return "the segments it removes hold no voxel"
    if not remnant.functional_ml > 0:
        return "the liver is all tumour"
    if remnant.clears(margin_mm):
        return ""
    reasons = []
    if remnant.remaining:
        reasons.append(f"leaves lesion {', '.join(map(str, remnant.remaining))}")
    if remnant.cut:
        reasons.append(f"cuts through lesion {', '.join(map(str, remnant.cut))}")
    if not reasons:
        reasons.append(f"margin {remnant.margin_mm:.1f} mm, wanted {margin_mm:g} mm")
    return "; ".join(reasons)


def _document(plan: Plan, settings: PlanSettings) -> dict[str, Any]:
    def entry(row: PlannedOperation) -> dict[str, Any]:
        values = nested_values(row.measurements[key] for key in row.measurements)["remnant"][row.slug]
        head = {
            "operation": row.slug,
            "name": row.remnant.operation.name,
            "removed": list(row.remnant.operation.removed),
        }
        return {**head, **({"rejected": row.rejected} if row.rejected else {}), **values}

    protocol = settings.protocol
    return {
        "schema_version": SCHEMA_VERSION,
        "margin_mm": settings.margin_mm,
        "protocol": {
            "name": protocol.name,
            "threshold_percent": protocol.threshold_percent,
            "denominator": protocol.denominator,
            "source": protocol.source,
        },
        "operations": [entry(row) for row in plan.possible],
        "rejected": [entry(row) for row in plan.rejected],
        "quality": list(plan.warnings),
        "provenance": {"program": "livervol", "version": __version__},
    }
