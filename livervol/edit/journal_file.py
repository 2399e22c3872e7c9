"""The journal's file: how a record becomes bytes, and how bytes are read, checked and told when they are damaged.

File: a mark, then records. A record is a head (mark, number, length, and their CRC-32), the payload, and the sha256 of
the previous record's sha256, the head and the payload; so a change anywhere breaks every later link.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livervol.edit.change import Change, Setting, Step
from livervol.errors import LivervolError, refusal

__all__ = ["MARK", "ROOT", "JournalReport", "Record", "Scanned", "read_records", "record_bytes", "scan_file", "verify"]

MARK = b"livervol edits 1\n"
_RECORD = b"LVE1"
_HEAD = struct.Struct(">4sIII")
_SIZE = struct.Struct(">I")
_DIGEST = hashlib.sha256().digest_size
ROOT = hashlib.sha256(MARK).digest()

#: No gesture changes this much; a larger length is damage that the CRC happened to miss.
_MOST_BYTES = 1 << 30

KINDS = ("begin", "step", "undo", "redo", "note")
_RESTORE = "Keep the file and put back a copy of it, or reopen with repair to go on from the last intact record."


@dataclass(frozen=True, eq=False)
class Record:
    """One entry. ``kind``: begin, step, undo, redo, note. ``of`` is the number of the step undone or redone.

    ``step`` holds a step's own changes, for undo and redo those that were made then; ``words`` what a note says.
    """

    number: int
    kind: str
    who: str
    when: str
    step: Step
    of: int | None = None
    words: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JournalReport:
    """A journal that was read to its end: records, head (hex sha256), and what a crash cut off ("" when nothing)."""

    records: int
    head: str
    torn: str = ""


def _encode(record: Record) -> bytes:
    parts = [change.encode() for change in record.step.changes]
    words = {
        "kind": record.kind,
        "who": record.who,
        "when": record.when,
        "tool": record.step.tool,
        "reason": record.step.reason,
        "settings": [[s.key, s.before, s.after] for s in record.step.settings],
        "changes": [len(p) for p in parts],
        "of": record.of,
        "words": dict(record.words),
    }
    text = json.dumps(words, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    return _SIZE.pack(len(text)) + text + b"".join(parts)


def _decode(number: int, payload: bytes) -> Record:
    (size,) = _SIZE.unpack_from(payload)
    words = json.loads(payload[_SIZE.size : _SIZE.size + size])
    if words["kind"] not in KINDS:
        raise ValueError("kind")
    changes, at = [], _SIZE.size + size
    for length in words["changes"]:
        changes.append(Change.decode(payload[at : at + length]))
        at += length
    settings = tuple(Setting(key, before, after) for key, before, after in words["settings"])
    step = Step(words["tool"], tuple(changes), settings, words["reason"])
    return Record(number, words["kind"], words["who"], words["when"], step, words["of"], words["words"])


def _link(previous: bytes, head: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(previous + head + payload).digest()


def _damaged(path: Path, number: int, got: str) -> LivervolError:
    return LivervolError(
        refusal(
            "edit journal is damaged",
            expected=f"record {number + 1} as it was written",
            got=got,
            where=str(path),
            do=f"The {number} records before it are intact. {_RESTORE}",
        )
    )


@dataclass
class Scanned:
    """Where a file has been read to: the records so far, their last link, and why reading stopped."""

    records: list[Record] = field(default_factory=list)
    link: bytes = ROOT
    end: int = len(MARK)
    torn: str = ""
    damage: LivervolError | None = None


def scan_file(path: Path) -> Scanned:
    """Read a journal as far as it is whole; refuses what is no journal at all."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LivervolError(
            refusal(
                "edit journal cannot be read",
                expected="a readable file",
                got=error.strerror or "an operating system error",
                where=str(path),
            )
        ) from error
    found = Scanned()
    if data[: len(MARK)] != MARK:
        got = f"a file that begins with {data[:16]!r}" if data else "an empty file"
        raise LivervolError(
            refusal(
                "not an edit journal",
                expected="a file that livervol began",
                got=got,
                where=str(path),
                do="Keep the file and put back a copy of it.",
            )
        )
    while found.end < len(data):
        if not _next(data, found, path):
            break
    return found


def _next(data: bytes, found: Scanned, path: Path) -> bool:
    """Read one record; False where the file cannot be read on."""
    number, left = len(found.records), len(data) - found.end
    head = data[found.end : found.end + _HEAD.size]
    if len(head) < _HEAD.size:
        found.torn = f"the last edit was cut off while it was written: {left} bytes of record {number + 1} dropped"
        return False
    mark, stated, size, check = _HEAD.unpack(head)
    if mark != _RECORD or check != zlib.crc32(head[:-4]) or stated != number or size > _MOST_BYTES:
        found.damage = _damaged(path, number, "a changed record head")
        return False
    whole = _HEAD.size + size + _DIGEST
    if left < whole:
        found.torn = f"the last edit was cut off while it was written: {left} bytes of record {number + 1} dropped"
        return False
    payload = data[found.end + _HEAD.size : found.end + _HEAD.size + size]
    link = _link(found.link, head, payload)
    if link != data[found.end + whole - _DIGEST : found.end + whole]:
        found.damage = _damaged(path, number, "other bytes than its sha256 says")
        return False
    try:
        record = _decode(number, payload)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        found.damage = _damaged(path, number, f"a record that cannot be understood ({type(error).__name__})")
        return False
    found.records.append(record)
    found.link, found.end = link, found.end + whole
    return True


def read_records(path: str | Path) -> tuple[Record, ...]:
    """Every record of a journal, a torn last one left out; a damaged journal is refused. Nothing is written."""
    found = scan_file(Path(path))
    if found.damage is not None:
        raise found.damage
    return tuple(found.records)


def verify(path: str | Path, *, head: str = "") -> JournalReport:
    """Check every link of a journal; ``LivervolError`` names the first record that does not fit.

    With ``head`` (a sha256 noted elsewhere: in signoff.json, measurements.json or the ledger) that link must occur in
    the chain, which a journal whose end was cut off cleanly would fail.
    """
    path = Path(path)
    found = scan_file(path)
    if found.damage is not None:
        raise found.damage
    if head and head not in set(_links(path)):
        raise LivervolError(
            refusal(
                "edit journal is not the one that was noted",
                expected=f"a record with sha256 {head[:12]}",
                got=f"{len(found.records)} records without it",
                where=str(path),
                do="Edits were cut off or replaced: put back a copy of the journal.",
            )
        )
    return JournalReport(len(found.records), found.link.hex(), found.torn)


def _links(path: Path) -> Iterator[str]:
    data, at = path.read_bytes(), len(MARK)
    while at + _HEAD.size <= len(data):
        size = _HEAD.unpack_from(data, at)[2]
        at += _HEAD.size + size + _DIGEST
        if at <= len(data):
            yield data[at - _DIGEST : at].hex()


def record_bytes(record: Record, previous: bytes) -> tuple[bytes, bytes]:
    """(the record as it stands in the file, its link), given the link before it."""
    payload = _encode(record)
    head = _HEAD.pack(_RECORD, record.number, len(payload), 0)[:-4]
    head += struct.pack(">I", zlib.crc32(head))
    link = _link(previous, head, payload)
    return head + payload + link, link
