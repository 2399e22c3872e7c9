"""The reader's journal: an append-only file of every edit, from which any earlier state can be rebuilt.

Each append is written and synced before the call returns. A record that a crash cut short is dropped on opening;
anything else that does not fit is refused (``livervol.edit.journal_file``). The first record holds the masks that the
reading began with; undo and redo are records too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.change import Change, Setting, Step, applied_settings
from livervol.edit.journal_file import (
    MARK,
    ROOT,
    JournalReport,
    Record,
    Scanned,
    read_records,
    record_bytes,
    scan_file,
    verify,
)
from livervol.errors import LivervolError, refusal
from livervol.files import atomic_file

try:
    import fcntl
except ImportError:  # Windows: no advisory lock, the window's own check must do
    fcntl = None  # type: ignore[assignment]

__all__ = ["Begin", "Journal", "JournalReport", "Record", "State", "history", "read_records", "rebuild", "verify"]


@dataclass(eq=False)
class State:
    """Masks by name (uint16, [z, y, x]) and the reader's other decisions by key.

    The decision ``mask.NAME`` says that a mask is there, with or without voxels; taken back, the mask is gone.
    """

    masks: dict[str, NDArray[np.uint16]]
    settings: dict[str, Any] = field(default_factory=dict)

    def apply(self, step: Step) -> None:
        """Make the step; a mask that is not there yet starts empty. Refuses a step that does not fit, before any of it
        is done.
        """
        settings = applied_settings(self.settings, step.settings)
        done: list[Change] = []
        try:
            for change in step.changes:
                if change.mask not in self.masks:
                    self.masks[change.mask] = np.zeros(change.shape_zyx, np.uint16)
                change.apply(self.masks[change.mask])
                done.append(change)
        except LivervolError:
            for change in reversed(done):
                change.inverted().apply(self.masks[change.mask])
            raise
        self.settings = settings
        for one in step.settings:
            name = one.key.removeprefix("mask.")
            if name == one.key:
                continue
            if one.after is None:
                self.masks.pop(name, None)
            elif name not in self.masks:
                self.masks[name] = np.zeros(next(iter(self.masks.values())).shape, np.uint16)


@dataclass(frozen=True, eq=False)
class Begin:
    """What a reading starts from: the masks, the decisions, and words about them (grid, visit, who made the masks)."""

    masks: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)


def history(records: Sequence[Record]) -> tuple[list[int], list[int]]:
    """Numbers of the steps that are done (oldest first) and of those undone (next to redo last)."""
    done: list[int] = []
    undone: list[int] = []
    for record in records:
        if record.kind == "step":
            done.append(record.number)
            undone.clear()
        elif record.kind == "undo":
            undone.append(done.pop())
        elif record.kind == "redo":
            done.append(undone.pop())
    return done, undone


def rebuild(records: Sequence[Record], upto: int | None = None) -> State:
    """The state after the first ``upto`` records (None: all), from nothing but the journal.

    Masks are uint16. Raises ``LivervolError`` when the records do not start with a begin or a step does not fit.
    """
    chosen = records if upto is None else records[:upto]
    if not chosen or chosen[0].kind != "begin":
        raise LivervolError(
            refusal("journal has no beginning", expected="a first record with the masks", got="none of it")
        )
    state = State({})
    for record in chosen:
        state.apply(record.step)
    return state


class Journal:
    """A journal open for appending, locked against a second window.

    ``records`` are in memory; what the disk refused waits in memory, is tried again at every append and at ``flush``,
    and ``trouble`` says in one sentence why ("" when everything is on the disk). ``recovered`` tells what a crash cut
    off.
    """

    def __init__(self, path: Path, reader: str, records: list[Record], link: bytes) -> None:
        self.path, self.reader = path, reader
        self.records = records
        self.trouble = self.recovered = ""
        self._link = link
        self._waiting: list[bytes] = []
        self._descriptor = -1
        self._end = 0

    @classmethod
    def start(cls, path: str | Path, reader: str, begin: Begin) -> Journal:
        """A new journal whose first record holds the masks; an existing file is refused.

        A disk that refuses does not raise: the journal lives in memory and ``trouble`` says so.
        """
        path = Path(path)
        if path.exists():
            raise LivervolError(
                refusal("journal exists already", expected="no file", got="a file", where=str(path), do="Open it.")
            )
        journal = cls(path, reader, [], ROOT)
        empty = {name: np.zeros(mask.shape, np.uint16) for name, mask in begin.masks.items()}
        changes = tuple(Change.between(empty[n], np.asarray(m), n, "begin") for n, m in begin.masks.items())
        settings = tuple(Setting(key, None, value) for key, value in begin.settings.items())
        journal._add("begin", Step("begin", changes, settings), words=begin.words)
        return journal

    @classmethod
    def open(cls, path: str | Path, reader: str, *, repair: bool = False) -> Journal:
        """The journal of an earlier session; the rest of a record that a crash cut short is dropped.

        A damaged journal is refused; with ``repair`` it is kept beside (``.damaged``) and work goes on from the last
        intact record. A journal open elsewhere is refused.
        """
        path = Path(path)
        found = scan_file(path)
        if found.damage is not None and (not repair or not found.records):
            raise found.damage
        journal = cls(path, reader, found.records, found.link)
        if found.damage is not None:
            journal._set_aside(found)
        journal._connect(found.end)
        journal.recovered = found.torn or (str(found.damage) if found.damage is not None else "")
        return journal

    @property
    def head(self) -> str:
        """Hex sha256 of the last record's link, which vouches for the whole journal."""
        return self._link.hex()

    def append(self, step: Step, *, when: str = "") -> Record:
        """Write a step and sync it."""
        return self._add("step", step, when=when)

    def undo(self) -> Record | None:
        """Write the undoing of the last step still done; None when there is none. Its ``step`` is what to apply."""
        done, _ = history(self.records)
        if not done:
            return None
        return self._add("undo", self.records[done[-1]].step.inverted(), of=done[-1])

    def redo(self) -> Record | None:
        """Write the redoing of the step undone last; None when there is none. Its ``step`` is what to apply."""
        _, undone = history(self.records)
        if not undone:
            return None
        return self._add("redo", self.records[undone[-1]].step, of=undone[-1])

    def note(self, tool: str, **words: Any) -> Record:
        """Write something that changes no mask: a save, a sign-off."""
        return self._add("note", Step(tool), words=words)

    def flush(self) -> None:
        """Try again what the disk refused; ``trouble`` is "" afterwards when it went well."""
        if not self._waiting:
            self.trouble = ""
            return
        try:
            if self._descriptor < 0 and not self.path.exists():
                self._create()
            else:
                if self._descriptor < 0:
                    self._connect(self._end)
                self._write(b"".join(self._waiting))
        except OSError as error:
            self.trouble = (
                f"edits are not on the disk: expected a writable folder with free space, got "
                f"{error.strerror or 'an operating system error'} ({self.path.parent}). They are kept in memory and "
                "tried again at the next edit: free space, or save to another folder, before you close."
            )
            return
        except LivervolError as error:
            self.trouble = str(error)
            return
        self._waiting.clear()
        self.trouble = ""

    def copy_to(self, path: str | Path) -> None:
        """The whole journal, also what the disk refused, as a file elsewhere."""
        stored = self.path.read_bytes()[: self._end] if self._end else MARK
        with atomic_file(path, overwrite=True) as temporary:
            temporary.write_bytes(stored + b"".join(self._waiting))

    def close(self) -> None:
        """Give the file free."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _add(
        self,
        kind: str,
        step: Step,
        *,
        of: int | None = None,
        words: Mapping[str, Any] | None = None,
        when: str = "",
    ) -> Record:
        stamp = when or datetime.now(UTC).isoformat(timespec="milliseconds")
        record = Record(len(self.records), kind, self.reader, stamp, step, of, words or {})
        data, self._link = record_bytes(record, self._link)
        self._waiting.append(data)
        self.records.append(record)
        self.flush()
        return record

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = MARK + b"".join(self._waiting)
        with atomic_file(self.path) as temporary:
            temporary.write_bytes(data)
        self._waiting.clear()
        self._connect(len(data))

    def _connect(self, end: int) -> None:
        """Open for appending at ``end``; what lies behind it is a torn record."""
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except OSError as error:
            self._end = end
            self.trouble = f"the journal cannot be written: {error.strerror} ({self.path}). Edits stay in memory only."
            return
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                raise LivervolError(
                    refusal(
                        "reading is open elsewhere",
                        expected="one window at a time for one reader and visit",
                        got="another program that holds the journal",
                        where=str(self.path),
                        do="Close the other window first.",
                    )
                ) from error
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        self._descriptor, self._end = descriptor, end

    def _write(self, data: bytes) -> None:
        if self._descriptor < 0:
            raise OSError(0, "the journal cannot be opened for writing")
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            # half a record must not stay in front of the next one
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(data)

    def _set_aside(self, found: Scanned) -> None:
        data = self.path.read_bytes()
        number = 1
        while (aside := self.path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        with atomic_file(aside) as temporary:
            temporary.write_bytes(data)
        with atomic_file(self.path, overwrite=True) as temporary:
            temporary.write_bytes(data[: found.end])
