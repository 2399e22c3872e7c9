"""A cohort: read its tables, assess it under a protocol, write tables and plots; returns what was written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from livervol import __version__
from livervol.endpoints.cohort import Cohort, Patient, assess_cohort
from livervol.endpoints.protocol import Settings, Value, load_protocol
from livervol.endpoints.summary import (
    EndpointRow,
    best_response_counts,
    curves,
    endpoint_rows,
    patient_rows,
)
from livervol.files import atomic_folder, sha256_of
from livervol.io.adam import SubjectResponse, SubjectTime, adam_datasets
from livervol.io.cdisc import write_datasets
from livervol.io.cohort_tables import read_events, read_responses, read_subjects
from livervol.records import ResponseRow
from livervol.report.cohort_plots import (
    Bar,
    Lane,
    Plot,
    Step,
    Thread,
    spider,
    survival_plot,
    swimmer,
    waterfall,
    write_plot,
)

__all__ = ["CohortInputs", "CohortOutput", "run_cohort"]

#: Rises when a key of summary.json changes its meaning or goes away.
SCHEMA_VERSION = 1
_CURVE_TITLES = {"PFS": "Progression-free survival", "OS": "Overall survival", "DoR": "Duration of response"}
_RISK_COLUMNS = 8


@dataclass(frozen=True)
class CohortInputs:
    """The tables of a cohort and the protocol they are judged by; ``changes`` override its parameters by name."""

    responses: Path
    subjects: Path
    events: Path | None = None
    protocol: str | Path = "trial"
    changes: Mapping[str, Value] | None = None
    group_by: str = ""


@dataclass(frozen=True)
class CohortOutput:
    """What was written, and the numbers in it."""

    folder: Path
    cohort: Cohort
    rows: tuple[EndpointRow, ...]
    summary: dict[str, Any]


def run_cohort(
    inputs: CohortInputs,
    out: Path,
    *,
    overwrite: bool = False,
    plots: bool = True,
    adam: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> CohortOutput:
    """Endpoints of a cohort: summary.json, endpoints.csv, per_patient.csv and the plots, whole or not at all.

    ``adam`` names a format (csv, xpt, dataset-json) in which ADTR, ADRS and ADTTE are written beside them.
    """
    progress("reading the tables")
    protocol = load_protocol(inputs.protocol).with_parameters(inputs.changes or {})
    subjects = read_subjects(inputs.subjects)
    events = read_events(inputs.events) if inputs.events else ()
    responses = read_responses(inputs.responses)
    progress("endpoints")
    cohort = assess_cohort(subjects, responses, events, protocol, inputs.group_by)
    rows = tuple(endpoint_rows(cohort))
    summary = _summary(cohort, rows, inputs)
    with atomic_folder(out, overwrite=overwrite) as folder:
        text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        _write_rows(folder / "endpoints.csv", [asdict(row) for row in rows], [f.name for f in fields(EndpointRow)])
        _write_rows(folder / "per_patient.csv", patient_rows(cohort))
        for stem, plot in _plots(cohort, rows).items() if plots else ():
            progress(f"plot {stem}")
            write_plot(plot, folder, stem)
        if adam:
            progress("ADaM")
            study = cohort.protocol.name
            datasets = adam_datasets(_protocol_rows(responses, protocol.settings), *_adam_rows(cohort), study=study)
            created = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
            write_datasets(datasets, folder / "adam", adam, study=study, created=created)
    return CohortOutput(out, cohort, rows, summary)


def _protocol_rows(responses: Sequence[ResponseRow], settings: Settings) -> list[ResponseRow]:
    """The response rows of the protocol's reader."""
    return [row for row in responses if not settings.reader or row.reader == settings.reader]


def _adam_rows(cohort: Cohort) -> tuple[list[SubjectResponse], list[SubjectTime]]:
    """Best responses and times to event of the population, for ADRS and ADTTE."""
    responses, times = [], []
    for patient in cohort.population:
        name, best = patient.line.patient, patient.best
        answers = {
            "RSP": best.unconfirmed in ("CR", "PR"),
            "CRSP": best.objective_response,
            "CB": best.disease_control,
            "PD": any(row.category == "PD" for row in _visits(patient, cohort.protocol.settings)),
        }
        responses += [SubjectResponse(name, "BOR", best.unconfirmed), SubjectResponse(name, "CBOR", best.confirmed)]
        responses += [SubjectResponse(name, code, "Y" if answer else "N") for code, answer in answers.items()]
        times += [
            SubjectTime(name, endpoint, o.start, o.end, bool(o.event), o.reason)
            for endpoint, o in patient.outcomes.items()
            if o.start is not None and o.end is not None
        ]
    return responses, times


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    names = list(columns) or list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as handle:
        out = csv.DictWriter(handle, names, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def _summary(cohort: Cohort, rows: Sequence[EndpointRow], inputs: CohortInputs) -> dict[str, Any]:
    """The cohort's numbers as nested data: endpoint, then variant and measure; groups apart."""
    endpoints: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    sensitivity: dict[str, Any] = {}
    for row in rows:
        into = groups.setdefault(row.group, {}) if row.group else endpoints
        if row.variant != "primary":
            into = sensitivity.setdefault(row.variant, {})
        value = {"estimate": row.estimate, "interval": [row.low, row.high], "unit": row.unit}
        entry = {"n": row.n, "events": row.events, **value, "method": row.method}
        into.setdefault(row.endpoint, {})[row.measure] = entry
    tables = {"responses": inputs.responses, "subjects": inputs.subjects, "events": inputs.events}
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": cohort.protocol.described(),
        "patients": {"subjects": len(cohort.patients), "population": len(cohort.population)},
        "best_overall_response": best_response_counts(cohort),
        "endpoints": endpoints,
        "sensitivity": sensitivity,
        "groups": groups,
        "notes": list(cohort.notes),
        "provenance": {
            "program": f"livervol {__version__}",
            "inputs": {name: {"file": p.name, "sha256": sha256_of(p)} for name, p in tables.items() if p is not None},
        },
    }


def _plots(cohort: Cohort, rows: Sequence[EndpointRow]) -> dict[str, Plot]:
    settings, patients = cohort.protocol.settings, cohort.population
    plots = {
        "waterfall": waterfall([bar for p in patients for bar in _bar(p, settings)]),
        "spider": spider([_thread(p, settings) for p in patients]),
        "swimmer": swimmer([lane for p in patients for lane in _lane(p, settings)]),
    }
    for name, title in _CURVE_TITLES.items():
        medians = {r.group: r for r in rows if (r.endpoint, r.variant, r.measure) == (name, "primary", "median")}
        groups = sorted(group for group in medians if group) or [""]
        steps = [_step(cohort, name, group) for group in groups]
        texts = [_median_text(medians.get(group)) for group in groups]
        plots[f"kaplan_meier_{name.lower()}"] = survival_plot([s for s in steps if s is not None], title, texts)
    return plots


def _months(start: date, day: date, settings: Settings) -> float:
    return (day - start).days / settings.days_per_month


def _visits(patient: Patient, settings: Settings) -> list[Any]:
    """The response assessments up to progression or new therapy."""
    kept = []
    found = patient.line.assessments
    rows = found.get(settings.response_criterion, next(iter(found.values()), ()) if len(found) == 1 else ())
    for row in rows:
        if patient.line.new_therapy is not None and row.day > patient.line.new_therapy:
            break
        kept.append(row)
        if row.category == "PD":
            break
    return kept


def _bar(patient: Patient, settings: Settings) -> list[Bar]:
    change = patient.best.best_change_percent
    starred = any(row.by_other for row in _visits(patient, settings))
    return [] if change is None else [Bar(patient.line.patient, change, patient.best.confirmed, starred)]


def _thread(patient: Patient, settings: Settings) -> Thread:
    start = patient.line.start(settings.pfs_start) or date.min
    points = [
        (_months(start, row.day, settings), row.change_percent)
        for row in _visits(patient, settings)
        if row.change_percent is not None
    ]
    return Thread(
        patient.line.patient, patient.best.confirmed, tuple(m for m, _ in points), tuple(c for _, c in points)
    )


def _lane(patient: Patient, settings: Settings) -> list[Lane]:
    outcome, start = patient.outcomes["OS"], patient.line.start(settings.pfs_start)
    if outcome.end is None or start is None:
        return []
    marks: list[tuple[str, float]] = []
    known: set[str] = set()
    for row in _visits(patient, settings):
        if row.category in ("CR", "PR", "PD") and row.category not in known:
            known.add(row.category)
            marks.append((row.category, _months(start, row.day, settings)))
    for kind, day in (("surgery", patient.line.surgery), ("death", patient.line.death)):
        if day is not None:
            marks.append((kind, _months(start, day, settings)))
    length = max(0.0, _months(start, outcome.end, settings))
    return [Lane(patient.line.patient, patient.best.confirmed, length, not outcome.event, tuple(marks))]


def _step(cohort: Cohort, name: str, group: str) -> Step | None:
    settings = cohort.protocol.settings
    members = [p for p in cohort.population if not group or p.group == group]
    curve = curves(members, name, settings)
    if curve is None:
        return None
    low, high = curve.interval(settings.interval_kind, settings.level)
    months = _round_steps(float(curve.times[-1]))
    at_risk = [int(curve.at_risk[np.searchsorted(curve.times, m)]) for m in months if m <= curve.times[-1]]
    censored = np.repeat(curve.times, curve.censored.astype(int))
    return Step(
        group, curve.times.tolist(), curve.survival.tolist(), low.tolist(), high.tolist(), censored.tolist(),
        months[: len(at_risk)], at_risk,
    )  # fmt: skip


def _round_steps(last: float) -> list[float]:
    """Months at which the numbers at risk are printed: whole steps of 1, 2, 3, 6, 12 ... from 0."""
    step = next((s for s in (1, 2, 3, 6, 12, 24, 60) if last / s <= _RISK_COLUMNS), 120)
    return [float(m) for m in range(0, int(last) + 1, step)]


def _median_text(row: EndpointRow | None) -> str:
    if row is None:
        return ""
    low, high = ("not reached" if x is None else f"{x:.1f}" for x in (row.low, row.high))
    median = "not reached" if row.estimate is None else f"{row.estimate:.1f} months"
    return f"median {median} ({low} to {high}), {row.events} of {row.n} events"
