"""Response tables: lesion rows or bare sums in (CSV, Parquet), response rows out.

The schema is strict where a slip would change an answer (units, dates, words, duplicates) and names file, row, visit,
lesion and column of what it refuses, never the patient. What is merely unlikely becomes a warning.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from livervol.errors import CriteriaError, LivervolError, refusal
from livervol.files import atomic_file, check_readable
from livervol.io.csv_rows import table_rows
from livervol.io.response_columns import check_columns
from livervol.io.response_rows import MEASURED, LesionReader, LesionRow, SumReader, VisitRows
from livervol.records import Course, Lesion, Measurement, ResponseRow, Visit

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

_PRINTED_DIGITS = 9


@dataclass
class ResponseTable:
    """A checked table: iterate over its courses, one per patient and reader, in the order of their first rows.

    ``warnings`` are what a reader should look at; they name rows, never the patient.
    """

    path: Path
    sums_only: bool
    warnings: list[str]
    _subjects: dict[tuple[str, str], dict[int, VisitRows]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self._subjects)

    def __iter__(self) -> Iterator[Course]:
        for (patient, reader), visits in self._subjects.items():
            yield Course(patient, tuple(self._visit(reader, n, rows) for n, rows in visits.items()))

    def _visit(self, reader: str, number: int, rows: VisitRows) -> Visit:
        words = {**rows.words, "row": str(rows.row)}
        baseline = words.pop("baseline", "") == "1"
        if self.sums_only:
            reason = "" if rows.total is not None else "not given"
            sums = (Measurement("sum_mm", rows.total, "mm", reason=reason),)
            return Visit(number, rows.date, reader, baseline, measurements=sums, attributes=words)
        lesions = tuple(_lesion(row) for row in rows.lesions)
        return Visit(number, rows.date, reader, baseline, lesions, attributes=words)


@lru_cache(maxsize=1 << 16)
def _measurement(name: str, value: float, unit: str) -> Measurement:
    """One object for every equal number: a cohort's table repeats most of them."""
    return Measurement(name, value, unit)


def _lesion(row: LesionRow) -> Lesion:
    number, role, site, node, state, values, words, _ = row
    measurements = tuple(
        _measurement(name, value, unit)
        for (name, unit), value in zip(MEASURED, values, strict=True)
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
    header, rows = table_rows(path)
    names = [name.strip() for name in header]
    warnings = check_columns(path, names)
    sums = "lesion" not in names
    table = ResponseTable(path, sums, warnings)
    reader = (SumReader if sums else LesionReader)(path.name, table._subjects, warnings, names)
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
