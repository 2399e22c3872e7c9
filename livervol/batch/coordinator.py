"""The coordinator: hands out visits, keeps what happened, and can be stopped and started again at any moment.

Lesion numbers run through a patient's visits, so the visits of one patient are done in order, each leaning on the
results before it; those results are part of its name. A visit refused for what it is (corrupt, unreadable, two
patients) is passed over; one that failed for the machine's sake (worker killed, disk full) holds its patient's later
visits back until it is done, so that no result depends on what went wrong around it or on the order of execution.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from uuid import uuid4

from livervol.batch.budget import Budget
from livervol.batch.pool import Executor, LocalPool
from livervol.batch.progress import Board, Pace
from livervol.batch.record import LedgerRecorder, Recorder, ShardRecorder, exclusive
from livervol.batch.task import (
    RESULTS,
    TRANSIENT,
    Outcome,
    TaskSettings,
    VisitTask,
    discard,
    is_result,
    key_of,
    lost,
    model_hashes,
    program_of,
    result_folder,
    visit_files,
)
from livervol.batch.visits import VisitRow, VisitTable, signature_of
from livervol.errors import LivervolError, refusal
from livervol.ledger.rows import RunRecord

__all__ = ["BatchReport", "BatchSettings", "run_batch"]

WORKING = "working"

#: A visit whose worker dies is given to another so often before it is recorded as lost.
ATTEMPTS = 3


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is run; only ``task`` is part of the results' names.

    ``workers`` 0: one per core. ``shard`` (i, n): only the i-th of n parts, 1 <= i <= n. ``memory_mb`` None: four
    fifths of what is free. ``retry_failed``: try refused visits again even when nothing about them has changed.
    """

    task: TaskSettings = field(default_factory=TaskSettings)
    workers: int = 0
    scheduler: str = ""
    shard: tuple[int, int] | None = None
    memory_mb: float | None = None
    retry_failed: bool = False
    threads: int = 1


@dataclass
class BatchReport:
    """What a batch did: ``done`` visits have a result, ``found`` of them from before; ``failed`` with sentences.

    ``waiting`` visits come after one that has to be done first; ``stopped`` says why the batch ended early, else empty.
    ``estimates`` are (seconds since the start, seconds left as shown) at each visit's end.
    """

    visits: int = 0
    done: int = 0
    found: int = 0
    failed: list[tuple[VisitRow, str]] = field(default_factory=list)
    waiting: int = 0
    stopped: str = ""
    interrupted: bool = False
    seconds: float = 0.0
    peak_mb: float = 0.0
    estimates: list[tuple[float, float]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every visit has its result."""
        return self.done == self.visits


@dataclass(frozen=True)
class _Places:
    out: Path
    working: Path


@dataclass(eq=False)
class _Chain:
    """One patient's visits in order, and the keys of the results so far."""

    rows: Sequence[VisitRow]
    at: int = 0
    keys: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Ticket:
    chain: _Chain
    row: VisitRow
    task: VisitTask
    need_mb: float
    attempts: int = 0


def run_batch(
    table: VisitTable, out: str | Path, settings: BatchSettings | None = None, *, quiet: bool = False
) -> BatchReport:
    """Every visit of the table into ``out/results``, recorded in ``out/study.sqlite``; resumes what is there.

    A shard writes ``out/shards/*.jsonl`` instead of the ledger; the next run without a shard gathers them. SIGINT lets
    the visits under way finish, a second one or SIGTERM stops them; nothing is ever half written. Raises
    ``LivervolError`` when another batch runs in ``out``, or the scheduler cannot be used.
    """
    settings, out = settings or BatchSettings(), Path(out).resolve()
    rows = _of_shard(table.rows, settings.shard)
    name = "main" if settings.shard is None else f"shard-{settings.shard[0]}-of-{settings.shard[1]}"
    executor: Executor = _dask(settings.scheduler) if settings.scheduler else LocalPool(_workers(settings))
    try:
        (out / RESULTS).mkdir(parents=True, exist_ok=True)
        with exclusive(out / WORKING / f"{name}.lock"):
            for left in [*(out / WORKING).glob(f"{name}@*"), *(out / WORKING).glob("gone-*")]:  # of a killed batch
                discard(left)
            return _run(VisitTable(table.root, rows), out, name, settings, executor, quiet)
    finally:
        executor.close(now=True)


def _run(
    table: VisitTable, out: Path, name: str, settings: BatchSettings, executor: Executor, quiet: bool
) -> BatchReport:
    working = out / WORKING / f"{name}@{uuid4().hex[:8]}"
    recorder: Recorder = LedgerRecorder(out) if settings.shard is None else ShardRecorder(out, name)
    try:
        job = _Coordinator(table, _Places(out, working), settings, recorder, executor)
        with Board(len(table.rows), quiet=quiet) as board, _signals(job):
            return job.run(board)
    finally:
        recorder.close()
        discard(working)


def _dask(address: str) -> Executor:
    from livervol.batch.dask_pool import DaskPool

    return DaskPool(address)


def _workers(settings: BatchSettings) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.workers or cores


def _kernels_compiled() -> bool:
    """Whether numba's cache beside the kernels holds anything."""
    return any((Path(__file__).resolve().parents[1] / "kernels" / "__pycache__").glob("*.nbi"))


def _of_shard(rows: Sequence[VisitRow], shard: tuple[int, int] | None) -> tuple[VisitRow, ...]:
    """The rows of every n-th patient: a patient's visits stay together."""
    if shard is None:
        return tuple(rows)
    index, count = shard
    if not 1 <= index <= count:
        raise LivervolError(refusal("shard", expected="i/n with 1 <= i <= n", got=f"{index}/{count}"))
    subjects = sorted({row.subject for row in rows})
    mine = set(subjects[index - 1 :: count])
    return tuple(row for row in rows if row.subject in mine)


@contextmanager
def _signals(job: _Coordinator) -> Iterator[None]:
    """SIGINT and SIGTERM ask the job to stop while inside; elsewhere than in the main thread they are left alone."""

    def ask(number: int, _: FrameType | None) -> None:
        job.ask_to_stop(now=job.stopping or number == signal.SIGTERM)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Coordinator:
    """One run over the table; see ``run_batch``."""

    def __init__(
        self, table: VisitTable, places: _Places, settings: BatchSettings, recorder: Recorder, executor: Executor
    ) -> None:
        self.table, self.out, self.working, self.settings = table, places.out, places.working, settings
        self.recorder, self.executor = recorder, executor
        self.report = BatchReport(visits=len(table.rows))
        self.budget = Budget(settings.memory_mb)
        self.states = dict(recorder.states())
        self.stopping = self.now = False
        self.ready: list[_Ticket] = []
        self.running: dict[int, _Ticket] = {}
        self.tickets = 0
        self.signatures: dict[int, str] = {}
        self.bytes: dict[int, int] = {}
        self.pace = Pace(0.0)
        self.compiled = _kernels_compiled()

    def ask_to_stop(self, *, now: bool) -> None:
        """Hand out nothing more; with ``now`` do not wait for the visits under way either."""
        self.report.interrupted = self.stopping = True
        self.now = self.now or now
        self.report.stopped = self.report.stopped or "interrupted"

    def run(self, board: Board) -> BatchReport:
        """Until nothing is left or somebody asks to stop."""
        begun = time.monotonic()
        self._look_at_files()
        for chain in self._chains():
            self._advance(chain)
        self.pace.start()
        told = False
        try:
            while self.running or (self.ready and not self.stopping):
                if self.now:
                    break
                if self.stopping and not told:
                    board.say(f"stopping: {len(self.running)} visits under way are finished first")
                    told = True
                self._hand_out()
                for ticket, outcome in self.executor.collect(0.5):
                    self._take(self.running.pop(ticket), outcome)
                self._show(board)
        finally:
            self.executor.close(now=bool(self.running))
        self.report.seconds = time.monotonic() - begun
        self.report.estimates = self.pace.estimates
        self.report.waiting = self.report.visits - self.report.done - len(self.report.failed)
        return self.report

    def _look_at_files(self) -> None:
        """Signature and size of every visit's files; what cannot be listed is left for the visit's own refusal."""
        for row in self.table.rows:
            try:
                files = visit_files(self.table.root, row)
                self.signatures[row.row], self.bytes[row.row] = signature_of(files)
            except (LivervolError, OSError):
                self.bytes[row.row] = 0
        self.pace.total = sum(self._work(row) for row in self.table.rows)

    def _work(self, row: VisitRow) -> float:
        """A visit's work in average visits: half of it goes with the size of its files."""
        mean = sum(self.bytes.values()) / len(self.bytes)
        return 0.5 + 0.5 * (self.bytes[row.row] / mean if mean else 1.0)

    def _chains(self) -> list[_Chain]:
        by_subject: dict[str, list[VisitRow]] = {}
        for row in self.table.rows:
            by_subject.setdefault(row.subject, []).append(row)
        # the longest first: they would otherwise be what everybody waits for at the end
        return sorted((_Chain(rows) for rows in by_subject.values()), key=lambda c: -len(c.rows))

    def _advance(self, chain: _Chain) -> None:
        """Pass over what is settled already; make the chain's next visit ready."""
        while chain.at < len(chain.rows):
            row = chain.rows[chain.at]
            task = self._task(row, chain)
            if not self._settled(task, chain):
                need = self.budget.estimate_mb(self.bytes[row.row])
                self.ready.append(_Ticket(chain, row, task, need))
                return
            chain.at += 1
            self.pace.ended(self._work(row), counts=False)

    def _task(self, row: VisitRow, chain: _Chain) -> VisitTask:
        # lesions somebody has drawn keep the numbers he gave them
        numbered = not row.words or "lesions" in dict(row.masks)
        return VisitTask(
            row,
            self.table.root,
            self.out,
            self.working,
            self.settings.task,
            program_of(),
            model_hashes(),
            () if numbered else tuple(chain.keys),
            self.settings.threads,
        )

    def _settled(self, task: VisitTask, chain: _Chain) -> bool:
        """Whether an earlier run did or refused this very task, by what it recorded and the files as they are now."""
        row = task.row
        state = self.states.get((row.subject, row.visit))
        if state is None or not state.signature or state.signature != self.signatures.get(row.row):
            return False
        if state.key != key_of(task, state.inputs_sha256):
            return False
        if state.status == "done":
            if not is_result(result_folder(self.out, state.key)):
                return False
            chain.keys.append(state.key)
            self.report.done += 1
            self.report.found += 1
            return True
        if state.kind in TRANSIENT or self.settings.retry_failed:
            return False
        self.report.failed.append((row, state.sentence))
        return True

    def _hand_out(self) -> None:
        # the very first visit on a machine compiles the kernels for all: the others would do the same work beside it
        width = 1 if self.executor.local and not self.compiled else self.executor.width
        while self.ready and not self.stopping and len(self.running) < width:
            fits = (t for t in self.ready if self.budget.fits(t.need_mb, [r.need_mb for r in self.running.values()]))
            ticket = next(fits, None) if self.executor.local else self.ready[0]
            if ticket is None:
                return
            self.ready.remove(ticket)
            self.tickets += 1
            self.running[self.tickets] = ticket
            self.executor.submit(self.tickets, ticket.task)

    def _take(self, ticket: _Ticket, outcome: Outcome | None) -> None:
        ticket.attempts += 1
        if outcome is None:
            if ticket.attempts < ATTEMPTS:
                self.ready.insert(0, ticket)
                return
            outcome = lost(ticket.row, ticket.attempts)
        self._record(ticket.row, outcome)
        self.pace.ended(self._work(ticket.row), counts=not (outcome.found or outcome.kind))
        self.report.peak_mb = max(self.report.peak_mb, outcome.peak_mb)
        chain = ticket.chain
        if not outcome.kind:
            self.report.done += 1
            self.report.found += outcome.found
            chain.keys.append(outcome.key)
            self.compiled = True
            if not outcome.found:
                self.budget.learn(self.bytes[ticket.row.row], outcome.peak_mb)
        else:
            self.report.failed.append((ticket.row, outcome.sentence))
            if outcome.kind == "disk":
                self.stopping, self.report.stopped = True, outcome.sentence
            if outcome.transient:
                return
        chain.at += 1
        self._advance(chain)

    def _record(self, row: VisitRow, outcome: Outcome) -> None:
        self.recorder.add(
            RunRecord(
                subject=row.subject,
                visit=row.visit,
                key=outcome.key,
                date=outcome.date or row.date,
                kind=outcome.kind,
                sentence=outcome.sentence,
                signature=outcome.signature,
                inputs_sha256=outcome.inputs_sha256,
                folder="" if outcome.kind else f"{RESULTS}/{outcome.key}",
                result_sha256=outcome.result_sha256,
                attributes=dict(outcome.attributes),
                seconds=round(outcome.seconds, 3),
                peak_mb=round(outcome.peak_mb, 1),
            )
        )

    def _show(self, board: Board) -> None:
        settled = self.report.done + len(self.report.failed)
        board.show(settled, len(self.report.failed), len(self.running), self.pace, self.executor.memory_mb())
