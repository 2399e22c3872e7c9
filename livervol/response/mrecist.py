"""mRECIST for hepatocellular carcinoma: what one lesion measures (Lencioni & Llovet 2010, Semin Liver Dis 30:52-60)."""

from __future__ import annotations

from livervol.errors import CriteriaError, refusal
from livervol.records import Lesion, Visit
from livervol.response.course import Roles, Size, SizeOf, is_node
from livervol.response.recist import recist_size, size_by_state
from livervol.response.rulebook import Rulebook

__all__ = ["component_lengths", "is_atypical", "mrecist_sizer", "no_arterial_phase"]


def is_atypical(lesion: Lesion) -> bool:
    """True for a lesion whose attribute ``enhancement`` says that it does not enhance as HCC does."""
    return bool(lesion.attributes) and lesion.attributes.get("enhancement") == "atypical"


def no_arterial_phase(visit: Visit) -> bool:
    """True where the visit says that viability could not be judged (attribute ``mrecist_evaluable`` = no)."""
    return bool(visit.attributes) and visit.attributes.get("mrecist_evaluable") == "no"


def component_lengths(lesion: Lesion) -> tuple[float, ...]:
    """Longest diameters in mm of the separate viable parts, from the attribute ``viable_components_mm`` ("12 8.5")."""
    text = lesion.attributes.get("viable_components_mm", "") if lesion.attributes else ""
    try:
        return tuple(float(part) for part in text.split())
    except ValueError as error:
        raise CriteriaError(
            refusal(
                "viable_components_mm",
                expected="numbers separated by spaces",
                got=repr(text),
                where=f"lesion {lesion.number}",
            )
        ) from error


def mrecist_sizer(book: Rulebook, roles: Roles) -> tuple[SizeOf, str]:
    """How mRECIST measures every lesion of a course.

    In the liver the longest viable diameter; lesions without typical arterial enhancement and lesions outside the liver
    by their longest diameter, nodes by their short axis, as RECIST 1.1. Without a usable arterial phase a viable
    diameter is not evaluable: whole and viable diameters are never mixed in one lesion.
    """
    too_small = book.real("too_small_mm")
    adding = book.values["multi_component"] == "sum"

    def size_of(lesion: Lesion, origin: Lesion, visit: Visit) -> Size:
        if is_node(origin) or origin.site != "liver" or is_atypical(origin):
            return recist_size(lesion, origin, too_small)
        if no_arterial_phase(visit):
            return Size(None, None, "could not be judged: no usable arterial phase")
        value = lesion.value("viable_longest_mm")
        if lesion.attributes and "viable_components_mm" in lesion.attributes:
            parts = component_lengths(lesion)
            value = sum(parts) if adding else max(parts, default=value) if value is None else value
        return size_by_state(lesion, value, "viable_longest_mm", too_small)

    return size_of, "several viable parts of a lesion are summed" if adding else ""
