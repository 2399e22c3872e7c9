"""The rows of a response table, checked one by one and kept small until they are read as courses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from livervol.io.response_columns import (
    LESION_NUMBERS,
    LESION_WORDS,
    LONGEST_PLAUSIBLE_MM,
    VISIT_WORDS,
    Where,
    parse_date,
    parse_flag,
    parse_number,
    parse_whole,
    parse_word,
)
from livervol.records import ROLES, SITES, STATES

__all__ = ["MEASURED", "Cells", "LesionReader", "LesionRow", "Subjects", "SumReader", "VisitRows"]

_ROLES, _SITES, _STATES = frozenset(ROLES), frozenset(SITES), frozenset(STATES)
_NODE_SITES = ("porta_hepatis_node", "other_node")
_UNITS = {"mm": "mm", "ml": "ml", "hu": "HU"}
#: The measured columns of a lesion row and their units, in the order a kept row holds them.
MEASURED = tuple((name, _UNITS[name.rsplit("_", 1)[1]]) for name in LESION_NUMBERS)
#: Numbers up to this are in range in every column, so one spelling needs parsing only once.
_CACHED_UP_TO = 1000.0

Cells = Sequence[str]
#: number, role, site, node, state, values of MEASURED, words, row
LesionRow = tuple[int, str, str, bool, str, tuple[float | None, ...], Mapping[str, str] | None, int]


@dataclass(slots=True)
class VisitRows:
    """The rows of one patient, reader and visit."""

    row: int
    date: str
    words: dict[str, str] = field(default_factory=dict)
    lesions: list[LesionRow] = field(default_factory=list)
    total: float | None = None


#: Rows by patient and reader, then by visit number.
Subjects = dict[tuple[str, str], dict[int, VisitRows]]


class RowReader:
    """What both layouts share: patient, reader, visit, date and the words of a visit."""

    def __init__(self, file: str, subjects: Subjects, warnings: list[str], names: list[str]) -> None:
        self.file, self.subjects, self.warnings = file, subjects, warnings
        self.at = {name: n for n, name in enumerate(names)}
        self.dates: dict[str, str] = {}
        self.words = [(n, name, VISIT_WORDS[name]) for name, n in self.at.items() if name in VISIT_WORDS]

    def cell(self, cells: Cells, name: str) -> str:
        """The stripped text of a column, empty where the table has no such column."""
        n = self.at.get(name)
        return "" if n is None else cells[n].strip()

    def visit_rows(self, row: int, cells: Cells) -> tuple[int, VisitRows, bool]:
        """The visit a row belongs to and whether the row opened it."""
        where = Where(self.file, row)
        patient = self.cell(cells, "patient")
        if not patient:
            raise where.refused("patient", "patient is empty", "a pseudonym", "nothing", "Fill the column.")
        number = parse_whole(self.cell(cells, "visit"), where, "visit", least=0)
        where.visit = number
        text = self.cell(cells, "date")
        if text not in self.dates:
            self.dates[text] = parse_date(text, where)
        key = (patient, self.cell(cells, "reader"))
        visits = self.subjects.setdefault(key, {})
        found = visits.get(number)
        opened = found is None
        if found is None:
            found = visits[number] = VisitRows(row, text)
        elif found.date != text:
            raise where.refused(
                "date",
                "one visit has two dates",
                f"{found.date or 'no date'} as in row {found.row}",
                text or "no date",
                "Give every row of a visit the same date.",
            )
        for n, name, allowed in self.words:
            self._visit_word(found, name, parse_word(cells[n].strip(), allowed, where, name), where)
        return number, found, opened

    def _visit_word(self, found: VisitRows, name: str, word: str, where: Where) -> None:
        if not word:
            return
        if found.words.setdefault(name, word) != word:
            raise where.refused(
                name, "rows of one visit disagree", found.words[name], word, "Give the whole visit one value."
            )


class SumReader(RowReader):
    """One row per visit with ``sum_mm``; empty means not evaluable."""

    def take(self, row: int, cells: Cells) -> None:
        """Check one row and keep it."""
        number, found, opened = self.visit_rows(row, cells)
        where = Where(self.file, row, number)
        if not opened:
            raise where.refused(
                "visit",
                "visit listed twice",
                "one row per patient, reader and visit",
                f"also row {found.row}",
                "Delete one of the two rows.",
            )
        found.total = parse_number(self.cell(cells, "sum_mm"), where, "sum_mm")

    def finish(self) -> None:
        """Nothing to check over the whole file."""


class LesionReader(RowReader):
    """One row per lesion and visit; a row with an empty ``lesion`` stands for a visit without any."""

    def __init__(self, file: str, subjects: Subjects, warnings: list[str], names: list[str]) -> None:
        super().__init__(file, subjects, warnings, names)
        self.numbers = [(name, self.at.get(name)) for name, _ in MEASURED]
        self.lesion_words = [(n, name, LESION_WORDS[name]) for name, n in self.at.items() if name in LESION_WORDS]
        self.largest_baseline_mm = 0.0
        self.parsed: dict[str, float | None] = {"": None}

    def take(self, row: int, cells: Cells) -> None:
        """Check one row and keep it."""
        number, found, _ = self.visit_rows(row, cells)
        where = Where(self.file, row, number)
        text = self.cell(cells, "lesion")
        if not text:
            if any(self.cell(cells, name) for name in ("role", "state", *LESION_NUMBERS)):
                raise where.refused("lesion", "lesion number is empty", "1 or more", "nothing", "Number the lesion.")
            return
        lesion = parse_whole(text, where, "lesion", least=1)
        where.lesion = lesion
        for other in found.lesions:
            if other[0] == lesion:
                raise where.refused(
                    "lesion",
                    "lesion listed twice",
                    "one row per patient, reader, visit and lesion",
                    f"also row {other[7]}",
                    "Delete one of the two rows.",
                )
        found.lesions.append(self._lesion(lesion, row, cells, where))

    def _lesion(self, lesion: int, row: int, cells: Cells, where: Where) -> LesionRow:
        role = self._known(cells, "role", _ROLES, where)
        site = self._known(cells, "site", _SITES, where)
        node = parse_flag(self.cell(cells, "node"), where, "node")
        if not site:
            site = "other_node" if node else "liver"
        elif site in _NODE_SITES and node is False:
            self._warn(where, f"site {site} with node 0: taken as a node")
        values = self._values(cells, where)
        state = self._state(cells, values, where)
        words = None
        if self.lesion_words:
            found = {
                name: word
                for n, name, allowed in self.lesion_words
                if (word := parse_word(cells[n].strip(), allowed, where, name))
            }
            words = found or None
        is_node = bool(node) or site in _NODE_SITES
        self._check_values(values, state, is_node, where)
        if role == "target" and not is_node:
            self.largest_baseline_mm = max(self.largest_baseline_mm, values[0] or 0.0, values[2] or 0.0)
        return lesion, role, site, is_node, state, values, words, row

    def _values(self, cells: Cells, where: Where) -> tuple[float | None, ...]:
        parsed = self.parsed
        try:
            return tuple([None if n is None else parsed[cells[n]] for _, n in self.numbers])
        except KeyError:
            return tuple(None if n is None else self._value(cells[n], where, name) for name, n in self.numbers)

    def _value(self, text: str, where: Where, name: str) -> float | None:
        if text in self.parsed:
            return self.parsed[text]
        value = parse_number(text.strip(), where, name)
        if value is not None and 0 <= value <= _CACHED_UP_TO:
            self.parsed[text] = value
        return value

    def _known(self, cells: Cells, name: str, allowed: frozenset[str], where: Where) -> str:
        word = self.cell(cells, name)
        if word and word not in allowed:
            raise where.refused(
                name,
                f"{name} is not known",
                ", ".join(sorted(a for a in allowed if a)),
                repr(word),
                "Use one of these words.",
            )
        return word

    def _state(self, cells: Cells, values: tuple[float | None, ...], where: Where) -> str:
        state = self._known(cells, "state", _STATES, where)
        if state:
            return state
        if all(value is None for value in values):
            raise where.refused(
                "state",
                "lesion has neither a number nor a state",
                "a measurement or a state",
                "nothing",
                "Write not_evaluable if it was not assessed, absent if it is gone.",
            )
        return "measured"

    def _check_values(self, values: tuple[float | None, ...], state: str, node: bool, where: Where) -> None:
        longest, short, viable, across, volume, viable_volume = values[:6]
        for name, value in (("longest_mm", longest), ("viable_longest_mm", viable), ("volume_ml", volume)):
            if state == "absent" and value and not node:
                raise where.refused(
                    name,
                    "lesion is absent but measured",
                    "0 or nothing",
                    f"{value:g}",
                    "Correct the state or the number.",
                )
        pairs = (
            ("short_axis_mm", short, "longest_mm", longest),
            ("viable_longest_mm", viable, "longest_mm", longest),
            ("viable_perpendicular_mm", across, "viable_longest_mm", viable),
            ("viable_volume_ml", viable_volume, "volume_ml", volume),
        )
        for small_name, small, large_name, large in pairs:
            if small is not None and large is not None and small > large + 1e-6:
                self._warn(where, f"{small_name} {small:g} is larger than {large_name} {large:g}")

    def _warn(self, where: Where, text: str) -> None:
        self.warnings.append(f"{text} ({where})")

    def finish(self) -> None:
        """Warn when every target diameter looks like centimetres."""
        largest = self.largest_baseline_mm
        if 0 < largest < LONGEST_PLAUSIBLE_MM:
            self.warnings.append(
                f"the largest target diameter of the file is {largest:g} mm: are these centimetres? ({self.file})"
            )
