"""Gzip streams of image files: isal where there is a build of it (several times faster), zlib otherwise."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

__all__ = ["STREAM_ERRORS", "gzip_chunks", "open_stream"]

_GZIP_MAGIC = b"\x1f\x8b"

# zlib counts window bits from 9 to 15; 16 more asks for a gzip frame, whose header then has no name and no time
_GZIP_WINDOW = 16 + zlib.MAX_WBITS

# masks shrink a hundredfold at any level; for scans higher levels win 2 % for twice the time
_ZLIB_LEVEL = 3
_ISAL_LEVEL = 2

_Errors = tuple[type[Exception], ...]


def _choose() -> tuple[Callable[..., Any], Callable[[], Any], _Errors]:
    errors: _Errors = (OSError, EOFError, zlib.error)
    try:
        from isal import igzip, isal_zlib
    except ImportError:
        return gzip.open, lambda: zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _GZIP_WINDOW), errors

    def compressor() -> Any:
        return isal_zlib.compressobj(_ISAL_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)

    return igzip.open, compressor, (*errors, cast(type[Exception], isal_zlib.error))


_open, _compressor, STREAM_ERRORS = _choose()


def open_stream(path: Path) -> BinaryIO:
    """The file's bytes, unpacked when they are gzip by content, whatever the name says.

    Reading may raise any of ``STREAM_ERRORS``; reading to the end checks the gzip checksum.
    """
    with path.open("rb") as handle:
        packed = handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return cast(BinaryIO, _open(path, "rb") if packed else path.open("rb"))


def gzip_chunks(chunks: Iterable[Any]) -> Iterator[bytes]:
    """One gzip member of ``chunks`` (bytes-like); the same bytes for the same input, with no name and no time."""
    packer = _compressor()
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
