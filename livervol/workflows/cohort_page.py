"""What a cohort's report shows, gathered from its endpoints, tables and ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from livervol import __version__
from livervol.endpoints.agreement import bland_altman, cohen_kappa, fleiss_kappa, gwet_ac, icc_2_1
from livervol.endpoints.cohort import Cohort, Patient
from livervol.endpoints.protocol import Settings
from livervol.endpoints.summary import EndpointRow, best_response_counts, curves
from livervol.endpoints.timeline import complete_date
from livervol.io.cohort_tables import CohortEvent
from livervol.ledger.rows import MACHINE
from livervol.ledger.store import open_ledger
from livervol.records import ResponseRow
from livervol.report.cohort import CohortPage, Curves
from livervol.report.cohort_plots import Bar, Lane, Step, Thread

__all__ = ["CohortSources", "cohort_page", "visits_of"]

_CURVES = ("PFS", "OS", "DoR")
_RISK_COLUMNS = 8
#: Kinds of events that are treatment, and how the swimmer plot marks them.
_THERAPIES = {"tace": "tace", "haic": "haic", "ablation": "other_therapy", "radiation": "other_therapy",
              "new_therapy": "other_therapy"}  # fmt: skip
_SEVERE_GRADE = 3.0
#: Names under which EVENTS may give what images measured.
_IMAGING = {"necrosis_percent": "imaging", "imaging_necrosis_percent": "imaging", "viable_volume_ml": "viable_ml"}


@dataclass(frozen=True)
class CohortSources:
    """What the page needs beside the endpoints: every reader's responses, the events, the study's ledger."""

    responses: Sequence[ResponseRow]
    events: Sequence[CohortEvent] = ()
    ledger: Path | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


def cohort_page(cohort: Cohort, rows: Sequence[EndpointRow], sources: CohortSources) -> CohortPage:
    """The page of a cohort."""
    settings, patients = cohort.protocol.settings, cohort.population
    failed, measured = _from_ledger(sources.ledger)
    pathology = _pathology(patients, sources.events, measured)
    described = cohort.protocol.described()
    return CohortPage(
        title=cohort.protocol.title,
        protocol={name: described.get(name, "") for name in ("name", "version", "source")},
        patients={"subjects": len(cohort.patients), "population": len(patients)},
        rows=[asdict(row) for row in rows],
        best=best_response_counts(cohort),
        notes=cohort.notes,
        bars=[bar for p in patients for bar in _bar(p, settings)],
        threads=[_thread(p, settings) for p in patients],
        lanes=[lane for p in patients for lane in _lane(p, settings)],
        curves=[_curves(cohort, rows, name) for name in _CURVES],
        conversion=_conversion(patients),
        agreement=_agreement(sources.responses, settings),
        pathology=pathology,
        pathology_summary=_concordance(pathology),
        treatment=_treatment(sources.events),
        adverse_events=_adverse_events(sources.events),
        failed=failed,
        provenance={**sources.provenance, "version": __version__},
    )


def _months(start: date, day: date, settings: Settings) -> float:
    return (day - start).days / settings.days_per_month


def visits_of(patient: Patient, settings: Settings) -> list[Any]:
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
    starred = any(row.by_other for row in visits_of(patient, settings))
    return [] if change is None else [Bar(patient.line.patient, change, patient.best.confirmed, starred)]


def _thread(patient: Patient, settings: Settings) -> Thread:
    start = patient.line.start(settings.pfs_start) or date.min
    points = [
        (_months(start, row.day, settings), row.change_percent)
        for row in visits_of(patient, settings)
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
    for row in visits_of(patient, settings):
        if row.category in ("CR", "PR", "PD") and row.category not in known:
            known.add(row.category)
            marks.append((row.category, _months(start, row.day, settings)))
    for kind, day in (("surgery", patient.line.surgery), ("death", patient.line.death)):
        if day is not None:
            marks.append((kind, _months(start, day, settings)))
    marks += _event_marks(patient.line.events, start, settings)
    length = max(0.0, _months(start, outcome.end, settings))
    return [Lane(patient.line.patient, patient.best.confirmed, length, not outcome.event, tuple(marks))]


def _event_marks(events: Sequence[CohortEvent], start: date, settings: Settings) -> list[tuple[str, float]]:
    """Treatment and adverse events as marks; a dose that differs from the last of its name is a change."""
    marks, doses = [], dict[str, str]()
    for event in sorted(events, key=lambda one: (one.date, one.row)):
        day, _ = complete_date(event.date, settings.impute_event, start)
        if day is None:
            continue
        kind = _THERAPIES.get(event.kind, "")
        if event.kind == "dose":
            changed = event.text and doses.get(event.name, event.text) != event.text
            doses[event.name] = event.text or doses.get(event.name, "")
            kind = "dose_change" if changed else "dose"
        elif event.kind == "adverse_event":
            kind = "adverse_event_severe" if (event.value or 0.0) >= _SEVERE_GRADE else "adverse_event_mild"
        if kind:
            marks.append((kind, _months(start, day, settings)))
    return marks


def _curves(cohort: Cohort, rows: Sequence[EndpointRow], name: str) -> Curves:
    medians = {r.group: r for r in rows if (r.endpoint, r.variant, r.measure) == (name, "primary", "median")}
    groups = sorted(group for group in medians if group) or [""]
    found = [(step, medians.get(group)) for group in groups if (step := _step(cohort, name, group)) is not None]
    return Curves(name, [step for step, _ in found], [None if row is None else asdict(row) for _, row in found])


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


def _conversion(patients: Sequence[Patient]) -> dict[str, dict[str, int]]:
    """How many patients meet each conversion criterion, fail it, or have it open."""
    words = {True: "met", False: "unmet", None: "open"}
    found: dict[str, dict[str, int]] = {}
    for patient in patients:
        for item in patient.conversion.items:
            counts = found.setdefault(item.name, dict.fromkeys(words.values(), 0))
            counts[words[item.met]] += 1
    return found


def _agreement(responses: Sequence[ResponseRow], settings: Settings) -> list[dict[str, Any]]:
    """Agreement of the readers on the category of the same visit, and on its sum, per criterion."""
    by_criterion: dict[str, dict[tuple[str, int], dict[str, ResponseRow]]] = {}
    for row in responses:
        if row.overall:
            by_criterion.setdefault(row.criterion, {}).setdefault((row.patient, row.visit), {})[row.reader] = row
    found = []
    for criterion, visits in by_criterion.items():
        readers = sorted({reader for seen in visits.values() for reader in seen})
        twice = [seen for seen in visits.values() if len(seen) > 1]
        if len(readers) < 2 or len(twice) < 2:
            continue
        table = [[seen[r].overall if r in seen else None for r in readers] for seen in twice]
        both = [row for row in table if None not in row]
        two = len(readers) == 2
        kappa = cohen_kappa(*zip(*both, strict=True), level=settings.level) if two else fleiss_kappa(table)
        ac1 = gwet_ac(table, level=settings.level)
        sums = [[seen[r].sum_mm for r in readers] for seen in twice if all(r in seen for r in readers)]
        whole = [row for row in sums if None not in row]
        entry: dict[str, Any] = {
            "criterion": criterion, "names": readers, "readers": len(readers), "visits": len(twice),
            "observed": kappa.observed, "kappa": kappa.value, "kappa_low": kappa.low, "kappa_high": kappa.high,
            "ac1": ac1.value, "ac1_low": ac1.low, "ac1_high": ac1.high,
        }  # fmt: skip
        if len(whole) > 2:
            icc = icc_2_1(np.array(whole, dtype=np.float64), settings.level)
            entry.update(icc=icc.value, icc_low=icc.low, icc_high=icc.high)
        found.append({key: None if value != value else value for key, value in entry.items()})
    return found


def _pathology(
    patients: Sequence[Patient], events: Sequence[CohortEvent], measured: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Necrosis in the last image before surgery beside the pathologist's; from EVENTS, else from the ledger."""
    told: dict[str, list[CohortEvent]] = {}
    for event in events:
        if event.name in _IMAGING and event.value is not None:
            told.setdefault(event.patient, []).append(event)
    found = []
    for patient in patients:
        subject = patient.line.subject
        if subject.pathology_necrosis_percent is None:
            continue
        row: dict[str, Any] = {"patient": subject.patient, "imaging": None, "viable_ml": None,
                               "pathology": subject.pathology_necrosis_percent}  # fmt: skip
        dated = [(one["date"], one["name"], one["value"]) for one in measured.get(subject.patient, ())]
        dated = [(e.date, e.name, e.value) for e in told.get(subject.patient, ())] or dated
        for day, name, value in sorted(dated):
            if not subject.surgery or day <= subject.surgery:
                row[_IMAGING[name]] = value
        found.append(row)
    return found


def _concordance(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Bland-Altman and ICC of necrosis in percent, imaging minus pathology; empty with fewer than three patients."""
    pairs = [(row["imaging"], row["pathology"]) for row in rows if row["imaging"] is not None]
    if len(pairs) < 3:
        return {}
    limits = bland_altman([a for a, _ in pairs], [b for _, b in pairs])
    icc = icc_2_1(np.array(pairs, dtype=np.float64))
    found = {"n": len(pairs), "bias": limits.bias, "low": limits.low, "high": limits.high,
             "icc": icc.value, "icc_low": icc.low, "icc_high": icc.high}  # fmt: skip
    return {key: None if value != value else value for key, value in found.items()}


def _treatment(events: Sequence[CohortEvent]) -> dict[str, int]:
    """How many patients had each kind of treatment."""
    seen = {(event.patient, event.kind) for event in events if event.kind == "dose" or event.kind in _THERAPIES}
    counts = Counter(kind for _, kind in seen)
    return {kind: counts[kind] for kind in ("dose", *_THERAPIES) if counts[kind]}


def _adverse_events(events: Sequence[CohortEvent]) -> list[dict[str, Any]]:
    """How many patients had each adverse event, and of grade 3 or more; the most frequent first."""
    worst: dict[tuple[str, str], float] = {}
    for event in events:
        if event.kind == "adverse_event":
            key = (event.patient, event.name)
            worst[key] = max(worst.get(key, 0.0), event.value or 0.0)
    names = Counter(name for _, name in worst)
    severe = Counter(name for (_, name), grade in worst.items() if grade >= _SEVERE_GRADE)
    return [{"name": n, "any": k, "severe": severe[n]} for n, k in sorted(names.items(), key=lambda x: (-x[1], x[0]))]


def _from_ledger(path: Path | None) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The study's failed visits, and its current necrosis and viable volume by patient."""
    if path is None:
        return [], {}
    with open_ledger(path, create=False) as ledger:
        failed = [
            {"patient": state.subject, "visit": state.visit, "kind": state.kind, "sentence": state.sentence}
            for state in ledger.states().values()
            if state.status == "failed"
        ]
        rows = ledger.query(
            "SELECT s.pseudonym AS patient, r.date, m.name, m.value FROM current_runs r JOIN visits v ON v.id = "
            "r.visit_id JOIN subjects s ON s.id = v.subject_id JOIN measurements m ON m.run_id = r.id WHERE "
            "r.reader = ? AND m.structure = 'tumor' AND m.name IN ('necrosis_percent', 'viable_volume_ml') "
            "AND m.value IS NOT NULL AND r.date <> ''",
            MACHINE,
        )
    measured: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        measured.setdefault(row["patient"], []).append(row)
    return failed, measured
