"""Saving a reading, signing it off, and taking a sign-off back.

The journal is already on the disk; saving writes what others read: masks, measurements.json and .csv, landmarks.json.
Each file is whole or absent; measurements.json names the journal's head, so that files from before a crash are known.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from livervol import __version__
from livervol.errors import LivervolError, refusal
from livervol.files import sha256_of, write_text
from livervol.io.tables import SCHEMA_VERSION, lesion_entry, measurements_csv, nested_values, read_document
from livervol.records import Lesion, ResponseRow
from livervol.scan import Segmentation
from livervol.workflows.reading import Reading
from livervol.workflows.reading_folder import JOURNAL, SIGN_OFF, write_json, write_masks
from livervol.workflows.reading_intervals import KnownIntervals, with_outline_intervals
from livervol.workflows.reading_table import Numbers, decided_lesion

__all__ = ["save", "save_copy", "sign_off", "withdraw_sign_off"]


@dataclass(frozen=True, eq=False)
class _Taken:
    """A reading as it was at one moment: copies, so that edits may go on while it is written."""

    masks: dict[str, Segmentation]
    numbers: Numbers
    settings: dict[str, Any]
    evaluable: bool
    records: int
    head: str


def save(reading: Reading) -> Path:
    """Write the reader's folder and return it; refuses (``LivervolError``) in one sentence what the disk refuses.

    May run in a worker thread while the reader goes on: what is written is the reading as it was at the start. Lesions
    get the 95 % intervals that ``livervol measure`` gives the same masks. Nothing in memory or in the journal is
    touched by a failure: free space and save again, or ``save_copy``.
    """
    with reading.writing:
        with reading.still:
            reading.journal.flush()
            taken = _take(reading)
        taken = _with_intervals(taken)
        _write(reading, taken, reading.folder)
        if reading.trouble:
            raise LivervolError(reading.trouble)
        reading.mark_saved(taken.head, KnownIntervals.of_measured(taken.numbers.measured))
    return reading.folder


def save_copy(reading: Reading, folder: str | Path) -> Path:
    """Write the whole reading, journal too, to another folder: the way out of a full or read-only disk."""
    target = Path(folder)
    with reading.still:
        taken = _with_intervals(_take(reading))
        _write(reading, taken, target)
        reading.journal.copy_to(target / JOURNAL)
    return target


def _take(reading: Reading) -> _Taken:
    numbers = reading.numbers()
    small = max(reading.lesion_numbers, default=0) <= 255
    masks = {}
    for name, labels in reading.masks.items():
        values = reading.lesion_numbers if name in ("lesions", "viable", "uncertain") else range(1, 43)
        own = labels.astype(np.uint8 if small else np.uint16)
        masks[name] = Segmentation(own, reading.grid, {v: str(v) for v in values})
    return _Taken(
        masks, numbers, dict(reading.settings), reading.evaluable, len(reading.journal.records), reading.journal.head
    )


def _with_intervals(taken: _Taken) -> _Taken:
    grid = taken.masks["liver"].grid
    measured = with_outline_intervals(taken.numbers.measured, taken.masks, max(grid.spacing_mm[1:]))
    decided = tuple(decided_lesion(lesion, taken.settings) for lesion in measured.lesions)
    return replace(taken, numbers=replace(taken.numbers, measured=measured, lesions=decided))


def _write(reading: Reading, taken: _Taken, folder: Path) -> None:
    numbers = taken.numbers
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_masks(folder, taken.masks, reading.files.stored)
        write_json(folder / "landmarks.json", taken.settings.get("landmarks", {}))
        table = measurements_csv(numbers.measured.measurements, numbers.lesions)
        write_text(folder / "measurements.csv", table, overwrite=True)
        write_json(folder / "measurements.json", _document(reading, taken))
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


def _document(reading: Reading, taken: _Taken) -> dict[str, Any]:
    """measurements.json of a reading: the keys of a visit's, with the reader's roles, lines and decisions."""
    machine = reading.files.document
    numbers, measured = taken.numbers, taken.numbers.measured
    judged = taken.settings.get("viability", {})
    placed = {str(one.number): one.site for one in numbers.lesions if one.site != "liver"}
    conventions = sorted({m.method for one in measured.lesions for m in one.measurements if m.name == "longest_mm"})
    return {
        "schema_version": SCHEMA_VERSION,
        **nested_values(measured.measurements),
        "lesions": [_lesion(lesion, numbers, taken.settings) for lesion in numbers.lesions],
        "phases": list(machine.get("phases", ())),
        "mrecist_evaluable": taken.evaluable,
        "mrecist_reason": machine.get("mrecist_reason", "") or judged.get("reason", ""),
        "diameter_convention": "; ".join(conventions),
        "quality": list(dict.fromkeys([*measured.warnings, *judged.get("warnings", ()), *numbers.problems])),
        "reader": reading.reader,
        "responses": {name: _response(row) for name, row in numbers.responses.items()},
        "journal": {"records": taken.records, "head": taken.head},
        "provenance": {
            "program": "livervol",
            "version": __version__,
            "python": platform.python_version(),
            "grid": reading.grid.describe(),
            "methods": {name: f"reader {reading.reader}, from the machine's" for name in taken.masks},
            **({"viability_method": judged["method"]} if judged else {}),
            "settings": {
                "resections": list(taken.settings.get("resections", ())),
                **({"sites": placed} if placed else {}),
            },
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
    reading.note("sign off", statement=statement)
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
    reading.note("withdraw sign-off", reason=reason, signed=read_document(path))
    if reading.trouble:
        raise LivervolError(reading.trouble)
    path.unlink()
