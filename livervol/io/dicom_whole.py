"""Whether a DICOM file is whole: for what is sent, received or copied without looking at its pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from livervol.errors import ScanError, refusal
from livervol.io.dicom_deflated import DEFLATED, refuse_deflated_bomb
from livervol.io.dicom_header import DAMAGE

__all__ = ["is_dicom", "whole_header"]

_UNDEFINED = 0xFFFFFFFF

#: Values longer than this stay on the disk.
_DEFER_BYTES = 1 << 12


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    with path.open("rb") as handle:
        return handle.read(132)[128:] == b"DICM"


def whole_header(path: Path) -> Dataset:
    """A complete file's header, long values left on the disk.

    Raises ``ScanError`` for a file that is cut, no DICOM, or says neither what it is nor which instance.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's words may quote the header
            refuse_deflated_bomb(path)
            header = dcmread(path, defer_size=_DEFER_BYTES)
            trouble = _trouble(header, path)
            str(header.get("PatientID")), str(header.get("StudyInstanceUID")), str(header.get("SeriesInstanceUID"))
    except ScanError:
        raise
    except (*DAMAGE, OSError) as error:
        trouble = f"damaged data ({type(error).__name__})"
    if trouble:
        raise ScanError(
            refusal(
                "DICOM file is damaged",
                expected="a complete DICOM file",
                got=trouble,
                where=f"file {path.name}",
                do="Export or copy it again.",
            )
        )
    return header


def _trouble(header: Dataset, path: Path) -> str:
    if not len(header):
        return "an empty one"
    # the parser takes what is left of the file as the value of the last element, however short
    last: Any = header.get_item(max(header.keys()), keep_deferred=True)
    if isinstance(last, RawDataElement) and last.length != _UNDEFINED:
        held = path.stat().st_size - last.value_tell if last.value is None else len(last.value)
        if held < last.length and header.file_meta.get("TransferSyntaxUID") != DEFLATED:
            return "one that ends too early"
    if not (header.get("SOPInstanceUID") and header.get("SOPClassUID")):
        return "one without class and instance UID"
    return ""
