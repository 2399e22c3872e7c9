"""Saving a reading, signing it off, and taking a sign-off back.

The journal is already on the disk; saving writes what others read: masks, measurements.json and .csv, landmarks.json.
Each file is whole or absent; measurements.json names the journal's head, so that files from before a crash are known.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livervol import __version__
from livervol.errors import LivervolError, refusal
from livervol.files import sha256_of, write_text
from livervol.io.tables import SCHEMA_VERSION, lesion_entry, measurements_csv, nested_values
from livervol.records import Lesion, ResponseRow
from livervol.workflows.reading import Reading
from livervol.workflows.reading_folder import JOURNAL, SIGN_OFF, read_document, write_json, write_masks
from livervol.workflows.reading_table import Numbers

__all__ = ["document_of", "save", "save_copy", "sign_off", "withdraw_sign_off"]


def save(reading: Reading) -> Path:
    """Write the reader's folder and return it; refuses (``LivervolError``) in one sentence what the disk refuses.

    Nothing in memory or in the journal is touched by a failure: free space and save again, or ``save_copy``.
    """
    reading.journal.flush()
    _write(reading, reading.folder)
    if reading.trouble:
        raise LivervolError(reading.trouble)
    reading.mark_saved()
    return reading.folder


def save_copy(reading: Reading, folder: str | Path) -> Path:
    """Write the whole reading, journal too, to another folder: the way out of a full or read-only disk."""
    target = Path(folder)
    _write(reading, target)
    reading.journal.copy_to(target / JOURNAL)
    return target


def _write(reading: Reading, folder: Path) -> None:
    numbers = reading.numbers()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_masks(folder, reading.masks, reading.grid, reading.files.stored)
        write_json(folder / "landmarks.json", reading.settings.get("landmarks", {}))
        table = measurements_csv(numbers.measured.measurements, numbers.lesions)
        write_text(folder / "measurements.csv", table, overwrite=True)
        write_json(folder / "measurements.json", document_of(reading, numbers))
    except OSError as error:
        raise LivervolError(
            refusal(
                "reading cannot be saved",
                expected="a writable folder with free space",
                got=error.strerror or "an operating system error",
                where=str(folder),
                do="Your edits are kept: free space and save again, or save to another folder.",
            )
        ) from error


def document_of(reading: Reading, numbers: Numbers) -> dict[str, Any]:
    """measurements.json of a reading: the keys of a visit's, with the reader's roles, lines and decisions."""
    machine = reading.files.document
    measured = numbers.measured
    conventions = sorted({m.method for one in measured.lesions for m in one.measurements if m.name == "longest_mm"})
    return {
        "schema_version": SCHEMA_VERSION,
        **nested_values(measured.measurements),
        "lesions": [_lesion(lesion, numbers, reading.settings) for lesion in numbers.lesions],
        "phases": list(machine.get("phases", ())),
        "mrecist_evaluable": reading.evaluable,
        "mrecist_reason": machine.get("mrecist_reason", ""),
        "diameter_convention": "; ".join(conventions),
        "quality": list(dict.fromkeys([*measured.warnings, *numbers.problems])),
        "reader": reading.reader,
        "responses": {name: _response(row) for name, row in numbers.responses.items()},
        "journal": {"records": len(reading.journal.records), "head": reading.journal.head},
        "provenance": {
            "program": "livervol",
            "version": __version__,
            "python": platform.python_version(),
            "grid": reading.grid.describe(),
            "methods": {name: f"reader {reading.reader}, from the machine's" for name in reading.masks},
            "settings": {"resections": list(reading.settings.get("resections", ()))},
            "inputs": list(machine.get("provenance", {}).get("inputs", ())),
        },
    }


def _lesion(lesion: Lesion, numbers: Numbers, settings: Mapping[str, Any]) -> dict[str, Any]:
    entry = lesion_entry(lesion)
    row = next(r for r in numbers.table if r.number == lesion.number)
    entry["role"], entry["node"] = row.role, lesion.node
    key = f"lesion.{lesion.number}.manual."
    manual = {k.removeprefix(key): v for k, v in sorted(settings.items()) if k.startswith(key)}
    if manual:
        computed = next(one for one in numbers.measured.lesions if one.number == lesion.number)
        entry["measured_by_hand"] = manual
        entry["computed"] = {name: computed.value(name) for name in manual}
        entry["chosen"] = {name: settings.get(f"lesion.{lesion.number}.chosen.{name}", "computed") for name in manual}
    return entry


def _response(row: ResponseRow) -> dict[str, Any]:
    return {
        "visit": row.visit,
        "overall": row.overall,
        "target": row.target,
        "non_target": row.non_target,
        "new_lesion": row.new_lesion,
        "sum_mm": row.sum_mm,
        "baseline_sum_mm": row.baseline_sum_mm,
        "nadir_sum_mm": row.nadir_sum_mm,
        "change_from_baseline_percent": row.change_from_baseline_percent,
        "change_from_nadir_percent": row.change_from_nadir_percent,
        "reasons": list(row.reasons),
    }


def sign_off(reading: Reading, statement: str = "") -> Path:
    """Save, journal the sign-off and write signoff.json: who, when, the journal's head, sha256 of every file.

    From then on the reading is locked. Refused while the nesting is broken or the disk refuses.
    """
    reading.require_open()
    numbers = reading.numbers()
    if numbers.problems:
        raise LivervolError(
            refusal("reading has open questions", expected="none", got="; ".join(numbers.problems),
                    do="Settle them, then sign off.")
        )  # fmt: skip
    when = datetime.now(UTC).isoformat(timespec="seconds")
    reading.journal.note("sign off", statement=statement)
    folder = save(reading)
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name not in (JOURNAL, SIGN_OFF))
    files = {name: sha256_of(folder / name) for name in names}
    document = {
        "reader": reading.reader,
        "when": when,
        "statement": statement,
        "journal": {"records": len(reading.journal.records), "head": reading.journal.head},
        "files": files,
        "program": f"livervol {__version__}",
    }
    return write_json(folder / SIGN_OFF, document)


def withdraw_sign_off(reading: Reading, reason: str) -> None:
    """Take a sign-off back, with the reason, which the journal keeps together with what had been signed."""
    path = reading.folder / SIGN_OFF
    if not path.is_file():
        raise LivervolError(refusal("reading is not signed off", expected=SIGN_OFF, got="none"))
    if not reason.strip():
        raise LivervolError(refusal("a sign-off is withdrawn", expected="the reason", got="none"))
    reading.journal.note("withdraw sign-off", reason=reason, signed=read_document(path))
    if reading.trouble:
        raise LivervolError(reading.trouble)
    path.unlink()
