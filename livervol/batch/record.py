"""Where a batch writes down what happened: the study's ledger, or, in a shard, a file of lines gathered later."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from livervol.batch.task import TASK_FILE, is_result
from livervol.errors import LivervolError, refusal
from livervol.files import write_text
from livervol.ledger.rows import LesionEntry, Number, RunRecord
from livervol.ledger.store import Ledger, VisitState, open_ledger

__all__ = ["INDEX", "LEDGER", "LedgerRecorder", "Recorder", "ShardRecorder", "State", "exclusive", "numbers_of"]

LEDGER = "study.sqlite"
INDEX = "index.csv"
SHARDS = "shards"


#: What a resumed batch knows of a visit's last attempt: status, kind, sentence, key, signature, inputs_sha256.
State = VisitState | RunRecord


class Recorder(Protocol):
    """Keeps every attempt; safe against the end of the program at any moment."""

    def states(self) -> Mapping[tuple[str, int], State]:
        """The last attempt at every visit, by pseudonym and visit number."""

    def add(self, run: RunRecord) -> None:
        """Keep one attempt; it is on the disk when this returns."""

    def close(self) -> None:
        """Nothing more comes."""


def numbers_of(folder: Path) -> tuple[tuple[Number, ...], tuple[LesionEntry, ...], dict[str, Any]]:
    """The numbers, lesions and provenance of a result folder, in full precision."""

    def number(text: str) -> float | None:
        return float(text) if text else None

    with (folder / "measurements.csv").open(encoding="utf-8", newline="") as handle:
        rows = [
            Number(r["structure"], r["number"], r["name"], number(r["value"]), r["unit"], number(r["lower"]),
                   number(r["upper"]), r["method"])
            for r in csv.DictReader(handle)
        ]  # fmt: skip
    document = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))
    lesions = [LesionEntry(e["number"], e["site"], e["state"], e) for e in document["lesions"]]
    made_from = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    return tuple(rows), tuple(lesions), {**document["provenance"], "task": made_from}


class LedgerRecorder:
    """Writes the study's ledger; gathers what shards have left first."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.ledger: Ledger = open_ledger(out / LEDGER)
        known = {row["attempt"] for row in self.ledger.query("SELECT attempt FROM runs")}
        for path in sorted((out / SHARDS).glob("*.jsonl")):
            for run in _lines(path):
                if run.attempt in known:
                    continue
                # what a shard wrote may have been moved away since
                if run.status == "failed" or is_result(out / run.folder):
                    self.add(run)

    def states(self) -> Mapping[tuple[str, int], State]:
        """The last attempt at every visit."""
        return self.ledger.states()

    def add(self, run: RunRecord) -> None:
        """Record an attempt, with the numbers its folder holds."""
        if run.status == "done":
            numbers, lesions, provenance = numbers_of(self.out / run.folder)
            run = replace(run, numbers=numbers, lesions=lesions, provenance=provenance)
        self.ledger.record(run)

    def close(self) -> None:
        """Write the index of visits and close the ledger."""
        try:
            text = io.StringIO()
            table = csv.writer(text, lineterminator="\n")
            table.writerow(("patient", "visit", "date", "status", "revision", "folder", "sentence"))
            for s in self.ledger.states().values():
                table.writerow((s.subject, s.visit, s.date, s.status, s.revision, s.folder, s.sentence))
            write_text(self.out / INDEX, text.getvalue(), overwrite=True)
        finally:
            self.ledger.close()


class ShardRecorder:
    """Appends one line per attempt to the shard's own file: no database is shared between machines."""

    def __init__(self, out: Path, name: str) -> None:
        self.path = out / SHARDS / f"{name}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._states = {(run.subject, run.visit): run for run in _lines(self.path)}
        self._handle = self.path.open("ab")
        if self._handle.tell() and not self.path.read_bytes().endswith(b"\n"):
            self._handle.write(b"\n")  # a line torn by a crash stays alone

    def states(self) -> Mapping[tuple[str, int], State]:
        """The last attempt at every visit of the shard."""
        return self._states

    def add(self, run: RunRecord) -> None:
        """Append an attempt and sync it."""
        try:
            self._handle.write(json.dumps(asdict(run), ensure_ascii=True).encode() + b"\n")
            self._handle.flush()
            os.fsync(self._handle.fileno())
        except OSError as error:
            raise LivervolError(
                refusal("shard file cannot be written", expected="free space", got=error.strerror or "an error",
                        where=self.path.name, do="Free space, then run the shard again.")
            ) from error  # fmt: skip
        self._states[run.subject, run.visit] = run

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def _lines(path: Path) -> Iterator[RunRecord]:
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue  # torn by a crash: that visit is simply tried again
        yield RunRecord(**{**values, "lesions": (), "numbers": ()})


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the file as a lock while inside; it is let go even when the program is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock: Callable[[int], None]
    try:
        import fcntl
    except ImportError:  # Windows: opening for writing is all the lock there is

        def lock(_: int) -> None:
            return
    else:

        def lock(descriptor: int) -> None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with path.open("w", encoding="utf-8") as handle:
        try:
            lock(handle.fileno())
        except OSError as error:
            raise LivervolError(
                refusal("batch is already running", expected="one at a time in a folder", got="another",
                        where=path.parent.name, do="Wait for it, or stop it.")
            ) from error  # fmt: skip
        yield
