"""Writing the samples: compressed DICOM series with made-up headers, and NIfTI files, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless

from livervol.grid import Grid

__all__ = ["SeriesHeader", "made_uid", "nifti_bytes", "voxel_sha256", "write_nifti", "write_series"]

_INTERCEPT = -1024


def made_uid(*words: str) -> str:
    """A DICOM UID under 2.25 (a 128-bit number) that depends on the words alone."""
    digest = hashlib.sha256("/".join(("livervol sample scans", *words)).encode()).digest()
    number = bytearray(digest[:16])
    # the version and variant bits of a name-based UUID (RFC 9562 section 5.8), as 2.25 asks for a UUID
    number[6] = number[6] & 0x0F | 0x80
    number[8] = number[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(bytes(number), 'big')}"


def voxel_sha256(voxels: NDArray[Any]) -> str:
    """Hex sha256 of the voxels as little-endian int16 in (z, y, x) order."""
    return hashlib.sha256(np.ascontiguousarray(voxels, dtype="<i2").tobytes()).hexdigest()


@dataclass(frozen=True)
class SeriesHeader:
    """What one series' headers say beside its geometry."""

    study: str
    name: str
    number: int
    description: str
    date: str
    study_time: str
    acquisition_time: str
    contrast_time: str = ""
    thickness_mm: float = 3.0


def _common(header: SeriesHeader, grid: Grid) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = header.date
    ds.StudyTime = header.study_time
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = header.acquisition_time
    ds.AccessionNumber = ""
    ds.Modality = "CT"
    ds.Manufacturer = "livervol"
    ds.InstitutionName = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Computed phantom, liver"
    ds.SeriesDescription = header.description
    ds.ManufacturerModelName = "sample_scans"
    ds.PatientName = "PHANTOM^ONE"
    ds.PatientID = "SAMPLE-0001"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "computed, never a person"
    ds.BodyPartExamined = "LIVER"
    ds.KVP = 120
    ds.SliceThickness = header.thickness_mm
    ds.PatientPosition = "HFS"
    ds.ConvolutionKernel = "STANDARD"
    if header.contrast_time:
        ds.ContrastBolusAgent = "COMPUTED"
        ds.ContrastBolusStartTime = header.contrast_time
    ds.StudyInstanceUID = made_uid(header.study)
    ds.SeriesInstanceUID = made_uid(header.study, header.name)
    ds.FrameOfReferenceUID = made_uid(header.study, "frame")
    ds.StudyID = "1"
    ds.SeriesNumber = header.number
    ds.AcquisitionNumber = header.number
    ds.PositionReferenceIndicator = ""
    directions = grid.directions
    ds.ImageOrientationPatient = [_short(v) for v in (*directions[:, 2], *directions[:, 1])]
    ds.PixelSpacing = [_short(grid.spacing_mm[1]), _short(grid.spacing_mm[2])]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = grid.shape_zyx[1], grid.shape_zyx[2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = 60, 400
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _INTERCEPT, 1, "HU"
    return ds


def _short(value: float) -> float:
    """A number that a decimal string of 16 characters holds exactly as it is read back."""
    return round(float(value), 6) + 0.0


def write_series(
    folder: Path,
    voxels: NDArray[np.int16],
    grid: Grid,
    header: SeriesHeader,
    leave_out: tuple[int, ...] = (),
    moved_mm: Mapping[int, float] | None = None,
) -> None:
    """One file per slice, JPEG-LS lossless.

    ``leave_out`` are slice indices that are not written; ``moved_mm`` says by how much a slice's stated position is
    moved along the normal: both make a series that a reader must refuse.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(grid.shape_zyx[0]):
        if k in leave_out:
            continue
        ds = _common(header, grid)
        ds.InstanceNumber = k + 1
        ds.SOPInstanceUID = made_uid(header.study, header.name, str(k))
        position = grid.index_to_lps([k + (moved_mm or {}).get(k, 0.0) / grid.spacing_mm[0], 0, 0])
        ds.ImagePositionPatient = [_short(v) for v in position]
        ds.SliceLocation = _short(position[2])
        ds.PixelData = (voxels[k].astype(np.int32) - _INTERCEPT).astype("<u2").tobytes()
        ds["PixelData"].VR = "OW"
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = made_uid("writer")
        meta.ImplementationVersionName = "LIVERVOL_SAMPLES"
        ds.file_meta = meta
        ds.compress(JPEGLSLossless, generate_instance_uid=False, encoding_plugin="pyjpegls")
        ds.save_as(folder / f"{k + 1:03d}.dcm", enforce_file_format=True)


def nifti_bytes(voxels: NDArray[np.int16], grid: Grid) -> bytes:
    """An uncompressed NIfTI-1 file (one .nii): int16, x fastest, RAS affine from the grid's LPS one."""
    nz, ny, nx = grid.shape_zyx
    m = grid.matrix
    # columns in the file's i, j, k order, rows LPS to RAS
    affine = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([m[:3, 2], m[:3, 1], m[:3, 0], m[:3, 3]])
    spacing = grid.spacing_mm
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, nx, ny, nz, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1.0, spacing[2], spacing[1], spacing[0], 0.0, 0.0, 0.0, 0.0)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)
    struct.pack_into("<B", header, 123, 2)
    header[148 : 148 + 24] = b"livervol computed sample"
    struct.pack_into("<2h", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, *affine.ravel().tolist())
    header[344:348] = b"n+1\x00"
    return bytes(header) + np.ascontiguousarray(voxels, dtype="<i2").tobytes()


def write_nifti(path: Path, voxels: NDArray[np.int16], grid: Grid) -> None:
    """``nifti_bytes`` gzipped without a time stamp or name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(nifti_bytes(voxels, grid), compresslevel=9, mtime=0))
