"""How far a batch is: time left, throughput, memory; a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["Board", "Pace"]

#: Seconds between two lines where there is no terminal.
LINE_SECONDS = 30.0

#: Completions the pace is taken from: enough to even out visits of different size, few enough to follow a change.
WINDOW = 40


@dataclass
class Pace:
    """Work done per second, from the last completions; work is in average visits."""

    total: float
    clock: Callable[[], float] = time.monotonic
    started: float = 0.0
    done: float = 0.0
    estimates: list[tuple[float, float]] = field(default_factory=list)
    _recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def start(self) -> None:
        """The first task goes out now."""
        self.started = self.clock()
        self._recent.append((self.started, 0.0))

    def ended(self, work: float, *, counts: bool = True) -> None:
        """So much work has left the queue; it ``counts`` for the pace unless it took no real time."""
        if not counts:
            self.total -= work
            return
        self.done += work
        self._recent.append((self.clock(), self.done))
        left = self.left_s()
        if left is not None:
            self.estimates.append((self.clock() - self.started, left))

    def per_second(self) -> float | None:
        """Work per second now; None before anything has ended."""
        (first, before), (last, after) = self._recent[0], self._recent[-1]
        return (after - before) / (last - first) if last > first and after > before else None

    def left_s(self) -> float | None:
        """Seconds until the work is done at this pace."""
        pace = self.per_second()
        return None if pace is None else max(0.0, self.total - self.done) / pace


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


class Board:
    """Shows a batch's state on stderr; use it as a context manager."""

    def __init__(self, visits: int, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._visits, self._last = visits, 0.0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            columns = (
                TextColumn("visits"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} {task.description}"),
            )
            self._bar = Progress(*columns, console=self._console)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._visits)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, settled: int, failed: int, running: int, pace: Pace, memory_mb: float) -> None:
        """The state now; called often, shown as often as is useful."""
        rate = pace.per_second()
        hourly = "–" if rate is None else f"{3600 * rate:.0f}"
        text = (
            f"{failed} failed, {running} running, {hourly} visits/h, {_span(pace.left_s())} left, "
            f"{memory_mb / 1024:.1f} GB"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=settled, description=text)
        elif time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self.say(f"{settled} of {self._visits} visits, {text}")

    def say(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
