"""Two cores for one kernel: a nogil kernel run over slabs of its first axis by the caller and one helper thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["frozen", "over_slabs", "set_threads", "slab_edges", "thread_count"]

#: Below this many voxels the hand-over to a second thread (about 0.1 ms) costs more than it saves.
LEAST_VOXELS = 1 << 18

_threads = min(2, os.cpu_count() or 1)
_pool: ThreadPoolExecutor | None = None
_starting = Lock()


def set_threads(count: int) -> None:
    """Threads per kernel call from now on in this process: 1 inside a worker of a process pool, otherwise 2."""
    global _threads
    _threads = max(1, int(count))


def thread_count() -> int:
    """Threads that a kernel call may use in this process."""
    return _threads


def frozen(values: NDArray[Any]) -> NDArray[Any]:
    """The array, C-contiguous, as a view that cannot be written to: kernels that only read it are compiled once."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def slab_edges(count: int, voxels: int) -> list[int]:
    """Edges ``[0, ..., count]`` of the slabs that a loop over ``count`` planes of ``voxels`` in all is cut into."""
    # two slabs a thread: an organ seldom fills both halves of a scan alike
    parts = max(1, min(2 * _threads, count)) if voxels >= LEAST_VOXELS and _threads > 1 else 1
    return [count * part // parts for part in range(parts + 1)]


def over_slabs(kernel: Callable[..., Any], count: int, voxels: int, *arguments: Any) -> None:
    """Call ``kernel(*arguments, start, stop)`` over ``[0, count)``; slabs must not write to each other's voxels.

    The calling thread takes slabs too, and takes them all where the helpers are busy with someone else's.
    """
    pieces = list(pairwise(slab_edges(count, voxels)))
    following = iter(pieces)

    def work() -> None:
        for start, stop in following:  # one step of a list's iterator is atomic
            kernel(*arguments, start, stop)

    helpers = [_workers().submit(work) for _ in range(min(_threads, len(pieces)) - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():
                helper.result()


def _workers() -> ThreadPoolExecutor:
    global _pool
    with _starting:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, _threads - 1), thread_name_prefix="livervol-slab")
        return _pool


def _forget_pool() -> None:
    # threads do not survive a fork: a child must start its own
    global _pool, _starting
    _pool, _starting = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
