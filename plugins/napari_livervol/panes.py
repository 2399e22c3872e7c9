"""Further canvases beside the main one: orthogonal planes, the other phases, or another visit, linked to its place.

Every pane shows the same arrays as the main window (nothing is copied) and follows its point in patient millimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.qt import QtViewer
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from livervol.grid import Grid
from napari_livervol.layers import grid_of, lps_of, world_of
from napari_livervol.readout import Readout

__all__ = ["Pane", "PaneRow", "mirrored", "same_place"]

#: A point of one visit's patient space (LPS mm) to the same anatomy in another's.
PointMap = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def same_place(point_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """No alignment known: the same millimetres."""
    return point_lps_mm


def mirrored(layer: Any) -> Any:
    """A second layer on the same array, for another canvas; masks as outlines that cannot be painted."""
    common = {
        "name": layer.name,
        "scale": layer.scale,
        "translate": layer.translate,
        "metadata": dict(layer.metadata),
        "visible": layer.visible,
    }
    if isinstance(layer, Image):
        return Image(layer.data, colormap=layer.colormap, contrast_limits=layer.contrast_limits, **common)
    twin = Labels(layer.data, opacity=layer.opacity, colormap=layer.colormap, **common)
    twin.contour = layer.contour
    return twin


class Pane(QWidget):
    """One linked canvas with its title; ``order`` puts the shown axes last, as ``viewer.dims.order`` does."""

    def __init__(self, title: str, layers: Sequence[Any], order: tuple[int, int, int] = (0, 1, 2)) -> None:
        super().__init__()
        self.model = ViewerModel(title=title, order=order)
        for layer in layers:
            self.model.add_layer(layer)
        self.readout = Readout(self.model)
        self.canvas = QtViewer(self.model)
        self.canvas.dims.setVisible(False)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        label = QLabel(title)
        label.setContentsMargins(4, 2, 4, 2)
        box.addWidget(label)
        box.addWidget(self.canvas, 1)

    def grid(self) -> Grid | None:
        """The grid of the pane's first placed layer."""
        return next((g for g in map(grid_of, self.model.layers) if g is not None), None)

    def close_canvas(self) -> None:
        """Let go of the arrays and the canvas."""
        self.model.layers.clear()
        self.canvas.close()


class PaneRow(QWidget):
    """A row of panes that follow the main viewer's place, and move it when they are scrolled."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.panes: list[tuple[Pane, PointMap, PointMap]] = []
        self._moving = False
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        row.addWidget(self.splitter)
        self.hide()
        viewer.dims.events.point.connect(self.follow)
        viewer.scene.camera.events.zoom.connect(self._follow_camera)
        viewer.scene.camera.events.center.connect(self._follow_camera)

    def show_panes(self, panes: Sequence[tuple[Pane, PointMap, PointMap]]) -> None:
        """Replace the row's panes; each comes with its way there and back in LPS mm."""
        for pane, _, _ in self.panes:
            pane.close_canvas()
            pane.setParent(None)
            pane.deleteLater()
        self.panes = list(panes)
        for pane, _, back in self.panes:
            self.splitter.addWidget(pane)

            def lead(event: Any = None, pane: Pane = pane, back: PointMap = back) -> None:
                self._lead(pane, back)

            pane.model.dims.events.point.connect(lead)
        self.setVisible(bool(self.panes))
        self.splitter.setSizes([1] * len(self.panes))
        self.follow()
        # the canvases know their size only after they have been laid out
        QTimer.singleShot(150, self.fit)

    def fit(self) -> None:
        """Fit every pane to its canvas, then to the main viewer's zoom where they show the same plane."""
        for pane, _, _ in self.panes:
            place = pane.model.dims.point
            pane.model.reset_view()
            pane.model.dims.point = place
        self._follow_camera()

    def refresh(self, name: str | None = None) -> None:
        """Draw the masks anew after an edit (all, or the one called ``name``)."""
        for pane, _, _ in self.panes:
            for layer in pane.model.layers:
                if name in (None, layer.name):
                    layer.refresh(extent=False, thumbnail=False)

    def _main_grid(self) -> Grid | None:
        return next((g for g in map(grid_of, self.viewer.layers) if g is not None), None)

    def follow(self, event: Any = None) -> None:
        """Take every pane to the main viewer's place."""
        grid = self._main_grid()
        if self._moving or grid is None or self.viewer.dims.ndim != 3:
            return
        here = lps_of(grid, np.asarray(self.viewer.dims.point, dtype=float))
        self._moving = True
        try:
            for pane, there, _ in self.panes:
                other = pane.grid()
                if other is not None:
                    pane.model.dims.point = tuple(world_of(other, there(here)))
        finally:
            self._moving = False

    def _lead(self, pane: Pane, back: PointMap) -> None:
        grid, other = self._main_grid(), pane.grid()
        if self._moving or grid is None or other is None:
            return
        place = world_of(grid, back(lps_of(other, np.asarray(pane.model.dims.point, dtype=float))))
        self._moving = True
        try:
            self.viewer.dims.point = tuple(place)
        finally:
            self._moving = False
        self.follow()

    def _follow_camera(self, event: Any = None) -> None:
        """Same zoom and middle where a pane shows the same plane of the same place."""
        for pane, there, _ in self.panes:
            if pane.model.dims.order == self.viewer.dims.order and there is same_place:
                pane.model.scene.camera.zoom = self.viewer.scene.camera.zoom * self._size_ratio(pane)
                pane.model.scene.camera.center = self.viewer.scene.camera.center

    def _size_ratio(self, pane: Pane) -> float:
        main, own = min(self.viewer.canvas.size), min(pane.model.canvas.size)
        return float(own) / float(main) if main else 1.0
