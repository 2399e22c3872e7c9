"""Standard (estimated total) liver volume from body size: every published formula as data, none preferred silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from livervol.errors import CriteriaError, refusal

__all__ = ["DEFAULT_BSA", "DEFAULT_FORMULA", "FORMULAS", "Formula", "PatientSize", "StandardVolume", "standard_volumes"]

#: Vauthey's formula with Mosteller's surface, the pair in which sFLR was validated (Vauthey 2002).
DEFAULT_FORMULA = "vauthey_2002_bsa"
DEFAULT_BSA = "mosteller"

_RANGES = {"height": (30.0, 260.0, "cm"), "weight": (1.0, 400.0, "kg"), "body surface area": (0.1, 4.0, "m2")}


def _in_range(what: str, value: float) -> None:
    low, high, unit = _RANGES[what]
    if not low <= value <= high:
        raise CriteriaError(
            refusal(
                f"{what} out of range",
                expected=f"{low:g} to {high:g} {unit}",
                got=f"{value:g}",
                do=f"Give it in {unit}.",
            )
        )


@dataclass(frozen=True)
class PatientSize:
    """Body size; what is None was not given and the formulas that need it are absent.

    ``bsa_m2`` holds the body surface by method (mosteller, dubois, ...). Heights outside 30-260 cm (a height in metres)
    and weights outside 1-400 kg (grams) raise ``CriteriaError``.
    """

    height_cm: float | None = None
    weight_kg: float | None = None
    sex: str = ""
    bsa_m2: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.height_cm is not None:
            _in_range("height", self.height_cm)
        if self.weight_kg is not None:
            _in_range("weight", self.weight_kg)
        for value in self.bsa_m2.values():
            _in_range("body surface area", value)
        sex = {"m": "male", "f": "female"}.get(self.sex.lower(), self.sex.lower())
        if sex not in ("", "male", "female"):
            raise CriteriaError(refusal("sex", expected="male or female", got=repr(self.sex)))
        object.__setattr__(self, "sex", sex)
        object.__setattr__(self, "bsa_m2", MappingProxyType(dict(self.bsa_m2)))


@dataclass(frozen=True)
class Formula:
    """One published formula: ``text`` as printed, ``of(patient, bsa_m2)`` in ml (g where the source weighed livers).

    ``needs`` names the inputs (bsa, weight, height, sex); ``bsa`` is the surface the authors fixed, or "".
    """

    key: str
    text: str
    source: str
    needs: tuple[str, ...]
    of: Callable[[PatientSize, float], float]
    bsa: str = ""


def _w(patient: PatientSize) -> float:
    assert patient.weight_kg is not None
    return patient.weight_kg


def _h(patient: PatientSize) -> float:
    assert patient.height_cm is not None
    return patient.height_cm


_BSA, _WEIGHT = ("bsa",), ("weight",)
_TABLE = (
    Formula("vauthey_2002_bsa", "-794.41 + 1267.28 BSA", "Vauthey 2002, Liver Transpl 8:233-240", _BSA,
            lambda p, b: -794.41 + 1267.28 * b),
    Formula("vauthey_2002_weight", "191.80 + 18.51 W", "Vauthey 2002, Liver Transpl 8:233-240", _WEIGHT,
            lambda p, b: 191.80 + 18.51 * _w(p)),
    Formula("urata_1995", "706.2 BSA + 2.4", "Urata 1995, Hepatology 21:1317-1321", _BSA, lambda p, b: 706.2 * b + 2.4),
    Formula("feng_2017", "758.259 BSA - 124.272", "Feng 2017, World J Gastroenterol 23:4968", _BSA,
            lambda p, b: 758.259 * b - 124.272),
    Formula("korea_dubois", "908.204 BSA - 464.728", "1000 Korean donors, surface by Du Bois", _BSA,
            lambda p, b: 908.204 * b - 464.728, "dubois"),
    Formula("korea_mosteller", "893.485 BSA - 439.169", "1000 Korean donors, surface by Mosteller", _BSA,
            lambda p, b: 893.485 * b - 439.169, "mosteller"),
    Formula("chan_2006", "218 + 12.3 W + 51 male", "Chan 2006, Liver Transpl", ("weight", "sex"),
            lambda p, b: 218.0 + 12.3 * _w(p) + 51.0 * (p.sex == "male")),
    Formula("tu_2007", "121.75 + 16.49 W", "Tu 2007", _WEIGHT, lambda p, b: 121.75 + 16.49 * _w(p)),
    Formula("heinemann_1999", "1072.8 BSA - 345.7", "Heinemann 1999, Liver Transpl Surg", _BSA,
            lambda p, b: 1072.8 * b - 345.7),
    Formula("yoshizumi_2003", "772 BSA", "Yoshizumi 2003, Transplantation", _BSA, lambda p, b: 772.0 * b),
    Formula("hashimoto_2006", "961.3 BSA - 404.8", "Hashimoto 2006, J Surg Res", _BSA, lambda p, b: 961.3 * b - 404.8),
    Formula("deland_1968", "1020 BSA - 220", "DeLand 1968, Radiology", _BSA, lambda p, b: 1020.0 * b - 220.0),
    Formula("fu_gui_2009", "11.508 W + 334.024", "Fu-Gui 2009", _WEIGHT, lambda p, b: 11.508 * _w(p) + 334.024),
    Formula("yu_2004", "21.585 W^0.732 H^0.225", "Yu 2004, Transplantation", ("weight", "height"),
            lambda p, b: float(21.585 * _w(p) ** 0.732 * _h(p) ** 0.225)),
    Formula("lin_1998", "13 H + 12 W - 1530", "Lin 1998", ("weight", "height"),
            lambda p, b: 13.0 * _h(p) + 12.0 * _w(p) - 1530.0),
    Formula("johnson_2005", "722 BSA^1.176", "Johnson 2005, Liver Transpl", _BSA, lambda p, b: float(722.0 * b**1.176)),
)  # fmt: skip

#: Every formula by key; W body weight in kg, H height in cm, BSA in m2.
FORMULAS: dict[str, Formula] = {formula.key: formula for formula in _TABLE}


@dataclass(frozen=True)
class StandardVolume:
    """One estimate: ``volume_ml`` (None with the ``reason``), its formula and the surface method ("" when none)."""

    formula: Formula
    bsa: str
    volume_ml: float | None
    reason: str = ""

    @property
    def method(self) -> str:
        """``-794.41 + 1267.28 BSA (Vauthey 2002, ...), BSA mosteller``."""
        surface = f", BSA {self.bsa}" if self.bsa else ""
        return f"{self.formula.text} ({self.formula.source}){surface}"


def standard_volumes(patient: PatientSize) -> tuple[StandardVolume, ...]:
    """Estimated total liver volume in ml by every formula and every surface method in ``patient.bsa_m2``.

    The default pair comes first. Formulas that weigh the liver (Chan 2006) are taken at 1 g = 1 ml. An estimate of 0 or
    less (a formula far outside the sizes it was fitted on) is absent. The choice moves sFLR by up to a quarter.
    """
    rows = []
    for formula in FORMULAS.values():
        for bsa in _surfaces(formula, patient):
            rows.append(_row(formula, bsa, patient))
    return tuple(sorted(rows, key=lambda row: (row.formula.key, row.bsa) != (DEFAULT_FORMULA, DEFAULT_BSA)))


def _surfaces(formula: Formula, patient: PatientSize) -> tuple[str, ...]:
    if "bsa" not in formula.needs:
        return ("",)
    if formula.bsa:
        return (formula.bsa,)
    return tuple(patient.bsa_m2) or (DEFAULT_BSA,)


def _row(formula: Formula, bsa: str, patient: PatientSize) -> StandardVolume:
    have = {
        "bsa": bsa in patient.bsa_m2,
        "weight": patient.weight_kg is not None,
        "height": patient.height_cm is not None,
        "sex": bool(patient.sex),
    }
    missing = [name for name in formula.needs if not have[name]]
    if missing:
        words = {"bsa": "height and weight"}
        return StandardVolume(formula, bsa, None, "not given: " + ", ".join(words.get(m, m) for m in missing))
    value = formula.of(patient, patient.bsa_m2.get(bsa, 0.0))
    if value <= 0:
        return StandardVolume(formula, bsa, None, f"the formula gives {value:.0f} ml: body size outside its range")
    return StandardVolume(formula, bsa, value)
