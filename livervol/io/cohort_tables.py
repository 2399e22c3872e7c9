"""The tables of a cohort: subjects, events and responses, CSV or Parquet, checked cell by cell.

SUBJECTS: patient; the dates first_dose, enrolled, last_dose, death, last_alive, surgery (ISO, may be partial or empty);
r0 (0 or 1); pathology_necrosis_percent; liver_condition; height_cm, weight_kg; sex (female, male). Any other column is
kept as a word, for grouping.
EVENTS: patient, date, kind, lesion, name, value, unit.
RESPONSES: as ``livervol respond`` writes them; patient, visit, date and overall are needed.
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar

from livervol.errors import CriteriaError, refusal
from livervol.files import check_readable
from livervol.io.csv_rows import quoted, table_rows
from livervol.records import ResponseRow

__all__ = [
    "EVENT_KINDS",
    "OVERALL_WORDS",
    "CohortEvent",
    "Subject",
    "date_bounds",
    "read_events",
    "read_responses",
    "read_subjects",
]

EVENT_KINDS = (
    "dose",
    "tace",
    "haic",
    "ablation",
    "radiation",
    "new_therapy",
    "labs",
    "ecog",
    "vessels",
    "extrahepatic",
    "adverse_event",
)
#: Overall responses a response table may hold; empty at baseline.
OVERALL_WORDS = (
    "",
    "CR",
    "PR",
    "SD",
    "PD",
    "NE",
    "ND",
    "NED",
    "NON-CR/NON-PD",
    "iCR",
    "iPR",
    "iSD",
    "iUPD",
    "iCPD",
    "NON-iCR/NON-iUPD",
)
_SEXES = {"": "", "f": "female", "female": "female", "m": "male", "male": "male"}
_FLAGS = {"": None, "0": False, "1": True, "false": False, "true": True}
_ISO = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")
_MIDNIGHT = re.compile(r"[ T]00:00:00(\.0+)?\Z")
_DATES = ("first_dose", "enrolled", "last_dose", "death", "last_alive", "surgery")
_NUMBERS = {"pathology_necrosis_percent": (0.0, 100.0), "height_cm": (40.0, 250.0), "weight_kg": (2.0, 400.0)}
#: What cannot come before what, whatever the unknown parts of the dates are.
_ORDER = (
    ("first_dose", "last_dose"),
    ("first_dose", "death"),
    ("last_dose", "death"),
    ("last_alive", "death"),
    ("surgery", "death"),
    ("enrolled", "death"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Subject:
    """One patient of the cohort under a pseudonym; dates are ISO and may be partial, empty: unknown or never."""

    patient: str
    first_dose: str = ""
    enrolled: str = ""
    last_dose: str = ""
    death: str = ""
    last_alive: str = ""
    surgery: str = ""
    r0: bool | None = None
    pathology_necrosis_percent: float | None = None
    liver_condition: str = ""
    height_cm: float | None = None
    weight_kg: float | None = None
    sex: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CohortEvent:
    """One dated event; ``text`` is the value as written, ``value`` the number if it is one, ``row`` its table row."""

    patient: str
    date: str
    kind: str
    lesion: int | None = None
    name: str = ""
    value: float | None = None
    text: str = ""
    unit: str = ""
    row: int = 0


def date_bounds(text: str) -> tuple[date, date] | None:
    """The first and last day a partial ISO date can mean; None for anything that is no date."""
    found = _ISO.match(text)
    if not found:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        if month is None:
            return date(year or 0, 1, 1), date(year or 0, 12, 31)
        if day is None:
            return date(year or 0, month, 1), date(year or 0, month, calendar.monthrange(year or 0, month)[1])
        return date(year or 0, month, day), date(year or 0, month, day)
    except ValueError:
        return None


class _Table:
    """A table's header and rows, and the refusal that names file, row and column, never the patient."""

    def __init__(self, path: str | Path, needed: Sequence[str]) -> None:
        self.path = check_readable(path)
        header, self._lines = table_rows(self.path)
        self.names = [name.strip() for name in header]
        if len(self.names) == 1 and re.search(r"[;\t]", self.names[0]):
            raise self.refused("columns are not separated by commas", "commas", "semicolons or tabs")
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        if twice:
            raise self.refused("column listed twice", "each column once", ", ".join(twice), do="Delete one.")
        missing = [n for n in needed if n not in self.names]
        if missing:
            got = ", ".join(self.names) or "nothing"
            raise self.refused("column missing", ", ".join(missing), got, do="Add it to the header.")
        self.row = 0
        self._known: dict[tuple[str, str], object] = {}

    def refused(self, rule: str, expected: str, got: str, column: str = "", do: str = "") -> CriteriaError:
        """The error for a column of the row being read, or for the header."""
        place = f"row {self.row}" if getattr(self, "row", 0) else "header"
        where = f"{self.path.name}, {place}" + (f", column {column}" if column else "")
        return CriteriaError(refusal(rule, expected=expected, got=quoted(got), where=where, do=do))

    def __iter__(self) -> Iterator[dict[str, str]]:
        for number, cells in self._lines:
            self.row = number
            if not any(cells):
                continue
            if len(cells) != len(self.names):
                raise self.refused(
                    "row has another number of fields than the header",
                    str(len(self.names)),
                    str(len(cells)),
                    do="A decimal comma splits a number: write 12.5, not 12,5.",
                )
            yield dict(zip(self.names, (cell.strip() for cell in cells), strict=True))

    def parsed(self, row: Mapping[str, str], column: str, parse: Callable[[str, str], T]) -> T:
        """A cell through ``parse``, which is called once for equal texts of a column."""
        key = (column, row.get(column, ""))
        if key not in self._known:
            self._known[key] = parse(key[1], column)
        return self._known[key]  # type: ignore[return-value]

    def patient(self, row: Mapping[str, str]) -> str:
        if not row["patient"]:
            raise self.refused("patient is empty", "a pseudonym", "nothing", "patient", "Fill the column.")
        return row["patient"]

    def date(self, text: str, column: str) -> str:
        text = _MIDNIGHT.sub("", text)
        if text and date_bounds(text) is None:
            do = "Write dates as 2024-03-05; 2024-03 and 2024 are allowed where the day is unknown."
            raise self.refused("date is not ISO or does not exist", "YYYY-MM-DD", repr(text), column, do)
        return text

    def number(self, text: str, column: str) -> float | None:
        if not text:
            return None
        low, high = _NUMBERS.get(column, (-math.inf, math.inf))
        try:
            value = float(text)
        except ValueError:
            do = "Write the number alone, with a decimal point."
            raise self.refused("cell is not a number", "a number", repr(text), column, do) from None
        if not (math.isfinite(value) and low <= value <= high):
            do = "Check the number and its unit."
            raise self.refused("number is out of range", f"{low:g} to {high:g}", text, column, do)
        return value

    def whole(self, text: str, column: str) -> int | None:
        if not text:
            return None
        if not re.fullmatch(r"\d+(\.0)?", text):
            do = "Number visits and lesions with whole numbers."
            raise self.refused(f"{column} is not a number", "a whole number", repr(text), column, do)
        return int(text.removesuffix(".0"))

    def word(self, text: str, column: str, allowed: Mapping[str, T]) -> T:
        if text not in allowed:
            expected = ", ".join(w or "(empty)" for w in allowed)
            raise self.refused(f"{column} is not known", expected, repr(text), column, "Use one of these words.")
        return allowed[text]


def read_subjects(path: str | Path) -> tuple[Subject, ...]:
    """Read SUBJECTS, one row per patient; ``CriteriaError`` for the first row that breaks the schema.

    Refused too: a patient listed twice, and dates that contradict each other however their unknown parts are read.
    """
    table = _Table(path, ("patient",))
    fixed = {"patient", *_DATES, "r0", *_NUMBERS, "liver_condition", "sex"}
    others = [n for n in table.names if n not in fixed]
    seen: dict[str, int] = {}
    subjects = []
    for row in table:
        patient = table.patient(row)
        if patient in seen:
            raise table.refused("patient listed twice", "one row each", f"also row {seen[patient]}", "patient")
        seen[patient] = table.row
        first_dose, enrolled, last_dose, death, last_alive, surgery = days = [
            table.parsed(row, name, table.date) for name in _DATES
        ]
        _check_order(table, dict(zip(_DATES, days, strict=True)))
        necrosis, height, weight = (table.number(row.get(name, ""), name) for name in _NUMBERS)
        subjects.append(
            Subject(
                patient,
                first_dose,
                enrolled,
                last_dose,
                death,
                last_alive,
                surgery,
                table.word(row.get("r0", "").lower(), "r0", _FLAGS),
                necrosis,
                row.get("liver_condition", ""),
                height,
                weight,
                table.word(row.get("sex", "").lower(), "sex", _SEXES),
                {name: row[name] for name in others},
            )
        )
    if not subjects:
        raise table.refused("table has no rows", "at least one", "none")
    return tuple(subjects)


def _check_order(table: _Table, days: Mapping[str, str]) -> None:
    for earlier, later in _ORDER:
        first, second = date_bounds(days[earlier]), date_bounds(days[later])
        if first is not None and second is not None and first[0] > second[1]:
            raise table.refused(
                f"{later} is before {earlier}", f"{earlier} first", f"{days[later]} before {days[earlier]}", later
            )


def read_events(path: str | Path) -> tuple[CohortEvent, ...]:
    """Read EVENTS, one row per event; ``CriteriaError`` for the first row that breaks the schema."""
    table = _Table(path, ("patient", "date", "kind"))
    kinds = {kind: kind for kind in EVENT_KINDS}
    events = []
    for row in table:
        patient = table.patient(row)
        day = table.parsed(row, "date", table.date)
        if not day:
            raise table.refused("event without a date", "a date", "nothing", "date", "A year alone is enough.")
        text = row.get("value", "")
        try:
            value = float(text) if text else None
        except ValueError:
            value = None
        kind = table.word(row["kind"], "kind", kinds)
        lesion = table.whole(row.get("lesion", ""), "lesion")
        words = (row.get("name", ""), value, text, row.get("unit", ""))
        events.append(CohortEvent(patient, day, kind, lesion, *words, table.row))
    return tuple(events)


def read_responses(path: str | Path) -> tuple[ResponseRow, ...]:
    """Read RESPONSES as ``livervol respond`` writes them; the reasons are left behind.

    Refused: unknown categories, an assessed visit without a date, a visit listed twice for one reader and criterion.
    """
    table = _Table(path, ("patient", "visit", "date", "overall"))
    known = {word: word for word in OVERALL_WORDS}
    numbers = (
        "sum_mm",
        "baseline_sum_mm",
        "nadir_sum_mm",
        "change_from_baseline_percent",
        "change_from_nadir_percent",
    )
    seen: dict[tuple[str, str, str, int], int] = {}
    rows = []
    for row in table:
        if row.get("criterion") == "lirads":  # a finding per lesion, not a response of the patient
            continue
        patient, overall = table.patient(row), table.word(row["overall"], "overall", known)
        visit = table.whole(row["visit"], "visit")
        if visit is None:
            raise table.refused("visit is empty", "a whole number", "nothing", "visit", "Number the visits.")
        day = table.parsed(row, "date", table.date)
        if overall and not day:
            raise table.refused("response without a date", "a date", "nothing", "date", "A year alone is enough.")
        key = (patient, row.get("reader", ""), row.get("criterion", ""), visit)
        if key in seen:
            expected = "one row per patient, reader, criterion and visit"
            raise table.refused("visit listed twice", expected, f"also row {seen[key]}", "visit", "Delete one.")
        seen[key] = table.row
        total, base, nadir, from_base, from_nadir = (table.number(row.get(name, ""), name) for name in numbers)
        words = (row.get("target", ""), row.get("non_target", ""), row.get("new_lesion", "") or "no", overall)
        rows.append(ResponseRow(patient, key[1], visit, day, key[2], *words, total, base, nadir, from_base, from_nadir))
    if not rows:
        raise table.refused("table has no rows", "at least one", "none")
    return tuple(rows)
