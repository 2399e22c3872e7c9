"""Clinical scores from numbers: Child-Pugh in both unit systems, body surface area."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from livervol.errors import CriteriaError, refusal

__all__ = [
    "BSA_FORMULAS",
    "ChildPugh",
    "ChildPughBands",
    "ChildPughItem",
    "Lab",
    "body_surface_area_m2",
    "child_pugh",
]

#: Slack of a comparison with a band's edge, in the laboratory's unit: far below what is printed on a report.
_EDGE = 1e-9

ASCITES = {"none": 1, "slight": 2, "controlled": 2, "moderate": 3, "severe": 3, "refractory": 3}
ENCEPHALOPATHY = {"none": 1, "0": 1, "1": 2, "2": 2, "1-2": 2, "3": 3, "4": 3, "3-4": 3}


@dataclass(frozen=True)
class Lab:
    """A laboratory value with the unit it was reported in."""

    value: float
    unit: str


@dataclass(frozen=True)
class ChildPughBands:
    """Edges of the middle band, both inclusive (2 points), per unit (Pugh 1973, Br J Surg 60:646-649).

    Albumin 3.5 g/dL is 2 points here; some charts give 1. Chinese charts use 34 and 51 umol/L for bilirubin.
    """

    bilirubin_mg_dl: tuple[float, float] = (2.0, 3.0)
    bilirubin_umol_l: tuple[float, float] = (34.2, 51.3)
    albumin_g_dl: tuple[float, float] = (2.8, 3.5)
    albumin_g_l: tuple[float, float] = (28.0, 35.0)
    inr: tuple[float, float] = (1.7, 2.3)
    pt_seconds_prolonged: tuple[float, float] = (4.0, 6.0)


@dataclass(frozen=True)
class ChildPughItem:
    """One of the five items: its points, or None when it was not assessed."""

    name: str
    points: int | None
    reason: str


@dataclass(frozen=True)
class ChildPugh:
    """Child-Pugh points: ``total`` and ``grade`` (A 5-6, B 7-9, C 10-15) are None while an item is unknown.

    ``lowest`` and ``highest`` are the totals the unknown items still allow.
    """

    total: int | None
    grade: str | None
    lowest: int
    highest: int
    items: tuple[ChildPughItem, ...]


#: For each item and unit: the band's name and the range outside which the unit must be wrong.
_UNITS: dict[str, dict[str, tuple[str, float, float]]] = {
    "bilirubin": {"mg/dl": ("bilirubin_mg_dl", 0.0, 60.0), "umol/l": ("bilirubin_umol_l", 1.7, 1100.0)},
    "albumin": {"g/dl": ("albumin_g_dl", 0.5, 8.0), "g/l": ("albumin_g_l", 8.0, 80.0)},
    "clotting": {"inr": ("inr", 0.5, 20.0), "s": ("pt_seconds_prolonged", -10.0, 200.0)},
}
_SPELLINGS = {"µmol/l": "umol/l", "μmol/l": "umol/l", "1": "inr", "": "inr", "seconds": "s", "sec": "s"}


def _band(name: str, lab: Lab, bands: ChildPughBands) -> tuple[tuple[float, float], str]:
    unit = lab.unit.strip().lower()
    unit = _SPELLINGS.get(unit, unit) if unit or name == "clotting" else unit
    known = _UNITS[name]
    if unit not in known:
        raise CriteriaError(refusal(f"{name} unit", expected=" or ".join(known), got=repr(lab.unit)))
    field, low, high = known[unit]
    if not (math.isfinite(lab.value) and low <= lab.value <= high):
        others = ", ".join(u for u in known if u != unit)
        raise CriteriaError(
            refusal(
                f"{name} does not fit its unit",
                expected=f"{low:g} to {high:g} {unit}",
                got=f"{lab.value:g} {unit}",
                do=f"Check whether it was reported in {others}.",
            )
        )
    edges: tuple[float, float] = getattr(bands, field)
    return edges, unit


def _lab_points(name: str, lab: Lab | None, bands: ChildPughBands) -> ChildPughItem:
    if lab is None:
        return ChildPughItem(name, None, f"{name} was not assessed")
    (low, high), unit = _band(name, lab, bands)
    middle = 2 if low - _EDGE <= lab.value <= high + _EDGE else 0
    rising = name != "albumin"
    points = middle or (1 if (lab.value < low) == rising else 3)
    return ChildPughItem(name, points, f"{name} {lab.value:g} {unit}: {points} (2 points from {low:g} to {high:g})")


def _graded(name: str, word: str | None, table: dict[str, int]) -> ChildPughItem:
    if word is None:
        return ChildPughItem(name, None, f"{name} was not assessed")
    points = table.get(word.strip().lower())
    if points is None:
        raise CriteriaError(refusal(f"{name} grade", expected=", ".join(table), got=repr(word)))
    return ChildPughItem(name, points, f"{name} {word}: {points}")


def child_pugh(
    bilirubin: Lab | None,
    albumin: Lab | None,
    clotting: Lab | None,
    ascites: str | None,
    encephalopathy: str | None,
    bands: ChildPughBands | None = None,
) -> ChildPugh:
    """Child-Pugh points, 5 to 15: bilirubin (mg/dL or umol/L), albumin (g/dL or g/L), INR or PT prolongation in s.

    The middle band includes its edges. None stands for not assessed; then ``lowest`` and ``highest`` bound the total. A
    value impossible in its unit (albumin 38 g/dL) raises ``CriteriaError``: it was reported in the other one.
    Source: Pugh 1973, Br J Surg 60:646-649.
    """
    bands = bands or ChildPughBands()
    items = (
        _lab_points("bilirubin", bilirubin, bands),
        _lab_points("albumin", albumin, bands),
        _lab_points("clotting", clotting, bands),
        _graded("ascites", ascites, ASCITES),
        _graded("encephalopathy", encephalopathy, ENCEPHALOPATHY),
    )
    known = [item.points for item in items if item.points is not None]
    unknown = len(items) - len(known)
    lowest, highest = sum(known) + unknown, sum(known) + 3 * unknown
    total = None if unknown else lowest
    grade = None if total is None else "A" if total <= 6 else "B" if total <= 9 else "C"
    return ChildPugh(total, grade, lowest, highest, items)


def _boyd(height_cm: float, weight_kg: float) -> float:
    grams = 1000.0 * weight_kg
    return float(0.0003207 * height_cm**0.3 * grams ** (0.7285 - 0.0188 * math.log10(grams)))


#: Body surface area in m2 from height in cm and weight in kg, by author.
BSA_FORMULAS: dict[str, Callable[[float, float], float]] = {
    "mosteller": lambda h, w: math.sqrt(h * w / 3600.0),  # Mosteller 1987
    "dubois": lambda h, w: float(0.007184 * h**0.725 * w**0.425),  # Du Bois 1916
    "haycock": lambda h, w: float(0.024265 * h**0.3964 * w**0.5378),  # Haycock 1978
    "gehan-george": lambda h, w: float(0.0235 * h**0.42246 * w**0.51456),  # Gehan & George 1970
    "boyd": _boyd,  # Boyd 1935
    "fujimoto": lambda h, w: float(0.008883 * h**0.663 * w**0.444),  # Fujimoto 1968
    "takahira": lambda h, w: float(0.007241 * h**0.725 * w**0.425),  # Takahira 1925
}


def body_surface_area_m2(height_cm: float, weight_kg: float, formula: str = "mosteller") -> float:
    """Body surface area in m2 by a named formula (``BSA_FORMULAS``).

    Heights outside 30-260 cm and weights outside 1-400 kg raise ``CriteriaError``: they were given in another unit.
    """
    if formula not in BSA_FORMULAS:
        raise CriteriaError(refusal("BSA formula", expected=", ".join(BSA_FORMULAS), got=repr(formula)))
    for name, value, low, high in (("height", height_cm, 30.0, 260.0), ("weight", weight_kg, 1.0, 400.0)):
        if not low <= value <= high:
            unit = "cm" if name == "height" else "kg"
            raise CriteriaError(
                refusal(
                    f"{name} out of range", expected=f"{low:g} to {high:g} {unit}", got=f"{value:g}", do="Check unit."
                )
            )
    return BSA_FORMULAS[formula](height_cm, weight_kg)
