"""RECIST 1.1: what one lesion measures (Eisenhauer 2009, Eur J Cancer 45:228-247)."""

from __future__ import annotations

from livervol.records import Lesion, Visit
from livervol.response.course import Roles, Size, SizeOf, is_node
from livervol.response.rulebook import Rulebook

__all__ = ["recist_size", "recist_sizer", "size_by_state"]


def size_by_state(lesion: Lesion, value: float | None, name: str, too_small: float) -> Size:
    """The contribution of a lesion from its state and one measured value, in the value's unit.

    Gone is 0; present but too small to measure is ``too_small`` unless a true value was measured (RECIST 1.1, 3.2).
    """
    state = lesion.state
    if state == "not_evaluable":
        return Size(None, None, "was not evaluable")
    if value is not None:
        return Size(value, value)
    if state == "absent":
        return Size(0.0, 0.0)
    if state == "too_small":
        return Size(too_small, too_small, f"is too small to measure and counts as {too_small:g}")
    return Size(None, None, f"has no {name}")


def recist_size(lesion: Lesion, origin: Lesion, too_small_mm: float) -> Size:
    """Longest diameter in mm, of a node the short axis (RECIST 1.1, 4.3.1)."""
    name = "short_axis_mm" if is_node(origin) else "longest_mm"
    return size_by_state(lesion, lesion.value(name), name, too_small_mm)


def recist_sizer(book: Rulebook, roles: Roles) -> tuple[SizeOf, str]:
    """How RECIST 1.1 measures every lesion of a course, and a note on it (none)."""
    too_small = book.real("too_small_mm")

    def size_of(lesion: Lesion, origin: Lesion, visit: Visit) -> Size:
        return recist_size(lesion, origin, too_small)

    return size_of, ""
