"""How far a diameter could be off: 95 % intervals from outlines and viable parts that could as well have come out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from livervol.errors import CriteriaError, refusal
from livervol.measure.diameter import Rules
from livervol.measure.lesions import measure_lesions
from livervol.records import Interval, Lesion, Measurement
from livervol.scan import Segmentation

__all__ = [
    "MEASURED_SPREAD",
    "OUTLINE_SD_MM",
    "Effect",
    "Spread",
    "spread_of_lesions",
    "sum_interval",
    "with_intervals",
]

#: Numbers that get an interval.
MEASURED_SPREAD = ("volume_ml", "longest_mm", "short_axis_mm", "viable_longest_mm", "viable_volume_ml")

#: 95 % of a normal distribution.
_Z = 1.959963984540054

#: One end of a line falls anywhere in its voxel: standard deviation 1/sqrt(12) of a voxel each, two ends.
_END_SD = math.sqrt(2.0 / 12.0)

#: An outline is known to about this (one standard deviation, mm; an engineering choice near what readers show), and
#: never better than one voxel: with half a voxel the intervals of the sample course missed 6 of 14 true diameters.
OUTLINE_SD_MM = 1.0

#: Causes that move the lesions of one visit together; the others move each by itself.
SHARED = ("threshold", "alignment z", "alignment y", "alignment x")


@dataclass(frozen=True)
class Effect:
    """By how much one cause can lower and raise a number (one standard deviation each, both at least 0)."""

    down: float
    up: float


#: Lesion number, then measurement name, then cause.
Spread = Mapping[int, Mapping[str, Mapping[str, Effect]]]


def spread_of_lesions(
    lesions: Sequence[Lesion],
    variants: Iterable[tuple[str, Segmentation, Segmentation | None]],
    in_plane_mm: float,
    rules: Rules | None = None,
) -> dict[int, dict[str, dict[str, Effect]]]:
    """What each cause does to each number: the largest step down and up from the measured value over its variants.

    ``variants`` are (cause, lesions, viable part or None). A variant of cause ``outline`` is one in-plane voxel
    (``in_plane_mm``) off, which is scaled up to ``OUTLINE_SD_MM`` where voxels are smaller; the others are one standard
    deviation off. The voxel itself adds the error of two ends anywhere in theirs (cause ``voxel``).
    A lesion that vanishes in a variant measures 0. Raises what ``measure_lesions`` raises.
    """
    values: dict[int, dict[str, dict[str, Effect]]] = {}
    for lesion in lesions:
        voxel = Effect(_END_SD * in_plane_mm, _END_SD * in_plane_mm)
        values[lesion.number] = {
            m.name: ({"voxel": voxel} if m.unit == "mm" and m.value else {})
            for m in lesion.measurements
            if m.name in MEASURED_SPREAD and m.value is not None
        }
    one_sd = {"outline": max(OUTLINE_SD_MM / in_plane_mm, 1.0)}
    for cause, outline, viable in variants:
        weight = one_sd.get(cause, 1.0)
        other = {lesion.number: lesion for lesion in measure_lesions(outline, viable, rules=rules)}
        for lesion in lesions:
            for name, effects in values[lesion.number].items():
                base = lesion.value(name)
                now = other[lesion.number].value(name) if lesion.number in other else 0.0
                if base is None or now is None:
                    continue
                before = effects.get(cause, Effect(0.0, 0.0))
                effects[cause] = Effect(max(before.down, weight * (base - now)), max(before.up, weight * (now - base)))
    return values


def _interval(value: float, down: float, up: float) -> Interval:
    return Interval(max(0.0, value - _Z * down), value + _Z * up)


def with_intervals(lesions: Sequence[Lesion], spread: Spread) -> tuple[Lesion, ...]:
    """The lesions with a 95 % interval on every number whose spread is known.

    Causes are taken as independent: their effects add up as squares, down and up apart. No length is below 0.
    """
    found = []
    for lesion in lesions:
        known = spread.get(lesion.number, {})
        numbers = [_with_interval(m, known.get(m.name, {})) for m in lesion.measurements]
        found.append(replace(lesion, measurements=tuple(numbers)))
    return tuple(found)


def _with_interval(measurement: Measurement, effects: Mapping[str, Effect]) -> Measurement:
    if measurement.value is None or not effects:
        return measurement
    if set(effects) == {"voxel"}:
        # the outline's own error is not known: half a voxel alone would look exact
        return measurement
    down = math.sqrt(sum(effect.down**2 for effect in effects.values()))
    up = math.sqrt(sum(effect.up**2 for effect in effects.values()))
    return replace(measurement, interval=_interval(measurement.value, down, up))


def sum_interval(values: Mapping[int, float], spread: Spread, name: str) -> Interval:
    """95 % interval of a sum of one measurement over lesions (``values`` by number, in its unit).

    A threshold or a misplaced phase moves all lesions together, so those effects add up before they are squared; the
    outline and the voxel move each lesion by itself. Raises ``CriteriaError`` for a lesion without a spread.
    """
    down: dict[str, float] = {}
    up: dict[str, float] = {}
    for number in values:
        if name not in spread.get(number, {}):
            raise CriteriaError(
                refusal(f"spread of {name}", expected="one for every lesion summed", got=f"none for lesion {number}")
            )
        for cause, effect in spread[number][name].items():
            key = cause if cause in SHARED else f"{cause} {number}"
            down[key] = down.get(key, 0.0) + effect.down
            up[key] = up.get(key, 0.0) + effect.up
    total = sum(values.values())
    return _interval(total, math.hypot(*down.values()), math.hypot(*up.values()))
