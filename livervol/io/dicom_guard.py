"""Reading DICOM objects that somebody else wrote: damage becomes one sentence, texts come out short and printable."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import check_readable
from livervol.io.dicom_deflated import DEFLATED, refuse_deflated_bomb
from livervol.io.dicom_header import DAMAGE
from livervol.io.dicom_kind import text
from livervol.io.dicom_seg_codes import Code

__all__ = ["MAX_BYTES", "code_in", "guarded", "opened", "parsed", "short"]

#: Larger objects of these kinds are not opened: their voxels alone would not fit in memory.
MAX_BYTES = 1 << 30

#: Every sequence item becomes an object of about 2 kB; a SEG of 5,000 frames has some 60,000.
MAX_ITEMS = 400_000

#: What a deflated file may grow to.
MAX_INFLATED = 512 << 20

_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_CHUNK = 1 << 22


@contextmanager
def guarded(path: str | Path, what: str) -> Iterator[None]:
    """Turn what parsers and decoders raise into one refusal, and keep their warnings from quoting the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LivervolError:
        raise
    except (OSError, MemoryError, RecursionError, struct.error, InvalidDicomError, *DAMAGE) as error:
        # the parser's own words may quote the header, so only their kind is told
        raise ScanError(
            refusal(
                "DICOM file is damaged",
                expected=f"a complete {what}",
                got=f"one that cannot be read ({type(error).__name__})",
                where=f"file {Path(path).name}",
                do="Export or copy it again.",
            )
        ) from None


def opened(path: str | Path, classes: tuple[str, ...], what: str, max_bytes: int = MAX_BYTES) -> Dataset:
    """The whole object, if it is of one of the SOP classes; to be called inside :func:`guarded`.

    Refuses what would grow out of all proportion when parsed: millions of items, deflated bombs.
    """
    header = parsed(path, max_bytes)
    path = Path(path)
    if text(header, "SOPClassUID") not in classes:
        raise ScanError(
            refusal(
                f"file is not a {what}",
                expected=f"a {what}",
                got=f"modality {short(text(header, 'Modality')) or 'none'}",
                where=f"file {path.name}",
                do="Give the object itself.",
            )
        )
    return header


def parsed(path: str | Path, max_bytes: int = MAX_BYTES) -> Dataset:
    """A DICOM file of any kind as a dataset, of bounded size, items and growth."""
    path = check_readable(path, max_bytes=max_bytes)
    refuse_deflated_bomb(path)
    meta = read_file_meta_info(path)
    deflated = text(meta, "TransferSyntaxUID") == DEFLATED
    # preamble, mark and the group length's own element come before the group it counts
    chunks = _inflated(path, 144 + meta.FileMetaInformationGroupLength) if deflated else _chunks(path)
    total = items = 0
    tail = b""
    for chunk in chunks:
        total += len(chunk)
        joined = tail + chunk
        # a tag cut by the chunk's end is counted with the next one
        items += sum(joined.count(tag) for tag in _ITEM_TAGS)
        tail = joined[-3:]
        if items > MAX_ITEMS or total > max(max_bytes, MAX_INFLATED):
            raise ScanError(
                refusal(
                    "DICOM file is too large when opened",
                    expected=f"at most {MAX_ITEMS} items and {MAX_INFLATED >> 20} MiB inflated",
                    got="more",
                    where=f"file {path.name}",
                    do="Check that this is the right file.",
                )
            )
    return dcmread(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            yield chunk


def _inflated(path: Path, start: int) -> Iterator[bytes]:
    """The data set of a deflated file, which begins where the file meta information ends."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as handle:
        handle.seek(start)
        while data := handle.read(_CHUNK):
            while data:
                yield stream.decompress(data, _CHUNK)
                data = stream.unconsumed_tail


def short(words: str) -> str:
    """At most 64 printable characters of a header's text."""
    return "".join(c for c in words if c.isprintable())[:64]


def code_in(item: Dataset, keyword: str) -> Code:
    """The first code of a code sequence, empty when there is none."""
    found = item.get(keyword)
    if not found:
        return Code("", "", "")
    first = found[0]
    value = text(first, "CodeValue") or text(first, "LongCodeValue") or text(first, "URNCodeValue")
    return Code(short(value), short(text(first, "CodingSchemeDesignator")), short(text(first, "CodeMeaning")))
