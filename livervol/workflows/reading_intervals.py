"""95 % intervals beside live numbers: those of the last saved measurements, while what they belong to stays the same.

An interval takes seconds (every lesion is measured again with other outlines), so it is computed on saving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from livervol.measure.uncertainty import spread_of_lesions, with_intervals
from livervol.measure.visit import VisitMeasurements
from livervol.records import Interval
from livervol.scan import Segmentation
from livervol.segment.viability_spread import boundary_variants

__all__ = ["KnownIntervals", "with_outline_intervals"]

_UNITS = ("_ml", "_mm", "_percent")


@dataclass(frozen=True)
class KnownIntervals:
    """Intervals by dotted name (``remnant.right_hepatectomy.volume_ml``, ``lesion.3.longest_mm``) and the values they
    were computed with: a lesion's intervals hold while all its numbers are the same, any other while its own is.
    """

    values: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> KnownIntervals:
        """What a measurements.json holds; empty for an empty one."""
        values: dict[str, float | None] = {}
        intervals: dict[str, Interval] = {}
        for top in ("liver", "tumor", "segments", "remnant"):
            _collect(top, document.get(top, {}), values, intervals)
        for entry in document.get("lesions", ()):
            # where a length measured by hand counts, the interval is that of the computed one
            _collect(f"lesion.{entry['number']}", {**entry, **entry.get("computed", {})}, values, intervals)
        return cls(values, intervals)

    @classmethod
    def of_measured(cls, measured: VisitMeasurements) -> KnownIntervals:
        """What these measurements carry."""
        named = _named(measured)
        return cls(
            {name: m.value for name, m in named.items()},
            {name: m.interval for name, m in named.items() if m.interval is not None},
        )

    def still_true(self, measured: VisitMeasurements) -> dict[str, Interval]:
        """The intervals that hold for these numbers."""
        named = _named(measured)
        stems = (f"lesion.{lesion.number}." for lesion in measured.lesions)
        same = tuple(stem for stem in stems if self._same(stem, named))
        return {
            name: interval
            for name, interval in self.intervals.items()
            if (name.startswith(same) if name.startswith("lesion.") else self._same(name, named)) and name in named
        }

    def _same(self, stem: str, named: Mapping[str, Any]) -> bool:
        own = [n for n in named if n.startswith(stem)]
        return all(n in self.values and self.values[n] == named[n].value for n in own)


def with_outline_intervals(
    measured: VisitMeasurements, masks: Mapping[str, Segmentation], in_plane_mm: float
) -> VisitMeasurements:
    """The measurements with the intervals that ``livervol measure`` gives the same masks: outlines one voxel off."""
    if not measured.lesions:
        return measured
    variants = boundary_variants(masks["lesions"], masks["liver"], masks.get("viable"))
    spread = spread_of_lesions(measured.lesions, variants, in_plane_mm)
    return replace(measured, lesions=with_intervals(measured.lesions, spread))


def _named(measured: VisitMeasurements) -> dict[str, Any]:
    named = {m.name: m for m in measured.measurements}
    named.update({f"lesion.{one.number}.{m.name}": m for one in measured.lesions for m in one.measurements})
    return named


def _collect(
    stem: str, node: Mapping[str, Any], values: dict[str, float | None], intervals: dict[str, Interval]
) -> None:
    for key, value in node.items():
        name = f"{stem}.{key}"
        if key.endswith("_interval"):
            if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
                intervals[name.removesuffix("_interval")] = Interval(float(value[0]), float(value[1]))
        elif isinstance(value, Mapping):
            _collect(name, value, values, intervals)
        elif value is None or (isinstance(value, float) and key.endswith(_UNITS)):
            values[name] = value
