"""The ledger's tables, one script per schema version, and the step from one version to the next."""

from __future__ import annotations

import sqlite3

from livervol.errors import LivervolError, refusal

__all__ = ["APPEND_ONLY", "APPLICATION_ID", "MIGRATIONS", "TABLES", "migrate", "version_of"]

#: "LVol" in the file's header tells a ledger from any other SQLite file.
APPLICATION_ID = 0x4C566F6C

#: Parents before children, so that rows can be copied in this order.
TABLES = (
    "subjects",
    "visits",
    "runs",
    "lesions",
    "measurements",
    "responses",
    "journal_heads",
    "sign_offs",
)

#: No row of these is ever changed or deleted: a new number is a new row.
APPEND_ONLY = TABLES

_VERSION_1 = """
CREATE TABLE migrations (
    version INTEGER PRIMARY KEY, program TEXT NOT NULL, applied_at TEXT NOT NULL);
CREATE TABLE subjects (
    id INTEGER PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE CHECK (pseudonym <> ''), created_at TEXT NOT NULL);
CREATE TABLE visits (
    id INTEGER PRIMARY KEY, subject_id INTEGER NOT NULL REFERENCES subjects(id),
    number INTEGER NOT NULL CHECK (number >= 0), created_at TEXT NOT NULL, UNIQUE (subject_id, number));
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, visit_id INTEGER NOT NULL REFERENCES visits(id),
    reader TEXT NOT NULL, revision INTEGER, status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    kind TEXT NOT NULL DEFAULT '', sentence TEXT NOT NULL DEFAULT '',
    date TEXT NOT NULL, key TEXT NOT NULL, signature TEXT NOT NULL, inputs_sha256 TEXT NOT NULL,
    folder TEXT NOT NULL, result_sha256 TEXT NOT NULL, attributes TEXT NOT NULL, provenance TEXT NOT NULL,
    seconds REAL, peak_mb REAL, attempt TEXT NOT NULL UNIQUE, recorded_at TEXT NOT NULL,
    UNIQUE (visit_id, reader, revision),
    CHECK ((status = 'done') = (revision IS NOT NULL)), CHECK ((status = 'failed') = (sentence <> '')));
CREATE INDEX runs_by_key ON runs(key);
CREATE TABLE lesions (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs(id),
    number INTEGER NOT NULL CHECK (number >= 1), site TEXT NOT NULL, state TEXT NOT NULL, entry TEXT NOT NULL,
    UNIQUE (run_id, number));
CREATE TABLE measurements (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs(id),
    lesion_id INTEGER REFERENCES lesions(id),
    structure TEXT NOT NULL, number TEXT NOT NULL, name TEXT NOT NULL, value REAL, unit TEXT NOT NULL,
    lower REAL, upper REAL, method TEXT NOT NULL,
    UNIQUE (run_id, structure, number, name));
CREATE TABLE responses (
    id INTEGER PRIMARY KEY, subject_id INTEGER NOT NULL REFERENCES subjects(id),
    reader TEXT NOT NULL, visit INTEGER NOT NULL, criterion TEXT NOT NULL, revision INTEGER NOT NULL,
    date TEXT NOT NULL, target TEXT NOT NULL, non_target TEXT NOT NULL, new_lesion TEXT NOT NULL,
    overall TEXT NOT NULL, sum_mm REAL, baseline_sum_mm REAL, nadir_sum_mm REAL,
    change_from_baseline_percent REAL, change_from_nadir_percent REAL, reasons TEXT NOT NULL,
    recorded_at TEXT NOT NULL, UNIQUE (subject_id, reader, visit, criterion, revision));
CREATE TABLE journal_heads (
    id INTEGER PRIMARY KEY, visit_id INTEGER NOT NULL REFERENCES visits(id), reader TEXT NOT NULL,
    head_sha256 TEXT NOT NULL, records INTEGER NOT NULL, recorded_at TEXT NOT NULL,
    UNIQUE (visit_id, reader, head_sha256));
CREATE TABLE sign_offs (
    id INTEGER PRIMARY KEY, visit_id INTEGER NOT NULL REFERENCES visits(id), reader TEXT NOT NULL,
    run_id INTEGER REFERENCES runs(id), head_sha256 TEXT NOT NULL, statement TEXT NOT NULL,
    signed_at TEXT NOT NULL, recorded_at TEXT NOT NULL, UNIQUE (visit_id, reader, head_sha256, signed_at));
CREATE VIEW current_runs AS SELECT * FROM runs AS r WHERE revision =
    (SELECT max(revision) FROM runs WHERE visit_id = r.visit_id AND reader = r.reader);
CREATE VIEW current_numbers AS
    SELECT s.pseudonym AS patient, v.number AS visit, r.date, r.reader, r.revision, m.structure, m.number, m.name,
           m.value, m.unit, m.lower, m.upper, m.method
    FROM current_runs r JOIN measurements m ON m.run_id = r.id
    JOIN visits v ON v.id = r.visit_id JOIN subjects s ON s.id = v.subject_id;
"""

_GUARD = """
CREATE TRIGGER {table}_never_{verb} BEFORE {VERB} ON {table}
BEGIN SELECT RAISE(ABORT, 'a row of {table} is never {verb}'); END;
"""


def _guards() -> str:
    verbs = (("changed", "UPDATE"), ("deleted", "DELETE"))
    return "".join(_GUARD.format(table=t, verb=verb, VERB=word) for t in APPEND_ONLY for verb, word in verbs)


#: Script n leads from version n to version n + 1; a released script is never edited.
MIGRATIONS: tuple[str, ...] = (_VERSION_1 + _guards(),)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of an open file; 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """The script's statements: executescript would commit before it starts."""
    found, buffer = [], ""
    for line in script.splitlines():
        buffer += line + "\n"
        if sqlite3.complete_statement(buffer):
            found.append(buffer)
            buffer = ""
    return found


def migrate(connection: sqlite3.Connection, *, program: str, now: str) -> int:
    """Bring the open file to the newest version, each step whole or not at all; returns the version it had.

    Raises ``LivervolError`` for a file that is no ledger or was written by a newer program.
    """
    connection.execute("BEGIN IMMEDIATE")  # two programs may open a new file at once
    try:
        had = version_of(connection)
        mark = int(connection.execute("PRAGMA application_id").fetchone()[0])
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if mark != APPLICATION_ID and not empty:
            raise LivervolError(refusal("file is not a ledger", expected="a livervol ledger", got="another database"))
        if had > len(MIGRATIONS):
            raise LivervolError(
                refusal(
                    "ledger is from a newer program",
                    expected=f"schema version {len(MIGRATIONS)} or older",
                    got=f"version {had}",
                    do="Install the newer livervol.",
                )
            )
        for number in range(had, len(MIGRATIONS)):
            for statement in _statements(MIGRATIONS[number]):
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number + 1, program, now))
        if had < len(MIGRATIONS):  # a sound file of today is not written to
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return had
