"""The columns of a response table: what each cell may hold, and how a cell that holds something else is refused.

| columns | hold |
|---|---|
| patient, reader, visit, date | pseudonym; reader (may be empty); whole number; ISO date, may be partial or empty |
| lesion, role, site, node, state | whole number; the words of ``livervol.records``; 0 or 1 |
| longest_mm, short_axis_mm, viable_longest_mm, viable_perpendicular_mm, volume_ml, viable_volume_ml | numbers |
| sum_mm | instead of lesion rows: one row per visit |
| mean_hu | mean portal-venous attenuation of the lesion, for Choi |
| enhancement | typical, atypical (then measured as RECIST 1.1) |
| washout, aphe, masslike, like_before, ancillary | yes, no, uncertain |
| kind | mass, infiltrative, effusion, ascites, cyst, blastic_bone, leptomeningeal, lymphangitic |
| cytology | positive, negative |
| treated, progressed_since | yes, no: treated locally before; progression shown since |
| treatment, trend | radiation, other; new, enlarging, stable, decreasing (LI-RADS) |
| new_role | target, non_target: how a new lesion is followed (iRECIST) |
| split_from, merged_into | lesion number |
| viable_components_mm | longest diameters of separate viable parts, separated by spaces |
| baseline | 1 on the baseline visit when it is not the first |
| slice_thickness_mm | of the visit |
| markers | normal, abnormal |
| cr_doubtful | yes: the reader doubts a complete response of this visit |
| mrecist_evaluable | yes, no: no usable arterial phase |
"""

from __future__ import annotations

import calendar
import math
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from livervol.errors import CriteriaError, refusal
from livervol.io.csv_rows import quoted

__all__ = [
    "LESION_NUMBERS",
    "LESION_WORDS",
    "LONGEST_PLAUSIBLE_MM",
    "VISIT_WORDS",
    "Where",
    "check_columns",
    "parse_date",
    "parse_flag",
    "parse_number",
    "parse_whole",
    "parse_word",
]

_YES_NO = ("yes", "no")
_JUDGED = ("yes", "no", "uncertain")
#: A word column's allowed words; None: a lesion number; empty: numbers as text.
Allowed = tuple[str, ...] | None

LESION_NUMBERS = (
    "longest_mm",
    "short_axis_mm",
    "viable_longest_mm",
    "viable_perpendicular_mm",
    "volume_ml",
    "viable_volume_ml",
    "mean_hu",
)
LESION_WORDS: dict[str, Allowed] = {
    "enhancement": ("typical", "atypical"),
    "washout": _JUDGED,
    "aphe": _JUDGED,
    "masslike": _JUDGED,
    "like_before": _JUDGED,
    "ancillary": _JUDGED,
    "kind": ("mass", "infiltrative", "effusion", "ascites", "cyst", "blastic_bone", "leptomeningeal", "lymphangitic"),
    "cytology": ("positive", "negative"),
    "treated": _YES_NO,
    "progressed_since": _YES_NO,
    "treatment": ("radiation", "other"),
    "trend": ("new", "enlarging", "stable", "decreasing"),
    "new_role": ("target", "non_target"),
    "split_from": None,
    "merged_into": None,
    "viable_components_mm": (),
}
VISIT_WORDS: dict[str, Allowed] = {
    "baseline": ("0", "1"),
    "slice_thickness_mm": (),
    "markers": ("normal", "abnormal"),
    "cr_doubtful": _YES_NO,
    "mrecist_evaluable": _YES_NO,
}
_COMMON = ("patient", "reader", "visit", "date")
_KNOWN = {*_COMMON, "lesion", "role", "site", "node", "state", "sum_mm", *LESION_NUMBERS, *LESION_WORDS, *VISIT_WORDS}
#: A number beyond these is no length, volume or attenuation of a liver lesion (mm, ml, HU).
_LARGEST = {"mm": 1000.0, "ml": 10000.0, "hu": 4000.0}
#: Measurable lesions are at least 10 mm: a whole file below this is probably in centimetres.
LONGEST_PLAUSIBLE_MM = 10.0
_ISO = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")


@dataclass
class Where:
    """A place in a table, as messages name it: file, row, visit, lesion; never the patient."""

    file: str
    row: int
    visit: int | None = None
    lesion: int | None = None

    def __str__(self) -> str:
        parts = [self.file, f"row {self.row}"]
        parts += [f"visit {self.visit}"] if self.visit is not None else []
        parts += [f"lesion {self.lesion}"] if self.lesion is not None else []
        return ", ".join(parts)

    def refused(self, column: str, rule: str, expected: str, got: str, do: str) -> CriteriaError:
        """The error that refuses a cell."""
        return CriteriaError(refusal(rule, expected=expected, got=quoted(got), where=f"{self}, column {column}", do=do))


def check_columns(path: Path, names: list[str]) -> list[str]:
    """Warnings on unknown columns; a header that cannot be read as a response table raises ``CriteriaError``."""

    def refused(rule: str, expected: str, got: str, do: str) -> CriteriaError:
        return CriteriaError(refusal(rule, expected=expected, got=quoted(got), where=f"{path.name}, header", do=do))

    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise refused("columns are not separated by commas", "commas", "semicolons or tabs", "Save as comma-separated.")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise refused("column listed twice", "each column once", ", ".join(twice), "Delete one.")
    needed = ["patient", "visit", "role"] if "lesion" in names else ["patient", "visit", "sum_mm"]
    missing = [n for n in needed if n not in names]
    if missing:
        do = "Lesion rows need patient, visit, lesion and role; sums need patient, visit and sum_mm."
        raise refused("column missing", ", ".join(missing), ", ".join(names) or "nothing", do)
    for name in names:
        if name not in _KNOWN and re.search(r"_(cm|m|cc|l|mm2|mm3|cm3|inch)\Z", name):
            raise refused("column in another unit", "lengths in _mm, volumes in _ml", name, "Convert and rename it.")
    unknown = [n for n in names if n not in _KNOWN]
    warnings = (
        [f"unknown columns ignored: {', '.join(n or '(no name)' for n in unknown)} ({path.name})"] if unknown else []
    )
    if "lesion" in names and "sum_mm" in names:
        warnings.append(f"sum_mm is ignored: sums are made from the lesion rows ({path.name})")
    return warnings


def parse_number(text: str, where: Where, column: str) -> float | None:
    """A finite number, None for an empty cell; decimal commas, units, negative lengths and absurd sizes are refused."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        do = "Write the number alone, with a decimal point."
        if re.fullmatch(r"-?\d+,\d+", text):
            do = "This looks like a decimal comma: write a point."
        elif re.fullmatch(r"-?[\d.]+ *[a-zA-Z]+", text):
            do = "Write the number alone; the column's name says its unit."
        raise where.refused(column, "cell is not a number", "a number", repr(text), do) from None
    unit = column.rsplit("_", 1)[1]
    lowest = -_LARGEST["hu"] if unit == "hu" else 0.0
    if not math.isfinite(value) or value < lowest or "_" in text:
        raise where.refused(column, "number is out of range", f"a number from {lowest:g}", text, "Correct the number.")
    if value > _LARGEST[unit]:
        do = f"Check the unit: the column is in {unit}."
        raise where.refused(column, "number is out of range", f"at most {_LARGEST[unit]:g} {unit}", text, do)
    return value


def parse_whole(text: str, where: Where, column: str, *, least: int) -> int:
    """A whole number from ``least``; ``2.0`` is 2, ``2.1`` and words are refused."""
    try:
        return _whole(text, least)
    except ValueError:
        do = "Number visits and lesions with whole numbers."
        raise where.refused(
            column, f"{column} is not a number", f"a whole number from {least}", repr(text), do
        ) from None


def _whole(text: str, least: int) -> int:
    value = int(text) if text.isdecimal() else int(text[:-2]) if re.fullmatch(r"\d+\.0", text) else -1
    if value < least:
        raise ValueError
    return value


def parse_flag(text: str, where: Where, column: str) -> bool | None:
    """0 or 1; None for an empty cell."""
    if text not in ("", "0", "1"):
        raise where.refused(column, "flag is not known", "0 or 1", repr(text), "Write 1 for yes, 0 for no.")
    return None if not text else text == "1"


def parse_word(text: str, allowed: Allowed, where: Where, column: str) -> str:
    """A word of the column's list (or a lesion number, or numbers separated by spaces); empty stays empty."""
    if not text:
        return ""
    if allowed is None:
        return str(parse_whole(text, where, column, least=1))
    if not allowed:
        for part in text.split():
            parse_number(part, where, column)
        return text
    if text not in allowed:
        raise where.refused(column, f"{column} is not known", ", ".join(allowed), repr(text), "Use one of these words.")
    return text


def parse_date(text: str, where: Where) -> str:
    """An ISO date as it stands, possibly partial or empty; every other format is refused as ambiguous."""
    if not text:
        return ""
    found = _ISO.match(text)
    if not found:
        do = "Write dates as 2024-03-05; 2024-03 and 2024 are allowed where the day is unknown."
        raise where.refused("date", "date is ambiguous or not ISO", "YYYY-MM-DD", repr(text), do)
    year, month, day = (int(part) if part else None for part in found.groups())
    real = 1900 <= (year or 0) <= 2200 and (month is None or 1 <= month <= 12)
    if real and month and day and year:
        real = 1 <= day <= calendar.monthrange(year, month)[1] and bool(date(year, month, day))
    if not real:
        raise where.refused("date", "date does not exist", "a day of the calendar", repr(text), "Correct the date.")
    return text
