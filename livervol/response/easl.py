"""EASL and WHO: products of two perpendicular diameters (EASL: Bruix 2001, viable; WHO: Miller 1981, whole lesion)."""

from __future__ import annotations

from livervol.records import Lesion, Visit
from livervol.response.course import Roles, Size, SizeOf, is_node
from livervol.response.mrecist import is_atypical, no_arterial_phase
from livervol.response.recist import size_by_state
from livervol.response.rulebook import Rulebook

__all__ = ["easl_sizer", "product_size", "who_sizer"]

_WHOLE = ("longest_mm", "short_axis_mm")
_VIABLE = ("viable_longest_mm", "viable_perpendicular_mm")


def product_size(lesion: Lesion, names: tuple[str, str], too_small_mm: float, node: bool = False) -> Size:
    """Longest diameter times the longest perpendicular one, mm2; a length of 0 needs no perpendicular.

    A node is judged normal or not by its short axis, whatever its product.
    """
    longest, across = lesion.value(names[0]), lesion.value(names[1])
    if longest == 0:
        across = 0.0
    missing = names[0] if longest is None else names[1]
    value = None if longest is None or across is None else longest * across
    size = size_by_state(lesion, value, missing, too_small_mm * too_small_mm)
    if node and across is not None and size.value is not None:
        return Size(size.value, across, size.why)
    return size


def who_sizer(book: Rulebook, roles: Roles) -> tuple[SizeOf, str]:
    """How WHO measures every lesion of a course: the product of the whole lesion's diameters."""
    too_small = book.real("too_small_mm")

    def size_of(lesion: Lesion, origin: Lesion, visit: Visit) -> Size:
        return product_size(lesion, _WHOLE, too_small, is_node(origin))

    return size_of, ""


def easl_sizer(book: Rulebook, roles: Roles) -> tuple[SizeOf, str]:
    """How EASL measures every lesion of a course: viable products in the liver, whole products elsewhere."""
    too_small = book.real("too_small_mm")

    def size_of(lesion: Lesion, origin: Lesion, visit: Visit) -> Size:
        if is_node(origin) or origin.site != "liver" or is_atypical(origin):
            return product_size(lesion, _WHOLE, too_small, is_node(origin))
        if no_arterial_phase(visit):
            return Size(None, None, "could not be judged: no usable arterial phase")
        return product_size(lesion, _VIABLE, too_small)

    return size_of, ""
