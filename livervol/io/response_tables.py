"""Response tables: lesion rows or bare sums in (CSV, Parquet), response rows out.

The schema is strict where a slip would change an answer (units, dates, words, duplicates) and names file, row, visit,
lesion and column of what it refuses, never the patient. What is merely unlikely becomes a warning.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from livervol.errors import CriteriaError, LivervolError, refusal
from livervol.files import atomic_file, check_readable
from livervol.io.response_columns import (
    LESION_NUMBERS,
    LESION_WORDS,
    LONGEST_PLAUSIBLE_MM,
    VISIT_WORDS,
    Where,
    check_columns,
    parse_date,
    parse_flag,
    parse_number,
    parse_whole,
    parse_word,
)
from livervol.records import ROLES, SITES, STATES, Course, Lesion, Measurement, ResponseRow, Visit

__all__ = ["RESPONSE_COLUMNS", "ResponseTable", "read_response_table", "write_responses"]

#: The columns of a response file, in order.
RESPONSE_COLUMNS = (
    "patient",
    "reader",
    "visit",
    "date",
    "criterion",
    "target",
    "non_target",
    "new_lesion",
    "overall",
    "sum_mm",
    "baseline_sum_mm",
    "nadir_sum_mm",
    "change_from_baseline_percent",
    "change_from_nadir_percent",
    "reasons",
)

_ROLES, _SITES, _STATES = frozenset(ROLES), frozenset(SITES), frozenset(STATES)
_NODE_SITES = ("porta_hepatis_node", "other_node")
_UNITS = {"mm": "mm", "ml": "ml", "hu": "HU"}
_MEASURED = tuple((name, _UNITS[name.rsplit("_", 1)[1]]) for name in LESION_NUMBERS)
_PRINTED_DIGITS = 9
#: Numbers up to this are in range in every column, so one spelling needs parsing only once.
_CACHED_UP_TO = 1000.0

Cells = Sequence[str]
_LesionRow = tuple[int, str, str, bool, str, tuple[float | None, ...], Mapping[str, str] | None, int]


@dataclass(slots=True)
class _VisitRows:
    """The rows of one patient, reader and visit."""

    row: int
    date: str
    words: dict[str, str] = field(default_factory=dict)
    lesions: list[_LesionRow] = field(default_factory=list)
    total: float | None = None


@dataclass
class ResponseTable:
    """A checked table: iterate over its courses, one per patient and reader, in the order of their first rows.

    ``warnings`` are what a reader should look at; they name rows, never the patient.
    """

    path: Path
    sums_only: bool
    warnings: list[str]
    _subjects: dict[tuple[str, str], dict[int, _VisitRows]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self._subjects)

    def __iter__(self) -> Iterator[Course]:
        for (patient, reader), visits in self._subjects.items():
            yield Course(patient, tuple(self._visit(reader, n, rows) for n, rows in visits.items()))

    def _visit(self, reader: str, number: int, rows: _VisitRows) -> Visit:
        words = {**rows.words, "row": str(rows.row)}
        baseline = words.pop("baseline", "") == "1"
        if self.sums_only:
            reason = "" if rows.total is not None else "not given"
            sums = (Measurement("sum_mm", rows.total, "mm", reason=reason),)
            return Visit(number, rows.date, reader, baseline, measurements=sums, attributes=words)
        lesions = tuple(_lesion(row) for row in rows.lesions)
        return Visit(number, rows.date, reader, baseline, lesions, attributes=words)


def _lesion(row: _LesionRow) -> Lesion:
    number, role, site, node, state, values, words, _ = row
    measurements = tuple(
        Measurement(name, value, unit)
        for (name, unit), value in zip(_MEASURED, values, strict=True)
        if value is not None
    )
    if words is None:
        return Lesion(number, role, site, node, state, measurements)
    return Lesion(number, role, site, node, state, measurements, words)


def read_response_table(path: str | Path) -> ResponseTable:
    """Read and check a table of lesion rows (a ``lesion`` column) or of sums (``sum_mm``), CSV or Parquet.

    The columns are listed in ``livervol.io.response_columns``. Raises ``CriteriaError`` for the first row that breaks
    the schema; nothing is guessed.
    """
    path = check_readable(path)
    header, rows = _rows_of(path)
    names = [name.strip() for name in header]
    warnings = check_columns(path, names)
    sums = "lesion" not in names
    table = ResponseTable(path, sums, warnings)
    reader = _SumReader(table, names) if sums else _LesionReader(table, names)
    for row_number, cells in rows:
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise CriteriaError(
                refusal(
                    "row has another number of fields than the header",
                    expected=str(len(names)),
                    got=str(len(cells)),
                    where=f"{path.name}, row {row_number}",
                    do="A decimal comma splits a number: write 12.5, not 12,5; or a separator is missing.",
                )
            )
        reader.take(row_number, cells)
    if not table:
        raise CriteriaError(refusal("table has no rows", expected="at least one", got="none", where=path.name))
    reader.finish()
    return table


def _rows_of(path: Path) -> tuple[list[str], Iterator[tuple[int, Cells]]]:
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet_rows(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CriteriaError(
            refusal("table is not text", expected="UTF-8 CSV or Parquet", got="other bytes", where=path.name)
        ) from error
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    return header, _numbered(lines)


def _numbered(lines: Any) -> Iterator[tuple[int, Cells]]:
    for cells in lines:
        yield lines.line_num, cells


def _parquet_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, Cells]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise CriteriaError(
            refusal("table cannot be read", expected="a Parquet file", got="something else", where=path.name)
        ) from error
    columns = [column.to_pylist() for column in table.columns]
    rows = ((n, [_as_text(cell) for cell in cells]) for n, cells in enumerate(zip(*columns, strict=True), start=1))
    return list(table.column_names), rows


def _as_text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


class _RowReader:
    """What both layouts share: patient, reader, visit, date and the words of a visit."""

    def __init__(self, table: ResponseTable, names: list[str]) -> None:
        self.table = table
        self.file = table.path.name
        self.at = {name: n for n, name in enumerate(names)}
        self.dates: dict[str, str] = {}
        self.words = [(n, name, VISIT_WORDS[name]) for name, n in self.at.items() if name in VISIT_WORDS]

    def cell(self, cells: Cells, name: str) -> str:
        """The stripped text of a column, empty where the table has no such column."""
        n = self.at.get(name)
        return "" if n is None else cells[n].strip()

    def visit_rows(self, row: int, cells: Cells) -> tuple[int, _VisitRows, bool]:
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
        visits = self.table._subjects.setdefault(key, {})
        found = visits.get(number)
        opened = found is None
        if found is None:
            found = visits[number] = _VisitRows(row, text)
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

    def _visit_word(self, found: _VisitRows, name: str, word: str, where: Where) -> None:
        if not word:
            return
        if found.words.setdefault(name, word) != word:
            raise where.refused(
                name, "rows of one visit disagree", found.words[name], word, "Give the whole visit one value."
            )


class _SumReader(_RowReader):
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


class _LesionReader(_RowReader):
    """One row per lesion and visit; a row with an empty ``lesion`` stands for a visit without any."""

    def __init__(self, table: ResponseTable, names: list[str]) -> None:
        super().__init__(table, names)
        self.numbers = [(name, self.at.get(name)) for name, _ in _MEASURED]
        self.lesion_words = [(n, name, LESION_WORDS[name]) for name, n in self.at.items() if name in LESION_WORDS]
        self.largest_baseline_mm = 0.0
        self.parsed: dict[str, float] = {}

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

    def _lesion(self, lesion: int, row: int, cells: Cells, where: Where) -> _LesionRow:
        role = self._known(cells, "role", _ROLES, where)
        site = self._known(cells, "site", _SITES, where)
        node = parse_flag(self.cell(cells, "node"), where, "node")
        if not site:
            site = "other_node" if node else "liver"
        elif site in _NODE_SITES and node is False:
            self._warn(where, f"site {site} with node 0: taken as a node")
        values = tuple(None if n is None else self._value(cells[n], where, name) for name, n in self.numbers)
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

    def _value(self, text: str, where: Where, name: str) -> float | None:
        known = self.parsed.get(text)
        if known is not None:
            return known
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
        self.table.warnings.append(f"{text} ({where})")

    def finish(self) -> None:
        """Warn when every target diameter looks like centimetres."""
        largest = self.largest_baseline_mm
        if 0 < largest < LONGEST_PLAUSIBLE_MM:
            self.table.warnings.append(
                f"the largest target diameter of the file is {largest:g} mm: are these centimetres? ({self.file})"
            )


def _printed(value: float | None) -> str:
    return "" if value is None else repr(round(value, _PRINTED_DIGITS))


def _cells(row: ResponseRow) -> list[str]:
    return [
        row.patient,
        row.reader,
        str(row.visit),
        row.date,
        row.criterion,
        row.target,
        row.non_target,
        row.new_lesion,
        row.overall,
        _printed(row.sum_mm),
        _printed(row.baseline_sum_mm),
        _printed(row.nadir_sum_mm),
        _printed(row.change_from_baseline_percent),
        _printed(row.change_from_nadir_percent),
        "; ".join(row.reasons),
    ]


def write_responses(rows: Iterable[ResponseRow], path: str | Path, *, overwrite: bool = False) -> Path:
    """Write response rows as CSV, or Parquet where the name ends so; whole or not at all.

    Rows may come from a generator: they are written as they come.
    """
    path = Path(path)
    writer = _writers().get(path.suffix.lower())
    if writer is None:
        raise LivervolError(
            refusal("response file's format", expected=".csv or .parquet", got=path.suffix or "none", where=path.name)
        )
    with atomic_file(path, overwrite=overwrite) as temporary:
        writer(rows, temporary)
    return path


def _writers() -> dict[str, Callable[[Iterable[ResponseRow], Path], None]]:
    return {".csv": _write_csv, ".parquet": _write_parquet}


def _write_csv(rows: Iterable[ResponseRow], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(RESPONSE_COLUMNS)
        out.writerows(map(_cells, rows))


def _write_parquet(rows: Iterable[ResponseRow], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    kept = list(rows)
    columns = {name: [getattr(row, name) for row in kept] for name in RESPONSE_COLUMNS[:-1]}
    columns["reasons"] = ["; ".join(row.reasons) for row in kept]
    kinds = {"visit": pyarrow.int64()} | {n: pyarrow.float64() for n in RESPONSE_COLUMNS[9:14]}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in RESPONSE_COLUMNS])
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path)
