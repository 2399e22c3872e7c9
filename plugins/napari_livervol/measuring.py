"""Measuring by hand: two clicks (or one drag) beside the computed diameter; both are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.workflows.reading_lesions import measure_by_hand
from napari_livervol.desk import Desk
from napari_livervol.gestures import Gestures
from napari_livervol.layers import shown_index, vector_layer_options

__all__ = ["TwoClicks"]

_NAME = "by hand"
_DRAG_MM = 3.0


class TwoClicks:
    """``number()`` is the lesion that is measured, ``length()`` the name of the length."""

    def __init__(
        self, desk: Desk, gestures: Gestures, number: Callable[[], int | None], length: Callable[[], str]
    ) -> None:
        self.desk, self._number, self._length = desk, number, length
        self._first: NDArray[np.float64] | None = None
        self._layer: Any = None
        gestures.handlers["measure"] = self._press

    def _press(self, event: Any) -> Iterator[None]:
        desk = self.desk
        number = self._number()
        if number is None and desk.tools.mask == "lesions":
            number = desk.tools.value
        if number is None:
            desk.refused.emit("Choose the lesion in the table first, then click its two ends.")
            return
        start = end = desk.index_at(event.position)
        yield
        while event.type == "mouse_move":
            end = desk.index_at(event.position)
            self._show(start, end)
            yield
        dragged = float(np.linalg.norm((end - start) * desk.grid.spacing_mm)) > _DRAG_MM
        if dragged:
            ends = (start, end)
        elif self._first is None:
            self._first = start
            desk.said.emit("now click the other end")
            return
        else:
            ends = (self._first, start)
        self._first = None
        self._hide()
        points, name = np.array(ends), self._length()
        if desk.do(lambda: measure_by_hand(desk.reading, number, name, points)) is not None:
            desk.said.emit(f"lesion {number}: {name.removesuffix('_mm').replace('_', ' ')} measured by hand")

    def _show(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
        viewer = self.desk.viewer
        if self._layer is None or self._layer not in viewer.layers:
            active = viewer.layers.selection.active
            self._layer = viewer.add_shapes([], shape_type="line", **vector_layer_options(self.desk.grid, _NAME))
            self._layer.editable = False
            viewer.layers.selection.active = active
        self._layer.data = []
        line = shown_index(self.desk.grid, np.array([start, end]))
        self._layer.add([line], shape_type="line", edge_color="#7CFC00", edge_width=0.6)

    def _hide(self) -> None:
        if self._layer is not None and self._layer in self.desk.viewer.layers:
            self._layer.data = []
