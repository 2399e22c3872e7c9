"""A reader's session on one visit: live masks, journalled edits, numbers that follow, saving and signing off.

    reading = Reading.open("out/visit_2", "R1", earlier=["out/visit_1"])
    canvas = reading.canvas("liver", phase="portal_venous")
    reading.apply(paint(canvas, points_zyx, Brush(5.0), 1))
    reading.refresh().flr_percent
    reading.undo()
    save(reading); sign_off(reading)            # livervol.workflows.reading_save

``masks`` are uint16 arrays [z, y, x] on ``grid`` that change in place: show them, never write into them. ``apply``
takes a ``Change`` or a ``Step`` from ``livervol.edit``, completes it so that structures stay nested, writes the journal
(synced) and returns the step made. ``refresh`` may run in a worker thread; ``apply``, ``undo`` and ``redo`` belong to
one thread. A reading sees no other reader's work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change, Setting, Step, applied_settings
from livervol.edit.journal import Journal, Record, State, history, rebuild
from livervol.edit.nesting import completed
from livervol.errors import LivervolError, refusal
from livervol.measure.standard_volume import PatientSize
from livervol.records import Visit
from livervol.scan import Scan
from livervol.workflows.reading_folder import (
    JOURNAL,
    MASKS,
    VisitFiles,
    lock_reason,
    read_document,
    reader_folder,
    tidy_half_written,
    visit_files,
)
from livervol.workflows.reading_intervals import KnownIntervals
from livervol.workflows.reading_now import CRITERIA, Measured, Whose, canvas_of, is_evaluable, numbers_of
from livervol.workflows.reading_numbers import LiveMeasurements
from livervol.workflows.reading_start import ReadingSettings, beginning, earlier_visit
from livervol.workflows.reading_table import Numbers

__all__ = ["CRITERIA", "Reading", "ReadingSettings"]


class Reading:
    """One reader's work on one visit. Use ``Reading.open``; close it, or use it in a ``with``."""

    def __init__(self, files: VisitFiles, reader: str, journal: Journal, earlier: Sequence[Visit]) -> None:
        # the journal holds the masks it began with; a second copy in memory would be as large as the scans
        self.files, self.reader, self.journal = replace(files, masks={}), reader, journal
        self.grid = files.grid
        self.earlier = tuple(earlier)
        self.state = rebuild(journal.records)
        #: Held: nobody edits meanwhile.
        self.still = threading.RLock()
        #: Held while the folder is written.
        self.writing = threading.RLock()
        self._patient: PatientSize | None = None
        self._live = LiveMeasurements(self.state.masks, self.grid)
        self._numbers: Numbers | None = None
        saved = read_document(self.folder / "measurements.json")
        self._saved_head = str(saved.get("journal", {}).get("head", ""))
        self._known = KnownIntervals.of_document(saved or files.document)

    @classmethod
    def open(
        cls,
        visit: str | Path,
        reader: str,
        *,
        earlier: Sequence[str | Path] = (),
        settings: ReadingSettings | None = None,
    ) -> Reading:
        """Open or go on with a reader's work on a visit's output folder.

        ``earlier`` are the output folders of the course's earlier visits in order: the same reader's numbers are taken
        where there are any, else the machine's. What a crash cut off is told by ``recovered``. Raises
        ``LivervolError`` for a folder that is no visit, a damaged journal and one that another window holds.
        """
        settings = settings or ReadingSettings()
        folder = reader_folder(visit, reader)
        files = visit_files(visit, settings.inputs)
        path = folder / JOURNAL
        if path.is_file():
            journal = Journal.open(path, reader, repair=settings.repair)
        else:
            journal = Journal.start(path, reader, beginning(files, settings))
        tidy_half_written(folder)
        before = tuple(earlier_visit(Path(v), reader, n) for n, v in enumerate(earlier, 1))
        reading = cls(files, reader, journal, before)
        reading._patient = reading._live.patient = settings.patient
        return reading

    # -- what is there ------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """``readers/<reader>`` of the visit."""
        return reader_folder(self.files.visit, self.reader)

    @property
    def masks(self) -> Mapping[str, NDArray[np.uint16]]:
        """Live masks by name; they change in place."""
        return MappingProxyType(self.state.masks)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The reader's decisions by key."""
        return MappingProxyType(self.state.settings)

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the scans that can be shown."""
        return self.files.shelf.names

    def scan(self, phase: str) -> Scan:
        """A phase's scan on the masks' grid, read when first asked for."""
        return self.files.shelf.get(phase)

    @property
    def locked(self) -> str:
        """Why edits are refused; empty when they are not."""
        return lock_reason(self.files.visit, self.reader)

    @property
    def recovered(self) -> str:
        """What a crash cut off, in one sentence; empty when nothing."""
        return self.journal.recovered

    @property
    def trouble(self) -> str:
        """Why edits are not on the disk, in one sentence; empty when they are."""
        return self.journal.trouble

    @property
    def version(self) -> int:
        """Number of the last journal record: grows with every edit."""
        return len(self.journal.records) - 1

    @property
    def unsaved(self) -> bool:
        """True when the masks and numbers in the folder are older than the journal."""
        return self._saved_head != self.journal.head

    def mark_saved(self, head: str, known: KnownIntervals) -> None:
        """Take note that the folder now holds what the journal said up to ``head``, with these intervals."""
        with self.still:
            self._saved_head, self._known, self._numbers = head, known, None

    def note(self, tool: str, **words: Any) -> None:
        """Journal something that changes no mask and no decision."""
        with self.still:
            self.journal.note(tool, **words)

    @property
    def can_undo(self) -> bool:
        """True when there is a step to undo."""
        return self.next_undo is not None

    @property
    def can_redo(self) -> bool:
        """True when there is a step to redo."""
        return self.next_redo is not None

    @property
    def next_undo(self) -> Step | None:
        """The step that ``undo`` would undo."""
        return self._top(0)

    @property
    def next_redo(self) -> Step | None:
        """The step that ``redo`` would do again."""
        return self._top(1)

    def _top(self, which: int) -> Step | None:
        stack = history(self.journal.records)[which]
        return self.journal.records[stack[-1]].step if stack else None

    @property
    def lesion_numbers(self) -> tuple[int, ...]:
        """Numbers of the lesions that have voxels, increasing."""
        return self._live.numbers

    def box_of(self, number: int) -> Box | None:
        """The smallest box around a lesion; None when it has no voxel."""
        return self._live.box_of(number)

    @property
    def extrahepatic(self) -> frozenset[int]:
        """Numbers of lesions whose site is not the liver."""
        return _outside(self.state.settings)

    def canvas(self, mask: str, *, phase: str = "", number: int | None = None) -> Canvas:
        """What to draw on: a mask with a phase under it.

        Viable and uncertain tissue can only be drawn inside the lesion of that ``number``; segments and vessels may be
        drawn over each other, lesions never over another lesion. A mask that is not there yet starts empty.
        """
        voxels = self.scan(phase).voxels if phase else None
        return canvas_of(self.state.masks, self.grid.spacing_mm, mask, voxels, number)

    # -- edits --------------------------------------------------------------------------------------------------

    def apply(self, edit: Change | Step, reason: str = "") -> Step:
        """Make an edit: completed by what it must take along, applied, journalled. Returns the step made.

        An edit that changes nothing is not journalled. Raises ``LivervolError`` when the visit is locked or the edit
        was made from another state of the mask; then nothing has changed.
        """
        self.require_open()
        step = Step(edit.tool, (edit,), (), edit.reason) if isinstance(edit, Change) else edit
        drawn = self._drawn_on(step)
        step = completed(self.state.masks, step, _outside(applied_settings(self.state.settings, step.settings)))
        more = (*self._made(step), *drawn)
        step = replace(step, reason=reason or step.reason, settings=(*step.settings, *more))
        if step.is_empty:
            return step
        with self.still:
            self._do(step)
            self.journal.append(step)
        return step

    def undo(self) -> Step | None:
        """Undo the last step, across masks, decisions and sessions; None when there is none."""
        return self._walk(0)

    def redo(self) -> Step | None:
        """Redo the step undone last; None when there is none."""
        return self._walk(1)

    def set(self, values: Mapping[str, Any], tool: str, reason: str = "") -> Step:
        """Journal decisions that are not voxels; a value of None takes a decision back."""
        settings = tuple(Setting(k, self.state.settings.get(k), v) for k, v in values.items())
        return self.apply(Step(tool, (), tuple(s for s in settings if s.before != s.after), reason))

    def _made(self, step: Step) -> tuple[Setting, ...]:
        """A mask that appears with its first voxels is a decision too: undone, it is gone again."""
        told = {s.key.removeprefix("mask.") for s in step.settings}
        names = {c.mask for c in step.changes if c.mask not in self.state.masks} - told
        unknown = names - set(MASKS)
        if unknown:
            raise LivervolError(refusal("mask is not known", expected=", ".join(MASKS), got=", ".join(sorted(unknown))))
        return tuple(Setting(f"mask.{name}", None, True) for name in sorted(names))

    def _drawn_on(self, step: Step) -> tuple[Setting, ...]:
        """A computed viable part that the reader draws on is the reader's from then on."""
        drawn = {n for c in step.changes if c.mask in ("viable", "uncertain") and c.voxels for n in c.values}
        keys = sorted(f"lesion.{n}.viability" for n in drawn)
        told = {s.key for s in step.settings}
        known = self.state.settings
        return tuple(
            Setting(k, known[k], "corrected")
            for k in keys
            if k not in told and known.get(k, "corrected") != "corrected"
        )

    def _walk(self, which: int) -> Step | None:
        self.require_open()
        with self.still:
            stack = history(self.journal.records)[which]
            if not stack:
                return None
            step = self.journal.records[stack[-1]].step
            step = step if which else step.inverted()
            self._do(step)
            if which:
                self.journal.redo()
            else:
                self.journal.undo()
        return step

    def _do(self, step: Step) -> None:
        self._live.leave(step)
        try:
            self.state.apply(step)
        except LivervolError:
            self._live.stay(step)
            raise
        self._live.enter(step)
        if any(s.key.startswith("mask.") for s in step.settings):
            self._live.touch_all()

    def require_open(self) -> None:
        """Raise ``LivervolError`` when the reading is locked."""
        why = self.locked
        if why:
            raise LivervolError(
                refusal(
                    "reading is locked",
                    expected="an open reading",
                    got=why,
                    where=str(self.folder),
                    do="Withdraw the sign-off first, with the reason.",
                )
            )

    # -- numbers ------------------------------------------------------------------------------------------------

    def numbers(self) -> Numbers:
        """The numbers as they are now; computed when something has changed since."""
        last = self._numbers
        return last if last is not None and last.version == self.version else self.refresh()

    def refresh(self) -> Numbers:
        """Measure what the last edits touched and put all numbers together; for a worker thread."""
        started = time.perf_counter()
        with self.still:
            settings = dict(self.state.settings)
            measured, problems = self._live.measured(tuple(settings.get("resections", ())), _sites(settings))
            boxes = {n: box for n in self._live.numbers if (box := self._live.box_of(n)) is not None}
            taken = Measured(self.version, settings, measured, problems, boxes, self.evaluable)
        whose = Whose(self.reader, self.files.date, self.earlier, self.grid)
        found = numbers_of(taken, whose, self._known.still_true(measured))
        self._numbers = replace(found, seconds=time.perf_counter() - started)
        return self._numbers

    @property
    def evaluable(self) -> bool:
        """Whether viable diameters can be judged: as the machine found, or because the reader drew viable tissue."""
        return is_evaluable(self.files.document, "viable" in self.state.masks, self.state.settings)

    # -- history ------------------------------------------------------------------------------------------------

    @property
    def records(self) -> tuple[Record, ...]:
        """Every journal record so far."""
        return tuple(self.journal.records)

    def state_at(self, record: int) -> State:
        """Masks and decisions as they were after journal record number ``record``."""
        return rebuild(self.journal.records, record + 1)

    def close(self) -> None:
        """Give the journal free. Nothing is lost that was not saved: the journal has it."""
        with self.writing, self.still:
            self.journal.flush()
            self.journal.close()

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sites(settings: Mapping[str, Any]) -> dict[int, str]:
    keys = (k for k in settings if k.startswith("lesion.") and k.endswith(".site"))
    return {int(k.split(".")[1]): str(settings[k]) for k in sorted(keys)}


def _outside(settings: Mapping[str, Any]) -> frozenset[int]:
    return frozenset(n for n, site in _sites(settings).items() if site != "liver")
