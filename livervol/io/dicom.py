"""The DICOM door: every CT and MR volume of a folder or file, or one sentence why not."""

from __future__ import annotations

import datetime
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from livervol.errors import ScanError, refusal
from livervol.io.dicom_geometry import MIN_SLICES, Stack, stack_of
from livervol.io.dicom_header import DicomFile, Slice, read_file, series_label
from livervol.io.dicom_pixels import read_voxels
from livervol.io.dicom_series import distinct_positions, is_three_plane, main_orientation, split_phases
from livervol.scan import Scan, Source

__all__ = ["SHORT_SERIES", "find_stacks", "read_dicom"]

#: A series of fewer slices is a scout, a bolus-tracking run or a test shot when a longer one stands beside it.
SHORT_SERIES = 5

_KIND_WORDS = {
    "localizer": ("localizer image", "localizer images"),
    "capture": ("secondary capture or derived picture", "secondary captures or derived pictures"),
    "map": ("CT image that is not in HU", "CT images that are not in HU"),
}


@dataclass
class _Survey:
    """What a folder holds."""

    pictures: list[DicomFile] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    left_out: list[DicomFile] = field(default_factory=list)
    companions: int = 0
    not_dicom: list[Path] = field(default_factory=list)


def read_dicom(path: Path | str) -> list[Scan]:
    """Every CT and MR volume of a folder (searched recursively) or file, voxels in HU (CT) or rescaled units (MR).

    A series is one volume; where its slice positions repeat it is parted by acquisition number, temporal position,
    echo, b-value or image type. Slice positions come from ``ImagePositionPatient`` along the slice normal, never from
    ``SliceThickness``. Axes are permuted and flipped to canonical order, never resampled; ``source.stored`` is the grid
    of the array as sorted (slices along the normal, rows, columns). Ordered by acquisition time (where every series
    has one), acquisition number, series number, series UID. ``phase`` is left unknown.

    Localizers, secondary captures, files that are not DICOM, other modalities and series of fewer than
    ``SHORT_SERIES`` slices beside a longer one are left out with a sentence in ``source.warnings``.
    Raises ``ScanError`` for anything damaged or ambiguous: missing, repeated or unevenly spaced slices, mixed
    orientation, matrix or spacing, gantry tilt, missing or wrong rescale, truncated or undecodable data, two patients
    or two study dates, or no volume at all. No message names the patient.
    Source: DICOM PS3.3 C.7.6.2 (image plane), C.7.6.16 (functional groups), C.11.1 (rescale).
    """
    stacks, notes = find_stacks(path)
    return [_scan(stack, notes) for stack in stacks]


def find_stacks(path: Path | str) -> tuple[list[Stack], list[str]]:
    """The volumes :func:`read_dicom` would read, from the headers alone, and a sentence for all that is left out."""
    survey = _survey(Path(path))
    _refuse_two_visits(survey.pictures)
    stacks, notes = _stacks(survey)
    return _in_order(stacks), [*_notes(survey), *notes]


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ScanError(
            refusal(
                "DICOM input not found",
                expected="a folder or a file",
                got="nothing",
                where=str(path),
                do="Check the path.",
            )
        )
    found: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(path, onerror=_refuse_folder, followlinks=True):
        # a link may lead back up
        again = os.path.realpath(folder) in seen
        seen.add(os.path.realpath(folder))
        subfolders[:] = [] if again else [name for name in subfolders if not name.startswith(".")]
        kept = [] if again else [name for name in names if not name.startswith(".") and name.upper() != "DICOMDIR"]
        found += [Path(folder, name) for name in kept]
    # pipes and devices would wait for ever; a dangling link is a file that is missing
    return sorted(file for file in found if file.is_file() or file.is_symlink())


def _refuse_folder(error: OSError) -> None:
    raise ScanError(
        refusal(
            "folder cannot be searched",
            expected="a folder that may be read",
            got=error.strerror or "an operating system error",
            where=str(error.filename),
            do="Ask for read permission.",
        )
    ) from error


def _survey(path: Path) -> _Survey:
    survey = _Survey()
    for file_path in _files(path):
        held = read_file(file_path)
        if held is None:
            survey.not_dicom.append(file_path)
            continue
        file, slices = held
        if file.kind in ("image", "localizer"):
            survey.pictures.append(file)
        survey.slices += slices
        if file.kind in (*_KIND_WORDS, "other"):
            survey.left_out.append(file)
        survey.companions += file.kind == "companion"
    if not survey.slices:
        raise _nothing(survey)
    return survey


def _counted(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _nothing(survey: _Survey) -> ScanError:
    """The refusal for a folder without one CT or MR image, saying what it holds."""
    modalities = Counter(file.modality for file in survey.left_out if file.kind == "other")
    kinds = Counter(file.kind for file in survey.left_out if file.kind != "other")
    held = [_counted(n, f"{modality} object") for modality, n in sorted(modalities.items())]
    held += [_counted(n, *_KIND_WORDS[kind]) for kind, n in sorted(kinds.items())]
    if survey.companions:
        held.append(_counted(survey.companions, "segmentation, report or similar object", "segmentations, reports"))
    if not held:
        got = f"{_counted(len(survey.not_dicom), 'file')} without a DICOM header" if survey.not_dicom else "no file"
        return ScanError(
            refusal(
                "no DICOM found", expected="DICOM files", got=got, do="Give the folder that holds the exported series."
            )
        )
    return ScanError(
        refusal(
            "no CT or MR volume found",
            expected="a CT or MR series",
            got=", ".join(held),
            do="Give the folder of the CT or MR series itself.",
        )
    )


def _iso_date(raw: str) -> str | None:
    """``YYYYMMDD`` to ISO; None when it is empty or no day of the calendar."""
    try:
        return datetime.date(int(raw[:4]), int(raw[4:6]), int(raw[6:])).isoformat() if len(raw) == 8 else None
    except ValueError:
        return None


def _refuse_two_visits(pictures: Sequence[DicomFile]) -> None:
    """Refuse two patients or two study dates; the patient is told by number only."""
    dates: dict[str, set[str]] = defaultdict(set)
    patients: dict[str, set[str]] = defaultdict(set)
    births = {file.birth_date for file in pictures} - {""}
    for file in pictures:
        dates[file.study_date].add(file.series_uid)
        patients[file.patient].add(file.series_uid)
    for unknown in (dates, patients):
        unknown.pop("", None)
    listed = ", ".join(
        f"{_iso_date(date) or 'an unreadable date'} with {len(uids)} series" for date, uids in sorted(dates.items())
    )
    if len(patients) > 1 or len(births) > 1:
        number = max(len(patients), len(births))
        raise ScanError(
            refusal(
                "folder holds more than one patient",
                expected="one patient",
                got=f"{number} patients" + (f" (study dates: {listed})" if listed else ""),
                do="Give each patient's visit in a folder of its own.",
            )
        )
    if len(dates) > 1:
        raise ScanError(
            refusal(
                "folder holds more than one study date",
                expected="one visit",
                got=f"{len(dates)} study dates: {listed}",
                do="Give each visit in a folder of its own.",
            )
        )


def _stacks(survey: _Survey) -> tuple[list[Stack], list[str]]:
    """The volumes, and a sentence for each series or part too short to be one."""
    by_series: dict[str, list[Slice]] = defaultdict(list)
    for piece in survey.slices:
        by_series[piece.file.series_uid].append(piece)
    notes = []
    scouts = {uid for uid, slices in by_series.items() if is_three_plane(slices)}
    sizes = {uid: 0 if uid in scouts else distinct_positions(slices) for uid, slices in by_series.items()}
    floor = _floor(sizes.values())
    parts: list[tuple[list[Slice], list[str]]] = []
    for uid, slices in by_series.items():
        if uid in scouts and max(sizes.values()) >= MIN_SLICES:
            notes.append(f"three-plane localizer left out ({series_label(uid)})")
        elif sizes[uid] < floor:
            notes.append(_too_short(slices))
        else:
            main, warnings = main_orientation(slices)
            parts += [(part, warnings) for part in split_phases(main)]
    if not parts:
        # nothing reaches three positions: refuse by what is wrong with the largest series
        main, warnings = main_orientation(max(by_series.values(), key=len))
        parts = [(part, warnings) for part in split_phases(main)]
    most = max(distinct_positions(part) for part, _ in parts)
    if most < MIN_SLICES:
        stack_of(max((part for part, _ in parts), key=len))
    floor = _floor([most])
    stacks = []
    for part, warnings in parts:
        if distinct_positions(part) < floor:
            notes.append(_too_short(part))
        else:
            stacks.append(stack_of(part, warnings))
    return stacks, notes


def _floor(sizes: Iterable[int]) -> int:
    """The fewest slices a volume may have, given what stands beside it."""
    return SHORT_SERIES if max(sizes, default=0) >= SHORT_SERIES else MIN_SLICES


def _too_short(slices: Sequence[Slice]) -> str:
    positions = distinct_positions(slices)
    return (
        f"{_counted(len(slices), 'slice')} at {_counted(positions, 'position')}, too few for a volume, left out "
        f"({series_label(slices[0].file.series_uid)})"
    )


def _notes(survey: _Survey) -> list[str]:
    """A sentence for each kind of thing left out."""
    notes = []
    for kind, words in _KIND_WORDS.items():
        files = [file for file in survey.left_out if file.kind == kind]
        if files:
            labels = sorted({series_label(file.series_uid) for file in files})
            notes.append(f"{_counted(len(files), *words)} left out ({', '.join(labels)})")
    modalities = Counter(file.modality for file in survey.left_out if file.kind == "other")
    notes += [
        f"{_counted(n, f'{modality} object')} left out; only CT and MR are read" for modality, n in modalities.items()
    ]
    if survey.not_dicom:
        names = ", ".join(path.name for path in survey.not_dicom[:3])
        more = f" and {len(survey.not_dicom) - 3} more" if len(survey.not_dicom) > 3 else ""
        notes.append(f"{_counted(len(survey.not_dicom), 'file')} without a DICOM header left out ({names}{more})")
    return notes


def _float_or(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise


def _acquisition(stack: Stack) -> tuple[str, str]:
    """(time, number) of a stack's first acquisition; empty where the header lacks them."""
    times = [s.file.hints.get("acquisition_time", "") for s in stack.slices]
    numbers = [s.keys.get("AcquisitionNumber", "") for s in stack.slices]
    frame_times = [s.keys.get("FrameAcquisitionDateTime", "")[8:] for s in stack.slices]
    time = min(frame_times if all(frame_times) else times, key=lambda t: _float_or(t, float("inf")))
    number = min(numbers, key=lambda n: _float_or(n, float("inf")))
    return time, number or stack.slices[0].file.hints.get("acquisition_number", "")


def _in_order(stacks: Sequence[Stack]) -> list[Stack]:
    timed = all(_acquisition(stack)[0] for stack in stacks)

    def key(stack: Stack) -> tuple[float, float, float, str, str]:
        time, number = _acquisition(stack)
        first = stack.slices[0]
        return (
            _float_or(time, 0.0) if timed else 0.0,
            _float_or(number, 0.0),
            _float_or(first.file.hints.get("series_number", ""), 0.0),
            first.file.series_uid,
            "\\".join(first.keys.values()),
        )

    return sorted(stacks, key=key)


def _scan(stack: Stack, notes: Sequence[str]) -> Scan:
    file = stack.slices[0].file
    voxels, digest = read_voxels(stack)
    warnings = [*notes, *stack.warnings]
    if file.lossy:
        warnings.append(f"pixels went through lossy compression ({series_label(file.series_uid)})")
    date = _iso_date(file.study_date)
    if file.study_date and date is None:
        warnings.append(f"study date is no day of the calendar ({series_label(file.series_uid)})")
    time, number = _acquisition(stack)
    hints = {**file.hints, "acquisition_time": time, "acquisition_number": number}
    order = stack.grid.canonical_order()
    return Scan(
        voxels=order.apply(voxels),
        grid=stack.grid.reordered(order),
        modality=file.modality,
        sequence=file.sequence,
        date=date,
        source=Source(
            kind="dicom",
            stored=stack.grid,
            uids=(file.study_uid, file.series_uid),
            sha256=digest,
            warnings=tuple(warnings),
            hints=MappingProxyType({name: value for name, value in hints.items() if value}),
        ),
    )
