"""The ledger's tables as CSV or Parquet, for other programs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from livervol.errors import LivervolError, refusal
from livervol.files import atomic_folder
from livervol.ledger.schema import TABLES
from livervol.ledger.store import Ledger

__all__ = ["FORMATS", "export_tables"]

FORMATS = ("csv", "parquet")

#: Every table as it is, the numbers in force joined to patient and visit, and the steps of the schema.
_EXPORTED = (*TABLES, "current_numbers", "migrations")


def export_tables(ledger: Ledger, out: str | Path, kind: str = "csv", *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write one file per table into the folder ``out``, whole or not at all; absent numbers are empty (CSV) or null."""
    if kind not in FORMATS:
        raise LivervolError(refusal("export format", expected=" or ".join(FORMATS), got=repr(kind)))
    with atomic_folder(out, overwrite=overwrite) as folder:
        for table in _EXPORTED:
            columns = [row["name"] for row in ledger.query(f"PRAGMA table_info({table})")]
            rows = ledger.query(f"SELECT * FROM {table}")
            (_write_csv if kind == "csv" else _write_parquet)(folder / f"{table}.{kind}", columns, rows)
    return tuple(Path(out) / f"{table}.{kind}" for table in _EXPORTED)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        out = csv.DictWriter(handle, columns, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({name: [row[name] for row in rows] for name in columns})
    pyarrow.parquet.write_table(table, path)
