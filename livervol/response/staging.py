"""Tumour thrombus in the liver's vessels: Cheng, Vp, Vv and HVTT stages as recorded words."""

from __future__ import annotations

from livervol.errors import CriteriaError, refusal

__all__ = ["CHENG", "HVTT", "VP", "VV", "cheng_stage"]

#: Portal vein (Cheng; World J Gastroenterol 2022;28:704), lowest first.
CHENG = {
    "none": "no tumour thrombus",
    "I0": "microvascular only",
    "I": "segmental or smaller branch",
    "II": "left or right branch (first order)",
    "III": "main trunk",
    "IV": "superior mesenteric vein",
}
#: Portal vein, Liver Cancer Study Group of Japan.
VP = {
    "Vp0": "no tumour thrombus",
    "Vp1": "distal to the second-order branches",
    "Vp2": "second-order branches",
    "Vp3": "first-order branches",
    "Vp4": "main trunk or contralateral branch",
}
#: Hepatic vein, Liver Cancer Study Group of Japan.
VV = {
    "Vv0": "no tumour thrombus",
    "Vv1": "peripheral hepatic vein",
    "Vv2": "right, middle, left or inferior right hepatic vein",
    "Vv3": "inferior vena cava",
}
#: Hepatic vein (Chen 2020, Hepatobiliary Surg Nutr 9:717).
HVTT = {"none": "no tumour thrombus", "I": "peripheral", "II": "major hepatic vein", "III": "inferior vena cava"}

_FROM_VP = {"Vp0": "none", "Vp1": "I", "Vp2": "I", "Vp3": "II", "Vp4": "III"}


def cheng_stage(stage: str) -> str:
    """A portal thrombus stage, Cheng or Vp, as Cheng (Vp1 and Vp2 are I, Vp3 II, Vp4 III)."""
    if stage in CHENG:
        return stage
    if stage in _FROM_VP:
        return _FROM_VP[stage]
    raise CriteriaError(refusal("portal thrombus stage", expected=", ".join((*CHENG, *VP)), got=repr(stage)))
