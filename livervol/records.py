"""The numbers, without an image: Measurement, Lesion, Visit, Course, Response. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from livervol.errors import CriteriaError, refusal

__all__ = [
    "ROLES",
    "SITES",
    "STATES",
    "UNITS",
    "Course",
    "Interval",
    "Lesion",
    "Line",
    "Measurement",
    "Response",
    "ResponseRow",
    "Visit",
]

#: Units a Measurement may carry.
UNITS = ("mm", "mm2", "ml", "g", "%", "points", "points/week", "HU", "1", "degrees", "s")

SITES = (
    "liver",
    "porta_hepatis_node",
    "other_node",
    "lung",
    "adrenal",
    "bone",
    "peritoneum",
    "portal_vein_thrombus",
    "hepatic_vein_thrombus",
    "other",
)

#: "" means that nobody has given the lesion a role yet.
ROLES = ("", "target", "non_target", "new")

STATES = (
    "measured",
    "absent",
    "too_small",
    "not_evaluable",
    "present",
    "unequivocal_progression",
    "equivocal",
)


_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


def _one_of(value: str, allowed: tuple[str, ...], what: str, where: str = "") -> None:
    if value not in allowed:
        shown = ", ".join(a or "(empty)" for a in allowed)
        raise CriteriaError(refusal(f"{what} is not known", expected=f"one of {shown}", got=repr(value), where=where))


def _frozen(attributes: Mapping[str, str]) -> Mapping[str, str]:
    return attributes if attributes is _NO_ATTRIBUTES else MappingProxyType(dict(attributes))


@dataclass(frozen=True)
class Interval:
    """A two-sided interval ``low <= high`` at ``level`` (0.95 = 95 %), in its measurement's unit."""

    low: float
    high: float
    level: float = 0.95

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise CriteriaError(
                refusal("interval is not ordered", expected="finite low <= high", got=f"{self.low} to {self.high}")
            )
        if not 0 < self.level < 1:
            raise CriteriaError(refusal("interval level", expected="between 0 and 1", got=str(self.level)))


Point = tuple[float, float, float]


@dataclass(frozen=True)
class Line:
    """Where a length was measured: two LPS points in mm; ``plane_index`` on axis 0 when it lies in a slice."""

    start_lps_mm: Point
    end_lps_mm: Point
    plane_index: int | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number: finite ``value`` in ``unit``, or None with the ``reason`` it is absent.

    ``of`` names the structure ("liver", "lesion 2"), ``method`` the definition or convention used, ``line`` where a
    length was measured.
    """

    name: str
    value: float | None
    unit: str
    method: str = ""
    of: str = ""
    interval: Interval | None = None
    reason: str = ""
    line: Line | None = None

    def __post_init__(self) -> None:
        _one_of(self.unit, UNITS, "unit", self.name)
        if self.value is None:
            if not self.reason:
                raise CriteriaError(
                    refusal("absent number without a reason", expected="a reason", got="none", where=self.name)
                )
        elif not math.isfinite(self.value):
            raise CriteriaError(
                refusal("number is not finite", expected="a finite value", got=str(self.value), where=self.name)
            )


@dataclass(frozen=True)
class Lesion:
    """One lesion at one visit; ``number`` is stable over visits.

    ``attributes`` carries what the numbers do not: words with fixed keys, for example ``plane_index``,
    ``enhancement`` (typical, atypical), ``merged_into``.
    """

    number: int
    role: str = ""
    site: str = "liver"
    node: bool = False
    state: str = "measured"
    measurements: tuple[Measurement, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)

    def __post_init__(self) -> None:
        if self.number < 1:
            raise CriteriaError(refusal("lesion number", expected="1 or more", got=str(self.number)))
        if not (self.role in ROLES and self.site in SITES and self.state in STATES):
            where = f"lesion {self.number}"
            _one_of(self.role, ROLES, "role", where)
            _one_of(self.site, SITES, "site", where)
            _one_of(self.state, STATES, "state", where)
        object.__setattr__(self, "attributes", _frozen(self.attributes))

    def __reduce__(self) -> tuple[type[Lesion], tuple[object, ...]]:
        # a read-only mapping cannot be pickled as it is
        plain = dict(self.attributes)
        return Lesion, (self.number, self.role, self.site, self.node, self.state, self.measurements, plain)

    def get(self, name: str) -> Measurement | None:
        """The measurement of that name, or None when it was never taken."""
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        return None

    def value(self, name: str) -> float | None:
        """The value of that name, or None when absent."""
        found = self.get(name)
        return None if found is None else found.value


@dataclass(frozen=True)
class Visit:
    """One reader's reading of one visit. ``date`` is ISO and may be partial (``2024-03``, ``2024``) or empty."""

    number: int
    date: str = ""
    reader: str = ""
    is_baseline: bool = False
    lesions: tuple[Lesion, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)

    def __post_init__(self) -> None:
        numbers = [lesion.number for lesion in self.lesions]
        if len(set(numbers)) < len(numbers):
            twice = sorted({n for n in numbers if numbers.count(n) > 1})
            raise CriteriaError(
                refusal(
                    "lesion listed twice", expected="each lesion once", got=str(twice), where=f"visit {self.number}"
                )
            )
        object.__setattr__(self, "attributes", _frozen(self.attributes))

    def __reduce__(self) -> tuple[type[Visit], tuple[object, ...]]:
        plain = dict(self.attributes)
        return Visit, (
            self.number,
            self.date,
            self.reader,
            self.is_baseline,
            self.lesions,
            self.measurements,
            plain,
        )

    def value(self, name: str) -> float | None:
        """The value of the visit's own measurement of that name (for example ``sum_mm``), or None when absent."""
        return next((m.value for m in self.measurements if m.name == name), None)


@dataclass(frozen=True)
class Course:
    """One subject's visits by one reader, sorted by visit number. ``subject`` is a pseudonym."""

    subject: str
    visits: tuple[Visit, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "visits", tuple(sorted(self.visits, key=lambda v: v.number)))


@dataclass(frozen=True)
class Response:
    """A category under a criterion; ``reasons`` name the rule and the numbers that met it."""

    category: str
    criterion: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """One visit's response under one criterion; ``overall`` is empty at and before baseline.

    The sums are in the criterion's unit (mm; mm2 for products, ml for volumes: ``reasons`` say which); None where a sum
    is incomplete or a percentage undefined. ``new_lesion`` is no, equivocal or yes. ``reasons`` name rule, numbers and
    visit.
    """

    patient: str
    reader: str
    visit: int
    date: str
    criterion: str
    target: str = ""
    non_target: str = ""
    new_lesion: str = "no"
    overall: str = ""
    sum_mm: float | None = None
    baseline_sum_mm: float | None = None
    nadir_sum_mm: float | None = None
    change_from_baseline_percent: float | None = None
    change_from_nadir_percent: float | None = None
    reasons: tuple[str, ...] = ()
