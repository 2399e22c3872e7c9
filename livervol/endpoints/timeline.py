"""One patient's dates in order: partial dates completed, one reader's responses, the data cut-off applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from livervol.endpoints.protocol import Settings
from livervol.errors import CriteriaError, refusal
from livervol.io.cohort_tables import CohortEvent, Subject, date_bounds
from livervol.records import ResponseRow

__all__ = ["Assessment", "Timeline", "complete_date", "timelines"]

#: Visits that tell nothing about progression.
INADEQUATE = ("", "NE", "ND")
_RECIST_WORD = {"iCR": "CR", "iPR": "PR", "iSD": "SD", "NON-iCR/NON-iUPD": "NON-CR/NON-PD", "iCPD": "PD"}


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessed visit after baseline; immune categories are already read as RECIST words.

    ``by_other`` marks progression that the target lesions do not show: a new or a non-target lesion.
    """

    day: date
    category: str
    visit: int
    change_percent: float | None = None
    by_other: bool = False

    @property
    def adequate(self) -> bool:
        """True when the visit says whether there was progression."""
        return self.category not in INADEQUATE


@dataclass(frozen=True)
class Timeline:
    """A patient's days; None where something is unknown or has not happened by the data cut-off.

    ``assessments`` holds the visits after baseline per criterion, in time. ``notes`` say what was
    completed or left out.
    """

    subject: Subject
    first_dose: date | None
    enrolled: date | None
    last_dose: date | None
    death: date | None
    last_alive: date | None
    surgery: date | None
    new_therapy: date | None
    baseline: date | None
    assessments: Mapping[str, tuple[Assessment, ...]]
    events: tuple[CohortEvent, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def patient(self) -> str:
        """The pseudonym."""
        return self.subject.patient

    def start(self, which: str) -> date | None:
        """The first dose or the enrolment."""
        return self.first_dose if which == "first_dose" else self.enrolled


def complete_date(text: str, rule: str, not_before: date | None = None) -> tuple[date | None, str]:
    """A day for an ISO date that may be partial, and a note where it was completed; None for an empty date.

    ``first``, ``middle`` (the 15th, or 1 July) or ``last`` day it can mean, moved to ``not_before`` where that is later
    and still possible.
    """
    span = date_bounds(text)
    if span is None:
        return None, ""
    if span[0] == span[1]:
        return span[0], ""
    if rule == "middle":
        day = span[0].replace(month=7, day=1) if len(text) == len("2024") else span[0].replace(day=15)
    else:
        day = span[0] if rule == "first" else span[1]
    if not_before is not None and day < not_before <= span[1]:
        day = not_before
    return day, f"{text} taken as {day.isoformat()}"


class _Notes:
    """Completes a patient's dates one after the other and remembers what it did."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def day(self, what: str, text: str, rule: str, not_before: date | None = None) -> date | None:
        day, note = complete_date(text, rule, not_before)
        if note:
            self.texts.append(f"{what} {note}")
        return day


def timelines(
    subjects: Sequence[Subject],
    events: Iterable[CohortEvent],
    responses: Iterable[ResponseRow],
    settings: Settings,
) -> tuple[tuple[Timeline, ...], tuple[str, ...]]:
    """Every subject's timeline in the subjects' order, and notes on the whole cohort.

    Refused: responses or events of a patient who is no subject, several readers without a choice, a criterion the
    protocol asks for that is not among several in the table.
    """
    known = {one.patient for one in subjects}
    rows, notes = _chosen(responses, settings)
    by_patient: dict[str, dict[str, list[ResponseRow]]] = {}
    for row in rows:
        by_patient.setdefault(row.patient, {}).setdefault(row.criterion, []).append(row)
    dated: dict[str, list[CohortEvent]] = {}
    for event in events:
        dated.setdefault(event.patient, []).append(event)
    for what, found in (("responses", by_patient), ("events", dated)):
        if strangers := len(found.keys() - known):
            do = "Add them to the subjects table or correct the pseudonyms."
            raise CriteriaError(
                refusal(
                    f"{what} of unknown patients", expected="patients of the subjects table", got=str(strangers), do=do
                )
            )
    lines = tuple(_timeline(s, dated.get(s.patient, ()), by_patient.get(s.patient, {}), settings) for s in subjects)
    return lines, notes


def _chosen(responses: Iterable[ResponseRow], settings: Settings) -> tuple[list[ResponseRow], tuple[str, ...]]:
    """The rows of the protocol's reader, their criterion named as the protocol names it."""
    rows = [row for row in responses if not settings.reader or row.reader == settings.reader]
    if not rows:
        raise CriteriaError(refusal("reader has no responses", expected="a reader of the table", got=settings.reader))
    readers = sorted({row.reader for row in rows})
    if len(readers) > 1:
        do = "Choose one with --set reader=NAME."
        raise CriteriaError(refusal("several readers", expected="one", got=", ".join(map(repr, readers)), do=do))
    wanted = {settings.response_criterion, settings.disease_control_criterion, settings.progression_criterion}
    given = sorted({row.criterion for row in rows})
    absent = sorted(wanted - set(given))
    if not absent:
        return [row for row in rows if row.criterion in wanted], ()
    if len(given) > 1:
        do = "Choose with --set response_criterion=NAME and its siblings."
        raise CriteriaError(
            refusal("criterion is not in the table", expected=", ".join(absent), got=", ".join(given), do=do)
        )
    note = f"the table holds {given[0] or 'one unnamed criterion'} only: it stands for {', '.join(absent)} too"
    return rows, (note,)


def _timeline(
    subject: Subject, events: Sequence[CohortEvent], rows: Mapping[str, list[ResponseRow]], settings: Settings
) -> Timeline:
    notes = _Notes()
    first_dose = notes.day("first_dose", subject.first_dose, settings.impute_start)
    enrolled = notes.day("enrolled", subject.enrolled, settings.impute_start)
    last_dose = notes.day("last_dose", subject.last_dose, settings.impute_last, first_dose)
    surgery = notes.day("surgery", subject.surgery, settings.impute_event, first_dose)
    therapies = [
        notes.day(e.kind, e.date, settings.impute_event, first_dose)
        for e in events
        if e.kind in settings.new_therapy_kinds
    ]
    after_start = [day for day in therapies if day is not None and (first_dose is None or day > first_dose)]
    assessments = {name: _assessments(found, first_dose, settings, notes) for name, found in rows.items()}
    seen = [a.day for found in assessments.values() for a in found]
    last_alive = notes.day("last_alive", subject.last_alive, settings.impute_last, first_dose)
    known_alive = max((d for d in (last_alive, last_dose, surgery, first_dose, *seen) if d is not None), default=None)
    death = notes.day("death", subject.death, settings.impute_event, known_alive)
    cutoff = date_bounds(settings.data_cutoff)
    end = cutoff[0] if cutoff else date.max
    if (death or date.min) > end or (last_alive or date.min) > end:
        last_alive = end
    return Timeline(
        subject,
        first_dose,
        enrolled,
        last_dose,
        _until(death, end),
        last_alive,
        _until(surgery, end),
        _until(min(after_start, default=None), end),
        _baseline(rows),
        {name: tuple(a for a in found if a.day <= end) for name, found in assessments.items()},
        tuple(events),
        tuple(notes.texts),
    )


def _baseline(rows: Mapping[str, list[ResponseRow]]) -> date | None:
    """The day of the last visit up to baseline, by its earliest reading."""
    spans = [date_bounds(row.date) for found in rows.values() for row in found if not row.overall]
    return max((span[0] for span in spans if span is not None), default=None)


def _until(day: date | None, end: date) -> date | None:
    return day if day is not None and day <= end else None


def _assessments(
    rows: list[ResponseRow], first_dose: date | None, settings: Settings, notes: _Notes
) -> tuple[Assessment, ...]:
    found = []
    previous = first_dose
    ordered = sorted(rows, key=lambda row: row.visit)
    words = _recist_words([row.overall for row in ordered])
    for row, word in zip(ordered, words, strict=True):
        if not word:
            continue
        day = notes.day(f"visit {row.visit}", row.date, settings.impute_event, previous)
        if day is None or (first_dose is not None and day < first_dose):
            notes.texts.append(f"visit {row.visit} lies before the first dose and is left out")
            continue
        previous = day
        by_other = word == "PD" and row.target not in ("PD", "")
        found.append(Assessment(day, word, row.visit, row.change_from_baseline_percent, by_other))
    return tuple(sorted(found, key=lambda a: (a.day, a.visit)))


def _recist_words(words: list[str]) -> list[str]:
    """Immune categories as RECIST words: iUPD is progression when it was confirmed next or never looked at again.

    Otherwise it was dissolved by the next evaluable visit and reads NE (Seymour 2017, Lancet Oncol 18:e143).
    """
    result = []
    for n, word in enumerate(words):
        if word == "iUPD":
            later = [w for w in words[n + 1 :] if w not in ("iUPD", *INADEQUATE)]
            result.append("PD" if not later or later[0] == "iCPD" else "NE")
        else:
            result.append(_RECIST_WORD.get(word, word))
    return result
