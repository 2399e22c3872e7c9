"""Reading DICOM objects that somebody else wrote: damage becomes one sentence, texts come out short and printable."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import check_readable
from livervol.io.dicom_header import DAMAGE
from livervol.io.dicom_kind import text
from livervol.io.dicom_seg_codes import Code

__all__ = ["code_in", "guarded", "opened", "short"]

#: Larger objects of these kinds are not opened: their voxels alone would not fit in memory.
MAX_BYTES = 2 << 30


@contextmanager
def guarded(path: str | Path, what: str) -> Iterator[None]:
    """Turn what parsers and decoders raise into one refusal, and keep their warnings from quoting the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LivervolError:
        raise
    except (OSError, MemoryError, RecursionError, struct.error, *DAMAGE) as error:
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


def opened(path: str | Path, classes: tuple[str, ...], what: str) -> Dataset:
    """The whole object, if it is of one of the SOP classes; to be called inside :func:`guarded`."""
    path = check_readable(path, max_bytes=MAX_BYTES)
    header = dcmread(path)
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
