"""Executors behind one interface, and the local one: worker processes of which any may die without loss."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from livervol.batch.memory import resident_mb
from livervol.batch.task import Outcome, VisitTask, perform

__all__ = ["Executor", "LocalPool"]

#: A worker is replaced after so many visits, or when it has grown by this factor since its first one: libraries keep
#: memory they were given once.
VISITS_PER_WORKER = 64
GROWTH = 1.5

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


class Executor(Protocol):
    """Runs tasks somewhere; ``collect`` gives (ticket, outcome), the outcome None when the worker was lost."""

    #: Whether the workers share this machine's memory and compiled kernels.
    local: bool

    @property
    def width(self) -> int:
        """How many tasks may be handed in at once."""

    def submit(self, ticket: int, task: VisitTask) -> None:
        """Hand in a task under a number of the caller's."""

    def collect(self, timeout_s: float) -> list[tuple[int, Outcome | None]]:
        """What has ended since the last call; waits at most so long for the first."""

    def memory_mb(self) -> float:
        """Resident memory of the workers together; 0 when they are elsewhere."""

    def close(self, *, now: bool = False) -> None:
        """End the workers; with ``now`` in the middle of their visits."""


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children started inside have one thread per library unless the user has said otherwise."""
    missing = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, "1"))
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]


def _die_with(alive: Connection) -> None:
    """End this process when the coordinator's end of ``alive`` closes, however the coordinator died."""

    def watch() -> None:
        try:
            alive.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True, name="livervol-alive").start()


def serve(tasks: Connection, alive: Connection) -> None:
    """A worker's life: take a task, send its outcome, until None comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides what an interrupt means
    _die_with(alive)
    while True:
        try:
            task = tasks.recv()
        except EOFError:
            return
        if task is None:
            return
        tasks.send(perform(task))


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    tasks: Connection
    alive: Connection
    ticket: int | None = None
    served: int = 0
    first_mb: float = 0.0

    def worn(self) -> bool:
        """Whether it should be replaced before its next visit."""
        now_mb = resident_mb([self.process.pid or 0])
        self.first_mb = self.first_mb or now_mb
        return self.served >= VISITS_PER_WORKER or now_mb > GROWTH * self.first_mb


class LocalPool:
    """Worker processes on this machine, started clean (forkserver or spawn), each with one task at a time."""

    local = True

    def __init__(self, workers: int) -> None:
        method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
        self._context: Any = get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["livervol.workflows.visit", "livervol.batch.pool"])
        self._width = max(1, workers)
        self._workers: list[_Worker] = []

    @property
    def width(self) -> int:
        """The number of workers."""
        return self._width

    def pids(self) -> list[int]:
        """Process numbers of the workers under way."""
        return [worker.process.pid for worker in self._workers if worker.process.pid]

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        watched, held = self._context.Pipe(duplex=False)
        process = self._context.Process(target=serve, args=(theirs, watched), daemon=True)
        with _one_thread_each():
            process.start()
        theirs.close()
        watched.close()
        worker = _Worker(process, ours, held)
        self._workers.append(worker)
        return worker

    def _retire(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.tasks.close()
        worker.alive.close()
        worker.process.join(5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()

    def submit(self, ticket: int, task: VisitTask) -> None:
        """Give the task to a free worker, started if need be; the caller keeps within ``width``."""
        free = next((w for w in self._workers if w.ticket is None), None) or self._start()
        free.ticket = ticket
        with suppress(OSError):  # it died while idle: collect() finds it and reports the ticket as lost
            free.tasks.send(task)

    def collect(self, timeout_s: float) -> list[tuple[int, Outcome | None]]:
        """Outcomes that came in; None for the task of a worker that died."""
        busy = [w for w in self._workers if w.ticket is not None]
        ready = wait([x for w in busy for x in (w.tasks, w.process.sentinel)], timeout_s)
        ended: list[tuple[int, Outcome | None]] = []
        for worker in busy:
            if worker.tasks not in ready and worker.process.sentinel not in ready:
                continue
            assert worker.ticket is not None
            try:
                outcome = worker.tasks.recv() if worker.tasks.poll() else None
            except (EOFError, OSError):
                outcome = None
            ended.append((worker.ticket, outcome))
            worker.ticket, worker.served = None, worker.served + 1
            if outcome is None or worker.worn():
                self._retire(worker)
        return ended

    def memory_mb(self) -> float:
        """Resident memory of the workers together."""
        return resident_mb(self.pids())

    def close(self, *, now: bool = False) -> None:
        """End the workers: after their visits, or at once."""
        for worker in list(self._workers):
            if now:
                worker.process.kill()
            self._retire(worker)
