"""Remnants as measurements: volume, FLR % by three denominators, standardised FLR, weight ratio, margin, certainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from livervol.measure.remnant import Remnant, SegmentSpread, find_remnants
from livervol.measure.resection import PROTOCOLS, Operation, RemnantProtocol
from livervol.measure.standard_volume import PatientSize, StandardVolume, standard_volumes
from livervol.records import Interval, Measurement
from livervol.scan import Segmentation

__all__ = ["RemnantSettings", "measure_remnants", "remnant_measurements"]

#: Closer to the threshold than this, a second reading is due (inter-observer difference of FLR 2-3 points).
BORDERLINE_POINTS = 3.0

_NORMAL_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class RemnantSettings:
    """What a remnant is judged by: ``protocol`` threshold, boundary ``spread``, ``density_g_ml`` for the weight ratio.

    Density 1.0 g/ml is the convention of the published weight-ratio cut-offs; cirrhotic liver is nearer to 1.1.
    """

    protocol: RemnantProtocol = PROTOCOLS["trial"]
    spread: SegmentSpread | None = None
    density_g_ml: float = 1.0


def measure_remnants(
    liver: Segmentation,
    segments: Segmentation,
    lesions: Segmentation | None,
    operations: Sequence[Operation | str],
    patient: PatientSize | None = None,
    settings: RemnantSettings | None = None,
) -> tuple[Measurement, ...]:
    """Future liver remnant of each operation as measurements ``remnant.{slug}.{key}``.

    Keys: volume_ml; flr_of_functional_percent = 100 FLRV / (TLV - TV), the default FLR %; flr_of_total_percent =
    100 FLRV / TLV; sflr_percent = 100 FLRV / eTLV with the default formula, ``sflr_by.{formula}.{bsa}`` with the others
    (Vauthey 2002); weight_ratio_percent = 100 FLRV (g) / body weight (g) (Truant 2007); resection_percent; margin_mm;
    lesions_remaining; probability_at_least_threshold of the protocol's FLR. 95 % intervals come from the boundaries'
    spread. Errors as ``find_remnants``.
    """
    settings = settings or RemnantSettings()
    found = find_remnants(liver, segments, lesions, operations, settings.spread)
    return remnant_measurements(found, patient, settings, lesions_known=lesions is not None)


def remnant_measurements(
    found: Sequence[Remnant], patient: PatientSize | None, settings: RemnantSettings, *, lesions_known: bool
) -> tuple[Measurement, ...]:
    """The measurements of remnants already found (``measure_remnants`` says what each is)."""
    standard = standard_volumes(patient) if patient is not None else ()
    rows: list[Measurement] = []
    for remnant in found:
        rows += _rows(remnant, patient, standard, settings, lesions_known)
    return tuple(rows)


def _share(
    name: str, remnant: Remnant, unit: tuple[str, float], method: str, limits: tuple[float, float] = (0.0, math.inf)
) -> Measurement:
    """A multiple of the remnant's volume with its interval; ``unit`` is the unit's word and its value per ml."""
    word, per_ml = unit
    value, half, interval = remnant.volume_ml * per_ml, remnant.half_width_ml, None
    if half is not None:
        low, high = max(limits[0], value - half * per_ml), min(limits[1], value + half * per_ml)
        interval = Interval(min(low, value), max(high, value))
    return Measurement(name, value, word, method, remnant.operation.name, interval)


def _rows(
    remnant: Remnant,
    patient: PatientSize | None,
    standard: Sequence[StandardVolume],
    settings: RemnantSettings,
    lesions_known: bool,
) -> list[Measurement]:
    stem, of = f"remnant.{remnant.operation.slug}", remnant.operation.name
    if not remnant.removes or not remnant.functional_ml > 0:
        empty, tumor = "the segments it removes hold no voxel", "the liver is all tumour"
        reason = tumor if remnant.removes else empty
        names = (("volume_ml", "ml"), ("flr_of_functional_percent", "%"), ("flr_of_total_percent", "%"))
        return [Measurement(f"{stem}.{name}", None, unit, of=of, reason=reason) for name, unit in names]
    removed = "removed: " + ", ".join(map(str, remnant.operation.removed))
    if settings.spread is not None:
        removed += f"; interval: {settings.spread.method}"
    functional, total = 100.0 / remnant.functional_ml, 100.0 / remnant.total_ml
    rows = [
        _share(f"{stem}.volume_ml", remnant, ("ml", 1.0), f"remnant without tumour, {removed}"),
        _share(f"{stem}.flr_of_functional_percent", remnant, ("%", functional), "100 FLRV / (TLV - TV)", (0.0, 100.0)),
        _share(f"{stem}.flr_of_total_percent", remnant, ("%", total), "100 FLRV / TLV", (0.0, 100.0)),
        *_size_rows(stem, remnant, patient, standard, settings),
        Measurement(
            f"{stem}.resection_percent",
            100.0 - remnant.flr_of_functional_percent,
            "%",
            "100 (TLV - TV - FLRV) / (TLV - TV)",
            of,
        ),
    ]
    return [*rows, *_lesion_rows(stem, remnant, lesions_known), _probability(stem, remnant, standard, settings)]


def _size_rows(
    stem: str,
    remnant: Remnant,
    patient: PatientSize | None,
    standard: Sequence[StandardVolume],
    settings: RemnantSettings,
) -> list[Measurement]:
    of, rows = remnant.operation.name, []
    for row in standard:
        name = f"{stem}.sflr_percent" if row is standard[0] else f"{stem}.sflr_by.{row.formula.key}.{row.bsa or 'size'}"
        if row.volume_ml is None:
            if row is standard[0]:
                rows.append(Measurement(name, None, "%", of=of, reason=row.reason))
        else:
            method = f"100 FLRV / eTLV, eTLV {row.volume_ml:.0f} ml = {row.method}"
            rows.append(_share(name, remnant, ("%", 100.0 / row.volume_ml), method))
    if not rows:
        rows.append(Measurement(f"{stem}.sflr_percent", None, "%", of=of, reason="height and weight were not given"))
    weight = None if patient is None else patient.weight_kg
    name = f"{stem}.weight_ratio_percent"
    if weight is None:
        rows.append(Measurement(name, None, "%", of=of, reason="body weight was not given"))
    else:
        method = f"100 FLRV x {settings.density_g_ml:g} g/ml / {weight:g} kg"
        rows.append(_share(name, remnant, ("%", 100.0 * settings.density_g_ml / (1000.0 * weight)), method))
    return rows


def _lesion_rows(stem: str, remnant: Remnant, lesions_known: bool) -> list[Measurement]:
    of, name, left = remnant.operation.name, f"{stem}.margin_mm", f"{stem}.lesions_remaining"
    if not lesions_known:
        reason = "no lesion mask was given"
        return [Measurement(name, None, "mm", of=of, reason=reason), Measurement(left, None, "1", of=of, reason=reason)]
    if remnant.margin_mm is None:
        margin = Measurement(name, None, "mm", of=of, reason="no lesion lies in what is removed")
    else:
        margin = Measurement(name, remnant.margin_mm, "mm", "tumour face to remnant face, shortest", of)
    behind = sorted({*remnant.cut, *remnant.remaining})
    words = f"lesions {', '.join(map(str, behind))}" if behind else "none"
    words += f"; cut through: {', '.join(map(str, remnant.cut))}" if remnant.cut else ""
    return [margin, Measurement(left, float(len(behind)), "1", words, of)]


def _probability(
    stem: str, remnant: Remnant, standard: Sequence[StandardVolume], settings: RemnantSettings
) -> Measurement:
    name, of, rule = f"{stem}.probability_at_least_threshold", remnant.operation.name, settings.protocol
    whole: float | None = remnant.functional_ml if rule.denominator == "functional" else remnant.total_ml
    if rule.denominator == "standard":
        whole = standard[0].volume_ml if standard else None
    if whole is None or remnant.half_width_ml is None:
        reason = "body size was not given" if whole is None else "the spread of the segment boundaries is unknown"
        return Measurement(name, None, "1", of=of, reason=reason)
    flr, sd = 100.0 * remnant.volume_ml / whole, 100.0 * remnant.half_width_ml / whole / _NORMAL_95
    method = f"FLR {flr:.1f} % of {rule.denominator} volume against at least {rule.threshold_percent:g} % ({rule.name})"
    if abs(flr - rule.threshold_percent) < BORDERLINE_POINTS:
        method += "; borderline: a second reading is due"
    chance = float(flr >= rule.threshold_percent)
    if sd > 0:
        chance = 1.0 - NormalDist(flr, sd).cdf(rule.threshold_percent)
    return Measurement(name, chance, "1", method, of)
