"""Volumetric response: vRECIST on whole, qEASL on enhancing volumes (Chapiro 2014, Radiology 273:746-758)."""

from __future__ import annotations

import math

from livervol.errors import CriteriaError, refusal
from livervol.records import Lesion, Visit
from livervol.response.course import Roles, Size, SizeOf, is_node
from livervol.response.mrecist import is_atypical, no_arterial_phase
from livervol.response.recist import size_by_state
from livervol.response.rulebook import Rulebook

__all__ = ["volumetric_sizer"]

_MEASURES = {"viable": True, "whole": False}


def _uses_viable(book: Rulebook, roles: Roles) -> bool:
    measure = str(book.values["measure"])
    if measure == "auto":
        judged = [t for t in roles.targets.values() if t.site == "liver" and not is_node(t) and not is_atypical(t)]
        return bool(judged) and all(t.value("viable_volume_ml") is not None for t in judged)
    if measure not in _MEASURES:
        raise CriteriaError(refusal("parameter measure", expected="auto, viable or whole", got=repr(measure)))
    return _MEASURES[measure]


def volumetric_sizer(book: Rulebook, roles: Roles) -> tuple[SizeOf, str]:
    """How volumes are taken for every lesion of a course, in ml; one kind of volume for the whole course."""
    viable = _uses_viable(book, roles)
    too_small = book.real("too_small_ml")

    def size_of(lesion: Lesion, origin: Lesion, visit: Visit) -> Size:
        if is_node(origin):
            size = size_by_state(lesion, lesion.value("volume_ml"), "volume_ml", too_small)
            short = lesion.value("short_axis_mm")
            if size.value is None or size.value == 0:
                return size
            # without a short axis a node that is there cannot be called normal
            return Size(size.value, math.inf if short is None else short, size.why)
        if viable and origin.site == "liver" and not is_atypical(origin):
            if no_arterial_phase(visit):
                return Size(None, None, "could not be judged: no usable arterial phase")
            return size_by_state(lesion, lesion.value("viable_volume_ml"), "viable_volume_ml", too_small)
        return size_by_state(lesion, lesion.value("volume_ml"), "volume_ml", too_small)

    return size_of, "volumes are viable volumes (qEASL)" if viable else "volumes are whole volumes (vRECIST)"
