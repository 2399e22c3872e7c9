"""What a reader sees at the canvas' edges: orientation letters, slice, position in mm and HU under the cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components.overlays import TextOverlay

from napari_livervol.layers import edge_letters, grid_of, index_of, lps_of

__all__ = ["Readout", "position_text"]

_EDGES = ("middle_left", "middle_right", "top_center", "bottom_center")
_PLANES = ("axial", "coronal", "sagittal")


def position_text(point_lps_mm: Any) -> str:
    """``L 12  P 30  H 812 mm``: LPS mm in a reader's letters."""
    words = []
    for value, (negative, positive) in zip(point_lps_mm, (("R", "L"), ("A", "P"), ("F", "H")), strict=True):
        words.append(f"{positive if value >= 0 else negative} {abs(value):.0f}")
    return "  ".join(words) + " mm"


class Readout:
    """Letters and cursor text on one viewer (``napari.Viewer`` or ``ViewerModel``); follows its slices and cursor."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        # scans are read on black, in a light window too; the letters are made for it
        viewer.canvas.background_color_override = "black"
        for edge in _EDGES:
            viewer.canvas.overlays[f"livervol_{edge}"] = TextOverlay(
                position=edge, font_size=11, color="#FFD166", visible=False, box=False
            )
        text = viewer.canvas.overlays.text
        text.box = False
        text.visible, text.position, text.font_size, text.color = True, "top_left", 8, "#E8E8E8"
        viewer.dims.events.order.connect(self.refresh)
        viewer.dims.events.ndisplay.connect(self.refresh)
        viewer.dims.events.current_step.connect(self.refresh)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        viewer.cursor.events.position.connect(self._on_cursor)
        self.refresh()

    def image(self) -> Any:
        """The topmost shown image of livervol's, None without one."""
        shown = [a for a in self.viewer.layers if a.visible and "livervol_modality" in a.metadata]
        return shown[-1] if shown else None

    def _reference(self) -> Any:
        placed = [layer for layer in self.viewer.layers if grid_of(layer) is not None]
        return self.image() or (placed[0] if placed else None)

    def letters(self) -> tuple[str, str, str, str] | None:
        """Letters at the left, right, top and bottom; None in 3-D or without a placed layer."""
        layer = self._reference()
        dims = self.viewer.dims
        if layer is None or dims.ndisplay != 2 or dims.ndim != 3:
            return None
        down, right = dims.displayed
        grid = grid_of(layer)
        assert grid is not None
        return edge_letters(grid, down, right)

    def refresh(self, event: Any = None) -> None:
        """Write the letters and the text anew."""
        letters = self.letters()
        for edge, letter in zip(_EDGES, letters or ("",) * 4, strict=True):
            overlay = self.viewer.canvas.overlays[f"livervol_{edge}"]
            overlay.text, overlay.visible = letter, bool(letter)
        self.viewer.canvas.overlays.text.text = self.text()

    def _on_cursor(self, event: Any = None) -> None:
        self.viewer.canvas.overlays.text.text = self.text()

    def text(self) -> str:
        """Three lines: plane and slice number; phase; position in mm and the value under the cursor."""
        layer = self._reference()
        dims = self.viewer.dims
        if layer is None or dims.ndisplay != 2 or dims.ndim != 3:
            return ""
        grid = grid_of(layer)
        assert grid is not None
        axis = dims.not_displayed[0]
        at = np.asarray(dims.point, dtype=float)
        cursor = np.asarray(self.viewer.cursor.position, dtype=float)
        if cursor.shape == (3,):
            at[list(dims.displayed)] = cursor[list(dims.displayed)]
        index = np.rint(index_of(grid, at)).astype(int)
        inside = bool(((index >= 0) & (index < grid.shape_zyx)).all())
        lines = [f"{_PLANES[axis]} {index[axis] + 1} of {grid.shape_zyx[axis]}", layer.name]
        place = position_text(lps_of(grid, at))
        value = layer.get_value(at, world=True) if inside else None
        if value is not None and "livervol_modality" in layer.metadata:
            unit = " HU" if layer.metadata["livervol_modality"] == "CT" else ""
            place += f"   {value:g}{unit}"
        return "\n".join([*lines, place])
