"""Numbers behind the drawing: one worker thread that always computes for the newest state and drops the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from livervol.errors import LivervolError

__all__ = ["LatestOnly"]


class LatestOnly:
    """Runs ``work`` in one thread; asking again while it runs makes it run once more, whatever came in between.

    ``done(result, seconds)`` gets the result of the newest request and the time since it was asked,
    ``failed(sentence)`` a refusal. A result that is already out of date is never sent. Both are called in the
    worker's thread.
    """

    def __init__(
        self,
        work: Callable[[], Any],
        done: Callable[[Any, float], Any],
        failed: Callable[[str], Any],
    ) -> None:
        self._work, self._done, self._failed = work, done, failed
        self._wake = threading.Condition()
        self._asked = self._answered = 0
        self._asked_at = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="livervol numbers", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """The state has changed: compute for it."""
        with self._wake:
            self._asked += 1
            self._asked_at = time.perf_counter()
            self._wake.notify()

    @property
    def busy(self) -> bool:
        """True while an answer to the newest question is outstanding."""
        return self._answered < self._asked

    def close(self) -> None:
        """Stop after what is being computed."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout=10)

    def _loop(self) -> None:
        while True:
            with self._wake:
                while self._answered >= self._asked and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                ticket, asked_at = self._asked, self._asked_at
            result, error = None, ""
            try:
                result = self._work()
            except LivervolError as refusal:
                error = str(refusal)
            with self._wake:
                stale = self._closed or ticket != self._asked
            if error and not stale:
                self._failed(error)
            elif not stale:
                self._done(result, time.perf_counter() - asked_at)
            with self._wake:
                # not before it has been sent: whoever waits for the answer looks at this
                self._answered = ticket
