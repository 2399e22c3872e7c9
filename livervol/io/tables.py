"""measurements.json and measurements.csv: a visit's numbers as other programs read them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from livervol.errors import ScanError, refusal
from livervol.files import write_text
from livervol.records import Lesion, Measurement

__all__ = [
    "SCHEMA_VERSION",
    "lesion_entry",
    "measurements_csv",
    "nested_values",
    "read_document",
    "unreadable",
    "write_measurements",
]

#: Rises when a key of measurements.json changes its meaning or goes away; new keys do not raise it.
SCHEMA_VERSION = 1

CSV_COLUMNS = ("structure", "number", "name", "value", "unit", "lower", "upper", "method")

#: The lengths whose line is written out beside them, and the prefix of the keys that hold it.
_LINES = {
    "longest_mm": "",
    "short_axis_mm": "short_axis_",
    "viable_longest_mm": "viable_",
    "viable_perpendicular_mm": "viable_perpendicular_",
    "diameter_3d_mm": "diameter_3d_",
}


def nested_values(measurements: Iterable[Measurement]) -> dict[str, Any]:
    """Measurements named ``part.part.key`` as nested dictionaries; absent numbers are null with ``<key>_reason``.

    An interval becomes the sibling key ``<key>_interval`` = [low, high].
    """
    tree: dict[str, Any] = {}
    for measurement in measurements:
        *parents, key = measurement.name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node.update(_value_entry(key, measurement))
    return tree


def _value_entry(key: str, measurement: Measurement) -> dict[str, Any]:
    entry: dict[str, Any] = {key: measurement.value}
    if measurement.value is None:
        entry[f"{key}_reason"] = measurement.reason
    if measurement.interval is not None:
        entry[f"{key}_interval"] = [measurement.interval.low, measurement.interval.high]
    return entry


def lesion_entry(lesion: Lesion) -> dict[str, Any]:
    """One lesion as the dictionary of measurements.json's ``lesions`` list.

    ``plane_index`` counts the planes of the measured grid from the feet; ``endpoints_lps_mm`` are the two ends of the
    longest diameter; the other lengths carry theirs under a prefix (``viable_endpoints_lps_mm``).
    """
    entry: dict[str, Any] = {"number": lesion.number, "site": lesion.site, "state": lesion.state}
    entry.update(sorted(lesion.attributes.items()))
    for measurement in lesion.measurements:
        entry.update(_value_entry(measurement.name, measurement))
        prefix = _LINES.get(measurement.name)
        if prefix is not None and measurement.line is not None:
            line = measurement.line
            if line.plane_index is not None:
                entry[f"{prefix}plane_index"] = line.plane_index
            entry[f"{prefix}endpoints_lps_mm"] = [list(line.start_lps_mm), list(line.end_lps_mm)]
    return entry


def measurements_csv(measurements: Sequence[Measurement], lesions: Sequence[Lesion]) -> str:
    """One row per number: structure, number, name, value, unit, lower, upper, method; floats in full precision.

    An absent number has an empty value and its reason after ``absent:`` in the method column.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for measurement in measurements:
        structure, _, name = measurement.name.partition(".")
        number, dot, rest = name.partition(".")
        writer.writerow(_row(structure, number if dot else "", rest if dot else name, measurement))
    for lesion in lesions:
        for measurement in lesion.measurements:
            writer.writerow(_row("lesion", str(lesion.number), measurement.name, measurement))
    return text.getvalue()


def _row(structure: str, number: str, name: str, measurement: Measurement) -> list[str]:
    value, low, high, method = "", "", "", measurement.method
    if measurement.value is None:
        method = f"absent: {measurement.reason}"
    else:
        value = repr(float(measurement.value))
    if measurement.interval is not None:
        low, high = repr(float(measurement.interval.low)), repr(float(measurement.interval.high))
    return [structure, number, name, value, measurement.unit, low, high, method]


def write_measurements(
    folder: Path, document: Mapping[str, Any], measurements: Sequence[Measurement], lesions: Sequence[Lesion]
) -> tuple[Path, Path]:
    """Write measurements.json (``document``) and measurements.csv into ``folder``; returns both paths."""
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return (
        write_text(folder / "measurements.json", text + "\n"),
        write_text(folder / "measurements.csv", measurements_csv(measurements, lesions)),
    )


def read_document(path: Path, *, needed: bool = False) -> dict[str, Any]:
    """A JSON object that livervol wrote, measurements.json and its like; ``ScanError`` when it is something else.

    Empty when there is no such file, unless it is ``needed``.
    """
    if not needed and not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise unreadable(path, "no such file") from error
    except (ValueError, OSError, RecursionError) as error:
        raise unreadable(path, type(error).__name__) from error
    if not isinstance(document, dict):
        raise unreadable(path, type(document).__name__)
    return document


def unreadable(path: Path, got: str) -> ScanError:
    """The refusal of a document that is not as livervol writes it; ``got`` says what was found."""
    return ScanError(
        refusal(
            f"{path.name} is unreadable",
            expected="an object as livervol writes it",
            got=got,
            where=str(path),
            do="Give a folder that livervol run or measure wrote.",
        )
    )
