"""Long work off the window's thread: one job at a time, with its progress shown and a way to cancel it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from livervol.errors import LivervolError
from napari_livervol.desk import Desk
from napari_livervol.guide import Guide

__all__ = ["Cancelled", "Courier", "Jobs"]


class Courier(QObject):
    """Carries results from a worker's thread into the window's."""

    done = Signal(object, float)
    failed = Signal(str)


class Cancelled(LivervolError):
    """The reader has cancelled; raised inside the job at its next progress message."""


class Jobs:
    """Runs ``work(progress)`` in a thread; its result goes to ``then`` in the window's thread."""

    def __init__(self, guide: Guide) -> None:
        self.guide = guide
        self._stop = threading.Event()
        self._worker: Any = None

    @property
    def running(self) -> bool:
        """True while a job runs."""
        return self._worker is not None

    def refuses(self) -> bool:
        """True, and a sentence, while another job runs."""
        if self.running:
            self.guide.refuse("Something else is still running: wait for it, or cancel it.")
        return self.running

    def run(
        self,
        text: str,
        work: Callable[[Callable[[str], None]], Any],
        then: Callable[[Any], Any],
        *,
        pause: Desk | None = None,
    ) -> bool:
        """Start a job; False (and a sentence) when another one runs. ``pause`` is a desk whose edits wait for it."""
        if self.refuses():
            return False
        stop = self._stop = threading.Event()

        def progress(words: str) -> None:
            if stop.is_set():
                raise Cancelled(f"cancelled: {text}")

        def guarded() -> Any:
            # a refusal is an answer, not a crash: it comes back as a value
            try:
                return work(progress)
            except LivervolError as error:
                return error

        if pause is not None:
            pause.paused = text

        def returned(result: Any) -> None:
            self._worker = None
            if pause is not None:
                pause.paused = ""
            self.guide.working("")
            if stop.is_set():
                self.guide.say(f"Cancelled: {text}")
            elif isinstance(result, LivervolError):
                self.guide.refuse(str(result))
            else:
                then(result)

        self._worker = create_worker(guarded, _connect={"returned": returned}, _start_thread=False)
        self.guide.working(text, stop.set)
        self._worker.start()
        return True
