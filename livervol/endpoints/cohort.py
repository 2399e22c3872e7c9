"""A cohort under a protocol: every patient's endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from livervol.endpoints.conversion import conversion_of
from livervol.endpoints.events import ENDPOINTS, Best, TimeToEvent, best_of, missed_assessments
from livervol.endpoints.protocol import Protocol, Settings
from livervol.endpoints.timeline import Timeline, timelines
from livervol.errors import CriteriaError, refusal
from livervol.io.cohort_tables import CohortEvent, Subject
from livervol.records import ResponseRow
from livervol.response.conversion import ConversionResult
from livervol.response.protocol import Protocol as ConversionProtocol
from livervol.response.protocol import load_protocol

__all__ = ["Cohort", "Patient", "assess_cohort"]


@dataclass(frozen=True)
class Patient:
    """One patient's results; ``in_population``: the denominators count them.

    ``conversion`` holds the protocol's criteria before surgery or at the end, ``resected`` tells of an R0 resection.
    """

    line: Timeline
    best: Best
    outcomes: dict[str, TimeToEvent]
    in_population: bool
    resected: bool
    conversion: ConversionResult
    missed: int | None
    group: str = ""

    @property
    def converted(self) -> bool:
        """True when every criterion is met and the resection was R0; an unknown criterion is not met."""
        return self.resected and self.conversion.met is True


@dataclass(frozen=True)
class Cohort:
    """Every patient under one protocol, and notes a reader should see."""

    protocol: Protocol
    patients: tuple[Patient, ...]
    notes: tuple[str, ...]

    @property
    def population(self) -> tuple[Patient, ...]:
        """The patients that the denominators count."""
        return tuple(p for p in self.patients if p.in_population)


def assess_cohort(
    subjects: Sequence[Subject],
    responses: Iterable[ResponseRow],
    events: Iterable[CohortEvent],
    protocol: Protocol,
    group_by: str = "",
) -> Cohort:
    """Every subject's endpoints under a protocol. ``group_by`` names a column of the subjects table to compare by.

    Raises ``CriteriaError`` as ``timelines`` does, and for an unknown column.
    """
    settings = protocol.settings
    if group_by and not any(group_by in s.words or group_by in ("sex", "liver_condition") for s in subjects):
        columns = ", ".join(sorted({name for s in subjects for name in s.words} | {"sex", "liver_condition"}))
        raise CriteriaError(refusal("group column is not in the table", expected=columns, got=repr(group_by)))
    lines, notes = timelines(subjects, events, responses, settings)
    patients = tuple(_patient(line, settings, group_by) for line in lines)
    return Cohort(protocol, patients, (*notes, *_cohort_notes(patients, settings)))


def _cohort_notes(patients: Sequence[Patient], settings: Settings) -> list[str]:
    lines = [p.line for p in patients]
    ages = [(a.first_dose - a.baseline).days for a in lines if a.first_dose is not None and a.baseline is not None]
    counts = (
        (sum(not p.in_population for p in patients), "patients have no first dose and are in no denominator"),
        (sum(line.surgery is not None and line.subject.r0 is None for line in lines), "resections say nothing on r0"),
        (sum(not any(line.assessments.values()) for line in lines), "patients have no assessment after baseline"),
        (
            sum(age > settings.baseline_max_days for age in ages),
            f"baselines are more than {settings.baseline_max_days} days before the first dose",
        ),
        (
            sum(p.conversion.met is None for p in patients),
            "patients with open conversion criteria count as not converted",
        ),
        (sum(bool(line.notes) for line in lines), "patients have dates that were completed: see per_patient.csv"),
    )
    return [f"{count} of {len(patients)}: {text}" for count, text in counts if count]


@lru_cache(maxsize=8)
def _conversion_protocol(name: str) -> ConversionProtocol:
    return load_protocol(name)


def _patient(line: Timeline, settings: Settings, group_by: str) -> Patient:
    best = best_of(line, settings)
    outcomes = {name: rule(line, settings, best) for name, rule in ENDPOINTS.items()}
    counted = settings.population == "all" or line.first_dose is not None
    resected = line.surgery is not None and bool(line.subject.r0)
    until = line.surgery or (date.fromisoformat(settings.data_cutoff) if settings.data_cutoff else None)
    conversion = conversion_of(line.subject, line.events, _conversion_protocol(settings.conversion_protocol), until)
    missed = missed_assessments(line, settings, outcomes["PFS"].end)
    return Patient(line, best, outcomes, counted, resected, conversion, missed, _group(line.subject, group_by))


def _group(subject: Subject, group_by: str) -> str:
    if group_by in subject.words:
        return subject.words[group_by]
    return {"sex": subject.sex, "liver_condition": subject.liver_condition}.get(group_by, "")
