"""The CT or MR series that masks were drawn on, found again by its headers so that new objects can refer to it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from livervol.errors import GridError, ScanError, refusal
from livervol.grid import Grid
from livervol.io.dicom import find_stacks
from livervol.io.dicom_geometry import Stack
from livervol.io.dicom_header import DAMAGE, series_label
from livervol.io.dicom_pixels import read_voxels

__all__ = ["SourceSeries", "find_source"]

#: Header values every composite object must carry, empty where unknown (PS3.3 C.7.1.1, C.7.2.1).
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """One volume of a DICOM study without its pixels.

    ``grid`` is the grid as stored (slices along the normal, rows, columns). ``headers`` holds one dataset per slice in
    that order, or the one dataset of a multi-frame file; ``frames`` each slice's frame number, from 1.
    The headers carry the patient; nothing here shows them.
    """

    grid: Grid
    headers: tuple[Dataset, ...]
    frames: tuple[int, ...]

    def __repr__(self) -> str:
        return f"SourceSeries({self.grid.describe()}, {series_label(self.series_uid)})"

    @property
    def series_uid(self) -> str:
        """Series instance UID."""
        return str(self.headers[0].SeriesInstanceUID)

    @property
    def is_multiframe(self) -> bool:
        """True when one file holds every slice."""
        return len(self.headers) < len(self.frames)

    def of_slice(self, number: int) -> Dataset:
        """The dataset that holds slice ``number``, from 0."""
        return self.headers[0] if self.is_multiframe else self.headers[number]


def find_source(
    folder: str | Path, grid: Grid, *, series_uid: str = "", voxels_sha256: str = "", tol_mm: float = 0.05
) -> SourceSeries:
    """The series of a DICOM folder or file that lies on ``grid`` (any axis order).

    ``series_uid`` and ``voxels_sha256`` (measurements.json's provenance) tell phases on one grid apart; phases of one
    series differ by their voxels, which are then read. ``tol_mm``: masks kept as NIfTI have single-precision corners.
    Raises ``GridError`` when no volume lies on the grid, ``ScanError`` when several do and nothing tells them apart.
    """
    stacks, _ = find_stacks(folder)
    order = grid.canonical_order()
    wanted = Grid.from_matrix(grid.reordered(order).shape_zyx, grid.reordered(order).matrix)
    there = [s for s in stacks if s.grid.reordered(s.grid.canonical_order()).matches(wanted, tol_mm)]
    if not there:
        held = ", ".join(sorted({s.grid.reordered(s.grid.canonical_order()).describe() for s in stacks}))
        raise GridError(
            refusal(
                "no series of the source lies on the masks' grid",
                expected=wanted.describe(),
                got=f"{held} or another place",
                where=str(folder),
                do="Give the DICOM folder that the masks were made from.",
            )
        )
    if len(there) > 1 and series_uid:
        there = [s for s in there if s.slices[0].file.series_uid == series_uid]
    if len(there) > 1 and voxels_sha256:
        there = [s for s in there if read_voxels(s)[1] == voxels_sha256]
    if len(there) != 1:
        raise ScanError(
            refusal(
                "source series is not clear",
                expected="one series on the masks' grid" + (" with the UID of the visit's input" if series_uid else ""),
                got=f"{len(there)} such series" if there else "none",
                where=str(folder),
                do="Name it by --series UID, or give the folder of that series alone.",
            )
        )
    return _load(there[0])


def _load(stack: Stack) -> SourceSeries:
    paths = list(dict.fromkeys(piece.file.path for piece in stack.slices))
    return SourceSeries(stack.grid, tuple(_header(path) for path in paths), _frame_numbers(stack))


def _frame_numbers(stack: Stack) -> tuple[int, ...]:
    return tuple(piece.frame + 1 for piece in stack.slices)


def _header(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            # the parser's warnings may quote values of the header
            warnings.simplefilter("ignore")
            header: Dataset = dcmread(path, stop_before_pixels=True)
            for name in _TYPE_2:
                if name not in header:
                    setattr(header, name, "")
            _require_uids(header, path)
            return header
    except ScanError:
        raise
    except DAMAGE as error:
        raise ScanError(
            refusal(
                "DICOM file is damaged",
                expected="a header that can be parsed",
                got=type(error).__name__,
                where=f"file {path.name}",
                do="Export or copy it again.",
            )
        ) from None


def _require_uids(header: Dataset, path: Path) -> None:
    names: Sequence[str] = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    missing = [name for name in (*names, "FrameOfReferenceUID") if not UID(str(header.get(name) or "")).is_valid]
    if missing:
        raise ScanError(
            refusal(
                "source cannot be referred to",
                expected="a valid UID of study, series, instance and frame of reference",
                got=f"no valid {', '.join(missing)}",
                where=f"{series_label(str(header.get('SeriesInstanceUID') or ''))}, file {path.name}",
                do="Give the series as the scanner or the archive exported it.",
            )
        )
