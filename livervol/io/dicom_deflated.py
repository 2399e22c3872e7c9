"""Deflated DICOM: a file that would unpack to far more than it holds is refused before a parser unpacks it."""

from __future__ import annotations

import zlib
from pathlib import Path

from livervol.errors import ScanError, refusal

__all__ = ["DEFLATED", "refuse_deflated_bomb"]

#: Deflated explicit VR little endian.
DEFLATED = "1.2.840.10008.1.2.1.99"

#: The file meta information, which names the transfer syntax, is shorter than this.
_START_BYTES = 2048

#: A file that unpacks to more than this and to a hundred times its size holds no image.
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 100


def refuse_deflated_bomb(path: Path) -> None:
    """``ScanError`` for a deflated file that unpacks to far more than it holds; parsers unpack before they read.

    Counts the unpacked bytes without keeping them; other files cost one short read.
    """
    with path.open("rb") as handle:
        start = handle.read(_START_BYTES)
        if DEFLATED.encode() not in start or start[132:136] != b"\x02\x00\x00\x00":
            return
        handle.seek(144 + int.from_bytes(start[140:144], "little"))
        unpacker, count = zlib.decompressobj(-zlib.MAX_WBITS), 0
        most = max(_BOMB_BYTES, _BOMB_RATIO * path.stat().st_size)
        try:
            while count <= most and not unpacker.eof:
                packed = unpacker.unconsumed_tail or handle.read(1 << 20)
                if not packed:
                    return
                count += len(unpacker.decompress(packed, 1 << 20))
        except zlib.error:
            return  # the parser will say what is damaged
    if count > most:
        raise ScanError(
            refusal(
                "DICOM file unpacks to far more than it holds",
                expected=f"at most {_BOMB_RATIO} times its size",
                got=f"more than {count >> 20} MiB from {path.stat().st_size} bytes",
                where=f"file {path.name}",
                do="Export or copy it again.",
            )
        )
