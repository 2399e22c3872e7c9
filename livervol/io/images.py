"""The one door for images: whatever the file's format, a Scan or a Segmentation in canonical axes comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from livervol.errors import ScanError, refusal
from livervol.files import check_readable
from livervol.grid import Grid
from livervol.io import mha, nifti, nrrd, seg_nrrd, stored
from livervol.scan import Phase, Scan, Segmentation

__all__ = ["SUFFIXES", "read_image", "read_image_grid", "read_labels"]

_NIFTI = (".nii", ".nii.gz")
_NRRD = (".nrrd", ".nhdr")
_MHA = (".mha", ".mhd")

#: Endings that name a format; folders and files with DICOM's mark are DICOM under any name.
SUFFIXES = (*_NIFTI, *_NRRD, *_MHA, ".dcm")


def _format(path: Path) -> str:
    """nifti, nrrd, mha or dicom; anything else is refused with the endings that are known."""
    if path.is_dir():
        return "dicom"
    check_readable(path)
    name = path.name.lower()
    for kind, endings in (("nifti", _NIFTI), ("nrrd", _NRRD), ("mha", _MHA), ("dicom", (".dcm",))):
        if name.endswith(endings):
            return kind
    with path.open("rb") as handle:
        if handle.read(132)[128:] == b"DICM":
            return "dicom"
    raise ScanError(
        refusal(
            "image format is not known",
            expected=f"a DICOM folder or a name ending in {', '.join(SUFFIXES)}",
            got=path.suffix or "no ending",
            where=str(path),
            do="Convert the image to one of these.",
        )
    )


def read_image(
    path: str | Path, *, modality: str | None = None, sequence: str | None = None, phase: Phase = Phase.UNKNOWN
) -> Scan:
    """One volume from NIfTI, NRRD, MetaImage or DICOM, HU for CT, in canonical axes.

    ``modality`` and ``sequence`` None: from the file where it states them (DICOM), else guessed from the values with
    a warning. ``phase`` unknown keeps what the file says. Raises ``ScanError`` or ``GridError``.
    """
    path = Path(path)
    kind = _format(path)
    if kind == "dicom":
        return _one_dicom(path, modality, sequence, phase)
    if kind == "nifti":
        return nifti.read_nifti(path, modality=modality, sequence=sequence, phase=phase)
    read = nrrd.read_nrrd if kind == "nrrd" else mha.read_mha
    return stored.to_scan(read(path), modality, sequence, phase)


def read_labels(
    path: str | Path,
    names: Mapping[int, str] | None = None,
    made_by: str = "",
    *,
    structure: str = "",
    grids: Sequence[Grid] = (),
) -> Segmentation:
    """A label map from NIfTI, NRRD (also ``.seg.nrrd``), MetaImage, DICOM SEG or RTSTRUCT, in canonical axes.

    ``names`` None: the segment names of the file, else value n is ``label n``. DICOM objects alone know what their
    segments are: of them ``structure`` (liver, lesions, ...) is taken where any segment is marked as one of a visit's
    structures, and ``grids`` are the scans it may lie on, without which an RTSTRUCT cannot be read. Raises
    ``ScanError`` for what is not a label map.
    """
    path = Path(path)
    kind = _format(path)
    if kind == "dicom" and path.is_file():
        return _dicom_labels(path, names, made_by, structure, grids)
    if kind == "nifti":
        return nifti.read_nifti_labels(path, names, made_by)
    if kind == "nrrd":
        if seg_nrrd.is_seg_nrrd(path):
            found = seg_nrrd.read_seg_nrrd(path)
            return replace(found, names=names or found.names, made_by=made_by or found.made_by)
        return stored.to_segmentation(nrrd.read_nrrd(path), names, made_by)
    if kind == "mha":
        return stored.to_segmentation(mha.read_mha(path), names, made_by)
    raise ScanError(
        refusal(
            "label map is a folder",
            expected=f"a DICOM SEG or RTSTRUCT file or a name ending in {', '.join((*_NIFTI, *_NRRD, *_MHA))}",
            got="a folder",
            where=str(path),
            do="Give the file itself.",
        )
    )


def _dicom_labels(
    path: Path, names: Mapping[int, str] | None, made_by: str, structure: str, grids: Sequence[Grid]
) -> Segmentation:
    """The structure asked for, or all of a file none of whose segments is known as a visit's."""
    from livervol.io.dicom_seg_read import read_dicom_seg, read_dicom_seg_parts
    from livervol.io.rtstruct_read import is_rtstruct, read_rtstruct

    if is_rtstruct(path):
        found = read_rtstruct(path, grids, structure)
    else:
        known = structure and any(part.kind for part in read_dicom_seg_parts(path))
        found = read_dicom_seg(path, structure if known else "", grids)
    return replace(found, names=names or found.names, made_by=made_by or found.made_by)


def read_image_grid(path: str | Path) -> Grid:
    """The grid in the file's own axis order, from the header alone (NIfTI, NRRD, MetaImage)."""
    path = Path(path)
    kind = _format(path)
    if kind == "dicom":
        grid = _one_dicom(path, None, None, Phase.UNKNOWN).source.stored
        if grid is None:
            raise ScanError(refusal("series has no stored grid", expected="a volume", got="none", where=str(path)))
        return grid
    readers = {"nifti": nifti.read_nifti_grid, "nrrd": nrrd.read_nrrd_grid, "mha": mha.read_mha_grid}
    return readers[kind](path)


def _one_dicom(path: Path, modality: str | None, sequence: str | None, phase: Phase) -> Scan:
    from livervol.io.dicom import read_dicom

    scans = read_dicom(path)
    if len(scans) != 1:
        raise ScanError(
            refusal(
                "folder does not hold one volume",
                expected="one volume",
                got=f"{len(scans)} volumes",
                where=str(path),
                do="Give the folder of one series, or give the whole folder where phases are found by themselves.",
            )
        )
    scan: Scan = scans[0]
    if modality is not None and modality != scan.modality:
        raise ScanError(refusal("modality is not the file's", expected=modality, got=scan.modality, where=str(path)))
    return replace(scan, sequence=sequence or scan.sequence, phase=scan.phase if phase is Phase.UNKNOWN else phase)
