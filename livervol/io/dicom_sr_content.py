"""A visit's numbers as measurement groups of DICOM TID 1500: codes, units, lines; no DICOM library here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from livervol.io.dicom_seg_codes import LIVER, PRIVATE_SCHEME, Code, name_of, term_of
from livervol.io.dicom_tracking import tracking_uid

__all__ = ["Point", "SrGroup", "SrNumber", "SrReport", "visit_groups"]

Point = tuple[float, float, float]


@dataclass(frozen=True)
class SrNumber:
    """One measurement: coded name, value, UCUM unit, and the two ends of its line (LPS mm) where it is a length.

    ``derivation`` tells a mean from a maximum where names are alike.
    """

    name: Code
    value: float
    unit: str
    line_lps_mm: tuple[Point, Point] | None = None
    method: Code | None = None
    derivation: Code | None = None


@dataclass(frozen=True)
class SrGroup:
    """One measurement group: what is followed (identifier and UID, the same at every visit) and what was measured.

    ``words`` are qualitative evaluations (name, value); ``segment`` is the SOP instance UID and number of the SEG
    segment the numbers belong to (TID 1411), None for a group without a region (TID 1501).
    """

    tracking_id: str
    tracking_uid: str
    finding: Code | None = None
    site: Code | None = None
    numbers: tuple[SrNumber, ...] = ()
    words: tuple[tuple[Code, Code], ...] = ()
    segment: tuple[str, int] | None = None
    method: Code | None = None

    def value(self, code_value: str) -> float | None:
        """The first number whose name has this code value, or None."""
        return next((number.value for number in self.numbers if number.name.value == code_value), None)


@dataclass(frozen=True)
class SrReport:
    """A measurement report: its groups and when in the course it was made (``time_point`` may be empty)."""

    groups: tuple[SrGroup, ...]
    time_point: str = ""
    study_uid: str = ""
    title: Code | None = None


def _own(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE_SCHEME, meaning)


VOLUME = Code("118565006", "SCT", "Volume")
_COUNTED = Code("126030", "DCM", "Sum of segmented voxel method for volume")
_ORGAN = Code("113343008", "SCT", "Organ")
_FLR = _own("FLR", "Future liver remnant")
_RESPONSE = Code("112020", "DCM", "Response Evaluation")
_CURRENT_RESPONSE = Code("112048", "DCM", "Current Response")

#: Key of measurements.json to name and UCUM unit; what no standard names has a private code.
_NAMES: dict[str, tuple[Code, str]] = {
    "volume_ml": (VOLUME, "cm3"),
    "functional_volume_ml": (_own("FUNCTIONALVOL", "Volume of the liver without tumour"), "cm3"),
    "viable_volume_ml": (_own("VIABLEVOL", "Volume of viable tumour"), "cm3"),
    "necrosis_percent": (_own("NECROSIS", "Part of the tumour that is not viable"), "%"),
    "flr_of_functional_percent": (_own("FLRFUNCTIONAL", "Remnant, of the liver without tumour"), "%"),
    "flr_of_total_percent": (_own("FLRTOTAL", "Remnant, of the whole liver"), "%"),
    "sflr_percent": (_own("FLRSTANDARD", "Remnant, of the standard liver volume"), "%"),
    "weight_ratio_percent": (_own("FLRWEIGHT", "Remnant to body weight ratio"), "%"),
    "resection_percent": (_own("RESECTED", "Part of the liver without tumour that is removed"), "%"),
    "margin_mm": (_own("MARGIN", "Shortest way from tumour to remnant"), "mm"),
    "lesions_remaining": (_own("LESIONSLEFT", "Lesions wholly in the remnant"), "1"),
    "probability_at_least_threshold": (_own("PROBENOUGH", "Probability that the remnant is large enough"), "1"),
    "longest_mm": (Code("103339001", "SCT", "Long axis"), "mm"),
    "short_axis_mm": (Code("103340004", "SCT", "Short axis"), "mm"),
    "diameter_3d_mm": (_own("DIAMETER3D", "Greatest diameter in any plane"), "mm"),
    "viable_longest_mm": (Code("103339001", "SCT", "Long axis"), "mm"),
    "viable_perpendicular_mm": (Code("131189007", "SCT", "Perpendicular Axis"), "mm"),
    "sum_mm": (_own("SUM", "Sum over target lesions"), "mm"),
    "change_from_baseline_percent": (_own("CHANGEBASELINE", "Change of the sum from baseline"), "%"),
    "change_from_nadir_percent": (_own("CHANGENADIR", "Change of the sum from nadir"), "%"),
}

_LINES = {
    "longest_mm": "endpoints_lps_mm",
    "short_axis_mm": "short_axis_endpoints_lps_mm",
    "diameter_3d_mm": "diameter_3d_endpoints_lps_mm",
    "viable_longest_mm": "viable_endpoints_lps_mm",
    "viable_perpendicular_mm": "viable_perpendicular_endpoints_lps_mm",
}

_CRITERIA = {
    "recist11": Code("126081", "DCM", "RECIST 1.1"),
    "mrecist": _own("MRECIST", "mRECIST (hepatocellular carcinoma)"),
}
_OVERALL = {
    "CR": Code("C4870", "NCIt", "Complete Remission"),
    "PR": Code("C18058", "NCIt", "Partial Remission"),
    "SD": Code("C18213", "NCIt", "Stable Disease"),
    "PD": Code("C35571", "NCIt", "Progressive Disease"),
}
_TARGET = {
    "CR": Code("112041", "DCM", "Target Lesion Complete Response"),
    "PR": Code("112042", "DCM", "Target Lesion Partial Response"),
    "PD": Code("112043", "DCM", "Target Lesion Progressive Disease"),
    "SD": Code("112044", "DCM", "Target Lesion Stable Disease"),
}
_NON_TARGET = {
    "CR": Code("112045", "DCM", "Non-Target Lesion Complete Response"),
    "NON-CR/NON-PD": Code("112046", "DCM", "Non-Target Lesion Incomplete Response or Stable Disease"),
    "PD": Code("112047", "DCM", "Non-Target Lesion Progressive Disease"),
}


def visit_groups(
    document: Mapping[str, Any],
    subject: str,
    *,
    responses: Sequence[Mapping[str, Any]] = (),
    segments: Mapping[tuple[str, int], tuple[str, int]] | None = None,
) -> tuple[SrGroup, ...]:
    """measurements.json's numbers as groups: liver, tumour, segments, remnants, lesions, viable parts, responses.

    Volumes in cm3 (1 ml), lengths in mm, shares in %. Numbers that are absent (null) are left out. ``responses`` are
    this visit's rows of course.json. ``segments`` maps (mask kind, label) to a SEG's instance UID and segment number;
    lengths with a line stand in a group of their own with the same tracking, as the template wants it (PS3.16 TID
    1411, TID 1501).
    """
    groups = [
        *_organ_groups(document),
        *_remnant_groups(document.get("remnant", {})),
        *(group for lesion in document.get("lesions", ()) for group in _lesion_groups(lesion)),
        *(_response_group(row) for row in responses),
    ]
    regions = segments or {}
    found = []
    for (kind, value), group in groups:
        group = replace(group, tracking_uid=tracking_uid(subject, group.tracking_id))
        found += _parted(group, regions.get((kind, value)))
    return tuple(group for group in found if group.numbers or group.words)


_Placed = tuple[tuple[str, int], SrGroup]


def _parted(group: SrGroup, segment: tuple[str, int] | None) -> list[SrGroup]:
    if segment is None:
        return [group]
    within = tuple(number for number in group.numbers if number.line_lps_mm is None)
    lines = tuple(number for number in group.numbers if number.line_lps_mm is not None)
    return [replace(group, numbers=within, segment=segment), replace(group, numbers=lines, words=())]


def _numbers(entry: Mapping[str, Any], keys: Sequence[str]) -> tuple[SrNumber, ...]:
    found = []
    for key in keys:
        value = entry.get(key)
        if value is None:
            continue
        name, unit = _NAMES[key]
        line = entry.get(_LINES.get(key, ""))
        ends = None if line is None else (_point(line[0]), _point(line[1]))
        found.append(SrNumber(name, float(value), unit, ends, _COUNTED if name == VOLUME else None))
    return tuple(found)


def _point(values: Sequence[float]) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _organ_groups(document: Mapping[str, Any]) -> Iterator[_Placed]:
    liver = _numbers(document.get("liver", {}), ("volume_ml", "functional_volume_ml"))
    yield ("liver", 1), SrGroup("liver", "", _ORGAN, LIVER, liver)
    tumor = _numbers(document.get("tumor", {}), ("volume_ml", "viable_volume_ml", "necrosis_percent"))
    yield ("", 0), SrGroup("all lesions", "", term_of("lesions", 1).type, LIVER, tumor)
    for number, entry in document.get("segments", {}).items():
        value = int(number)
        site = term_of("segments", value).type
        yield ("segments", value), SrGroup(name_of("segments", value), "", _ORGAN, site, _numbers(entry, ["volume_ml"]))


def _remnant_groups(remnants: Mapping[str, Any]) -> Iterator[_Placed]:
    keys = (
        "volume_ml",
        "flr_of_functional_percent",
        "flr_of_total_percent",
        "sflr_percent",
        "weight_ratio_percent",
        "resection_percent",
        "margin_mm",
        "lesions_remaining",
        "probability_at_least_threshold",
    )
    for slug, entry in remnants.items():
        yield ("", 0), SrGroup(f"remnant {slug}", "", _FLR, LIVER, _numbers(entry, keys))


def _lesion_groups(lesion: Mapping[str, Any]) -> Iterator[_Placed]:
    number = int(lesion["number"])
    site = LIVER if lesion.get("site", "liver") == "liver" else None
    keys = ("volume_ml", "necrosis_percent", "longest_mm", "short_axis_mm", "diameter_3d_mm")
    state = ((_own("STATE", "Lesion state"), _own(*_state(str(lesion.get("state", "measured"))))),)
    finding = term_of("lesions", number).type
    group = SrGroup(f"lesion {number}", "", finding, site, _numbers(lesion, keys), state)
    yield ("lesions", number), group
    viable = {**lesion, "volume_ml": lesion.get("viable_volume_ml")}
    parts = ("volume_ml", "viable_longest_mm", "viable_perpendicular_mm")
    finding = term_of("viable", number).type
    yield ("viable", number), SrGroup(f"lesion {number} viable", "", finding, site, _numbers(viable, parts))


def _state(state: str) -> tuple[str, str]:
    # a code value has at most 16 characters
    return state.replace("_", "").upper()[:16], state.replace("_", " ")


def _response_group(row: Mapping[str, Any]) -> _Placed:
    criterion = str(row["criterion"])
    words = []
    for name, key, known in (
        (_CURRENT_RESPONSE, "overall", _OVERALL),
        (_own("TARGETRESPONSE", "Response of the target lesions"), "target", _TARGET),
        (_own("NONTARGETRESP", "Response of the non-target lesions"), "non_target", _NON_TARGET),
        (_own("NEWLESION", "New lesion"), "new_lesion", {}),
    ):
        category = str(row.get(key) or "")
        if category:
            own = _own("".join(c for c in category if c.isalnum() or c == "-").upper()[:16], category[:64])
            words.append((name, known.get(category, own)))
    keys = ["change_from_baseline_percent", "change_from_nadir_percent"]
    # sums of products and volumes have another unit than their key says
    keys = ["sum_mm", *keys] if criterion in ("recist11", "mrecist", "irecist", "choi") else keys
    method = _CRITERIA.get(criterion) or _own(criterion.upper()[:16], criterion)
    group = SrGroup(f"response {criterion}", "", _RESPONSE, None, _numbers(row, keys), tuple(words), None, method)
    return ("", 0), group
