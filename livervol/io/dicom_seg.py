"""DICOM Segmentation (SEG): a visit's masks as BINARY or LABELMAP segments that refer to the source series."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from livervol import __version__
from livervol.errors import GridError, ScanError, refusal
from livervol.files import atomic_file
from livervol.grid import Grid
from livervol.io.dicom_seg_codes import MASK_KINDS, Code, name_of, term_of
from livervol.io.dicom_seg_read import read_dicom_seg, read_dicom_seg_layers
from livervol.io.dicom_source import SourceSeries
from livervol.io.dicom_tracking import tracking_uid
from livervol.scan import Segmentation

__all__ = [
    "SEG_KINDS",
    "library_quiet",
    "on_source",
    "read_dicom_seg",
    "read_dicom_seg_layers",
    "tracked_name",
    "write_dicom_seg",
]

#: Segmentation types written: one bit a voxel and segment, or one number a voxel (segments may not overlap).
SEG_KINDS = ("BINARY", "LABELMAP")

#: highdicom holds one byte a voxel and segment while it writes.
_MAX_BYTES = 2 << 30


@dataclass(frozen=True)
class _Part:
    """One segment to be: mask kind, label value in it, segment number."""

    kind: str
    value: int
    number: int


def write_dicom_seg(
    path: str | Path,
    masks: Mapping[str, Segmentation],
    source: SourceSeries,
    *,
    kind: str = "BINARY",
    subject: str = "",
    overwrite: bool = False,
) -> Path:
    """Write masks (liver, segments, lesions, viable, necrosis, uncertain, vessels) as one DICOM SEG, atomically.

    Each label value present becomes a segment with SNOMED CT or NCIt codes; a mask's names are not used. Frames lie
    exactly on the source's slices and refer to them; slices without any structure are left out, the others are named
    in the referenced series. ``kind`` LABELMAP takes masks that do not overlap, label values as segment numbers where
    there is one mask. ``subject`` (a pseudonym) adds lesion tracking identifiers that are the same at every visit.

    The file carries the patient and study of the source series, as DICOM demands: patient's name, identifier, birth
    date and sex, study UID, date and accession number. De-identify the source first where these must not leave.
    Raises ``GridError`` when a mask is not on the source's grid, ``ScanError`` for empty or overlapping input.
    Source: DICOM PS3.3 A.51, A.51.9 (label map), C.8.20; PS3.16 CID 7150, 7151.
    """
    if kind not in SEG_KINDS:
        raise ScanError(refusal("segmentation type is not known", expected=" or ".join(SEG_KINDS), got=repr(kind)))
    arrays = {name: on_source(mask, source.grid) for name, mask in masks.items() if name in MASK_KINDS}
    parts = _parts(arrays, keep_values=kind == "LABELMAP" and len(arrays) == 1)
    if not parts:
        raise ScanError(
            refusal(
                "nothing to write", expected="at least one voxel of a structure", got="empty masks", where=str(path)
            )
        )
    planes = np.flatnonzero(np.any([array.any(axis=(1, 2)) for array in arrays.values()], axis=0))
    # highdicom derives plane positions from a multi-frame source only for all of its frames
    planes = np.arange(source.grid.shape_zyx[0]) if source.is_multiframe else planes
    pixels = _labelmap(arrays, parts, planes, path) if kind == "LABELMAP" else _stacked(arrays, parts, planes)
    import highdicom as hd

    made_by = {name: mask.made_by for name, mask in masks.items()}
    descriptions = [_description(hd, part, made_by[part.kind], subject) for part in parts]
    with library_quiet():
        dataset = hd.seg.Segmentation(
            source_images=[source.headers[0]] if source.is_multiframe else [source.headers[z] for z in planes],
            further_source_images=_others(source, planes),
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=descriptions,
            omit_empty_frames=True,
            transfer_syntax_uid=RLELossless if kind == "LABELMAP" else ExplicitVRLittleEndian,
            content_description="Liver segmentation",
            content_label="LIVER",
            **_identity(hd, 700),
        )
        # the library derives spacing from the planes given to it, which skips the empty ones
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = _measures(hd, source.grid)
        dataset.SeriesDescription = f"livervol segmentation {kind.lower()}"
        with atomic_file(path, overwrite=overwrite) as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
    return Path(path)


@contextmanager
def library_quiet() -> Iterator[None]:
    """Silence pydicom's and highdicom's warnings: they may quote header values, and the source is not ours to mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\..*|highdicom\..*")
        yield


def on_source(mask: Segmentation, stored: Grid, tol_mm: float = 0.05) -> NDArray[Any]:
    """The labels in the source's stored order (slices along the normal, rows, columns), a view; any axis order in."""
    order = stored.canonical_order()
    own = mask.grid.canonical_order()
    canonical, wanted = mask.grid.reordered(own), stored.reordered(order)
    # a mask without a frame of reference (NIfTI) is compared by place alone
    if not canonical.matches(wanted, tol_mm):
        raise GridError(
            refusal(
                "mask is not on the source's grid",
                expected=wanted.describe(),
                got=canonical.describe(),
                do="Give the series that the mask was drawn on, or resample the mask to it.",
            )
        )
    return order.undo(own.apply(mask.labels))


def tracked_name(kind: str, value: int) -> str:
    """What is followed over visits: ``lesion 3``, ``lesion 3 viable``; empty for what is no finding."""
    if kind == "lesions":
        return f"lesion {value}"
    return f"lesion {value} {kind}" if kind in ("viable", "necrosis", "uncertain") else ""


def _parts(arrays: Mapping[str, NDArray[Any]], *, keep_values: bool) -> list[_Part]:
    found = [
        (kind, int(value))
        for kind in MASK_KINDS
        if kind in arrays
        for value in np.flatnonzero(np.bincount(arrays[kind][arrays[kind] != 0], minlength=1))
    ]
    return [_Part(kind, value, value if keep_values else n) for n, (kind, value) in enumerate(found, start=1)]


def _stacked(arrays: Mapping[str, NDArray[Any]], parts: Sequence[_Part], planes: NDArray[Any]) -> NDArray[Any]:
    rows, columns = next(iter(arrays.values())).shape[1:]
    size = len(planes) * rows * columns * len(parts)
    if size > _MAX_BYTES:
        raise ScanError(
            refusal(
                "segmentation is too large to write at once",
                expected=f"at most {_MAX_BYTES >> 30} GiB of segments",
                got=f"{size / (1 << 30):.1f} GiB in {len(parts)} segments",
                do="Write fewer masks per file, or LABELMAP.",
            )
        )
    pixels = np.zeros((len(planes), rows, columns, len(parts)), np.uint8)
    for n, part in enumerate(parts):
        pixels[..., n] = arrays[part.kind][planes] == part.value
    return pixels


def _labelmap(
    arrays: Mapping[str, NDArray[Any]], parts: Sequence[_Part], planes: NDArray[Any], path: str | Path
) -> NDArray[Any]:
    dtype = np.uint8 if max(part.number for part in parts) <= 255 else np.uint16
    pixels = np.zeros((len(planes), *next(iter(arrays.values())).shape[1:]), dtype)
    for kind, array in arrays.items():
        table = np.zeros(65536, dtype)
        for part in parts:
            if part.kind == kind:
                table[part.value] = part.number
        new = table[array[planes]]
        shared = int(np.count_nonzero((pixels != 0) & (new != 0)))
        if shared:
            raise ScanError(
                refusal(
                    "masks overlap",
                    expected="at most one structure in a voxel of a LABELMAP",
                    got=f"{shared} voxels in {kind} and in another mask",
                    where=str(path),
                    do="Write one mask per file, or BINARY.",
                )
            )
        pixels += new
    return pixels


def _others(source: SourceSeries, planes: NDArray[Any]) -> list[Any] | None:
    if source.is_multiframe:
        return None
    used = set(planes.tolist())
    return [header for z, header in enumerate(source.headers) if z not in used] or None


def _measures(hd: Any, grid: Grid) -> Any:
    between, rows, columns = (float(f"{value:.7g}") for value in grid.spacing_mm)
    # slices are taken as touching: a source's own SliceThickness says how they were acquired
    return hd.PixelMeasuresSequence(
        pixel_spacing=[rows, columns], slice_thickness=between, spacing_between_slices=between
    )


def _identity(hd: Any, series_number: int) -> dict[str, Any]:
    return {
        "series_instance_uid": hd.UID(),
        "series_number": series_number,
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
        "manufacturer": "livervol",
        "manufacturer_model_name": "livervol",
        "software_versions": __version__,
        "device_serial_number": "none",
    }


def _coded(hd: Any, code: Code) -> Any:
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _description(hd: Any, part: _Part, made_by: str, subject: str) -> Any:
    term = term_of(part.kind, part.value)
    ours = made_by not in ("", "given")
    tracked = tracked_name(part.kind, part.value) if subject else ""
    return hd.seg.SegmentDescription(
        segment_number=part.number,
        segment_label=name_of(part.kind, part.value),
        segmented_property_category=_coded(hd, term.category),
        segmented_property_type=_coded(hd, term.type),
        # a mask without a method may be anybody's; a reader may have corrected it
        algorithm_type="AUTOMATIC" if ours else "SEMIAUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=(made_by if ours else "mask given to livervol")[:64],
            family=hd.sr.CodedConcept("123109", "DCM", "Manual Processing")
            if not ours
            else hd.sr.CodedConcept("123101", "DCM", "Neighborhood Analysis"),
            version=__version__,
        ),
        tracking_uid=tracking_uid(subject, tracked) if tracked else None,
        tracking_id=tracked or None,
        anatomic_regions=[_coded(hd, term.region)] if term.region else None,
        display_color=hd.color.CIELabColor.from_rgb(*term.colour_rgb),
    )
