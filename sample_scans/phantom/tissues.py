"""The tissues a point of the phantom can be made of."""

from __future__ import annotations

from enum import IntEnum, auto

__all__ = ["IN_LIVER", "Tissue"]


class Tissue(IntEnum):
    """What a point is made of; imaging.py gives each its brightness per phase."""

    AIR = 0
    TABLE = auto()
    SKIN = auto()
    FAT = auto()
    MUSCLE = auto()
    CORTICAL_BONE = auto()
    MARROW = auto()
    DISC = auto()
    CANAL = auto()
    LUNG = auto()
    LUNG_VESSEL = auto()
    MYOCARDIUM = auto()
    LEFT_HEART = auto()
    RIGHT_HEART = auto()
    AORTA = auto()
    ARTERY = auto()
    CAVA_LOW = auto()
    CAVA_HIGH = auto()
    STOMACH_WALL = auto()
    STOMACH_FLUID = auto()
    GAS = auto()
    BOWEL_WALL = auto()
    BOWEL_CONTENT = auto()
    STOOL = auto()
    SPLEEN = auto()
    SPLEEN_BAND = auto()
    KIDNEY_CORTEX = auto()
    KIDNEY_MEDULLA = auto()
    KIDNEY_PELVIS = auto()
    PANCREAS = auto()
    GALLBLADDER = auto()
    PORTAL_TRUNK = auto()
    HEPATIC_TRUNK = auto()
    LIVER = auto()
    PORTAL_BRANCH = auto()
    HEPATIC_BRANCH = auto()
    VIABLE = auto()
    NECROSIS = auto()


#: Tissues that count as liver: parenchyma, vessels inside it and lesions.
IN_LIVER = (Tissue.LIVER, Tissue.PORTAL_BRANCH, Tissue.HEPATIC_BRANCH, Tissue.VIABLE, Tissue.NECROSIS)
