"""Is the ledger sound, and what can be saved when it is not."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from livervol.errors import LivervolError, refusal
from livervol.files import sha256_of
from livervol.ledger.schema import TABLES
from livervol.ledger.store import Ledger, open_ledger

__all__ = ["Finding", "RepairReport", "check", "folder_sha256", "repair"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong and what to do about it."""

    rule: str
    sentence: str
    do: str


@dataclass(frozen=True)
class RepairReport:
    """How many rows of each table were saved into the new file and how many could not be read or belong to nothing."""

    saved: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


def folder_sha256(folder: Path) -> str:
    """Hex sha256 over the names and contents of a folder's files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def check(ledger: Ledger, *, results: bool = True) -> tuple[Finding, ...]:
    """Everything wrong with a ledger, nothing when it is sound; ``results`` also reads every result folder.

    File structure, foreign keys, gaps in revisions, runs without numbers, signatures under superseded numbers, result
    folders that are gone or differ from what was recorded.
    """
    return tuple(_structure(ledger)) or (*_rows(ledger), *(_results(ledger) if results else ()))


def _structure(ledger: Ledger) -> Iterator[Finding]:
    try:
        sound = ledger.query("PRAGMA integrity_check")
    except LivervolError as error:
        sound = [{"integrity_check": str(error)}]
    for row in sound:
        if row["integrity_check"] != "ok":
            yield Finding("file", row["integrity_check"], "Run livervol ledger repair and keep the damaged file.")
            return
    for row in ledger.query("PRAGMA foreign_key_check"):
        sentence = f"{row['table']} row {row['rowid']} points to a missing row of {row['parent']}"
        yield Finding("foreign key", sentence, "Run livervol ledger repair.")


def _rows(ledger: Ledger) -> Iterator[Finding]:
    gaps = ledger.query(
        "SELECT visit_id, reader, count(*) AS n, max(revision) AS top FROM runs WHERE revision IS NOT NULL "
        "GROUP BY visit_id, reader HAVING n <> top"
    )
    for row in gaps:
        sentence = f"visit row {row['visit_id']} has {row['n']} of {row['top']} revisions"
        yield Finding("revision", sentence, "Look for a backup of the ledger.")
    for row in ledger.query(
        "SELECT id FROM runs WHERE status = 'done' AND id NOT IN (SELECT run_id FROM measurements)"
    ):
        yield Finding("numbers", f"run {row['id']} has no numbers", "Move its folder away and run the batch again.")
    for row in ledger.query(
        "SELECT s.id FROM sign_offs s JOIN runs r ON r.id = s.run_id WHERE r.id NOT IN (SELECT id FROM current_runs)"
    ):
        sentence = f"sign-off {row['id']} stands under numbers that have been revised since"
        yield Finding("sign-off", sentence, "Have the reader look at the new revision.")


def _results(ledger: Ledger) -> Iterator[Finding]:
    for row in ledger.query("SELECT id, folder, result_sha256 FROM runs WHERE status = 'done' AND folder <> ''"):
        folder = ledger.path.parent / row["folder"]
        if not folder.is_dir():
            yield Finding("result", f"run {row['id']}: folder {row['folder']} is gone", "Run the batch again.")
        elif row["result_sha256"] and folder_sha256(folder) != row["result_sha256"]:
            sentence = f"run {row['id']}: files in {row['folder']} are not those recorded"
            yield Finding("result", sentence, "Move the folder away and run the batch again.")


def repair(damaged: str | Path, out: str | Path) -> RepairReport:
    """Copy every readable row that still belongs to something into the new ledger ``out``; ``damaged`` is not touched.

    Raises ``LivervolError`` when ``out`` exists or nothing can be read.
    """
    damaged, out = Path(damaged), Path(out)
    if out.exists():
        raise LivervolError(refusal("output already exists", expected="a new file", got="something", where=out.name))
    if not damaged.is_file():
        raise LivervolError(refusal("ledger not found", expected="a file", got="nothing", where=damaged.name))
    report = RepairReport()
    open_ledger(out).close()
    with (
        closing(sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(out, isolation_level=None)) as new,
    ):
        new.execute("PRAGMA foreign_keys = ON")
        new.execute("BEGIN")
        for table in TABLES:
            columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
            sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            saved = lost = 0
            for values in _readable(old, table, columns):
                try:
                    if values is not None:
                        new.execute(sql, values)
                        saved += 1
                    else:
                        lost += 1
                except sqlite3.IntegrityError:
                    lost += 1
            report.saved[table], report.lost[table] = saved, lost
        new.execute("COMMIT")
    if not any(report.saved.values()):
        raise LivervolError(
            refusal("nothing can be saved", expected="a readable row", got="none", where=damaged.name,
                    do="Gather the result folders into a new ledger by running the batch again.")
        )  # fmt: skip
    return report


def _readable(old: sqlite3.Connection, table: str, columns: list[str]) -> Iterator[tuple[object, ...] | None]:
    """A table's rows one by one, None for each that cannot be read; a broken tree is walked by row number."""
    names = ", ".join(columns)
    try:
        rows = old.execute(f"SELECT {names} FROM {table} NOT INDEXED ORDER BY rowid").fetchall()
    except sqlite3.DatabaseError:
        pass
    else:
        yield from rows
        return
    try:
        last = old.execute(f"SELECT max(rowid) FROM {table} NOT INDEXED").fetchone()[0] or 0
    except sqlite3.DatabaseError:
        last = 0
    for rowid in range(1, last + 1):
        try:
            row = old.execute(f"SELECT {names} FROM {table} NOT INDEXED WHERE rowid = ?", (rowid,)).fetchone()
        except sqlite3.DatabaseError:
            yield None
        else:
            if row is not None:
                yield row
