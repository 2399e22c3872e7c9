"""What every archive can do, what travels, and the box that takes in what arrives: checked, named, counted."""

from __future__ import annotations

import datetime
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydicom.dataset import Dataset

from livervol.errors import LivervolError, ScanError, refusal
from livervol.io.dicom_header import series_label
from livervol.io.dicom_whole import whole_header
from livervol.io.pacs_settings import ArchiveSettings

__all__ = ["Archive", "FoundSeries", "FoundStudy", "Inbox", "Parcel", "TransferError", "VisitQuery", "again", "package",
           "parcel_of"]  # fmt: skip

_LONGEST_PAUSE_S = 30.0

T = TypeVar("T")


class TransferError(LivervolError):
    """The archive or the network failed in a way that may pass; the transfer is taken up again."""


@dataclass(frozen=True)
class VisitQuery:
    """Which visit: a patient with a study date (ISO), or one study UID, or both; ``modalities`` empty means all.

    Values match exactly. Wildcards are refused: archives answer them differently, some with silence.
    """

    patient: str = field(default="", repr=False)
    date: str = ""
    study: str = ""
    modalities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.patient and not self.study:
            raise LivervolError(refusal("visit is not named", expected="a patient or a study UID", got="neither"))
        if re.search(r"[*?\\\x00-\x1f]", self.patient) or len(self.patient) > 64:
            expected = "one identifier without * ? and backslash, up to 64 characters"
            raise LivervolError(refusal("patient cannot be searched", expected=expected, got="another text"))
        if self.study and not re.fullmatch(r"[0-9.]{1,64}", self.study):
            raise LivervolError(
                refusal("study UID is not valid", expected="digits and dots, up to 64", got="another text")
            )
        if self.date:
            try:
                datetime.datetime.strptime(self.date, "%Y-%m-%d")
            except ValueError:
                expected, do = "YYYY-MM-DD", "Give one day; a visit has one date."
                raise LivervolError(
                    refusal("date is not a day", expected=expected, got="another text", do=do)
                ) from None

    @property
    def dicom_date(self) -> str:
        """The date as DICOM writes it, ``YYYYMMDD``, or empty."""
        return self.date.replace("-", "")


@dataclass(frozen=True)
class FoundStudy:
    """A study the archive holds; ``date`` as YYYYMMDD, ``patient`` for comparison only."""

    uid: str
    date: str
    patient: str = field(repr=False)


@dataclass(frozen=True)
class FoundSeries:
    """A series and the SOP instance UIDs the archive says it holds; ``announced`` is its own count, if it told."""

    study: str
    uid: str
    modality: str
    instances: frozenset[str] = frozenset()
    announced: int | None = None


@dataclass(frozen=True)
class Parcel:
    """A DICOM file to be sent."""

    path: Path
    uid: str
    sop_class: str
    syntax: str
    modality: str
    n_bytes: int


class Archive(Protocol):
    """DICOMweb or DIMSE; methods raise ``TransferError`` for what may pass and ``LivervolError`` for what will not."""

    def studies(self, query: VisitQuery) -> list[FoundStudy]:
        """Studies that match exactly."""

    def series(self, study: str) -> list[FoundSeries]:
        """Series of a study, with the instances of each."""

    def fetch(self, series: FoundSeries, missing: Sequence[str], inbox: Inbox) -> None:
        """Put the missing instances of a series into the box; may bring some and then fail."""

    def store(self, parcels: Sequence[Parcel]) -> Iterator[str]:
        """Send files and yield the SOP instance UID of each that the archive has confirmed."""

    def close(self) -> None:
        """End the connection."""


def package(name: str) -> Any:
    """A module of the ``dicomnet`` extra; one sentence where it is not installed.

    These libraries log addresses and identifiers below the level of warnings, and tracebacks to stderr where nobody
    has set logging up; both are turned off unless the caller has chosen a level.
    """
    for chatty in ("dicomweb_client", "pynetdicom", "urllib3", "retrying"):
        logger = logging.getLogger(chatty)
        if not any(isinstance(one, logging.NullHandler) for one in logger.handlers):
            logger.addHandler(logging.NullHandler())
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    try:
        return import_module(name)
    except ImportError as error:
        raise LivervolError(
            refusal(
                f"the package {name.partition('.')[0]} is not installed",
                expected="it for talking to an archive",
                got="none",
                do='Run: pip install "livervol[dicomnet]"',
            )
        ) from error


def again(action: Callable[[], T], settings: ArchiveSettings) -> T:
    """Do something; after each ``TransferError`` wait, twice as long each time, and try again."""
    for attempt in range(settings.retries):
        try:
            return action()
        except TransferError:
            time.sleep(min(_LONGEST_PAUSE_S, settings.pause_s * 2**attempt))
    return action()


def parcel_of(path: Path) -> Parcel:
    """A file as it will be sent. Raises ``ScanError`` for one that is cut or no DICOM."""
    header = whole_header(path)
    return Parcel(
        path=path,
        uid=str(header.SOPInstanceUID),
        sop_class=str(header.SOPClassUID),
        syntax=str(header.file_meta.get("TransferSyntaxUID", "")),
        modality=_word(str(header.get("Modality", ""))),
        n_bytes=path.stat().st_size,
    )


def _word(text: str) -> str:
    """Letters and digits of a modality, for file names."""
    return re.sub(r"[^A-Z0-9]", "", text.upper())[:16] or "OT"


class Inbox:
    """Takes in the instances of one series: each is written, checked, named by number and counted once.

    File names hold no identifier. An instance of another series, study or patient ends the transfer. ``trouble`` keeps
    the first such error, for callers that cannot raise through a network library.
    """

    def __init__(self, folder: Path, number: int, series: FoundSeries, patient: str) -> None:
        self.folder = folder / f"{number:03d}-{_word(series.modality)}"
        self.folder.mkdir()
        self.series, self.patient = series, patient
        self.trouble: LivervolError | OSError | None = None
        self.n_bytes = 0
        self._number = {uid: n for n, uid in enumerate(sorted(series.instances), start=1)}
        self._held: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """UIDs still to come, in order."""
        return [uid for uid in self._number if uid not in self._held]

    def take(self, write: Callable[[Path], object]) -> None:
        """Let ``write`` fill a file, and keep it if it is whole and one of those awaited."""
        descriptor, name = tempfile.mkstemp(prefix=".arriving-", dir=self.folder)
        arriving = Path(name)
        try:
            with open(descriptor, "rb"):
                write(arriving)
            try:
                header = whole_header(arriving)
            except ScanError as error:
                raise TransferError(str(error)) from error
            self._check(header)
            uid = str(header.SOPInstanceUID)
            if uid not in self._held:
                self._held.add(uid)
                self.n_bytes += arriving.stat().st_size
                arriving.chmod(0o600)  # patient data: nobody else's business until its owner says so
                arriving.replace(self.folder / f"{self._number[uid]:05d}.dcm")
        except (LivervolError, OSError) as error:
            self.trouble = self.trouble or error
            raise
        finally:
            arriving.unlink(missing_ok=True)

    def _check(self, header: Dataset) -> None:
        wrong = ""
        if str(header.get("StudyInstanceUID")) != self.series.study:
            wrong = "an instance of another study"
        elif self.patient and str(header.get("PatientID", "")) != self.patient:
            wrong = "an instance of another patient"
        elif str(header.SOPInstanceUID) not in self._number:
            wrong = "an instance that was not announced"
        if wrong:
            expected = f"the {len(self._number)} instances of {series_label(self.series.uid)}"
            raise LivervolError(refusal("archive sent something else", expected=expected, got=wrong))
