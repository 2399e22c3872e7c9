"""A second thread for whole steps: what does not wait for the caller's next step is begun beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Self, TypeVar

from livervol.kernels.slabs import thread_count

__all__ = ["Beside"]

T = TypeVar("T")


class Beside:
    """Steps begun now whose results are asked for later; a context: leaving it waits for what still runs.

    Where two threads are allowed (:func:`livervol.kernels.slabs.set_threads`) steps run on a second one, in the order
    in which they were begun. Where one is allowed each runs when its result is first asked for, in the caller: results
    are the same as long as steps change nothing that another reads. A step may ask for results of steps begun before
    it. What a step raises is raised where its result is asked for.
    """

    def __init__(self, threads: int | None = None) -> None:
        """``threads``: as the process allows unless said."""
        several = (threads or thread_count()) > 1
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="livervol-beside") if several else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, step: Callable[[], T]) -> Callable[[], T]:
        """Begin a step; what is returned gives its result, however often it is called."""
        if self._pool is not None:
            # settings that belong to the caller's context, as numpy's of floating point errors, go with it
            return self._pool.submit(copy_context().run, step).result
        return _when_asked(step)

    def share(self, steps: Sequence[Callable[[], T]]) -> list[Callable[[], T]]:
        """Steps of equal rank: every second one begun beside the caller, the others left to it until asked for."""
        return [self.begin(step) if n % 2 else _when_asked(step) for n, step in enumerate(steps)]


def _when_asked(step: Callable[[], T]) -> Callable[[], T]:
    results: list[T] = []

    def result() -> T:
        if not results:
            results.append(step())
        return results[0]

    return result
