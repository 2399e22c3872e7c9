"""The mouse as readers know it from their viewer: wheel scrolls, Ctrl and wheel zooms, middle drags, right windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.components._viewer_mouse_bindings import dims_scroll, drag_to_zoom

__all__ = ["reader_mouse", "step_slice"]

_ZOOM = 1.15
#: Window width changes by this share of itself per screen pixel dragged sideways, the level likewise up and down.
_PER_PIXEL = 0.004


def step_slice(viewer: Any, slices: int) -> None:
    """Go ``slices`` on along the axis that is not shown (positive: as the slider goes to the right)."""
    dims = viewer.dims
    if dims.ndisplay != 2 or not dims.not_displayed:
        return
    axis = dims.not_displayed[0]
    wanted = dims.current_step[axis] + slices
    dims.set_current_step(axis, min(max(wanted, 0), dims.nsteps[axis] - 1))


def _on_wheel(viewer: Any, event: Any) -> None:
    delta = event.delta[1]
    if not delta or "Alt" in event.modifiers:
        return
    if "Control" in event.modifiers:
        viewer.scene.camera.zoom *= _ZOOM if delta > 0 else 1.0 / _ZOOM
    else:
        step_slice(viewer, -1 if delta > 0 else 1)


def _on_drag(viewer: Any, event: Any) -> Iterator[None]:
    """Middle button moves the image whatever tool is chosen; right button changes brightness and contrast."""
    camera = viewer.scene.camera
    if event.button == 3:
        start, centre = event.pos, camera.center
        yield
        while event.type == "mouse_move":
            down, right = (event.pos[1] - start[1]) / camera.zoom, (event.pos[0] - start[0]) / camera.zoom
            camera.center = (centre[0], centre[1] - down, centre[2] - right)
            yield
    elif event.button == 2 and viewer.dims.ndisplay == 2:
        shown = [a for a in viewer.layers if a.visible and "livervol_modality" in a.metadata]
        if not shown:
            return
        layer, start = shown[-1], event.pos
        low, high = layer.contrast_limits
        yield
        while event.type == "mouse_move":
            width = (high - low) * max(0.05, 1.0 + _PER_PIXEL * (event.pos[0] - start[0]))
            level = (low + high) / 2 + (high - low) * _PER_PIXEL * (event.pos[1] - start[1])
            layer.contrast_limits = (level - width / 2, level + width / 2)
            yield


def reader_mouse(viewer: Any) -> None:
    """Give a viewer these habits instead of napari's own wheel."""
    camera = viewer.scene.camera

    def no_zoom(event: Any = None) -> None:
        # napari hands the camera what the chosen layer wants each time another layer is chosen
        if camera.mouse_zoom:
            camera.mouse_zoom = False

    camera.events.mouse_zoom.connect(no_zoom)
    no_zoom()
    if dims_scroll in viewer.mouse_wheel_callbacks:
        viewer.mouse_wheel_callbacks.remove(dims_scroll)
    if drag_to_zoom in viewer.mouse_drag_callbacks:
        # Alt belongs to contour mode
        viewer.mouse_drag_callbacks.remove(drag_to_zoom)
    viewer.mouse_wheel_callbacks.append(_on_wheel)
    viewer.mouse_drag_callbacks.append(_on_drag)
