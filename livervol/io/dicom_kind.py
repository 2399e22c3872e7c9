"""What a DICOM object is, told from its header: CT or MR image, scout, picture of a scan, or something else."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

__all__ = ["DIRECTORY_CLASS", "first_group", "integer", "kind_of", "number", "numbers", "text"]

_CT_CLASSES = {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"}
_MR_CLASSES = {"1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"}
_CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"

#: Objects that belong beside a scan and are no images of the patient: left out without a word.
_COMPANIONS = {
    "SEG",
    "SR",
    "RTSTRUCT",
    "RTPLAN",
    "RTDOSE",
    "RTRECORD",
    "PR",
    "KO",
    "REG",
    "RWV",
    "ANN",
    "FID",
    "DOC",
    "PLAN",
}

#: ImageType words of pictures made from a scan: screen shots, projections, dose sheets.
_CAPTURE_WORDS = {
    "SCREEN SAVE",
    "SCREENSAVE",
    "SCREENSHOT",
    "SCREEN SHOT",
    "DOSE_INFO",
    "PROJECTION IMAGE",
    "MIP",
    "MINIP",
    "MAX_IP",
    "MIN_IP",
    "VRT",
    "VOLUME_RENDERING",
    "VOLREND",
}

#: RescaleType of attenuation; iodine, effective atomic number or electron density call themselves something else.
_HU_TYPES = {"", "HU", "US", "HU_MOD"}


def text(header: Dataset, name: str) -> str:
    """A header value as text, several joined by backslashes, empty when absent."""
    value = header.get(name)
    if value is None:
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(v).strip() for v in value)
    return str(value).strip()


def numbers(header: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    """``count`` numbers, None when absent; ``ValueError`` for another count or for text."""
    value = header.get(name)
    if value is None or value == "":
        return None
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values")
    return tuple(float(v) for v in values)


def number(header: Dataset, name: str) -> float | None:
    """One number, None when absent."""
    values = numbers(header, name, 1)
    return None if values is None else values[0]


def integer(header: Dataset, name: str, default: int = 0) -> int:
    """One whole number, ``default`` when absent or not finite."""
    value = number(header, name)
    return default if value is None or not math.isfinite(value) else int(value)


def first_group(header: Dataset, sequence: str) -> Dataset:
    """The first frame's functional group of that name, shared or per frame; empty when there is none."""
    for outer in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups = header.get(outer)
        items = groups[0].get(sequence) if groups else None
        if items:
            found: Dataset = items[0]
            return found
    return Dataset()


def kind_of(header: Dataset) -> tuple[str, str]:
    """(kind, modality) of a file: image, localizer, capture, map (CT that is not in HU), companion or other."""
    sop_class, modality = text(header, "SOPClassUID"), text(header, "Modality").upper()
    if not (modality.isascii() and modality.isalpha() and len(modality) <= 16):
        # a damaged length can drag the next elements in, the patient's name among them
        modality = ""
    words = {word.strip().upper() for word in text(header, "ImageType").split("\\")}
    if sop_class == _CAPTURE_CLASS or sop_class.startswith(_CAPTURE_CLASS + "."):
        return "capture", modality
    if sop_class in _CT_CLASSES or (not sop_class and modality == "CT"):
        modality = "CT"
    elif sop_class in _MR_CLASSES or (not sop_class and modality == "MR"):
        modality = "MR"
    else:
        return ("companion" if modality in _COMPANIONS else "other"), modality or "unknown"
    if words & {"LOCALIZER", "SCOUT"}:
        return "localizer", modality
    if words & _CAPTURE_WORDS or integer(header, "SamplesPerPixel", 1) != 1:
        return "capture", modality
    if text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return "capture", modality
    rescale = first_group(header, "PixelValueTransformationSequence")
    unit = text(header, "RescaleType") or text(rescale, "RescaleType")
    if modality == "CT" and unit.upper() not in _HU_TYPES:
        return "map", modality
    return "image", modality
