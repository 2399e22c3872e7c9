"""De-identification on import: a folder of DICOM copied without what names the patient, with a report of counts."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset

from livervol import __version__
from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import atomic_file, atomic_folder
from livervol.io.deidentify_elements import Cleaner, DateRule, as_items, secrets_of
from livervol.io.deidentify_table import SOP_CLASSES
from livervol.io.dicom_guard import guarded
from livervol.io.dicom_kind import integer
from livervol.io.dicom_whole import is_dicom, whole_header

__all__ = ["DEFAULT_KEY", "Deidentification", "Rules", "deidentify", "load_key"]

#: Where the key is kept when no option names another file.
DEFAULT_KEY = Path("~/.config/livervol/deidentify.key")

_KEY_BYTES = 32
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DATE_RULES = ("shift", "keep", "remove")
_DATE_CODES = {
    "shift": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "keep": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
}
_DATE_WORDS = {"shift": "MODIFIED", "keep": "UNMODIFIED", "remove": "REMOVED"}


@dataclass(frozen=True)
class Rules:
    """What may stay. ``dates``: moved back by days fixed for the patient (``shift``), ``keep`` or ``remove``.

    ``keep_characteristics`` keeps age, sex, size and weight; ``keep_burned_in`` keeps pictures that say that text is
    burned into their pixels, and secondary captures.
    """

    dates: DateRule = "shift"
    keep_characteristics: bool = False
    keep_burned_in: bool = False

    def __post_init__(self) -> None:
        if self.dates not in _DATE_RULES:
            raise _refuse("date rule is not known", ", ".join(_DATE_RULES), "another word")


@dataclass(frozen=True)
class Deidentification:
    """What was done: counts by kind and by attribute name; no value of the input is in it."""

    files: int
    series: int
    kinds: Mapping[str, int]
    removed: Mapping[str, int]
    emptied: Mapping[str, int]
    replaced: Mapping[str, int]
    left_out: Mapping[str, int]
    dates: DateRule
    warnings: tuple[str, ...]

    def as_json(self) -> str:
        """The report as JSON, attribute names in order."""
        told = {
            "method": _method(),
            "files": self.files,
            "series": self.series,
            "kinds": dict(sorted(self.kinds.items())),
            "removed": dict(sorted(self.removed.items())),
            "emptied": dict(sorted(self.emptied.items())),
            "replaced": dict(sorted(self.replaced.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "dates": self.dates,
            "warnings": list(self.warnings),
        }
        return json.dumps(told, indent=1) + "\n"


@dataclass
class _Found:
    """One file of the input, its pixels not yet read."""

    path: Path
    kind: str
    patient: str = field(repr=False)
    series: str
    instance: tuple[int, str]
    burned_in: bool


def load_key(path: str | Path | None = None) -> bytes:
    """The secret from which UIDs and date offsets are made: 32 bytes of a file only its owner may read (mode 0600).

    A file that does not exist is made. Whoever holds the key and the originals can match them with the copies; who
    loses it gets other UIDs and offsets for the next visit of the same patient.
    """
    file = Path(path or DEFAULT_KEY).expanduser()
    if not file.exists():
        with atomic_file(file) as temporary:
            temporary.write_bytes(secrets.token_bytes(_KEY_BYTES))
        file.chmod(0o600)
    mode = stat.S_IMODE(file.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise _refuse("key file is open to others", "mode 0600", f"mode {mode:04o}", str(file), f"chmod 600 {file}")
    key = file.read_bytes()
    if len(key) < _KEY_BYTES:
        raise _refuse("key is too short", f"{_KEY_BYTES} bytes", f"{len(key)} bytes", str(file), "Use another file.")
    return key


def deidentify(
    source: str | Path,
    out: str | Path,
    pseudonym: str,
    *,
    key: bytes,
    rules: Rules | None = None,
    overwrite: bool = False,
) -> Deidentification:
    """Copy a folder of one patient's DICOM to a new folder without identifiers; returns counts, never values.

    Attributes go by the basic profile of PS3.15 annex E (table in ``deidentify_table``), with these of its options:
    descriptions cleaned word by word, structured content cleaned, and what ``rules`` says. UIDs are mapped by a keyed
    hash, so that references between files and visits survive. Pixel data is copied bit for bit. Files are named by
    number. Left out and counted: objects other than CT, MR, SEG, SR and RTSTRUCT, and pictures with burned-in text.
    Raises ``LivervolError``: damaged files, two patients, a pseudonym that tells, an output that exists; then nothing
    is written.
    """
    _check_pseudonym(pseudonym)
    rules = rules or Rules()
    found, left_out, notes = _survey(Path(source), rules.keep_burned_in)
    cleaner = Cleaner(key, pseudonym, found[0].patient, rules.dates, rules.keep_characteristics)
    kinds: Counter[str] = Counter()
    folders = {uid: f"{n:03d}-" for n, uid in enumerate(sorted({one.series for one in found}), start=1)}
    numbers: Counter[str] = Counter()
    told: set[str] = set()
    with atomic_folder(out, overwrite=overwrite) as temporary:
        for one in sorted(found, key=lambda f: (f.series, f.instance)):
            numbers[one.series] += 1
            folder = temporary / f"{folders[one.series]}{one.kind}"
            folder.mkdir(exist_ok=True)
            with guarded(one.path, "DICOM file"), disable_value_validation():
                dataset = _read(one.path)
                cleaner.secrets |= secrets_of(dataset)
                _check_tells(pseudonym, dataset)
                told |= _pixel_warnings(dataset)
                content = _encoded(_cleaned(dataset, cleaner))
            (folder / f"{numbers[one.series]:05d}.dcm").write_bytes(content)
            kinds[one.kind] += 1
    done = (cleaner.removed, cleaner.emptied, cleaner.replaced)
    return Deidentification(len(found), len(folders), kinds, *done, left_out, rules.dates, (*notes, *sorted(told)))


def _refuse(rule: str, expected: str, got: str, where: str = "", do: str = "") -> LivervolError:
    return LivervolError(refusal(rule, expected=expected, got=got, where=where, do=do))


def _method() -> str:
    return f"livervol {__version__}, DICOM PS3.15 basic profile"


def _check_pseudonym(pseudonym: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", pseudonym):
        expected = "1 to 64 letters, digits, points, hyphens and underscores"
        raise _refuse("pseudonym is not valid", expected, f"{len(pseudonym)} characters with others among them")


def _check_tells(pseudonym: str, dataset: Dataset) -> None:
    """Refuse a pseudonym that holds a part of the patient's name or number, or the other way round."""
    told = pseudonym.casefold()
    number = str(dataset.get("PatientID", "") or "").strip().casefold()
    names = {word for word in secrets_of(_only(dataset, "PatientName", "PatientBirthDate"))}
    if (number and (number == told or (len(number) >= 4 and number in told))) or any(word in told for word in names):
        raise _refuse("pseudonym tells the patient", "one that has nothing of name, number or birth date", "such a one")


def _only(dataset: Dataset, *names: str) -> Dataset:
    part = Dataset()
    for name in names:
        if name in dataset:
            part[name] = dataset[name]
    return part


# ------------------------------------------------------------------------------------------------------------- reading


def _survey(source: Path, keep_burned_in: bool) -> tuple[list[_Found], Counter[str], list[str]]:
    """The files to copy, what is left out, and sentences about it; one patient only."""
    left_out: Counter[str] = Counter()
    found: list[_Found] = []
    for path in _files(source):
        header = _header(path)
        if header is None:
            left_out["files that are no DICOM"] += 1
            continue
        one = _judged(path, header)
        if not one.kind:
            left_out[f"objects of modality {_modality(header)}"] += 1
        elif one.burned_in and not keep_burned_in:
            left_out["pictures with burned-in annotation"] += 1
        else:
            found.append(one)
    if not found:
        got = ", ".join(f"{n} {what}" for what, n in sorted(left_out.items())) or "no file"
        raise ScanError(refusal("nothing to de-identify", expected="CT, MR, SEG, SR or RTSTRUCT files", got=got))
    if len({one.patient for one in found}) > 1:
        raise ScanError(
            refusal(
                "folder holds more than one patient",
                expected="one patient, one pseudonym",
                got=f"{len({one.patient for one in found})} patients",
                do="Give each patient's files in a folder of their own.",
            )
        )
    return found, left_out, _notes(found, left_out)


def _notes(found: Sequence[_Found], left_out: Mapping[str, int]) -> list[str]:
    notes = [f"{count} {what} left out" for what, count in sorted(left_out.items())]
    burned = sum(one.burned_in for one in found)
    if burned:
        notes.append(f"{burned} files say that text is burned into their pixels; look at them before they are shared")
    return notes


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ScanError(refusal("input not found", expected="a DICOM folder", got="nothing", where=str(source)))
    found = [Path(folder, name) for folder, _, names in os.walk(source) for name in names]
    # links may lead out of the folder that was meant
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and path.name != "DICOMDIR")


def _header(path: Path) -> Dataset | None:
    return whole_header(path) if is_dicom(path) else None


def _judged(path: Path, header: Dataset) -> _Found:
    with guarded(path, "DICOM file"):
        sop_class = str(header.get("SOPClassUID", ""))
        kind = SOP_CLASSES.get(sop_class, "")
        if not kind and sop_class.startswith(_CAPTURE):
            kind = "SC"
        words = {str(one).upper() for one in header.get("ImageType", None) or ()}
        burned = str(header.get("BurnedInAnnotation", "")).upper() == "YES" or kind == "SC"
        burned = burned or bool(words & {"SCREEN SAVE", "SCREENSAVE", "SCREENSHOT"})
        place = (integer(header, "InstanceNumber"), str(header.get("SOPInstanceUID", "")))
        patient = str(header.get("PatientID", "") or header.get("PatientName", ""))
        return _Found(path, kind, patient, str(header.get("SeriesInstanceUID", "")), place, burned)


def _modality(header: Dataset) -> str:
    return re.sub(r"[^A-Z0-9]", "", str(header.get("Modality", "")).upper())[:16] or "unknown"


def _read(path: Path) -> Dataset:
    dataset = dcmread(path)
    dataset.decode()  # names in any character set, so that their words can be searched
    return dataset


def _pixel_warnings(dataset: Dataset) -> set[str]:
    """What a reader must look at, because no table of attributes can find it."""
    found = set()
    if dataset.get("BurnedInAnnotation") is None and "DERIVED" in (dataset.get("ImageType", None) or ()):
        found.add("derived images do not say whether text is burned into their pixels; look at them")
    overlay_bits = (tag for tag in dataset.keys() if 0x6000 <= tag.group <= 0x60FF and tag.element == 0x0102)  # noqa: SIM118
    if any(int(dataset[tag].value or 0) for tag in overlay_bits):
        found.add("overlays are stored in unused bits of the pixels and stay there; look at them")
    if str(dataset.get("RecognizableVisualFeatures", "")).upper() == "YES":
        found.add("images say that the patient can be recognised in them")
    return found


# ------------------------------------------------------------------------------------------------------------- writing


def _cleaned(dataset: Dataset, cleaner: Cleaner) -> Dataset:
    fresh = FileMetaDataset()
    fresh.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    cleaner.clean(dataset)
    _declare(dataset, cleaner)
    fresh.MediaStorageSOPClassUID = dataset.SOPClassUID
    fresh.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = fresh
    dataset.preamble = bytes(128)  # may have held another format's header
    return dataset


def _declare(dataset: Dataset, cleaner: Cleaner) -> None:
    """Say in the file what was done (PS3.3 C.7.1.1, C.12.1.1.3)."""
    codes = [("113100", "Basic Application Confidentiality Profile"), ("113105", "Clean Descriptors Option")]
    if dataset.get("Modality") == "SR":
        codes.append(("113104", "Clean Structured Content Option"))
    if cleaner.dates in _DATE_CODES:
        codes.append(_DATE_CODES[cleaner.dates])
    if cleaner.keep_characteristics:
        codes.append(("113108", "Retain Patient Characteristics Option"))
    dataset.PatientID = dataset.PatientName = cleaner.pseudonym
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = _method()
    dataset.DeidentificationMethodCodeSequence = as_items(*codes)
    dataset.LongitudinalTemporalInformationModified = _DATE_WORDS[cleaner.dates]


def _encoded(dataset: Dataset) -> bytes:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()
