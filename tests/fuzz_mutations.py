"""Ways to damage a file: blind ones for bytes, knowing ones for text, NIfTI headers and DICOM elements.

Everything is drawn from one ``random.Random``, so a number names a damaged file for good.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "HOSTILE_WORDS",
    "INTERESTING",
    "Case",
    "Family",
    "mutate_bytes",
    "mutate_dicom",
    "mutate_nifti",
    "mutate_text",
]

Case = Callable[[random.Random, Path], Path]


@dataclass(frozen=True)
class Family:
    """One kind of input: ``build`` writes a damaged one, ``read`` is what the program does with it."""

    build: Case
    read: Callable[[Path], Any]

    def case(self, number: int, folder: Path) -> Path:
        """The damaged input of that number in ``folder``."""
        return self.build(random.Random(f"livervol {number}"), folder)


#: Whole numbers at which sizes, signs and offsets break.
INTERESTING = (
    0, 1, -1, 2, 3, 7, 8, 127, 128, 255, 256, 348, 352, 540, 1024, 4095, 32767, 32768, 65535, 65536, 1 << 20,
    (1 << 31) - 1, 1 << 31, (1 << 32) - 1, -(1 << 31), (1 << 63) - 1, -(1 << 63), 10**12,
)  # fmt: skip

#: Words that turn a cell or a header field into something else.
HOSTILE_WORDS = (
    "", " ", "0", "-1", "1", "2", "nan", "inf", "-inf", "1e308", "1e-320", "1e400", "99999999999999999999", "0x10",
    "1_000", "٣", "½", "²", "١٢", "1,5", "1;5", "=1+1", "@SUM(A1)", "../../../etc/passwd", "/etc/passwd", "/dev/zero",
    "%s%n%d", "{0}", "<script>alert(1)</script>", "'; DROP TABLE visits; --", "\x00", "\ufeff", "\u202e", "\ud7ff",
    "A" * 300, "A" * 140000, '"', '""', '"unclosed', "\\", "\r", "\n", "\t", "none", "None", "null", "true", "(1,2",
    "(,,)", "()", "(nan,0,0)", "2024-02-30", "0000-00-00", "9999-12-31", "2024", "LOCAL", "LIST", "raw", "gzip",
    "gz", "bzip2", "hex", "ascii", "text", "short", "double", "block", "MET_DOUBLE", "true", "1 1 1", "0 0 0",
    "1000000 1000000 1000000", "9223372036854775807 2 2", "-5 6 7", "5", "1 2 3 4 5 6 7 8 9 10",
)  # fmt: skip


def _integer(rng: random.Random, size: int) -> bytes:
    value = rng.choice(INTERESTING) + rng.choice((0, 0, 1, -1))
    return (value % (1 << (8 * size))).to_bytes(size, rng.choice(("little", "big")))


def _place(rng: random.Random, data: bytearray, head: int) -> int:
    """An offset; most often in the first ``head`` bytes, where the header is."""
    limit = min(len(data), head) if rng.random() < 0.8 else len(data)
    return rng.randrange(limit) if limit else 0


def mutate_bytes(rng: random.Random, content: bytes, head: int = 1 << 20) -> bytes:
    """One to eight blind changes: bits, bytes, numbers, ranges removed, doubled, filled or moved, the end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = _place(rng, data, head)
        kind = rng.randrange(10)
        if kind == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at] = rng.randrange(256)
        elif kind in (2, 3):
            value = _integer(rng, rng.choice((1, 2, 4, 8)))
            data[at : at + len(value)] = value
        elif kind == 4:
            value = struct.pack(rng.choice("<>") + rng.choice("fd"), rng.choice((0.0, -1.0, 1e30, float("nan"), 1e-40)))
            data[at : at + len(value)] = value
        elif kind == 5:
            del data[at : at + rng.choice((1, 2, 4, 16, 128, 1024))]
        elif kind == 6:
            piece = data[at : at + rng.choice((1, 2, 8, 64, 512))]
            data[at:at] = piece * rng.choice((1, 2, 16))
        elif kind == 7:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 3, 8, 64)))
        elif kind == 8:
            count = rng.choice((4, 16, 64, 256))
            data[at : at + count] = bytes([rng.choice((0, 0xFF, 0x20, 0x41))]) * count
        else:
            del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def mutate_text(rng: random.Random, text: str, separators: str = ",\n") -> str:
    """One to five changes of cells and lines: a hostile word for a cell, lines doubled, lost or swapped."""
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind <= 3:
            separator = rng.choice(separators)
            cells = lines[at].split(separator)
            cells[rng.randrange(len(cells))] = rng.choice(HOSTILE_WORDS)
            lines[at] = separator.join(cells)
        elif kind == 4:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif kind == 5:
            del lines[at]
        elif kind == 6:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            line = lines[at]
            cut = rng.randrange(len(line) + 1)
            lines[at] = line[:cut] + rng.choice(HOSTILE_WORDS) + line[cut + rng.choice((0, 1, 5)) :]
        text = "\n".join(lines) or "x"
    return text


#: Offset and struct code of the NIfTI-1 fields a reader looks at.
_NIFTI_FIELDS = (
    [(0, "i"), (70, "h"), (72, "h"), (108, "f"), (112, "f"), (116, "f"), (123, "b"), (252, "h"), (254, "h")]
    + [(40 + 2 * n, "h") for n in range(8)]
    + [(76 + 4 * n, "f") for n in range(8)]
    + [(256 + 4 * n, "f") for n in range(6)]
    + [(280 + 4 * n, "f") for n in range(12)]
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), 0.5, 352.0, 1e6, 2147483648.0)


def mutate_nifti(rng: random.Random, content: bytes) -> bytes:
    """One to four header fields of a NIfTI-1 file set to values that break sizes, types, places or scales."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, code = rng.choice(_NIFTI_FIELDS)
        if code == "f":
            struct.pack_into("<f", data, at, rng.choice(_FLOATS))
        else:
            size = struct.calcsize(code)
            value = rng.choice((*INTERESTING, 4, 16, 64, 512, 768, 1024, 1280, 1536, 1792, 2048, 128, 32))
            data[at : at + size] = (value % (1 << (8 * size))).to_bytes(size, "little")
    return bytes(data)


def _elements(data: bytes) -> list[tuple[int, int, int]]:
    """(offset, offset of the value, length) of explicit little-endian elements, nested ones in a flat list."""
    found, at = [], 132
    while at + 8 <= len(data) and len(found) < 4000:
        group = int.from_bytes(data[at : at + 2], "little")
        if group == 0xFFFE:
            found.append((at, at + 8, int.from_bytes(data[at + 4 : at + 8], "little")))
            at += 8
            continue
        if data[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OD", b"OF", b"UC", b"UR", b"OL", b"OV"):
            start, length = at + 12, int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            start, length = at + 8, int.from_bytes(data[at + 6 : at + 8], "little")
        found.append((at, start, length))
        # sequences are entered, values skipped
        inside = data[at + 4 : at + 6] == b"SQ" or length == 0xFFFFFFFF
        at = start if inside else start + length
    return found


_VRS = (b"DS", b"IS", b"UI", b"SQ", b"OB", b"OW", b"UN", b"US", b"SS", b"FD", b"AT", b"PN", b"CS", b"LO", b"ZZ", b"UT")


def mutate_dicom(rng: random.Random, content: bytes) -> bytes:
    """One to four elements changed: value, length or VR; elements removed, doubled, moved; items nested deeply."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        elements = _elements(bytes(data))
        if not elements:
            return mutate_bytes(rng, bytes(data))
        at, start, length = rng.choice(elements)
        known = length if length <= len(data) else 0
        kind = rng.randrange(9)
        if kind <= 2:  # another value of the same length
            word = rng.choice(HOSTILE_WORDS).encode("utf-8", "replace") or b" "
            fill = (word * (known // len(word) + 1))[:known] if rng.random() < 0.6 else rng.randbytes(min(known, 512))
            data[start : start + len(fill)] = fill
        elif kind == 3:  # another value of another length
            word = rng.choice(HOSTILE_WORDS).encode("utf-8", "replace")
            data[start : start + known] = word
            if start - at == 8 and len(word) < 65536:
                data[at + 6 : at + 8] = len(word).to_bytes(2, "little")
        elif kind == 4:
            size = 2 if start - at == 8 and data[at : at + 2] != b"\xfe\xff" else 4
            data[start - size : start] = _integer(rng, size)
        elif kind == 5:
            data[at + 4 : at + 6] = rng.choice(_VRS)
        elif kind == 6:
            del data[at : start + known]
        elif kind == 7:
            piece = bytes(data[at : start + known])[:4096]
            spot = rng.choice(elements)[0]
            data[spot:spot] = piece
        else:
            depth = rng.choice((2, 50, 1500, 20000))
            item = b"\x40\x00\x30\xa7SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
            data[at:at] = item * depth
    return bytes(data)
