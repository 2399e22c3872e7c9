"""What structures are called in DICOM: SNOMED CT and NCI Thesaurus codes of masks, and the way back from a code."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["LIVER", "MASK_KINDS", "PRIVATE_SCHEME", "Code", "Term", "kind_of_code", "name_of", "term_of", "value_of"]

#: Coding scheme of what no standard names (future liver remnant, mRECIST, tissue of unsure viability).
PRIVATE_SCHEME = "99LIVERVOL"


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme designator, meaning; equal when value and scheme are."""

    value: str
    scheme: str
    meaning: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.value, self.scheme) == (other.value, other.scheme)

    def __hash__(self) -> int:
        return hash((self.value, self.scheme))


@dataclass(frozen=True)
class Term:
    """A segment's property category and type, and the organ it lies in where the type does not say so."""

    category: Code
    type: Code
    region: Code | None = None
    colour_rgb: tuple[int, int, int] = (144, 144, 144)


LIVER = Code("10200004", "SCT", "Liver")
_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_ALTERED = Code("49755003", "SCT", "Morphologically Altered Structure")
_TISSUE = Code("85756007", "SCT", "Tissue")

_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")
_COUINAUD_CODES = (
    "71133005",
    "277956007",
    "277957003",
    "277958008",
    "277959000",
    "277960005",
    "277961009",
    "277962002",
)
_COUINAUD = {
    n: Code(value, "SCT", f"Couinaud hepatic segment {_ROMAN[n - 1]}") for n, value in enumerate(_COUINAUD_CODES, 1)
}
_COUINAUD_RGB = (
    (166, 206, 227),
    (31, 120, 180),
    (178, 223, 138),
    (51, 160, 44),
    (251, 154, 153),
    (227, 26, 28),
    (253, 191, 111),
    (255, 127, 0),
)
_PORTAL_VEIN = Code("32764006", "SCT", "Portal vein")
_HEPATIC_VEIN = Code("8993003", "SCT", "Hepatic vein")
_NEOPLASM = Code("108369006", "SCT", "Neoplasm")
_ENHANCING = Code("C113842", "NCIt", "Enhancing Lesion")
_NECROSIS = Code("6574001", "SCT", "Necrosis")
_UNCERTAIN = Code("UNCERTAIN", PRIVATE_SCHEME, "Lesion part of uncertain viability")

#: A visit's masks, in the order in which they are written.
MASK_KINDS = ("liver", "segments", "lesions", "viable", "necrosis", "uncertain", "vessels")

_VESSELS = {1: (_PORTAL_VEIN, "portal vein", (0, 151, 206)), 2: (_HEPATIC_VEIN, "hepatic vein", (0, 75, 140))}
_PARTS = {
    "lesions": (_NEOPLASM, "lesion", (216, 101, 79)),
    "viable": (_ENHANCING, "viable", (250, 220, 60)),
    "necrosis": (_NECROSIS, "necrosis", (110, 84, 75)),
    "uncertain": (_UNCERTAIN, "uncertain", (190, 160, 190)),
}

#: Codes that other programs use for the same question.
_ALSO = {
    ("86049000", "SCT"): "lesions",
    ("52988006", "SCT"): "lesions",
    ("4147007", "SCT"): "lesions",
    ("126851005", "SCT"): "lesions",
    ("272998002", "SCT"): "vessels",
    ("273099000", "SCT"): "vessels",
    ("273202007", "SCT"): "vessels",
    ("73931004", "SCT"): "vessels",
    ("70253006", "SCT"): "vessels",
}
_VEIN_BRANCHES = {"272998002": 2, "273099000": 2, "273202007": 2, "73931004": 1, "70253006": 1}


#: The same concepts as older files write them (SNOMED RT identifiers, PS3.16 annex O).
_SNOMED_RT = {
    "T-62000": "10200004",
    "T-62023": "71133005",
    "T-D054F": "277956007",
    "T-D0567": "277957003",
    "T-D056A": "277958008",
    "T-D056B": "277959000",
    "T-D056C": "277960005",
    "T-D056D": "277961009",
    "T-D056E": "277962002",
    "T-48810": "32764006",
    "T-48720": "8993003",
    "M-8FFFF": "108369006",
    "M-80003": "86049000",
    "M-01100": "52988006",
    "M-03000": "4147007",
    "M-54000": "6574001",
    "T-48725": "272998002",
    "T-48726": "273099000",
    "T-48727": "273202007",
    "T-48813": "73931004",
    "T-48814": "70253006",
}


def _current(code: Code) -> Code:
    known = _SNOMED_RT.get(code.value) if code.scheme in ("SRT", "SNM3", "99SDM") else None
    return Code(known, "SCT", code.meaning) if known else code


def _segment_number(value: int) -> int:
    return 4 if value in (41, 42) else value


def term_of(kind: str, value: int) -> Term:
    """The codes of label ``value`` in a visit's mask ``kind`` (DICOM PS3.16 CID 7150, 7151; PS3.3 C.8.20.2)."""
    if kind == "liver":
        return Term(_ANATOMY, LIVER, None, (221, 130, 101))
    if kind == "segments" and _segment_number(value) in _COUINAUD:
        number = _segment_number(value)
        # IVa and IVb share segment IV's code; the segment label tells them apart
        return Term(_ANATOMY, _COUINAUD[number], None, _COUINAUD_RGB[number - 1])
    if kind == "vessels" and value in _VESSELS:
        return Term(_ANATOMY, _VESSELS[value][0], None, _VESSELS[value][2])
    if kind in _PARTS:
        return Term(_ALTERED, _PARTS[kind][0], LIVER, _PARTS[kind][2])
    return Term(_TISSUE, _TISSUE)


def name_of(kind: str, value: int) -> str:
    """What label ``value`` of a mask is called: liver, segment IVa, lesion 3, viable 3, portal vein."""
    if kind == "segments":
        return "segment " + {41: "IVa", 42: "IVb"}.get(value, _ROMAN[value - 1] if 1 <= value <= 8 else str(value))
    if kind == "vessels":
        return _VESSELS[value][1] if value in _VESSELS else f"vessel {value}"
    if kind in _PARTS:
        return f"{_PARTS[kind][1]} {value}"
    return kind


def kind_of_code(code: Code) -> str:
    """The mask a segment of that type belongs to, empty when it is none of a visit's."""
    code = _current(code)
    if code == LIVER:
        return "liver"
    if code in _COUINAUD.values():
        return "segments"
    if code in (_PORTAL_VEIN, _HEPATIC_VEIN):
        return "vessels"
    for kind, (known, _, _) in _PARTS.items():
        if code == known:
            return kind
    return _ALSO.get((code.value, code.scheme), "")


def value_of(kind: str, code: Code, label: str) -> int | None:
    """The label value a segment has in its mask; None where neither its code nor its name tells."""
    code = _current(code)
    if kind == "liver":
        return 1
    if kind == "segments":
        number = next(n for n, known in _COUINAUD.items() if known == code)
        part = re.search(r"\b(?:IV|4)([ab])\b", label)
        return {"a": 41, "b": 42}[part[1]] if number == 4 and part else number
    if kind == "vessels":
        number_of = {_PORTAL_VEIN.value: 1, _HEPATIC_VEIN.value: 2, **_VEIN_BRANCHES}
        return number_of.get(code.value)
    found = re.fullmatch(rf"{_PARTS[kind][1]} (\d{{1,5}})", label.strip()) if kind in _PARTS else None
    return int(found[1]) if found and 1 <= int(found[1]) <= 65535 else None
