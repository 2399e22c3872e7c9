"""``livervol export dicom-seg | dicom-sr | rtstruct``: a visit as objects of the study its images belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livervol.cli.export_masks import Folder, Of, Overwrite, chosen, read_mask
from livervol.errors import LivervolError, refusal

if TYPE_CHECKING:
    from livervol.io.dicom_source import SourceSeries
    from livervol.scan import Segmentation

__all__ = ["export_dicom_seg", "export_dicom_sr", "export_rtstruct"]

#: What goes into a DICOM object unasked.
_USUAL = ("liver", "segments", "lesions", "viable", "vessels")

_Source = Annotated[
    Path, typer.Option("--source", help="DICOM folder or file the visit was made from; patient and study come from it.")
]
_OutFile = Annotated[Path, typer.Option("--out", help="File to write.")]
_Series = Annotated[str, typer.Option("--series", help="Series instance UID, where several lie on the masks' grid.")]
_Subject = Annotated[
    str,
    typer.Option(
        "--subject", help="Pseudonym for tracking identifiers that stay the same over visits; from course.json."
    ),
]
_Course = Annotated[Path | None, typer.Option("--course", help="course.json; that of the folder above unless given.")]


@dataclass(frozen=True)
class _Record:
    """What a visit's folder says of itself: its numbers, its place in the course, how its masks were made."""

    document: dict[str, Any]
    course: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    @property
    def subject(self) -> str:
        return str(self.course.get("subject", ""))

    @property
    def methods(self) -> dict[str, str]:
        found = self.document.get("provenance", {}).get("methods", {})
        return {str(name): str(method) for name, method in found.items()}

    @property
    def reference(self) -> tuple[str, str]:
        """(series UID, sha256 of the voxels) of the scan the masks lie on, empty where unknown."""
        inputs = self.document.get("provenance", {}).get("inputs", [])
        rows = self.document.get("phases", [])
        for row, entry in zip(rows, inputs, strict=False):
            if row.get("reference") and len(entry.get("uids", [])) > 1:
                return str(entry["uids"][1]), str(entry.get("voxels_sha256", ""))
        return "", ""

    @property
    def responses(self) -> list[dict[str, Any]]:
        return [row for row in self.course.get("responses", []) if self.number and row.get("visit") == self.number]


def _record(folder: Path, course: Path | None, *, needed: bool = False) -> _Record:
    """measurements.json of the folder, and of its course the subject, the visit's number and its responses.

    A reader's folder belongs to the visit it lies in.
    """
    from livervol.io.tables import read_document

    document = read_document(folder / "measurements.json", needed=needed)
    visit = folder.resolve()
    if visit.parent.name == "readers":
        visit = visit.parents[1]
    found = course or visit.parent / "course.json"
    if course is None and not found.is_file():
        return _Record(document)
    history = read_document(found, needed=True)
    numbers = [v.get("number", 0) for v in history.get("visits", []) if v.get("folder") == visit.name]
    return _Record(document, history, int(numbers[0]) if numbers else 0)


def _source(folder: Path, source: Path, series: str, record: _Record) -> SourceSeries:
    from livervol.io.dicom_source import find_source
    from livervol.io.nifti import read_nifti_grid

    some = next(iter(chosen(folder, None, ("liver", *_USUAL)).values()))
    uid, digest = record.reference
    return find_source(source, read_nifti_grid(some), series_uid=series or uid, voxels_sha256=digest)


def _masks(folder: Path, of: list[str] | None, record: _Record) -> dict[str, Segmentation]:
    from dataclasses import replace

    paths = chosen(folder, of, _USUAL)
    return {name: replace(read_mask(name, path), made_by=record.methods.get(name, "")) for name, path in paths.items()}


def export_dicom_seg(
    folder: Folder,
    source: _Source,
    out: _OutFile,
    of: Of = None,
    kind: Annotated[
        str, typer.Option("--type", help="binary, or labelmap (masks that do not overlap; smaller, newer).")
    ] = "binary",
    subject: _Subject = "",
    series: _Series = "",
    course: _Course = None,
    overwrite: Overwrite = False,
) -> None:
    """Masks as one DICOM SEG: liver, segments, lesions, viable parts and vessels unless --of."""
    from livervol.io.dicom_seg import write_dicom_seg

    record = _record(folder, course)
    masks = _masks(folder, of, record)
    found = _source(folder, source, series, record)
    print(write_dicom_seg(out, masks, found, kind=kind.upper(), subject=subject or record.subject, overwrite=overwrite))


def export_rtstruct(
    folder: Folder,
    source: _Source,
    out: _OutFile,
    of: Of = None,
    series: _Series = "",
    overwrite: Overwrite = False,
) -> None:
    """Masks as contours of one RTSTRUCT: liver, segments, lesions, viable parts and vessels unless --of."""
    from livervol.io.rtstruct import write_rtstruct

    record = _record(folder, None)
    masks = _masks(folder, of, record)
    print(write_rtstruct(out, masks, _source(folder, source, series, record), overwrite=overwrite))


def export_dicom_sr(
    folder: Folder,
    source: _Source,
    out: _OutFile,
    seg: Annotated[
        Path | None, typer.Option("--seg", help="DICOM SEG of this visit, whose segments are measured.")
    ] = None,
    subject: _Subject = "",
    series: _Series = "",
    course: _Course = None,
    overwrite: Overwrite = False,
) -> None:
    """Numbers as one DICOM SR (TID 1500): volumes, diameters with their lines, remnants, response."""
    from livervol.io.dicom_sr import SrContext, write_dicom_sr

    record = _record(folder, course, needed=True)
    name = subject or record.subject
    if not name:
        raise LivervolError(
            refusal(
                "tracking identifiers need a subject",
                expected="--subject PSEUDONYM or a course.json beside the visit",
                got="neither",
                where=str(folder),
                do="Give the same pseudonym at every visit.",
            )
        )
    found = _source(folder, source, series, record)
    context = SrContext(name, record.number, record.responses, seg)
    print(write_dicom_sr(out, record.document, found, context, overwrite=overwrite))
