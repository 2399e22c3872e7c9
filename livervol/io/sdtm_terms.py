"""Words of SDTM's tumour domains and what they mean here (CDISC controlled terminology, SDTMIG TU, TR, RS)."""

from __future__ import annotations

from types import MappingProxyType

__all__ = [
    "CRITERIA",
    "LESION_QUALIFIERS",
    "LOCATIONS",
    "MEASUREMENTS",
    "QUALIFIERS",
    "ROLE_WORDS",
    "RS_TESTS",
    "STATE_WORDS",
    "TR_TESTS",
    "VISIT_QUALIFIERS",
    "site_of",
]

#: Role to TUORRES.
ROLE_WORDS = MappingProxyType({"target": "TARGET", "non_target": "NON-TARGET", "new": "NEW"})
#: Site to TULOC.
LOCATIONS = MappingProxyType(
    {
        "liver": "LIVER",
        "porta_hepatis_node": "LYMPH NODE",
        "other_node": "LYMPH NODE",
        "lung": "LUNG",
        "adrenal": "ADRENAL GLAND",
        "bone": "BONE",
        "peritoneum": "PERITONEUM",
        "portal_vein_thrombus": "PORTAL VEIN",
        "hepatic_vein_thrombus": "HEPATIC VEIN",
        "other": "OTHER",
    }
)
#: Measurement to TRTESTCD and unit; what has no code there travels as a supplemental qualifier.
MEASUREMENTS = MappingProxyType(
    {
        "longest_mm": ("LDIAM", "mm"),
        "short_axis_mm": ("LPERP", "mm"),
        "viable_longest_mm": ("VDIAM", "mm"),
        "volume_ml": ("VOLUME", "mL"),
        "mean_hu": ("RADIODEN", "HU"),
    }
)
TR_TESTS = MappingProxyType(
    {
        "LDIAM": "Longest Diameter",
        "LPERP": "Longest Perpendicular",
        "VDIAM": "Viable Diameter",
        "VOLUME": "Volume",
        "RADIODEN": "Radiodensity",
        "TUMSTATE": "Tumor State",
        "SUMDIAM": "Sum of Diameter",
        "SUMNLNLD": "Sum Diameters of Non Lymph Node Tumors",
        "SUMVDIAM": "Sum of Viable Diameter",
        "SUMPPD": "Sum of Products of Perpendicular Diam",
        "SUMVOL": "Sum of Volume",
        "PCBSD": "Percent Change Baseline in Sum of Diam",
        "PCNSD": "Percent Change Nadir in Sum of Diam",
        "ACNSD": "Absolute Change Nadir in Sum of Diam",
        "PCBSPPD": "Percent Change Baseline in Sum of PPD",
        "PCNSPPD": "Percent Change Nadir in Sum of PPD",
        "PCBSV": "Percent Change Baseline in Sum of Volume",
        "PCNSV": "Percent Change Nadir in Sum of Volume",
    }
)
RS_TESTS = MappingProxyType(
    {
        "TRGRESP": "Target Response",
        "NTRGRESP": "Non-target Response",
        "NEWLIND": "New Lesion Indicator",
        "NEWLPROG": "New Lesion Progression",
        "OVRLRESP": "Overall Response",
        "BESTRESP": "Best Overall Response",
    }
)
#: Criterion to RSCAT, its short mark in link groups, and the TRTESTCDs of its sum and its changes (baseline, nadir,
#: absolute from nadir); empty where there is none.
CRITERIA = MappingProxyType(
    {
        "recist11": ("RECIST 1.1", "R", "mm", ("SUMDIAM", "PCBSD", "PCNSD", "ACNSD")),
        "mrecist": ("MRECIST LENCIONI LIVER CANCER 2010", "M", "mm", ("SUMVDIAM", "PCBSD", "PCNSD", "ACNSD")),
        "irecist": ("iRECIST", "I", "mm", ("SUMDIAM", "PCBSD", "PCNSD", "ACNSD")),
        "easl": ("EASL BRUIX LIVER CANCER 2001", "E", "mm2", ("SUMPPD", "PCBSPPD", "PCNSPPD", "")),
        "who": ("PROTOCOL DEFINED RESPONSE CRITERIA", "W", "mm2", ("SUMPPD", "PCBSPPD", "PCNSPPD", "")),
        "choi": ("CHOI GIST 2008", "C", "mm", ("SUMDIAM", "PCBSD", "PCNSD", "ACNSD")),
        "volumetric": ("PROTOCOL DEFINED RESPONSE CRITERIA", "V", "mL", ("SUMVOL", "PCBSV", "PCNSV", "")),
    }
)
#: TUMSTATE to state; UNEQUIVOCAL of a non-target is its progression, of a new lesion its presence.
STATE_WORDS = MappingProxyType(
    {
        "ABSENT": "absent",
        "PRESENT": "present",
        "EQUIVOCAL": "equivocal",
        "UNEQUIVOCAL": "unequivocal_progression",
        "TUMOR MERGED": "measured",
    }
)
#: Lesion attributes and numbers without a code, as supplemental qualifiers of TR: name to QNAM and QLABEL.
LESION_QUALIFIERS = MappingProxyType(
    {
        "state": ("STATE", "Lesion State"),
        "viable_perpendicular_mm": ("VPERP", "Viable Perpendicular Diameter in mm"),
        "viable_volume_ml": ("VVOLUME", "Viable Volume in mL"),
        "enhancement": ("ENHANCE", "Enhancement Pattern"),
        "washout": ("WASHOUT", "Washout"),
        "aphe": ("APHE", "Arterial Phase Hyperenhancement"),
        "masslike": ("MASSLIKE", "Masslike Enhancement"),
        "like_before": ("LIKEBEF", "Enhancement Like Before Treatment"),
        "ancillary": ("ANCILL", "Ancillary Features"),
        "kind": ("KIND", "Kind of Lesion"),
        "cytology": ("CYTOLOGY", "Cytology"),
        "treated": ("TREATED", "Treated Locally Before"),
        "progressed_since": ("PROGSIN", "Progressed Since Local Treatment"),
        "treatment": ("TREATMNT", "Local Treatment"),
        "trend": ("TREND", "Trend"),
        "new_role": ("NEWROLE", "How a New Lesion Is Followed"),
        "viable_components_mm": ("VCOMPS", "Viable Components in mm"),
        "slice_thickness_mm": ("SLTHICK", "Slice Thickness in mm"),
    }
)
#: Attributes of a whole visit.
VISIT_QUALIFIERS = MappingProxyType(
    {
        "slice_thickness_mm": ("VSLTHICK", "Slice Thickness of Visit in mm"),
        "markers": ("MARKERS", "Tumor Markers"),
        "cr_doubtful": ("CRDOUBT", "Complete Response Doubtful"),
        "mrecist_evaluable": ("MREVAL", "Evaluable by mRECIST"),
    }
)
#: QNAM to attribute, of lesions and of visits.
QUALIFIERS = MappingProxyType(
    {
        "TR": {name: key for key, (name, _) in LESION_QUALIFIERS.items()},
        "VISIT": {name: key for key, (name, _) in VISIT_QUALIFIERS.items()},
    }
)


def site_of(location: str) -> str:
    """The site a TULOC means; every lymph node is ``other_node``, every unknown place ``other``."""
    location = location.upper()
    if "LYMPH NODE" in location:
        return "other_node"
    if location.startswith("LIVER"):
        return "liver"
    known = {word: site for site, word in LOCATIONS.items()}
    return known.get(location, "lung" if location.startswith("LUNG") else "other")
