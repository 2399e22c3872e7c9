"""A map that is shown but not part of the reading: a planned cut, a margin, the stroke in hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.utils.color import ColorArray
from napari.utils.colormaps import CyclicLabelColormap

from livervol.scan import Segmentation
from napari_livervol.desk import Desk
from napari_livervol.layers import live_layer

__all__ = ["Preview"]


class Preview:
    """One labels layer by ``name`` whose values 1, 2, ... have the given ``colors``."""

    def __init__(self, desk: Desk, name: str, colors: Mapping[int, str]) -> None:
        self.desk, self.name = desk, name
        shown = ["transparent", *(colors[v] for v in sorted(colors))]
        self._colormap = CyclicLabelColormap(colors=ColorArray(shown))
        self.layer: Any = None

    def show(self, parts: Segmentation, opacity: float = 0.35) -> None:
        """Show this map instead of the last one."""
        self.hide()
        viewer = self.desk.viewer
        active = viewer.layers.selection.active
        data, options, _ = live_layer(np.asarray(parts.labels), parts.grid, self.name)
        options["colormap"] = self._colormap
        self.layer = viewer.add_labels(data, opacity=opacity, **options)
        self.layer.editable = False
        viewer.layers.selection.active = active

    def hide(self) -> None:
        """Take the map away."""
        if self.layer is not None and self.layer in self.desk.viewer.layers:
            self.desk.viewer.layers.remove(self.layer)
        self.layer = None
