"""Contour mode: the outline in this slice as smooth curves with handles; drag a handle or a stretch of the curve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.contour import Contours, contour_change, contours_of
from livervol.errors import LivervolError
from napari_livervol.desk import Desk
from napari_livervol.gestures import Gestures
from napari_livervol.layers import shown_index, vector_layer_options

__all__ = ["ContourTool"]

_CURVE, _HANDLES = "contour", "handles"
_CURVE_COLOR, _HANDLE_COLOR = "#00E5FF", "#FFFFFF"
#: A press this near on the screen takes a handle; somewhat farther a stretch of the curve (pixels).
_GRIP_PX, _NEAR_PX = 9.0, 14.0
#: How far along the curve a dragged stretch moves with it, and the size of a new hole.
_REACH_MM, _HOLE_MM = 20.0, 4.0

Point = NDArray[np.float64]


class ContourTool:
    """Curves of the structure in hand in the shown slice.

    Drag: a handle or a stretch. Ctrl drag: redraw a stretch. Shift drag: cut. Alt drag from one curve to another: join.
    Ctrl click: one handle more. Shift click on a handle: one less. Alt click: a hole.
    """

    def __init__(self, desk: Desk, gestures: Gestures) -> None:
        self.desk = desk
        self.contours: Contours | None = None
        self._version = -1
        self._curve_layer: Any = None
        self._handle_layer: Any = None
        gestures.handlers["contour"] = self._press
        desk.taken.connect(self.rebuild)
        desk.viewer.dims.events.current_step.connect(self.rebuild)
        desk.viewer.dims.events.order.connect(self.rebuild)

    def close(self) -> None:
        """Take the curves off the canvas."""
        self.desk.taken.disconnect(self.rebuild)
        self.desk.viewer.dims.events.current_step.disconnect(self.rebuild)
        self.desk.viewer.dims.events.order.disconnect(self.rebuild)

    @property
    def on(self) -> bool:
        """True while contour mode is chosen."""
        return self.desk.tools.tool == "contour"

    def refresh(self, masks: tuple[str, ...]) -> None:
        """Follow an edit that this tool did not make."""
        if self.on and self.desk.tools.mask in masks and self._version != self.desk.reading.version:
            self.rebuild()

    def rebuild(self, event: Any = None) -> None:
        """Curves of the structure in hand in the shown slice, or none outside contour mode."""
        if not self.on or self.desk.viewer.dims.ndisplay != 2:
            self.contours = None
            self._draw()
            return
        desk = self.desk
        plane = (desk.axis(), desk.plane_index())
        canvas = desk.canvas()
        self.contours = desk.try_to(lambda: contours_of(canvas.labels, canvas.spacing_mm, plane, desk.tools.value))
        self._draw()

    # ------------------------------------------------------------------------------------------------------ drawing

    def _in_space(self, points_yx: Point) -> Point:
        assert self.contours is not None
        full = np.insert(points_yx, self.contours.axis, float(self.contours.index), axis=1)
        return shown_index(self.desk.grid, full)

    def _layers(self) -> None:
        viewer, active = self.desk.viewer, self.desk.viewer.layers.selection.active
        if self._curve_layer is None or self._curve_layer not in viewer.layers:
            self._curve_layer = viewer.add_shapes([], **vector_layer_options(self.desk.grid, _CURVE))
            self._curve_layer.editable = False
        if self._handle_layer is None or self._handle_layer not in viewer.layers:
            size = 2.2 * min(self.desk.grid.spacing_mm)
            self._handle_layer = viewer.add_points(
                np.zeros((0, 3)), size=size / min(self.desk.grid.spacing_mm), face_color=_HANDLE_COLOR,
                border_color=_CURVE_COLOR, border_width=0.2, **vector_layer_options(self.desk.grid, _HANDLES),
            )  # fmt: skip
            self._handle_layer.editable = False
        viewer.layers.selection.active = active

    def _draw(self, *, handles: bool = True) -> None:
        if self.contours is None or not self.contours.curves:
            for layer in (self._curve_layer, self._handle_layer):
                if layer is not None and layer in self.desk.viewer.layers:
                    layer.visible = False
            return
        self._layers()
        paths = []
        for curve in self.contours.curves:
            points = curve.sampled()[0][::3]
            paths.append(self._in_space(np.vstack([points, points[:1]])))
        self._curve_layer.visible = self._handle_layer.visible = True
        self._curve_layer.data = []
        self._curve_layer.add_paths(paths, edge_color=_CURVE_COLOR, edge_width=0.5)
        if handles:
            ends = np.vstack([curve.handles for curve in self.contours.curves])
            self._handle_layer.data = self._in_space(ends)

    # ------------------------------------------------------------------------------------------------------- gestures

    def _flat(self, event: Any) -> Point:
        assert self.contours is not None
        return np.delete(self.desk.index_at(event.position), self.contours.axis)

    def _press(self, event: Any) -> Iterator[None]:
        old = self.contours
        if old is None:
            self.rebuild()
            old = self.contours
        if old is None or not old.curves:
            self.desk.said.emit("no outline here: draw with the brush first")
            return
        start = self._flat(event)
        points, keys = [start], tuple(event.modifiers)
        yield
        while event.type == "mouse_move":
            points.append(self._flat(event))
            if not keys:
                self._try(old, start, points[-1])
            yield
        moved = len(points) > 1 and float(np.linalg.norm((points[-1] - start) * old.spacing_mm)) > 0.5
        new = self._meant(old, points, keys, moved)
        if new is None:
            self.contours = old
            self._draw()
            return
        self._commit(old, new)

    def _try(self, old: Contours, start: Point, to: Point) -> None:
        found = self._dragged(old, start, to)
        if found is not None:
            self.contours = found
            self._draw()

    def _mm(self, pixels: float) -> float:
        return pixels / max(1e-6, float(self.desk.viewer.scene.camera.zoom))

    def _dragged(self, old: Contours, start: Point, to: Point) -> Contours | None:
        curve, handle, away = old.nearest_handle(start)
        if away <= self._mm(_GRIP_PX):
            return old.handle_moved(curve, handle, to)
        curve, away = old.nearest_curve(start)
        if away <= self._mm(_NEAR_PX):
            return old.stretched(curve, start, to, _REACH_MM)
        return None

    def _meant(self, old: Contours, points: list[Point], keys: tuple[str, ...], moved: bool) -> Contours | None:
        """The curves after the gesture; None when it meant nothing."""
        start, end = points[0], points[-1]
        curve, _ = old.nearest_curve(start)
        try:
            if "Shift" in keys:
                if moved:
                    return old.cut(np.array(points))
                k, handle, away = old.nearest_handle(start)
                return old.handle_removed(k, handle) if away <= self._mm(_NEAR_PX) else None
            if "Control" in keys:
                return old.redrawn(curve, np.array(points)) if moved else old.handle_added(curve, start)
            if "Alt" in keys:
                other, _ = old.nearest_curve(end)
                return old.joined(curve, other) if moved else old.with_hole(start, _HOLE_MM)
            return self._dragged(old, start, end) if moved else None
        except LivervolError as error:
            self.desk.refused.emit(str(error))
            return None

    def _commit(self, old: Contours, new: Contours) -> None:
        desk = self.desk
        self.contours = new
        done = desk.do(lambda: desk.reading.apply(contour_change(desk.canvas(), old, new)))
        if done is None:
            self.contours = old
        self._version = desk.reading.version
        self._draw()
