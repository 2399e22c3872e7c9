"""The future liver remnant of a resection: its volume, FLR % by three denominators, margin and certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from livervol.errors import CriteriaError, refusal
from livervol.kernels.gaps import LabelRuns, label_runs, least_gaps
from livervol.kernels.tally import label_boxes, label_counts, overlap_counts
from livervol.measure.planes import surround
from livervol.measure.resection import PROTOCOLS, Operation, RemnantProtocol, operation
from livervol.measure.standard_volume import PatientSize, StandardVolume, standard_volumes
from livervol.measure.volume import Box
from livervol.records import Interval, Measurement
from livervol.scan import Segmentation

__all__ = [
    "Counted",
    "Remnant",
    "RemnantSettings",
    "SegmentSpread",
    "find_remnants",
    "lesion_gaps",
    "measure_remnants",
    "remnant_measurements",
    "remnants_of",
]

#: Closer to the threshold than this, a second reading is due (inter-observer difference of FLR 2-3 points).
BORDERLINE_POINTS = 3.0

#: Slack when a margin is compared with the wanted one: distances are float32.
_MARGIN_SLACK_MM = 1e-4

_NORMAL_95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, eq=False)
class SegmentSpread:
    """How unsure the boundaries between segments are.

    ``values``          label values, in the order of the arrays' axes.
    ``half_widths_ml``  shape (boundaries, n, n): half width of the 95 % interval of the volume that may lie on the
                        other side between segments s and t, in ml; boundaries err independently, the pairs of one
                        together.
    ``floor``           least half width, as a share of the liver.
    ``method``          where they come from.
    """

    values: tuple[int, ...]
    half_widths_ml: NDArray[np.float64]
    floor: float
    method: str

    def half_width_ml(self, kept: Sequence[int], liver_ml: float) -> float:
        """Half width of the 95 % interval of the volume of the ``kept`` segments, in ml."""
        stays = np.isin(self.values, list(kept))
        crossing = self.half_widths_ml[:, stays][:, :, ~stays].sum(axis=(1, 2))
        return math.hypot(float(np.linalg.norm(crossing)), self.floor * liver_ml)


@dataclass(frozen=True)
class RemnantSettings:
    """What a remnant is judged by: ``protocol`` threshold, boundary ``spread``, ``density_g_ml`` for the weight ratio.

    Density 1.0 g/ml is the convention of the published weight-ratio cut-offs; cirrhotic liver is nearer to 1.1.
    """

    protocol: RemnantProtocol = PROTOCOLS["trial"]
    spread: SegmentSpread | None = None
    density_g_ml: float = 1.0


@dataclass(frozen=True)
class Remnant:
    """One operation's remnant. Volumes in ml; ``volume_ml`` is tissue: tumour in the remnant is not counted.

    ``total_ml`` TLV, ``tumor_ml`` tumour in the liver. ``cut`` lesions lie on both sides, ``remaining`` wholly in the
    remnant, ``cleared`` wholly in what is removed. ``margin_mm`` is the shortest way from a cut or cleared lesion's
    outer face to the remnant, None when no lesion is touched. ``half_width_ml`` belongs to the 95 % interval of the
    volume, None when the boundaries' spread is unknown. ``removes`` is false when the removed segments hold no voxel.
    """

    operation: Operation
    volume_ml: float
    total_ml: float
    tumor_ml: float
    margin_mm: float | None = None
    cleared: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    remaining: tuple[int, ...] = ()
    half_width_ml: float | None = None
    removes: bool = True

    @property
    def functional_ml(self) -> float:
        """TLV minus tumour."""
        return self.total_ml - self.tumor_ml

    @property
    def flr_of_functional_percent(self) -> float:
        """100 FLRV / (TLV - TV), NaN without functional liver."""
        return 100.0 * self.volume_ml / self.functional_ml if self.functional_ml > 0 else math.nan

    def clears(self, margin_mm: float) -> bool:
        """True when every lesion is removed whole, with at least ``margin_mm`` of tissue to the remnant."""
        if self.cut or self.remaining:
            return False
        return self.margin_mm is None or self.margin_mm >= margin_mm - _MARGIN_SLACK_MM


@dataclass(eq=False)
class Counted:
    """What remnants are made of.

    ``values``  segment values that have liver voxels.
    ``joint``   voxels of the liver by segment value (row, 0 for none) and lesion number (column, 0 for none).
    ``gap_mm``  by lesion in the liver, the gap from its outer face to each segment's tissue (``lesion_gaps``).
    """

    values: tuple[int, ...]
    joint: NDArray[np.int64]
    gap_mm: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def liver_voxels(self) -> int:
        """All liver voxels."""
        return int(self.joint.sum())

    @property
    def tumor_voxels(self) -> int:
        """Liver voxels that are lesion."""
        return int(self.joint[:, 1:].sum())


def lesion_gaps(
    runs: LabelRuns, tumor: NDArray[np.bool_], start_zyx: Sequence[int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Gap in mm from a lesion's outer face to the nearest voxel of each segment, by segment value; infinite if none.

    ``runs`` of the segments in the liver; ``tumor`` the lesion's voxels in the liver, in a box that starts at
    ``start_zyx`` of the runs' grid. Between voxel faces: 0 where they touch.
    """
    framed = surround(np.pad(tumor, 1))
    body = label_runs(framed)
    shift = np.array([start_zyx[0] - 1, start_zyx[1] - 1, start_zyx[2] - 1, start_zyx[2] - 1], np.int32)
    size = int(runs.value.max(initial=0)) + 1
    return least_gaps(runs, LabelRuns(body.place + shift, body.value), spacing_mm, size)


def _liver_box(liver: Segmentation) -> Box:
    boxes = label_boxes((liver.labels != 0).view(np.uint8))
    if len(boxes) < 2:
        raise CriteriaError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    (z0, z1), (y0, y1), (x0, x1) = boxes[1].tolist()
    return (slice(z0, z1), slice(y0, y1), slice(x0, x1))


def _count(liver: Segmentation, segments: Segmentation, lesions: Segmentation | None) -> Counted:
    segments.require_grid(liver.grid)
    box = _liver_box(liver)
    inside = liver.labels[box] != 0
    parts = np.where(inside, segments.labels[box], 0)
    counts = label_counts(parts)
    present = tuple(int(v) for v in np.flatnonzero(counts) if v)
    if lesions is None:
        joint = counts[:, None].copy()
        joint[0, 0] = int(inside.sum()) - int(counts[1:].sum())
        return Counted(present, joint)
    lesions.require_grid(liver.grid)
    tumor = np.where(inside, lesions.labels[box], 0)
    joint = overlap_counts(parts, tumor)
    # liver without a segment and without a lesion, not the box around the liver
    joint[0, 0] = int(inside.sum()) - (int(joint.sum()) - int(joint[0, 0]))
    runs, boxes = label_runs(parts), label_boxes(tumor)
    gaps = {}
    for number in np.flatnonzero(joint.sum(axis=0)):
        if number:
            (z0, z1), (y0, y1), (x0, x1) = boxes[number].tolist()
            own = tumor[z0:z1, y0:y1, x0:x1] == number
            gaps[int(number)] = lesion_gaps(runs, own, (z0, y0, x0), liver.grid.spacing_mm)
    return Counted(present, joint, gaps)


def find_remnants(
    liver: Segmentation,
    segments: Segmentation,
    lesions: Segmentation | None,
    operations: Sequence[Operation | str],
    spread: SegmentSpread | None = None,
) -> tuple[Remnant, ...]:
    """The remnant of each operation: volume in ml, tumour-free margin in mm, lesions cleared, cut and remaining.

    Remnant = liver voxels of the segments that stay, minus tumour in them; liver voxels without a segment count as
    removed. The margin runs between voxel faces: 0 where tumour touches the remnant. A two-part map from
    ``livervol.measure.planes`` with ``Operation(slug, name, (2,))`` gives a plane's or a wedge's remnant. Raises
    ``GridError`` for masks on different grids, ``CriteriaError`` for unknown operations and an empty liver.
    """
    counted = _count(liver, segments, lesions)
    return remnants_of(counted, operations, liver.grid.voxel_ml, spread)


def remnants_of(
    counted: Counted, operations: Sequence[Operation | str], voxel_ml: float, spread: SegmentSpread | None = None
) -> tuple[Remnant, ...]:
    """The remnant of each operation from what was counted, as ``find_remnants`` gives it."""
    chosen = [operation(op) if isinstance(op, str) else op for op in operations]
    return tuple(_remnant(op, counted, voxel_ml, spread) for op in chosen)


def _remnant(op: Operation, counted: Counted, voxel_ml: float, spread: SegmentSpread | None) -> Remnant:
    removed = op.removed_values(counted.values)
    kept = [v for v in counted.values if v not in removed]
    gone = [v for v in counted.values if v in removed]
    total_ml = counted.liver_voxels * voxel_ml
    words: dict[str, list[int]] = {"cleared": [], "cut": [], "remaining": []}
    margins = []
    for number, gap in counted.gap_mm.items():
        staying, going = int(counted.joint[kept, number].sum()), int(counted.joint[gone, number].sum())
        fate = "remaining" if not going else "cut" if staying else "cleared"
        words[fate].append(number)
        if going:
            margins.append(min((float(gap[v]) for v in kept), default=math.inf))
    least = min(margins, default=math.inf)
    return Remnant(
        operation=op,
        volume_ml=int(counted.joint[kept, 0].sum()) * voxel_ml,
        total_ml=total_ml,
        tumor_ml=counted.tumor_voxels * voxel_ml,
        margin_mm=least if math.isfinite(least) else None,
        cleared=tuple(words["cleared"]),
        cut=tuple(words["cut"]),
        remaining=tuple(words["remaining"]),
        half_width_ml=None if spread is None else spread.half_width_ml(kept, total_ml),
        removes=bool(gone),
    )


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
