"""DICOM headers: what one file says of itself, as plain values; no pixels are touched, no patient is told."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from livervol.errors import ScanError, refusal
from livervol.io.dicom_deflated import DEFLATED, refuse_deflated_bomb
from livervol.io.dicom_kind import DIRECTORY_CLASS, first_group, integer, kind_of, number, numbers, text
from livervol.io.dicom_mr import mr_sequence

__all__ = ["DAMAGE", "DicomFile", "Slice", "read_file", "series_label", "uid_end"]

#: What parsers and decoders raise on damaged bytes.
DAMAGE = (
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    MemoryError,
    StopIteration,
    InvalidDicomError,
    BytesLengthException,
    struct.error,
    zlib.error,
)

#: The header values this reader looks at; nothing else is parsed.
# fmt: off
_TAGS = [
    "SOPClassUID", "Modality", "ImageType", "StudyInstanceUID", "SeriesInstanceUID", "StudyDate", "PatientID",
    "PatientName", "PatientBirthDate", "SeriesNumber", "SeriesDescription", "AcquisitionNumber", "AcquisitionTime",
    "AcquisitionDateTime", "ContrastBolusStartTime", "ContrastBolusAgent", "InstanceNumber",
    "TemporalPositionIdentifier", "EchoNumbers", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle",
    "DiffusionBValue", "DiffusionGradientOrientation", "TriggerTime", "ScanningSequence", "SequenceName",
    "PulseSequenceName", "EchoPulseSequence", "AcquisitionContrast", "ConvolutionKernel", "SliceThickness", "KVP",
    "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "LossyImageCompression", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PixelData",
]
# fmt: on

#: Values longer than this stay on the disk while headers are read.
_DEFER_BYTES = 1 << 16

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = 0x7FE00010


@dataclass(frozen=True)
class DicomFile:
    """One DICOM file without its pixels.

    ``kind`` is image (a CT or MR slice or stack), localizer, capture, map (CT that is not in HU), other, companion or
    directory. ``patient`` and ``birth_date`` serve comparison only and stay out of every message.
    ``pixel_at`` and ``pixel_bytes`` locate native pixel data in the file; ``pixel_at`` is -1 when it is encapsulated.
    """

    path: Path
    kind: str
    modality: str
    sequence: str = "CT"
    study_uid: str = ""
    series_uid: str = ""
    study_date: str = ""
    patient: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    frame_uid: str | None = None
    rows: int = 0
    columns: int = 0
    frames: int = 1
    syntax: str = ""
    little_endian: bool = True
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    signed: bool = False
    padding: tuple[int, int] | None = None
    lossy: bool = False
    pixel_at: int = -1
    pixel_bytes: int = 0
    file_bytes: int = 0
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Slice:
    """One frame: where it lies, how its stored values become HU, and the header values that may split a series.

    ``position_mm`` LPS of the first voxel's centre, ``orientation`` row then column cosines, ``spacing_mm`` between
    rows and between columns; each None when the header lacks it. ``slope`` and ``intercept`` likewise.
    """

    file: DicomFile
    frame: int
    instance: int
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    keys: Mapping[str, str]


def series_label(uid: str) -> str:
    """``series …4711``: enough of a UID to find the series, for messages."""
    return f"series {uid_end(uid)}" if uid else "series without a UID"


def uid_end(uid: str) -> str:
    """``…4711``: the last digits of a UID; of damaged bytes nothing is repeated."""
    end = uid[-4:]
    return f"…{end}" if set(end) <= set("0123456789.") else "of damaged digits"


def _damaged(path: Path, got: str) -> ScanError:
    return ScanError(
        refusal(
            "DICOM file is damaged",
            expected="a complete DICOM file",
            got=got,
            where=f"file {path.name}",
            do="Export or copy it again.",
        )
    )


def _parse(path: Path) -> Dataset | None:
    if path.stat().st_size == 0:
        return None
    refuse_deflated_bomb(path)
    try:
        header = dcmread(path, defer_size=_DEFER_BYTES, specific_tags=_TAGS)
        if header.file_meta.get("TransferSyntaxUID") == DEFLATED:
            # offsets into the inflated stream mean nothing in the file
            header = dcmread(path, specific_tags=_TAGS)
    except InvalidDicomError:
        return None
    if len(header):
        # the parser takes what is left of the file as the value of the last element, however short
        last: Any = header.get_item(max(header.keys()), keep_deferred=True)
        whole = last.tag == _PIXEL_DATA or not isinstance(last, RawDataElement) or last.value is None
        if not whole and len(last.value) < last.length != _UNDEFINED:
            raise _damaged(path, "one that ends inside its header")
    return header


def _hints(header: Dataset) -> dict[str, str]:
    names = {
        "acquisition_number": "AcquisitionNumber",
        "acquisition_time": "AcquisitionTime",
        "contrast_start_time": "ContrastBolusStartTime",
        "contrast_agent": "ContrastBolusAgent",
        "series_number": "SeriesNumber",
        "series_description": "SeriesDescription",
        "slice_thickness_mm": "SliceThickness",
        "kvp": "KVP",
        "echo_time_ms": "EchoTime",
        "repetition_time_ms": "RepetitionTime",
        "flip_angle_degrees": "FlipAngle",
        "convolution_kernel": "ConvolutionKernel",
        "image_type": "ImageType",
    }
    hints = {name: text(header, keyword) for name, keyword in names.items()}
    if not hints["slice_thickness_mm"]:
        hints["slice_thickness_mm"] = text(first_group(header, "PixelMeasuresSequence"), "SliceThickness")
    if not hints["acquisition_time"]:
        hints["acquisition_time"] = text(header, "AcquisitionDateTime")[8:]
    return {name: value for name, value in hints.items() if value}


def _padding(header: Dataset, signed: bool, bits: int) -> tuple[int, int] | None:
    """Smallest and largest stored padding value; writers often give a negative one in its unsigned disguise."""
    if header.get("PixelPaddingValue") is None:
        return None

    def wrapped(name: str) -> int:
        value = integer(header, name)
        return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value

    first = wrapped("PixelPaddingValue")
    last = wrapped("PixelPaddingRangeLimit") if header.get("PixelPaddingRangeLimit") is not None else first
    return min(first, last), max(first, last)


def _image_file(header: Dataset, path: Path, kind: str, modality: str) -> DicomFile:
    bits = integer(header, "BitsAllocated", 16)
    stored = integer(header, "BitsStored", bits)
    signed = integer(header, "PixelRepresentation") == 1
    syntax = text(header.file_meta, "TransferSyntaxUID")
    pixel_at, pixel_bytes = -1, 0
    if "PixelData" in header:
        element: Any = header.get_item("PixelData", keep_deferred=True)
        pixel_bytes = element.length
        if element.length != _UNDEFINED and syntax != DEFLATED:
            pixel_at = element.value_tell
    return DicomFile(
        path=path,
        kind=kind,
        modality=modality,
        sequence="CT" if modality == "CT" else mr_sequence(header),
        study_uid=text(header, "StudyInstanceUID"),
        series_uid=text(header, "SeriesInstanceUID"),
        study_date=text(header, "StudyDate").replace(".", ""),
        patient=text(header, "PatientID") or text(header, "PatientName"),
        birth_date=text(header, "PatientBirthDate"),
        frame_uid=text(header, "FrameOfReferenceUID") or None,
        rows=integer(header, "Rows"),
        columns=integer(header, "Columns"),
        frames=integer(header, "NumberOfFrames", 1),
        syntax=syntax,
        little_endian=bool(header.original_encoding[1]),
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=integer(header, "HighBit", stored - 1),
        signed=signed,
        padding=_padding(header, signed, bits),
        lossy=text(header, "LossyImageCompression") == "01",
        pixel_at=pixel_at,
        pixel_bytes=pixel_bytes,
        file_bytes=path.stat().st_size,
        hints=_hints(header),
    )


_SPLIT_BY = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "ImageType",
    "InversionTime",
    "FlipAngle",
    "ContrastBolusAgent",
    "ConvolutionKernel",
    "TriggerTime",
    "AcquisitionTime",
)


def _single(header: Dataset, file: DicomFile) -> Slice:
    return Slice(
        file=file,
        frame=0,
        instance=integer(header, "InstanceNumber"),
        position_mm=numbers(header, "ImagePositionPatient", 3),
        orientation=numbers(header, "ImageOrientationPatient", 6),
        spacing_mm=numbers(header, "PixelSpacing", 2),
        slope=number(header, "RescaleSlope"),
        intercept=number(header, "RescaleIntercept"),
        keys={name: text(header, name) for name in _SPLIT_BY},
    )


def _frames(header: Dataset, file: DicomFile) -> list[Slice]:
    """Slices of an enhanced multi-frame image, from its functional groups (per frame first, then shared)."""
    per_frame = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if len(per_frame) != file.frames:
        raise ScanError(
            refusal(
                "frame count is wrong",
                expected=f"{file.frames} frames with a position each",
                got=f"{len(per_frame)} frame descriptions",
                where=f"{series_label(file.series_uid)}, file {file.path.name}",
                do="Export the series again.",
            )
        )
    shared_items = header.get("SharedFunctionalGroupsSequence")
    shared = shared_items[0] if shared_items else Dataset()
    slices = []
    for index, groups in enumerate(per_frame):

        def group(name: str, groups: Dataset = groups) -> Dataset:
            items = groups.get(name) or shared.get(name)
            return items[0] if items else Dataset()

        content, transformation = group("FrameContentSequence"), group("PixelValueTransformationSequence")
        diffusion = group("MRDiffusionSequence")
        keys = {
            "StackID": text(content, "StackID"),
            "AcquisitionNumber": text(content, "FrameAcquisitionNumber"),
            "TemporalPositionIndex": text(content, "TemporalPositionIndex"),
            "EchoTime": text(group("MREchoSequence"), "EffectiveEchoTime"),
            "DiffusionBValue": text(diffusion, "DiffusionBValue"),
            "FrameType": text(group(f"{file.modality}ImageFrameTypeSequence"), "FrameType"),
            "FrameAcquisitionDateTime": text(content, "FrameAcquisitionDateTime"),
        }
        slices.append(
            Slice(
                file=file,
                frame=index,
                instance=index + 1,
                position_mm=numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
                orientation=numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
                spacing_mm=numbers(group("PixelMeasuresSequence"), "PixelSpacing", 2),
                slope=number(transformation, "RescaleSlope"),
                intercept=number(transformation, "RescaleIntercept"),
                keys=keys,
            )
        )
    return slices


def read_file(path: Path) -> tuple[DicomFile, list[Slice]] | None:
    """What one file holds: its header and its slices (none unless it is a CT or MR image); None when it is not DICOM.

    Raises ``ScanError`` for a file that begins as DICOM and cannot be parsed.
    """
    try:
        with warnings.catch_warnings():
            # the parser's own warnings may quote values of the header
            warnings.simplefilter("ignore")
            header = _parse(path)
            if header is None:
                return None
            if text(header.file_meta, "MediaStorageSOPClassUID") == DIRECTORY_CLASS:
                return DicomFile(path=path, kind="directory", modality=""), []
            if not text(header, "SOPClassUID") and not text(header, "Modality"):
                raise _damaged(path, "one that ends too early or begins wrongly")
            kind, modality = kind_of(header)
            file = _image_file(header, path, kind, modality)
            if kind != "image":
                return file, []
            if not file.series_uid:
                raise _damaged(path, "an image that names no series")
            enhanced = file.frames != 1 or "PerFrameFunctionalGroupsSequence" in header
            return file, _frames(header, file) if enhanced else [_single(header, file)]
    except ScanError:
        raise
    except OSError as error:
        raise _damaged(path, error.strerror or "a read error") from error
    except DAMAGE as error:
        # the parser's own words may quote the header, so only their kind is told
        raise _damaged(path, f"a header that cannot be parsed ({type(error).__name__})") from None
