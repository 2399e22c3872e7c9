"""Viability of added lesions, judged behind the drawing; a lesion that is changed meanwhile is judged anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QTimer

from livervol.errors import LivervolError
from livervol.workflows.reading_viability import JudgedViability, apply_viability, viability_task, waiting_lesions
from napari_livervol.desk import Desk

__all__ = ["Judging"]

#: How long an answer waits before it tries again while another job has the masks (ms).
_AGAIN_MS = 200


class Judging:
    """One task at a time on one desk; what is asked for meanwhile is judged next."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._worker: Any = None
        self._wanted: set[int] = set()
        self._closed = False

    @property
    def running(self) -> bool:
        """True while a lesion is judged or its answer is outstanding."""
        return self._worker is not None

    def ask(self, numbers: Sequence[int] = ()) -> None:
        """Judge these lesions and those that wait."""
        self._wanted |= {*numbers, *waiting_lesions(self.desk.reading)}
        if not self.running and self._wanted and not self.desk.reading.locked:
            self._start()

    def close(self) -> None:
        """Let go of the desk; an answer that comes later is dropped, the lesion waits until the next opening."""
        self._closed = True

    def _start(self) -> None:
        chosen = sorted(self._wanted & set(self.desk.reading.lesion_numbers))
        self._wanted.clear()
        if not chosen:
            return
        reading = self.desk.reading

        def guarded() -> JudgedViability | LivervolError:
            # a refusal is an answer, not a crash
            try:
                with reading.still:
                    task = viability_task(reading, chosen)
                return task.run()
            except LivervolError as error:
                return error

        words = ", ".join(map(str, chosen))
        self.desk.said.emit(f"lesion {words}: judging its viability …")
        self._worker = create_worker(guarded, _connect={"returned": self._answered}, _start_thread=False)
        self._worker.start()

    def _answered(self, found: JudgedViability | LivervolError) -> None:
        if self._closed:
            self._worker = None
            return
        if isinstance(found, LivervolError):
            self._worker = None
            self.desk.refused.emit(str(found))
            return
        if self.desk.paused:
            QTimer.singleShot(_AGAIN_MS, lambda: self._answered(found))
            return
        self._worker = None
        numbers = [one.number for one in found.lesions]
        before = self.desk.reading.version
        self.desk.do(lambda: apply_viability(self.desk.reading, found))
        if self.desk.reading.version > before:
            words = ", ".join(map(str, sorted(numbers)))
            told = f"lesion {words}: viability computed, {found.method.split(' after ')[0]}"
            self.desk.said.emit("; ".join([told, *found.warnings]))
        elif not self.desk.reading.locked:
            # drawn on meanwhile, or nothing to change
            self._wanted |= set(waiting_lesions(self.desk.reading))
        if self._wanted:
            self._start()
