"""A reader's folder in a visit's output: what a reading starts from, and what it leaves there.

``readers/<reader>/`` holds that reader's masks, measurements.json and .csv, landmarks.json, edits.journal and
signoff.json; ``readers/adjudicated/`` the final. The journal is the truth: the other files are made from it and can be
made again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import GridError, LivervolError, ScanError, refusal
from livervol.files import write_text
from livervol.grid import Grid
from livervol.io.images import read_image, read_image_grid, read_labels
from livervol.io.nifti import write_nifti_labels
from livervol.io.tables import read_document
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.phase import recognise_phases
from livervol.workflows.inputs import one_per_phase, read_visit

__all__ = [
    "ADJUDICATED",
    "JOURNAL",
    "MASKS",
    "SIGN_OFF",
    "ScanShelf",
    "VisitFiles",
    "lock_reason",
    "read_document",
    "reader_folder",
    "require_unsigned",
    "tidy_half_written",
    "visit_files",
    "write_json",
    "write_masks",
]

#: The masks a reader may change, in nesting order; necrosis is what is left of a lesion and follows.
MASKS = ("liver", "lesions", "viable", "uncertain", "segments", "vessels")

JOURNAL = "edits.journal"
SIGN_OFF = "signoff.json"
ADJUDICATED = "adjudicated"

#: A half-written file this young may still be somebody's (seconds): open files listed, or not.
_SETTLED_S, _UNLISTED_S = 10.0, 3600.0

_READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def reader_folder(visit: str | Path, reader: str) -> Path:
    """``readers/<reader>`` of a visit; the reader is a code (letters, digits, - and _), never a path."""
    if not _READER.fullmatch(reader):
        raise LivervolError(
            refusal(
                "reader's code",
                expected="1 to 40 letters, digits, - or _",
                got=repr(reader),
                do="Give the reader a code, not a name.",
            )
        )
    return Path(visit) / "readers" / reader


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """Write an object as JSON, atomically."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n", overwrite=True)


def lock_reason(visit: Path, reader: str) -> str:
    """Why this reader may not edit this visit any more; empty when free."""
    if (reader_folder(visit, reader) / SIGN_OFF).is_file():
        return f"reader {reader} has signed off"
    if reader != ADJUDICATED and (reader_folder(visit, ADJUDICATED) / SIGN_OFF).is_file():
        return "the visit has been adjudicated and signed off"
    return ""


def require_unsigned(path: Path) -> None:
    """Refuse to replace a file whose hash a reader has signed."""
    signed = path.with_name(SIGN_OFF)
    if signed.is_file() and path.name in read_document(signed).get("files", {}):
        raise LivervolError(
            refusal(
                "reading is signed off",
                expected=f"{path.name} as it was signed",
                got="a new one",
                where=str(path.parent),
                do="Withdraw the sign-off in the viewer, or write to another folder.",
            )
        )


def tidy_half_written(folder: Path) -> tuple[str, ...]:
    """Remove the files whose writing a crash cut off; returns their names. For whoever holds the folder's journal.

    They replace nothing. Only those that no living process has open are taken, and none that was touched in the last
    seconds; where open files cannot be listed, none of the last hour.
    """
    found = [path for path in folder.glob(".writing-*") if path.is_file()]
    if not found:
        return ()
    in_use = _open_files()
    wait_s = _UNLISTED_S if in_use is None else _SETTLED_S
    gone = []
    for path in found:
        try:
            status = path.stat()
            if time.time() - status.st_mtime < wait_s or (status.st_dev, status.st_ino) in (in_use or ()):
                continue
            path.unlink()
        except OSError:
            # taken by another hand, or a folder that may only be read
            continue
        gone.append(path.name)
    return tuple(gone)


def _open_files() -> set[tuple[int, int]] | None:
    """(device, inode) of every file that a living process has open, as far as it may be seen; None without /proc."""
    processes = Path("/proc")
    if not (processes / "self" / "fd").is_dir():
        return None
    found = set()
    for process in processes.iterdir():
        if not process.name.isdigit():
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                status = descriptor.stat()
            except OSError:
                continue
            found.add((status.st_dev, status.st_ino))
    return found


class ScanShelf:
    """The visit's phases by name, each read when it is first asked for, all on one grid."""

    def __init__(self, grid: Grid, files: Mapping[str, Path], scans: Mapping[str, Scan]) -> None:
        self._grid, self._files = grid, dict(files)
        self._scans = dict(scans)

    @property
    def names(self) -> tuple[str, ...]:
        """Phases there are, as in measurements.json (``late_arterial``)."""
        return tuple(dict.fromkeys([*self._scans, *self._files]))

    def get(self, name: str) -> Scan:
        """The scan of a phase; refuses a phase that is not there or not on the masks' grid."""
        if name not in self._scans:
            if name not in self._files:
                known = ", ".join(self.names) or "none"
                raise ScanError(refusal("phase is not there", expected=known, got=repr(name)))
            scan = read_image(self._files[name], phase=Phase(name))
            self._scans[name] = _on_grid(scan, self._grid, self._files[name])
        return self._scans[name]


def _on_grid(scan: Scan, grid: Grid, path: Path) -> Scan:
    if not scan.grid.matches(grid):
        raise GridError(
            refusal("phase is not on the masks' grid", expected=grid.describe(), got=scan.grid.describe(),
                    where=str(path))
        )  # fmt: skip
    return replace(scan, grid=grid)


@dataclass(frozen=True, eq=False)
class VisitFiles:
    """A visit's output as a reading needs it: masks (uint16) on ``grid``, the grid they are ``stored`` on, the scans,
    the machine's ``document`` and the visit's ``date``.
    """

    visit: Path
    grid: Grid
    stored: Grid
    masks: Mapping[str, NDArray[np.uint16]]
    shelf: ScanShelf
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def date(self) -> str:
        """ISO date of the visit, empty when unknown."""
        return next((str(row["date"]) for row in self.document.get("phases", ()) if row.get("date")), "")


def visit_files(visit: str | Path, inputs: Sequence[str | Path] = ()) -> VisitFiles:
    """Read a visit's output folder: its masks, and its scans when asked for.

    ``inputs`` are the INPUT words of ``livervol run``: needed to show a visit of one phase, whose scan is not in the
    folder; numbers are then computed on that scan's own grid. Raises ``LivervolError`` for a folder without a liver.
    """
    root = Path(visit)
    liver_path = root / "liver.nii.gz"
    if not liver_path.is_file():
        raise ScanError(
            refusal(
                "not a visit's output",
                expected="a folder with liver.nii.gz",
                got="none",
                where=str(root),
                do="Run livervol run or livervol measure first.",
            )
        )
    stored, grid = read_image_grid(liver_path), read_labels(liver_path).grid
    scans = _given_scans(inputs, liver_path) if inputs else {}
    for scan in scans.values():
        if scan.source.stored is not None:
            grid, stored = scan.grid, scan.source.stored
            break
    masks: dict[str, NDArray[np.uint16]] = {}
    for name in MASKS:
        path = root / f"{name}.nii.gz"
        if path.is_file():
            found = read_labels(path)
            if not found.grid.matches(grid):
                raise GridError(
                    refusal(f"{name} mask is not on the liver's grid", expected=grid.describe(),
                            got=found.grid.describe(), where=str(path))
                )  # fmt: skip
            masks[name] = np.ascontiguousarray(found.labels, dtype=np.uint16)
    masks["liver"] = (masks["liver"] != 0).astype(np.uint16)
    masks.setdefault("lesions", np.zeros(grid.shape_zyx, np.uint16))
    folder = root / "phases"
    # names that begin with a dot are files whose writing was cut off
    whole = [p for p in sorted(folder.glob("*.nii.gz")) if not p.name.startswith(".")] if folder.is_dir() else []
    files = {p.name.split(".")[0]: p for p in whole}
    known = {phase.value for phase in Phase}
    shelf = ScanShelf(grid, {k: v for k, v in files.items() if k in known and k not in scans}, scans)
    return VisitFiles(root, grid, stored, masks, shelf, read_document(root / "measurements.json"))


def _given_scans(inputs: Sequence[str | Path], liver_path: Path) -> dict[str, Scan]:
    """The given scans that lie on the liver's grid, by phase."""
    visit, liver = read_visit(inputs), read_labels(liver_path)
    livers = {n: liver for n, scan in enumerate(visit.scans) if liver.grid.matches(scan.grid)}
    if not livers:
        raise GridError(
            refusal(
                "no given scan is the one the masks were drawn on",
                expected=liver.grid.describe(),
                got=", ".join(scan.grid.describe() for scan in visit.scans) or "no scan",
                where=str(liver_path),
                do="Give the scan that the visit was run on.",
            )
        )
    chosen, _ = one_per_phase(recognise_phases(visit.scans, livers, stated=visit.stated).scans)
    return {phase.value: scan for phase, scan in chosen.items() if liver.grid.matches(scan.grid)}


def write_masks(folder: Path, masks: Mapping[str, Segmentation], stored: Grid) -> None:
    """Write every mask as NIfTI on the ``stored`` grid, each atomically, and necrosis: what is left of the lesions."""
    for name, mask in masks.items():
        write_nifti_labels(folder / f"{name}.nii.gz", mask, stored, overwrite=True)
    if "viable" not in masks:
        return
    lesions = masks["lesions"]
    alive = masks["viable"].labels != 0
    if "uncertain" in masks:
        alive |= masks["uncertain"].labels != 0
    rest = replace(lesions, labels=np.where(alive, lesions.labels.dtype.type(0), lesions.labels))
    write_nifti_labels(folder / "necrosis.nii.gz", rest, stored, overwrite=True)
