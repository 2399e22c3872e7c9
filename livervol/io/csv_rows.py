"""Tables from anywhere, CSV or Parquet: rows one by one, and pieces of them quoted safely in messages."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from livervol.errors import CriteriaError, refusal

__all__ = ["csv_rows", "quoted", "table_rows"]

#: Longest column name; a longer one is a row, or several, that lost a quotation mark.
_NAME_CHARACTERS = 100

#: Longest piece of a file that a message repeats.
_QUOTED_CHARACTERS = 160


def quoted(text: str) -> str:
    """``text`` fit for a message: on one line, unprintable characters as escapes, cut after 160 characters."""
    if len(text) > _QUOTED_CHARACTERS:
        text = f"{text[:_QUOTED_CHARACTERS]}… ({len(text)} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def table_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Column names, and the further rows as words with their numbers, of a CSV or (by its ending) Parquet file.

    Raises ``CriteriaError`` for a file that is neither.
    """
    return _parquet_rows(path) if path.suffix.lower() in (".parquet", ".pq") else csv_rows(path)


def _parquet_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
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


def csv_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The stripped column names of a UTF-8 CSV file, and its further rows with their line numbers; empty rows too.

    Raises ``CriteriaError`` (the rows while they are read) for other bytes, for what the format does not allow and
    for column names that cannot be any; the message never repeats the file's text.
    """

    def refused(rule: str, expected: str, got: str, where: str, do: str = "") -> CriteriaError:
        return CriteriaError(refusal(rule, expected=expected, got=got, where=where, do=do))

    def numbered() -> Iterator[tuple[int, list[str]]]:
        try:
            for cells in lines:
                yield lines.line_num, cells
        except csv.Error as error:
            raise refused("table is not CSV", "comma-separated text", str(error), path.name) from error

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused("table is not text", "UTF-8 CSV or Parquet", "other bytes", path.name) from error
    lines = csv.reader(io.StringIO(text, newline=""))
    rows = numbered()
    names = [name.strip() for name in next(rows, (0, []))[1]]
    for name in names:
        if len(name) > _NAME_CHARACTERS or not name.isprintable():
            raise refused(
                "column name is no name",
                f"at most {_NAME_CHARACTERS} printable characters",
                f"{len(name)} characters" + ("" if name.isprintable() else " with a line break or the like"),
                f"{path.name}, header",
                "Look for a missing quotation mark.",
            )
    return names, rows
