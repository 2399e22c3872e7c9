"""Writing and asking the ledger: every write is one transaction, and no number is ever overwritten."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livervol import __version__
from livervol.errors import LivervolError, refusal
from livervol.ledger.rows import MACHINE, RunRecord, SignOff
from livervol.ledger.schema import migrate
from livervol.records import ResponseRow

__all__ = ["Ledger", "VisitState", "open_ledger"]

#: Another process's write is waited for this long; a write takes milliseconds.
BUSY_SECONDS = 60.0

_RUN_COLUMNS = (
    "visit_id", "reader", "revision", "status", "kind", "sentence", "date", "key", "signature", "inputs_sha256",
    "folder", "result_sha256", "attributes", "provenance", "seconds", "peak_mb", "attempt", "recorded_at",
)  # fmt: skip

_RESPONSE_VALUES = (
    "date", "target", "non_target", "new_lesion", "overall", "sum_mm", "baseline_sum_mm", "nadir_sum_mm",
    "change_from_baseline_percent", "change_from_nadir_percent",
)  # fmt: skip


@dataclass(frozen=True)
class VisitState:
    """The last word on a visit: its newest attempt, and the key of its current numbers (empty when it has none)."""

    subject: str
    visit: int
    status: str
    kind: str
    sentence: str
    key: str
    date: str
    signature: str
    inputs_sha256: str
    folder: str
    seconds: float | None
    peak_mb: float | None
    current_key: str
    revision: int | None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def open_ledger(path: str | Path, *, create: bool = True) -> Ledger:
    """The ledger in ``path``, made when absent and brought to the newest schema version.

    WAL, foreign keys on, every commit synced. The file must lie on a local disk: SQLite's locks are not safe on network
    file systems. Raises ``LivervolError`` for a file that is no ledger, is damaged, or comes from a newer program.
    """
    path = Path(path)
    if not path.is_file():
        if not create:
            raise LivervolError(refusal("ledger not found", expected="a file", got="nothing", where=path.name))
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, program=__version__, now=_now())
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _broken("ledger cannot be opened", error, path) from error
    return Ledger(path, connection)


def _broken(rule: str, error: sqlite3.Error, path: Path) -> LivervolError:
    do = "Free space on the disk." if "full" in str(error) else "See livervol ledger check."
    return LivervolError(refusal(rule, expected="a sound SQLite file", got=str(error), where=path.name, do=do))


class Ledger:
    """An open ledger; use it as a context manager. One per thread and process; any number of processes may write."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._db = path, connection

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was recorded is already on the disk."""
        self._db.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _broken("ledger cannot be written", error, self.path) from error

    def query(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a SELECT as dictionaries."""
        try:
            with closing(self._db.execute(sql, values)) as found:
                names = [column[0] for column in found.description]
                return [dict(zip(names, row, strict=True)) for row in found]
        except sqlite3.Error as error:
            raise _broken("ledger cannot be read", error, self.path) from error

    def _one(self, sql: str, *values: Any) -> Any:
        row = self._db.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def _visit_id(self, subject: str, number: int) -> int:
        self._db.execute("INSERT OR IGNORE INTO subjects (pseudonym, created_at) VALUES (?, ?)", (subject, _now()))
        subject_id = self._one("SELECT id FROM subjects WHERE pseudonym = ?", subject)
        self._db.execute(
            "INSERT OR IGNORE INTO visits (subject_id, number, created_at) VALUES (?, ?, ?)",
            (subject_id, number, _now()),
        )
        return int(self._one("SELECT id FROM visits WHERE subject_id = ? AND number = ?", subject_id, number))

    def record(self, run: RunRecord) -> int | None:
        """Add a run; the new revision, or None when it failed or its key is already the visit's current one.

        A failure repeated word for word under the same key is kept once until another attempt comes between, and an
        attempt handed in again is not recorded again.
        """
        with self._write():
            if self._one("SELECT 1 FROM runs WHERE attempt = ?", run.attempt):
                return None
            visit_id = self._visit_id(run.subject, run.visit)
            last = self._db.execute(
                "SELECT status, key, sentence FROM runs WHERE visit_id = ? AND reader = ? ORDER BY id DESC LIMIT 1",
                (visit_id, run.reader),
            ).fetchone()
            current = self._db.execute(
                "SELECT key, revision FROM runs WHERE visit_id = ? AND reader = ? AND revision IS NOT NULL "
                "ORDER BY revision DESC LIMIT 1",
                (visit_id, run.reader),
            ).fetchone()
            failed = run.status == "failed"
            if (failed and last == ("failed", run.key, run.sentence)) or (
                not failed and current is not None and current[0] == run.key and last[0] == "done"
            ):
                return None
            revision = None if failed else 1 + (current[1] if current else 0)
            self._add_run(visit_id, revision, run)
            return revision

    def _add_run(self, visit_id: int, revision: int | None, run: RunRecord) -> None:
        values = (
            visit_id, run.reader, revision, run.status, run.kind, run.sentence, run.date, run.key, run.signature,
            run.inputs_sha256, run.folder, run.result_sha256, _json(dict(run.attributes)), _json(dict(run.provenance)),
            run.seconds, run.peak_mb, run.attempt, _now(),
        )  # fmt: skip
        run_id = self._db.execute(_insert("runs", _RUN_COLUMNS), values).lastrowid
        lesion_ids: dict[str, int | None] = {}
        for lesion in run.lesions:
            row = (run_id, lesion.number, lesion.site, lesion.state, _json(dict(lesion.entry)))
            added = self._db.execute(_insert("lesions", ("run_id", "number", "site", "state", "entry")), row)
            lesion_ids[str(lesion.number)] = added.lastrowid
        columns = ("run_id", "lesion_id", "structure", "number", "name", "value", "unit", "lower", "upper", "method")
        self._db.executemany(
            _insert("measurements", columns),
            [(run_id, lesion_ids.get(n.number) if n.structure == "lesion" else None, *astuple(n)) for n in run.numbers],
        )

    def record_responses(self, rows: Sequence[ResponseRow]) -> int:
        """Add response rows whose content differs from the newest revision; returns how many were new."""
        new = 0
        with self._write():
            for row in rows:
                subject_id = self._one("SELECT id FROM subjects WHERE pseudonym = ?", row.patient)
                if subject_id is None:
                    raise LivervolError(refusal("response without a subject", expected="a known one", got="another"))
                at = (subject_id, row.reader, row.visit, row.criterion)
                values = (*(getattr(row, name) for name in _RESPONSE_VALUES), "; ".join(row.reasons))
                last = self._db.execute(
                    f"SELECT revision, {', '.join(_RESPONSE_VALUES)}, reasons FROM responses WHERE subject_id = ? "
                    "AND reader = ? AND visit = ? AND criterion = ? ORDER BY revision DESC LIMIT 1",
                    at,
                ).fetchone()
                if last is not None and last[1:] == values:
                    continue
                columns = ("subject_id", "reader", "visit", "criterion", "revision", *_RESPONSE_VALUES, "reasons")
                revision = 1 + (last[0] if last else 0)
                self._db.execute(_insert("responses", (*columns, "recorded_at")), (*at, revision, *values, _now()))
                new += 1
        return new

    def record_journal_head(self, subject: str, visit: int, reader: str, head_sha256: str, records: int) -> bool:
        """Add the head hash of a reader's edit journal; False when it was already known."""
        with self._write():
            row = (self._visit_id(subject, visit), reader, head_sha256, records, _now())
            columns = ("visit_id", "reader", "head_sha256", "records", "recorded_at")
            sql = _insert("journal_heads", columns).replace("INSERT", "INSERT OR IGNORE", 1)
            return self._db.execute(sql, row).rowcount == 1

    def record_sign_off(self, signed: SignOff) -> bool:
        """Add a reader's signature under the reader's (else the program's) current numbers; False when known."""
        with self._write():
            visit_id = self._visit_id(signed.subject, signed.visit)
            run_id = None
            for reader in (signed.reader, MACHINE):
                run_id = run_id or self._one(
                    "SELECT id FROM current_runs WHERE visit_id = ? AND reader = ?", visit_id, reader
                )
            row = (visit_id, signed.reader, run_id, signed.head_sha256, signed.statement, signed.signed_at, _now())
            columns = ("visit_id", "reader", "run_id", "head_sha256", "statement", "signed_at", "recorded_at")
            sql = _insert("sign_offs", columns).replace("INSERT", "INSERT OR IGNORE", 1)
            return self._db.execute(sql, row).rowcount == 1

    def states(self, reader: str = MACHINE) -> dict[tuple[str, int], VisitState]:
        """The last word on every visit of one reader, by pseudonym and visit number."""
        rows = self.query(
            "SELECT s.pseudonym AS subject, v.number AS visit, r.status, r.kind, r.sentence, r.key, r.date, "
            "r.signature, r.inputs_sha256, r.folder, r.seconds, r.peak_mb, coalesce(c.key, '') AS current_key, "
            "c.revision FROM runs r JOIN visits v ON v.id = r.visit_id JOIN subjects s ON s.id = v.subject_id "
            "LEFT JOIN current_runs c ON c.visit_id = r.visit_id AND c.reader = r.reader "
            "WHERE r.reader = ? AND r.id = (SELECT max(id) FROM runs WHERE visit_id = r.visit_id AND reader = r.reader)"
            " ORDER BY s.pseudonym, v.number",
            reader,
        )
        return {(row["subject"], row["visit"]): VisitState(**row) for row in rows}

    def history(self, subject: str, visit: int | None = None, name: str = "") -> list[dict[str, Any]]:
        """Every attempt at a subject's visits, oldest first; with ``name`` the numbers of that name, revision by
        revision."""
        where, values = "s.pseudonym = ?", [subject]
        if visit is not None:
            where, values = where + " AND v.number = ?", [*values, str(visit)]
        joined = "FROM runs r JOIN visits v ON v.id = r.visit_id JOIN subjects s ON s.id = v.subject_id"
        head = "v.number AS visit, r.reader, r.revision, r.recorded_at"
        if not name:
            rest = "r.status, r.kind, r.sentence, r.date, r.key, r.folder, r.seconds, r.peak_mb"
            return self.query(f"SELECT {head}, {rest} {joined} WHERE {where} ORDER BY v.number, r.id", *values)
        numbers = "m.structure, m.number, m.name, m.value, m.unit, m.lower, m.upper, m.method"
        return self.query(
            f"SELECT {head}, {numbers} {joined} JOIN measurements m ON m.run_id = r.id WHERE {where} AND m.name = ? "
            "ORDER BY v.number, r.reader, m.structure, m.number, r.revision",
            *values,
            name,
        )
