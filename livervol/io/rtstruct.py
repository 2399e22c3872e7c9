"""RT Structure Set: a visit's masks as closed planar contours on the source series, and such objects read back."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ImplicitVRLittleEndian, generate_uid

from livervol import __version__
from livervol.errors import ScanError, refusal
from livervol.files import atomic_file
from livervol.io.contours import outlines
from livervol.io.dicom_seg import library_quiet, on_source
from livervol.io.dicom_seg_codes import MASK_KINDS, Code, Term, name_of, term_of
from livervol.io.dicom_source import SourceSeries
from livervol.io.rtstruct_read import RTSTRUCT_CLASS, read_rtstruct, read_rtstruct_layers
from livervol.scan import Segmentation

__all__ = ["read_rtstruct", "read_rtstruct_layers", "write_rtstruct"]

#: Patient and study, copied from the source as every object of the study carries them (PS3.3 C.7.1.1, C.7.2.1).
_COPIED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)

#: Decimals of contour points: 0.5 um, far under half a voxel.
_DECIMALS = 3


def write_rtstruct(
    path: str | Path, masks: Mapping[str, Segmentation], source: SourceSeries, *, overwrite: bool = False
) -> Path:
    """Write masks (liver, segments, lesions, viable, necrosis, uncertain, vessels) as one RTSTRUCT, atomically.

    Each label value becomes a region of interest whose CLOSED_PLANAR contours follow the voxel edges of the source's
    slices: filling them at voxel centres gives the mask back, and their area times the spacing is its volume. Holes
    are joined by keyholes, parts that touch at a corner are contours of their own.

    The file carries the patient and study of the source series, as DICOM demands (see ``write_dicom_seg``).
    Raises ``GridError`` when a mask is not on the source's grid, ``ScanError`` for empty masks.
    Source: DICOM PS3.3 A.19, C.8.8.5, C.8.8.6, C.8.8.8.
    """
    arrays = {kind: on_source(masks[kind], source.grid) for kind in MASK_KINDS if kind in masks}
    regions = [
        (kind, int(value))
        for kind, array in arrays.items()
        for value in np.flatnonzero(np.bincount(array[array != 0], minlength=1))
    ]
    if not regions:
        raise ScanError(
            refusal(
                "nothing to write", expected="at least one voxel of a structure", got="empty masks", where=str(path)
            )
        )
    with library_quiet():
        dataset = _frame(source)
        roi, contours, observations = [], [], []
        for number, (kind, value) in enumerate(regions, start=1):
            term, name = term_of(kind, value), name_of(kind, value)
            roi.append(_region(number, name, source))
            contours.append(_contours(number, term, arrays[kind] == value, source))
            observations.append(_observation(number, kind, term))
        dataset.StructureSetROISequence = Items(roi)
        dataset.ROIContourSequence = Items(contours)
        dataset.RTROIObservationsSequence = Items(observations)
        with atomic_file(path, overwrite=overwrite) as temporary:
            dataset.save_as(temporary, enforce_file_format=True, implicit_vr=True, little_endian=True)
    return Path(path)


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _reference(header: Dataset, frame: int | None = None) -> Dataset:
    item = _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def _frame(source: SourceSeries) -> Dataset:
    """The object without its regions."""
    first, now = source.headers[0], datetime.datetime.now()
    dataset = _item(**{name: first.get(name, "") for name in _COPIED})
    meta = FileMetaDataset()
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID = UID(RTSTRUCT_CLASS)
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid(None)
    # contours may be longer than the 64 kB an explicit VR allows
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = generate_uid(None)
    dataset.SeriesNumber, dataset.InstanceNumber = 702, 1
    dataset.SeriesDescription = "livervol contours"
    dataset.OperatorsName = ""
    dataset.Manufacturer = dataset.ManufacturerModelName = "livervol"
    dataset.SoftwareVersions = __version__
    dataset.StructureSetLabel = "LIVER"
    dataset.StructureSetDate, dataset.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.StructureSetDate, dataset.StructureSetTime
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.FrameOfReferenceUID = first.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = ""
    images = [_reference(header) for header in source.headers]
    series = _item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=Items(images))
    study = _item(
        # Detached Study Management: retired, and what every planning system writes and expects here
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=Items([series]),
    )
    dataset.ReferencedFrameOfReferenceSequence = Items(
        [_item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=Items([study]))]
    )
    return dataset


def _region(number: int, name: str, source: SourceSeries) -> Dataset:
    return _item(
        ROINumber=number,
        ReferencedFrameOfReferenceUID=source.headers[0].FrameOfReferenceUID,
        ROIName=name,
        ROIGenerationAlgorithm="SEMIAUTOMATIC",
    )


def _contours(number: int, term: Term, mask: NDArray[np.bool_], source: SourceSeries) -> Dataset:
    items = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        image = _reference(source.of_slice(int(z)), source.frames[z] if source.is_multiframe else None)
        for outline in outlines(mask[z]):
            points = source.grid.index_to_lps(np.column_stack([np.full(len(outline), z), outline]))
            items.append(
                _item(
                    ContourImageSequence=Items([image]),
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourData=_numbers(points),
                )
            )
    return _item(ROIDisplayColor=list(term.colour_rgb), ContourSequence=Items(items), ReferencedROINumber=number)


def _numbers(points: NDArray[np.float64]) -> list[str]:
    # no minus zero, which some readers take for text
    return [f"{value:.{_DECIMALS}f}" for value in (np.round(points, _DECIMALS) + 0.0).ravel()]


def _observation(number: int, kind: str, term: Term) -> Dataset:
    return _item(
        ObservationNumber=number,
        ReferencedROINumber=number,
        RTROIIdentificationCodeSequence=Items([_coded(term.type)]),
        RTROIInterpretedType="GTV" if kind in ("lesions", "viable", "necrosis", "uncertain") else "ORGAN",
        ROIInterpreter="",
    )


def _coded(code: Code) -> Dataset:
    return _item(CodeValue=code.value, CodingSchemeDesignator=code.scheme, CodeMeaning=code.meaning)
