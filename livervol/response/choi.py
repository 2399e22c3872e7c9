"""Choi: size or attenuation (Choi 2007, J Clin Oncol 25:1753-1759)."""

from __future__ import annotations

from livervol.records import Visit
from livervol.response.course import Roles

__all__ = ["mean_attenuation"]


def mean_attenuation(visit: Visit, roles: Roles) -> float | None:
    """Mean portal-venous attenuation of the targets in HU, or None unless every one still there has it.

    The plain mean over lesions of ``mean_hu``; a target that is gone has none and is left out.
    """
    values = []
    for lesion in visit.lesions:
        if lesion.number not in roles.targets or lesion.state == "absent":
            continue
        value = lesion.value("mean_hu")
        if value is None:
            return None
        values.append(value)
    return sum(values) / len(values) if values else None
