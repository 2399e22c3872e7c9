"""A visit from an archive to a folder, and results back to it, whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import atomic_folder
from livervol.io.dicom_header import series_label
from livervol.io.dicom_whole import is_dicom
from livervol.io.pacs_archive import (
    Archive,
    FoundSeries,
    FoundStudy,
    Inbox,
    Parcel,
    TransferError,
    VisitQuery,
    again,
    parcel_of,
)
from livervol.io.pacs_settings import ArchiveSettings

__all__ = ["PullReport", "PushReport", "VisitQuery", "open_archive", "pull_visit", "push_files"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PullReport:
    """What was written: series by modality, instances, bytes and the visit's date (YYYYMMDD, may be empty)."""

    folder: Path
    date: str
    series: tuple[str, ...]
    instances: int
    n_bytes: int


@dataclass(frozen=True)
class PushReport:
    """What the archive confirmed: instances by modality."""

    instances: int
    modalities: tuple[tuple[str, int], ...]


def open_archive(settings: ArchiveSettings) -> Archive:
    """A connection by DICOMweb (``url``) or DIMSE (``host``); packages of the ``dicomnet`` extra are loaded here."""
    if settings.url:
        from livervol.io.pacs_web import WebArchive

        return WebArchive(settings)
    from livervol.io.pacs_dimse import DimseArchive

    return DimseArchive(settings)


def pull_visit(
    settings: ArchiveSettings,
    query: VisitQuery,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda step: None,
) -> PullReport:
    """Fetch every instance of a visit into a new folder: one subfolder per series, files numbered, no names in them.

    The archive is first asked what it holds; the folder appears only when each of these instances has arrived whole
    and belongs to the study and patient asked for. Broken transfers are taken up again where they stopped.
    Raises ``LivervolError``: nothing found, several dates or patients, incomplete after all retries, login refused,
    archive out of reach, disk full. Source: DICOM PS3.18 chapter 10 (QIDO-RS, WADO-RS), PS3.4 annex C (C-FIND, C-GET,
    C-MOVE).
    """
    archive = open_archive(settings)
    try:
        with atomic_folder(out, overwrite=overwrite) as temporary:
            studies = _one_visit(again(lambda: archive.studies(query), settings), query, settings)
            found = [one for study in studies for one in _series(archive, study, query, settings)]
            total = sum(len(one.instances) for one in found)
            if not total:
                raise _refuse("nothing to pull", "a study with instances", "none", settings, "Check the modalities.")
            patient = studies[0].patient if query.patient else ""
            done, n_bytes = 0, 0
            for number, series in enumerate(found, start=1):
                progress(f"{done} of {total} instances, series {number} of {len(found)}")
                inbox = Inbox(temporary, number, series, patient)
                _fill(archive, inbox, settings)
                done, n_bytes = done + len(series.instances), n_bytes + inbox.n_bytes
    finally:
        archive.close()
    return PullReport(Path(out), studies[0].date, tuple(one.modality for one in found), total, n_bytes)


def _refuse(rule: str, expected: str, got: str, settings: ArchiveSettings, do: str) -> LivervolError:
    return LivervolError(refusal(rule, expected=expected, got=got, where=settings.label, do=do))


def _one_visit(found: Sequence[FoundStudy], query: VisitQuery, settings: ArchiveSettings) -> list[FoundStudy]:
    """The studies of one date and one patient; some archives match loosely, so each is compared again."""
    studies = [
        one
        for one in found
        if (not query.patient or one.patient == query.patient)
        and (not query.date or one.date == query.dicom_date)
        and (not query.study or one.uid == query.study)
    ]
    if not studies:
        got = "none" if not found else f"{len(found)} that match only in part"
        raise _refuse("visit not found", "a study of that patient and date", got, settings, "Check patient and date.")
    if len({one.patient for one in studies}) > 1:
        raise _refuse("study belongs to several patients", "one patient", "more", settings, "Ask the archive's keeper.")
    dates = Counter(one.date or "no date" for one in studies)
    if len(dates) > 1:
        got = f"{len(dates)} dates: " + ", ".join(f"{day} with {n}" for day, n in sorted(dates.items()))
        raise _refuse("patient has several visits", "one study date", got, settings, "Give --date or --study.")
    return studies


def _series(archive: Archive, study: FoundStudy, query: VisitQuery, settings: ArchiveSettings) -> list[FoundSeries]:
    found = again(lambda: archive.series(study.uid), settings)
    wanted = {word.upper() for word in query.modalities}
    chosen = [one for one in found if not wanted or one.modality.upper() in wanted]
    for one in chosen:
        if one.announced is not None and one.announced != len(one.instances):
            raise _refuse(
                "archive contradicts itself",
                f"{one.announced} instances as its series says",
                f"{len(one.instances)} listed ({series_label(one.uid)})",
                settings,
                "The series may still be arriving there; try again later.",
            )
    return sorted((one for one in chosen if one.instances), key=lambda one: one.uid)


def _fill(archive: Archive, inbox: Inbox, settings: ArchiveSettings) -> None:
    """Fetch until nothing is missing, and refuse what is still incomplete after all retries."""
    last = ""

    def once() -> None:
        nonlocal last
        try:
            archive.fetch(inbox.series, inbox.missing, inbox)
        except TransferError as error:
            last = f"; last: {error}"
        trouble, inbox.trouble = inbox.trouble, None
        if trouble is not None and not isinstance(trouble, TransferError):
            raise trouble
        if inbox.missing:
            raise TransferError(last)

    try:
        again(once, settings)
    except TransferError:
        whole = len(inbox.series.instances)
        raise _refuse(
            "transfer is incomplete",
            f"{whole} instances of {series_label(inbox.series.uid)}",
            f"{whole - len(inbox.missing)}{last}",
            settings,
            "Nothing was kept. Try again later.",
        ) from None


def push_files(
    settings: ArchiveSettings, paths: Iterable[str | Path], *, progress: Progress = lambda step: None
) -> PushReport:
    """Send DICOM files, or all DICOM files of folders, and count what the archive confirmed.

    Each file is checked to be whole before the first is sent; sending is taken up again after failures, and an
    archive that does not confirm every instance ends in a refusal that counts them. Storing twice is harmless: an
    archive knows an instance by its UID. Source: DICOM PS3.18 10.5 (STOW-RS), PS3.4 annex B (C-STORE).
    """
    parcels = _parcels([Path(path) for path in paths])
    waiting = {one.uid: one for one in parcels}
    archive = open_archive(settings)

    def once() -> None:
        for uid in archive.store(list(waiting.values())):
            waiting.pop(uid, None)
            progress(f"{len(parcels) - len(waiting)} of {len(parcels)} instances")
        if waiting:
            raise TransferError(f"{len(waiting)} instances not confirmed")

    try:
        again(once, settings)
    except TransferError as error:
        got = f"{len(parcels) - len(waiting)} confirmed; last: {error}"
        do = "Send the same files again; what has arrived does no harm."
        raise _refuse("transfer is incomplete", f"{len(parcels)} instances", got, settings, do) from None
    finally:
        archive.close()
    return PushReport(len(parcels), tuple(sorted(Counter(one.modality for one in parcels).items())))


def _parcels(paths: Sequence[Path]) -> list[Parcel]:
    parcels: dict[str, Parcel] = {}
    for path in paths:
        for file in _files(path):
            try:
                one = parcel_of(file)
            except ScanError:
                if path.is_dir() and not is_dicom(file):
                    continue
                raise
            if one.uid in parcels:
                first = parcels[one.uid].path.name
                raise ScanError(
                    refusal(
                        "two files are the same instance",
                        expected="each instance once",
                        got=f"{first} and {file.name}",
                        do="Remove one.",
                    )
                )
            parcels[one.uid] = one
    if not parcels:
        raise ScanError(refusal("nothing to push", expected="DICOM files", got="none", do="Give files or folders."))
    return list(parcels.values())


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ScanError(refusal("input not found", expected="a DICOM file or a folder", got="nothing", where=str(path)))
    found = [Path(folder, name) for folder, _, names in os.walk(path) for name in names if not name.startswith(".")]
    # links may lead anywhere, also out of the folder that was meant to be sent
    return sorted(file for file in found if file.is_file() and not file.is_symlink() and file.name != "DICOMDIR")
