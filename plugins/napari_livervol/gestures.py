"""Mouse gestures on the canvas: each is collected here and handed to the function in livervol.edit that draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components.overlays import BrushCircleOverlay
from numpy.typing import NDArray

from livervol.edit.brush import erase, paint
from livervol.edit.change import Change
from livervol.edit.gesture import Gesture
from livervol.errors import LivervolError
from livervol.workflows.reading_lesions import add_lesion
from napari_livervol.desk import Desk
from napari_livervol.layers import live_layer

__all__ = ["Gestures"]

_STROKE = "stroke"
#: The stroke in hand: what is being added, what is being taken away.
_STROKE_COLORS = ("#FFFFFF", "#FF4136")

Points = NDArray[np.float64]
Handler = Callable[[Any], "Iterator[None] | None"]


class Gestures:
    """Mouse tools of a desk. ``handlers`` by tool name take the press event; other widgets add theirs.

    Every point is a fractional (z, y, x) index of the reading's grid.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._scratch: NDArray[np.uint8] | None = None
        self._layer: Any = None
        self.handlers: dict[str, Handler] = {
            "brush": self._brush,
            "smart": self._brush,
            "eraser": self._brush,
            "click": self._click,
        }
        for overlay in desk.viewer.canvas.overlays.values():
            if isinstance(overlay, BrushCircleOverlay):
                # its dark box stays behind on the image when the circle goes
                overlay.box = False
        desk.viewer.mouse_drag_callbacks.append(self._on_press)
        desk.taken.connect(self.show_cursor)

    def close(self) -> None:
        """Take the tools off the canvas."""
        if self._on_press in self.desk.viewer.mouse_drag_callbacks:
            self.desk.viewer.mouse_drag_callbacks.remove(self._on_press)
        self.desk.taken.disconnect(self.show_cursor)

    def show_cursor(self) -> None:
        """The brush's circle under the pointer, a cross for tools that click."""
        cursor, tool = self.desk.viewer.cursor, self.desk.tools
        if tool.tool in ("brush", "smart", "eraser"):
            cursor.scaled, cursor.size, cursor.style = True, max(1.0, 2.0 * tool.radius_mm), "circle"
        else:
            cursor.style = "standard" if tool.tool in ("move", "contour") else "cross"

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        handler = self.handlers.get(self.desk.tools.tool)
        if self.desk.paused:
            return
        if handler is None or event.button != 1 or viewer.dims.ndisplay != 2 or viewer.dims.ndim != 3:
            return
        try:
            rest = handler(event)
            if rest is not None:
                yield from rest
        except LivervolError as error:
            self.desk.refused.emit(str(error))

    # ------------------------------------------------------------------------------------------------------- strokes

    def _brush(self, event: Any) -> Iterator[None]:
        desk = self.desk
        points = [desk.index_at(event.position)]
        erasing = desk.tools.tool == "eraser" or "Control" in event.modifiers
        canvas, brush = desk.canvas(), desk.tools.brush(desk.axis())

        def stroke(part: list[Points]) -> Change:
            if erasing:
                return erase(canvas, np.array(part), brush, None if desk.tools.mask == "liver" else [desk.tools.value])
            return paint(canvas, np.array(part), brush, desk.tools.value)

        self._preview(stroke(points), erasing)
        yield
        while event.type == "mouse_move":
            points.append(desk.index_at(event.position))
            self._preview(stroke(points[-2:]), erasing)
            yield
        self._clear_preview()
        desk.apply(stroke(points))

    def _preview(self, change: Change, erasing: bool) -> None:
        if not change.voxels:
            return
        if self._scratch is None or self._scratch.shape != change.shape_zyx:
            # untouched pages of zeros take no memory
            self._scratch = np.zeros(change.shape_zyx, np.uint8)
        if self._layer is None or self._layer not in self.desk.viewer.layers:
            active = self.desk.viewer.layers.selection.active
            data, options, _ = live_layer(self._scratch, self.desk.grid, _STROKE)
            self._layer = self.desk.viewer.add_labels(data, opacity=0.45, **options)
            self._layer.editable = False
            self.desk.viewer.layers.selection.active = active
        from napari.utils.color import ColorArray
        from napari.utils.colormaps import CyclicLabelColormap

        self._layer.colormap = CyclicLabelColormap(colors=ColorArray(["transparent", _STROKE_COLORS[erasing]]))
        self._layer.visible = True
        self._scratch.reshape(-1)[change.flat] = 1
        self._layer.refresh(extent=False, thumbnail=False)

    def _clear_preview(self) -> None:
        if self._layer is not None and self._scratch is not None:
            self._scratch[...] = 0
            self._layer.visible = False

    # --------------------------------------------------------------------------------------------------- one click

    def _click(self, event: Any) -> Iterator[None]:
        """A click outlines a lesion, a drag its drawn diameter; the next free number is taken."""
        points = [self.desk.index_at(event.position)]
        yield
        while event.type == "mouse_move":
            if len(points) == 1:
                points.append(points[0])
            points[1] = self.desk.index_at(event.position)
            yield
        far = len(points) == 2 and float(np.linalg.norm((points[1] - points[0]) * self.desk.grid.spacing_mm)) > 3.0
        gesture = Gesture.of("diameter", points) if far else Gesture.of("click", points[:1])
        desk = self.desk
        found = desk.do(lambda: add_lesion(desk.reading, gesture, desk.phase()))
        if found is None:
            return
        number, outline = found
        desk.take(mask="lesions", value=number)
        desk.said.emit("; ".join([f"lesion {number} added", *outline.warnings]))
