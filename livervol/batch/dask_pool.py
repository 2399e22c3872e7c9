"""The dask executor: tasks go to the workers of a scheduler that is already there."""

from __future__ import annotations

from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

from livervol.batch.task import Outcome, VisitTask, perform, program_of
from livervol.errors import LivervolError, refusal

__all__ = ["DaskPool"]

#: Tasks handed in beyond the workers' threads, so that none waits for the coordinator.
AHEAD = 2

#: A scheduler that does not answer within this time is not there.
CONNECT_SECONDS = 20


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise LivervolError(
            refusal("dask is not installed", expected="the package distributed", got="none",
                    do='Run: pip install "livervol[cluster]".')
        ) from error  # fmt: skip


def _worker_program() -> str:
    return program_of()


class DaskPool:
    """Workers of an existing dask scheduler; they need this livervol, the same paths and one thread each."""

    local = False

    def __init__(self, address: str) -> None:
        self._dask = _distributed()
        try:
            self._client = self._dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise LivervolError(
                refusal("scheduler does not answer", expected="a dask scheduler", got=type(error).__name__,
                        where=address, do="Check the address, and that the scheduler runs.")
            ) from error  # fmt: skip
        self._futures: dict[Any, int] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._submitted = 0
        self._check_workers()

    def _check_workers(self) -> None:
        answers = self._client.run(_worker_program, on_error="return")
        for answer in answers.values():
            if answer != program_of():
                got = answer if isinstance(answer, str) else f"none ({type(answer).__name__})"
                self.close(now=True)
                raise LivervolError(
                    refusal("dask worker has another livervol", expected=program_of(), got=got,
                            do="Install the same wheel where the workers run.")
                )  # fmt: skip

    @property
    def width(self) -> int:
        """Threads of the workers there are now, and a few tasks ahead; at least those, while none has come yet."""
        return int(sum(self._client.ncores().values())) + AHEAD

    def submit(self, ticket: int, task: VisitTask) -> None:
        """Hand the task to the scheduler; a task whose worker dies is given to another by it."""
        self._submitted += 1
        name = f"livervol-visit-{ticket}-{self._submitted}"
        future = self._client.submit(perform, task, key=name, pure=False, retries=0)
        self._futures[future] = ticket
        future.add_done_callback(self._ended.put)

    def collect(self, timeout_s: float) -> list[tuple[int, Outcome | None]]:
        """Outcomes that came in; None for a task the scheduler gave up."""
        ended: list[tuple[int, Outcome | None]] = []
        try:
            future = self._ended.get(timeout=timeout_s)
            while True:
                ticket = self._futures.pop(future, None)
                if ticket is not None:
                    ended.append((ticket, future.result() if future.status == "finished" else None))
                    future.release()
                future = self._ended.get_nowait()
        except Empty:
            pass
        if not ended and self._client.status not in ("running", "connecting"):
            raise LivervolError(
                refusal("scheduler is gone", expected="a running dask scheduler", got=str(self._client.status),
                        do="Start it and run the batch again: what is done is kept.")
            )  # fmt: skip
        return ended

    def memory_mb(self) -> float:
        """Resident memory of the workers together, as they report it."""
        workers = self._client.scheduler_info(n_workers=-1).get("workers", {})
        return sum(float(w.get("metrics", {}).get("memory", 0)) for w in workers.values()) / 2**20

    def close(self, *, now: bool = False) -> None:
        """Leave the scheduler as it was found; with ``now`` what has not begun is taken back."""
        futures, self._futures = list(self._futures), {}
        if now and futures and self._client.status == "running":
            self._client.cancel(futures)
        self._client.close()
