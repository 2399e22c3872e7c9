"""Visits in a tree of DICOM: grouped by patient and study date, patients under pseudonyms, series counted."""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from livervol.batch.visits import LIST_SUFFIX
from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import atomic_file, write_text
from livervol.io.dicom_header import read_file

__all__ = ["KEY_FILE", "TABLE_FILE", "discover"]

TABLE_FILE = "VISITS.csv"
#: The secret behind the pseudonyms: whoever holds it can tell whether a pseudonym belongs to a known patient.
KEY_FILE = "pseudonym.key"
_LISTS = "lists"


@dataclass
class _Found:
    """The image files of one patient on one study date."""

    files: list[Path] = field(default_factory=list)
    series: set[str] = field(default_factory=set)


def discover(tree: str | Path, out: str | Path, *, progress: Callable[[str], None] = lambda text: None) -> list[str]:
    """Write ``out/VISITS.csv`` with every CT and MR visit below ``tree``; returns warnings for a person to read.

    A visit is one patient (PatientID, else PatientName) on one study date; its phases are recognised when it is run.
    Its path is the folder that holds its images and no other visit's, else a list of its files. Patients appear under
    pseudonyms (HMAC-SHA256 of the patient's ID under the key in ``out/pseudonym.key``), visits numbered by date. Files
    that cannot be parsed are named in a warning and stay where they are, for the visit's own run to refuse.
    """
    tree, out = Path(tree).resolve(), Path(out)
    if not tree.is_dir():
        raise LivervolError(refusal("tree not found", expected="a folder", got="nothing", where=tree.name))
    groups: dict[tuple[str, str], _Found] = defaultdict(_Found)
    warnings = []
    for number, path in enumerate(_files(tree)):
        if number % 1000 == 0:
            progress(f"looking at file {number}")
        try:
            held = read_file(path)
        except ScanError as error:
            warnings.append(str(error))
            continue
        if held is None or held[0].kind != "image":
            continue
        file = held[0]
        found = groups[file.patient or f"study {file.study_uid}", file.study_date]
        found.files.append(path)
        found.series.add(file.series_uid)
    if not groups:
        raise ScanError(refusal("no visit found", expected="CT or MR images", got="none", where=tree.name))
    rows = _rows(tree, out, groups, _key(out))
    with atomic_file(out / TABLE_FILE, overwrite=True) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as handle:
            table = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    return warnings


def _files(tree: Path) -> list[Path]:
    """Regular files below the tree; links are not followed: they may lead out of it."""
    found = []
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def _key(out: Path) -> bytes:
    path = out / KEY_FILE
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(secrets.token_hex(32) + "\n")
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        raise LivervolError(
            refusal("pseudonym key is unreadable", expected="64 hex digits", got="other text", where=path.name)
        ) from None


def _pseudonym(key: bytes, patient: str) -> str:
    return "S" + hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()[:10].upper()


def _iso(raw: str) -> str:
    try:
        return date(int(raw[:4]), int(raw[4:6]), int(raw[6:])).isoformat() if len(raw) == 8 else ""
    except ValueError:
        return ""


def _rows(tree: Path, out: Path, groups: dict[tuple[str, str], _Found], key: bytes) -> list[dict[str, str]]:
    owners: dict[Path, set[tuple[str, str]]] = defaultdict(set)
    for name, found in groups.items():
        for folder in {parent for path in found.files for parent in path.parents}:
            owners[folder].add(name)
    by_patient: dict[str, list[str]] = defaultdict(list)
    for patient, day in sorted(groups):
        by_patient[patient].append(day)
    rows = []
    for patient, days in by_patient.items():
        subject = _pseudonym(key, patient)
        for number, day in enumerate(days, 1):
            found = groups[patient, day]
            common = Path(os.path.commonpath([path.parent for path in found.files]))
            if owners[common] == {(patient, day)}:
                place = common.relative_to(tree).as_posix()
            else:
                place = f"{_LISTS}/{subject}_{number}{LIST_SUFFIX}"
                lines = [path.relative_to(tree).as_posix() for path in found.files]
                write_text(out / place, "\n".join(lines) + "\n", overwrite=True)
            rows.append(
                {
                    "patient": subject,
                    "visit": str(number),
                    "date": _iso(day),
                    "path": place,
                    "series": str(len(found.series)),
                    "images": str(len(found.files)),
                }
            )
    return sorted(rows, key=lambda row: (row["patient"], int(row["visit"])))
