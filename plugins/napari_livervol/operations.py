"""What is done to a whole structure at once: each button is one function of livervol.edit, one step to undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from livervol.edit.interpolate import interpolate_slices
from livervol.edit.split import merge, split_pieces
from livervol.edit.tidy import fill, largest_piece, smooth, subtract_outside
from livervol.workflows.reading_lesions import next_number, remove_lesion
from napari_livervol.desk import Desk

__all__ = ["Action", "corrected_slices", "operations"]

#: Text of the button, tooltip, what it does.
Action = tuple[str, str, Callable[[], Any]]

#: Drawn by hand in slices: what interpolation goes between.
_BY_HAND = ("brush", "eraser", "smart brush", "contour")


def corrected_slices(desk: Desk, mask: str, value: int, axis: int) -> list[int]:
    """Slices along ``axis`` in which the reader has drawn this label by hand since it was last interpolated."""
    found: set[int] = set()
    undone = {record.of for record in desk.reading.records if record.kind == "undo"}
    undone -= {record.of for record in desk.reading.records if record.kind == "redo"}
    for record in desk.reading.records:
        if record.kind != "step" or record.number in undone:
            continue
        for change in record.step.changes:
            if change.mask != mask or value not in change.values:
                continue
            if record.step.tool == "interpolate":
                found.clear()
            elif record.step.tool.startswith(_BY_HAND) and change.box is not None:
                place = change.box[axis]
                if place.stop - place.start == 1:
                    found.add(int(place.start))
    return sorted(found)


def operations(desk: Desk, other: Callable[[], int | None], judge: Callable[[Sequence[int]], Any]) -> dict[str, Action]:
    """The actions on the structure and number in hand; ``other`` is the lesion marked in the table (for a merge),
    ``judge`` has lesions' viability judged.
    """

    def edit(make: Callable[[Any, int], Any]) -> Callable[[], Any]:
        def act() -> Any:
            tools = desk.tools
            return desk.do(lambda: desk.reading.apply(make(desk.canvas(), tools.value)))

        return act

    def between() -> Any:
        tools, axis = desk.tools, desk.axis()
        slices = corrected_slices(desk, tools.mask, tools.value, axis)
        if len(slices) < 2:
            desk.refused.emit("Correct two slices or more of this structure first, then interpolate between them.")
            return None
        return desk.do(lambda: desk.reading.apply(interpolate_slices(desk.canvas(), tools.value, slices, axis)))

    def split() -> Any:
        number = desk.tools.value
        return desk.do(
            lambda: desk.reading.apply(split_pieces(desk.canvas("lesions"), number, [next_number(desk.reading)]))
        )

    def join() -> Any:
        number, marked = desk.tools.value, other()
        if marked is None or marked == number:
            desk.refused.emit("Mark the other lesion in the table first: it is merged into the number in hand.")
            return None
        return desk.do(lambda: desk.reading.apply(merge(desk.canvas("lesions"), [marked], number)))

    def remove() -> Any:
        return desk.do(lambda: remove_lesion(desk.reading, desk.tools.value))

    def viability() -> None:
        number = desk.tools.value
        if desk.tools.mask == "liver" or number not in desk.reading.lesion_numbers:
            desk.refused.emit("Take a lesion in hand first: a click on its line in the table.")
            return
        judge([number])

    def outside(canvas: Any, value: int) -> Any:
        return subtract_outside(canvas, value, desk.reading.masks["liver"])

    return {
        "interpolate": ("Interpolate", "Between the slices corrected by hand; other labels stay (I)", between),
        "smooth": ("Smooth", "Round off the structure in hand (2 mm)", edit(lambda c, v: smooth(c, v))),
        "fill": ("Fill", "Close its holes", edit(lambda c, v: fill(c, v))),
        "largest": ("Largest", "Keep only its largest piece", edit(lambda c, v: largest_piece(c, v))),
        "split": ("Split", "Separate pieces of this lesion become lesions", split),
        "merge": ("Merge", "The lesion marked in the table becomes part of the number in hand", join),
        "outside": ("In liver", "Take away what lies outside the liver", edit(outside)),
        "remove": ("Remove", "Erase this lesion", remove),
        "viability": ("Viability", "Judge the viable part of this lesion anew, as the machine does", viability),
        "undo": ("Undo", "Ctrl+Z, across all structures", desk.undo),
        "redo": ("Redo", "Ctrl+Shift+Z", desk.redo),
    }
