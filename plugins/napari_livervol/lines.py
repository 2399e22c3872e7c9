"""Diameters drawn on the image, each in the slice in which it was measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from livervol.workflows.reading_table import Drawn, Numbers
from napari_livervol.desk import Desk
from napari_livervol.layers import shown_index, vector_layer_options

__all__ = ["LineDrawing"]

_NAME = "diameters"
#: Which lengths are drawn, and how.
_COLORS = {"longest_mm": "#F0E442", "viable_longest_mm": "#FF8C42"}
_MANUAL = "#7CFC00"
#: Width of what counts, in pixels of the scan.
_WIDTH = 0.6


class LineDrawing:
    """The longest and the viable diameter of every lesion, what counts drawn bold."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._layer: Any = None
        self._shown: tuple[Drawn, ...] = ()

    def show(self, numbers: Numbers) -> None:
        """Draw the lines of these numbers instead of the last ones."""
        lines = tuple(d for row in numbers.table for d in row.lines if d.name in _COLORS and d.plane_index is not None)
        if lines == self._shown and self._layer in self.desk.viewer.layers:
            return
        self._shown = lines
        grid = self.desk.grid
        data = []
        for line in lines:
            ends = np.array([line.start_zyx, line.end_zyx])
            ends[:, 0] = line.plane_index
            data.append(shown_index(grid, ends))
        if self._layer is None or self._layer not in self.desk.viewer.layers:
            active = self.desk.viewer.layers.selection.active
            self._layer = self.desk.viewer.add_shapes(
                [], shape_type="line", opacity=0.95, **vector_layer_options(grid, _NAME)
            )
            self._layer.editable = False
            self.desk.viewer.layers.selection.active = active
        layer = self._layer
        layer.data = []
        if data:
            layer.add(
                data,
                shape_type="line",
                edge_color=[_MANUAL if d.by == "manual" else _COLORS[d.name] for d in lines],
                edge_width=[_WIDTH if d.chosen else _WIDTH / 2 for d in lines],
            )
