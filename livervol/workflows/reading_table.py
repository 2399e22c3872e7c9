"""What a reader sees beside the image: the lesion table, sums, change, response; frozen, ready for display.

Decisions are flat keys: ``lesion.N.role|site|node|state|reason``, ``lesion.N.manual.<name>`` (two clicks),
``lesion.N.chosen.<name>`` (``manual`` or ``computed``), ``resections``, ``criterion``, ``landmarks``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from livervol.errors import CriteriaError
from livervol.grid import Grid
from livervol.measure.visit import VisitMeasurements
from livervol.records import Course, Interval, Lesion, Line, Measurement, ResponseRow, Visit
from livervol.response import assess, rules
from livervol.response.course import baseline_visit
from livervol.response.targets import propose_targets

__all__ = [
    "LENGTHS",
    "Drawn",
    "LesionRow",
    "Numbers",
    "assessed",
    "decided_lesion",
    "lesion_rows",
    "visit_from_document",
]

Point = tuple[float, float, float]

#: The lengths that may be measured by hand and drawn on the image.
LENGTHS = ("longest_mm", "short_axis_mm", "viable_longest_mm", "viable_perpendicular_mm", "diameter_3d_mm")


@dataclass(frozen=True)
class Drawn:
    """A length to draw on the image: its mm, its ends in LPS mm and as (z, y, x) indices of the masks' grid.

    ``plane_index`` is its slice, None when it lies in no slice; ``by`` says computed or manual; ``chosen`` is true
    for the one that counts.
    """

    name: str
    value_mm: float
    start_lps_mm: Point
    end_lps_mm: Point
    start_zyx: Point
    end_zyx: Point
    plane_index: int | None
    by: str
    chosen: bool


@dataclass(frozen=True)
class LesionRow:
    """One line of the lesion table. Lengths in mm, volumes in ml; None where absent.

    ``role`` is the reader's or ``proposed_role``; ``counted_mm`` is what enters the sum, by hand or computed.
    ``centre_zyx`` is where a click on the row goes; ``viability`` how the viable part of a lesion the reader added came
    about: waiting, computed or corrected, "" for other lesions.
    """

    number: int
    role: str
    proposed_role: str
    site: str
    state: str
    reason: str
    centre_zyx: Point
    volume_ml: float | None
    longest_mm: float | None
    short_axis_mm: float | None
    viable_longest_mm: float | None
    viable_volume_ml: float | None
    necrosis_percent: float | None
    site_segment: str
    lines: tuple[Drawn, ...] = ()
    viability: str = ""

    def line(self, name: str) -> Drawn | None:
        """The line of that name that counts."""
        return next((d for d in self.lines if d.name == name and d.chosen), None)


@dataclass(frozen=True)
class Numbers:
    """Everything a refresh found. ``version`` is the number of the last journal record it saw.

    ``measured`` equals what ``livervol measure`` gives on the same masks; ``lesions`` are the same with the reader's
    decisions. ``responses`` maps criterion to the row of this visit (of a baseline too: its sum), ``problems`` are
    broken nestings and what keeps a response from being given. ``intervals`` (95 %, by ``remnant.<slug>.<name>`` and
    ``lesion.N.<name>``) are those of the last saved numbers, as far as they still hold; the others come on saving.
    """

    version: int
    measured: VisitMeasurements
    lesions: tuple[Lesion, ...]
    table: tuple[LesionRow, ...]
    resection: str = ""
    responses: Mapping[str, ResponseRow] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def liver_ml(self) -> float:
        """Liver volume, ml."""
        return self.measured.value("liver.volume_ml") or 0.0

    @property
    def flr_percent(self) -> float | None:
        """FLR % (of functional liver) of the chosen resection, None without one."""
        return self.measured.value(f"remnant.{self.resection}.flr_of_functional_percent") if self.resection else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of the measurements."""
        return self.measured.warnings


def decided_lesion(lesion: Lesion, settings: Mapping[str, Any]) -> Lesion:
    """The lesion with what the reader decided: role, site, node, state, and lengths measured by hand where chosen."""
    key = f"lesion.{lesion.number}."
    own = {k.removeprefix(key): v for k, v in settings.items() if k.startswith(key)}
    if not own:
        return lesion
    measurements = tuple(_chosen(m, own) for m in lesion.measurements)
    attributes = dict(lesion.attributes)
    if own.get("reason"):
        attributes["reason"] = str(own["reason"])
    if own.get("viability"):
        attributes["viability"] = str(own["viability"])
    attributes.update({str(k).removeprefix("word."): str(v) for k, v in own.items() if str(k).startswith("word.")})
    return replace(
        lesion,
        role=own.get("role", lesion.role),
        site=own.get("site", lesion.site),
        node=bool(own.get("node", lesion.node)),
        state=own.get("state", lesion.state),
        measurements=measurements,
        attributes=attributes,
    )


def _chosen(measurement: Measurement, own: Mapping[str, Any]) -> Measurement:
    manual = own.get(f"manual.{measurement.name}")
    if manual is None or own.get(f"chosen.{measurement.name}") != "manual":
        return measurement
    return replace(
        measurement,
        value=float(manual["value_mm"]),
        method="two clicks of the reader",
        interval=None,
        reason="",
        line=_line(manual),
    )


def _line(manual: Mapping[str, Any]) -> Line:
    (a, b), plane = manual["points_lps_mm"], manual.get("plane_index")
    return Line((float(a[0]), float(a[1]), float(a[2])), (float(b[0]), float(b[1]), float(b[2])), plane)


def lesion_rows(
    lesions: Sequence[Lesion],
    decided: Sequence[Lesion],
    settings: Mapping[str, Any],
    roles: Mapping[int, str],
    places: tuple[Mapping[int, Point], Grid],
) -> tuple[LesionRow, ...]:
    """The lesion table: ``lesions`` as computed beside ``decided`` with the reader's choices.

    ``places`` are the lesions' middles as indices, and the grid.
    """
    centres, grid = places
    rows = []
    for plain, own in zip(lesions, decided, strict=True):
        rows.append(
            LesionRow(
                number=own.number,
                role=own.role or roles.get(own.number, ""),
                proposed_role=roles.get(own.number, ""),
                site=own.site,
                state=own.state,
                reason=own.attributes.get("reason", ""),
                centre_zyx=centres[own.number],
                volume_ml=own.value("volume_ml"),
                longest_mm=own.value("longest_mm"),
                short_axis_mm=own.value("short_axis_mm"),
                viable_longest_mm=own.value("viable_longest_mm"),
                viable_volume_ml=own.value("viable_volume_ml"),
                necrosis_percent=own.value("necrosis_percent"),
                site_segment=own.attributes.get("site_segment", ""),
                lines=_lines(plain, settings, grid),
                viability=own.attributes.get("viability", ""),
            )
        )
    return tuple(rows)


def _lines(lesion: Lesion, settings: Mapping[str, Any], grid: Grid) -> tuple[Drawn, ...]:
    lines = []
    for name in LENGTHS:
        computed = lesion.get(name)
        manual = settings.get(f"lesion.{lesion.number}.manual.{name}")
        by_hand = manual is not None and settings.get(f"lesion.{lesion.number}.chosen.{name}") == "manual"
        if computed is not None and computed.value is not None and computed.line is not None:
            lines.append(_drawn(name, computed.value, computed.line, grid, ("computed", not by_hand)))
        if manual is not None:
            lines.append(_drawn(name, float(manual["value_mm"]), _line(manual), grid, ("manual", by_hand)))
    return tuple(lines)


def _drawn(name: str, value: float, line: Line, grid: Grid, mark: tuple[str, bool]) -> Drawn:
    ends = grid.lps_to_index(np.array([line.start_lps_mm, line.end_lps_mm])).tolist()
    (a, b, c), (d, e, f) = ends
    return Drawn(
        name, value, line.start_lps_mm, line.end_lps_mm, (a, b, c), (d, e, f), line.plane_index, mark[0], mark[1]
    )


def visit_from_document(document: Mapping[str, Any], number: int, reader: str, date: str) -> Visit:
    """An earlier visit's numbers from its measurements.json (the machine's or a reader's)."""
    lesions = []
    for entry in document.get("lesions", ()):
        found = []
        for name, unit in _LESION_UNITS.items():
            if name in entry:
                reason = entry.get(f"{name}_reason", "absent") if entry[name] is None else ""
                found.append(Measurement(name, entry[name], unit, reason=reason))
        words = ("site_segment", "reason", "enhancement", "kind", "merged_into", "split_from")
        attributes = {k: str(entry[k]) for k in words if k in entry}
        role, site = entry.get("role", ""), entry.get("site", "liver")
        node, state = bool(entry.get("node", False)), entry.get("state", "measured")
        lesions.append(Lesion(int(entry["number"]), role, site, node, state, tuple(found), attributes))
    evaluable = "yes" if document.get("mrecist_evaluable") else "no"
    attributes = {"mrecist_evaluable": evaluable}
    return Visit(number, date, reader, number == 1, tuple(lesions), attributes=attributes)


_LESION_UNITS = {
    "volume_ml": "ml",
    "longest_mm": "mm",
    "short_axis_mm": "mm",
    "diameter_3d_mm": "mm",
    "viable_longest_mm": "mm",
    "viable_perpendicular_mm": "mm",
    "viable_volume_ml": "ml",
    "necrosis_percent": "%",
}


def assessed(
    earlier: Sequence[Visit], current: Visit, criteria: Sequence[str]
) -> tuple[dict[str, ResponseRow], dict[int, str], tuple[str, ...]]:
    """(the current visit's response row by criterion, its lesions' proposed roles, what kept a response from being).

    Lesions seen before and not now count as absent. Roles the reader gave stand; the others are proposed: at baseline
    by eligibility and size, later lesions are new.
    """
    known: dict[int, Lesion] = {}
    visits = []
    for visit in (*earlier, current):
        own = {lesion.number: lesion for lesion in visit.lesions}
        for before in known.values():
            if before.number not in own:
                own[before.number] = Lesion(before.number, site=before.site, node=before.node, state="absent")
        known.update({n: lesion for n, lesion in own.items()})
        visits.append(replace(visit, lesions=tuple(own[n] for n in sorted(own))))
    course = Course("reading", tuple(visits))
    found: dict[str, ResponseRow] = {}
    proposed: dict[int, str] = {}
    problems: list[str] = []
    for criterion in criteria:
        try:
            with_roles, roles = _with_roles(course, criterion)
            proposed = proposed or roles
            found[criterion] = assess(with_roles, criterion)[-1]
        except CriteriaError as error:
            problems.append(f"{criterion}: {error}")
    return found, proposed, tuple(problems)


def _with_roles(course: Course, criterion: str) -> tuple[Course, dict[int, str]]:
    baseline = baseline_visit(course)
    proposals = {p.number: p.role for p in propose_targets(baseline, rules(criterion))}
    given = {lesion.number: lesion.role for lesion in baseline.lesions if lesion.role}
    if "target" in given.values():
        # where the reader chose targets, what he left open is followed, not measured
        proposals = {n: "non_target" if role == "target" else role for n, role in proposals.items()}
    roles = {**proposals, **given}

    def kept(visit: Visit) -> Visit:
        lesions = []
        for lesion in visit.lesions:
            role = roles.get(lesion.number, "" if lesion.attributes.get("split_from") else "new")
            if role or lesion.attributes.get("split_from"):
                lesions.append(replace(lesion, role=role))
        return replace(visit, lesions=tuple(lesions))

    last = course.visits[-1]
    shown = {one.number: roles.get(one.number, "new") for one in last.lesions}
    return Course(course.subject, tuple(kept(v) for v in course.visits)), shown
