"""What the keys and the buttons of the first page do on a reading's window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_livervol.desk import EDITABLE, SHOWN, Desk
from napari_livervol.wheel import step_slice
from napari_livervol.windows import set_window

if TYPE_CHECKING:
    from napari_livervol.window import ReadingWindow

__all__ = ["key_actions", "view_buttons"]

#: Tools that have a key of their own.
_KEYED = ("move", "brush", "eraser", "smart", "contour", "click", "measure")


def key_actions(window: ReadingWindow) -> dict[str, Callable[[], Any]]:
    """What each name of the keyboard map does; without a reading most do nothing."""

    def with_desk(do: Callable[[Desk], Any]) -> Callable[[], Any]:
        return lambda: do(window.desk) if window.desk is not None else None

    def take(tool: str) -> Callable[[], Any]:
        return with_desk(lambda desk: desk.take(tool=tool))

    return {
        **{f"tool_{tool}": take(tool) for tool in _KEYED},
        "help": window.show_keys,
        "window_liver": lambda: set_window(window.viewer, "liver"),
        "window_arterial": lambda: set_window(window.viewer, "arterial"),
        "window_soft": lambda: set_window(window.viewer, "soft tissue"),
        "next_phase": with_desk(lambda desk: desk.next_phase()),
        "side_by_side": window.views.phases,
        "orthogonal": window.views.orthogonal,
        "other_visit": window.views.other_visit,
        "masks": with_desk(_masks),
        "slice_up": lambda: step_slice(window.viewer, -1),
        "slice_down": lambda: step_slice(window.viewer, 1),
        "smaller": with_desk(lambda desk: _resize(desk, 1 / 1.25)),
        "larger": with_desk(lambda desk: _resize(desk, 1.25)),
        "ball": with_desk(_ball),
        "next_mask": with_desk(_next_mask),
        "interpolate": with_desk(lambda desk: window.operations["interpolate"][2]()),
        "undo": with_desk(lambda desk: desk.undo()),
        "redo": with_desk(lambda desk: desk.redo()),
        "save": with_desk(lambda desk: window.report.save()),
        "next_lesion": lambda: window.step_lesion(1),
        "previous_lesion": lambda: window.step_lesion(-1),
    }


def view_buttons(window: ReadingWindow) -> dict[str, tuple[str, str, Callable[[], Any]]]:
    """Text, tooltip and action of the buttons that choose how the image is shown."""
    return {
        "liver": ("Liver window", "20 to 180 HU (Q)", lambda: set_window(window.viewer, "liver")),
        "arterial": ("Arterial window", "-65 to 285 HU (W)", lambda: set_window(window.viewer, "arterial")),
        "soft": ("Soft tissue window", "-160 to 240 HU (E)", lambda: set_window(window.viewer, "soft tissue")),
        "orthogonal": ("Coronal + sagittal", "Linked planes (O)", window.views.orthogonal),
        "phases": ("Phases side by side", "Linked (Shift+P)", window.views.phases),
        "visit": ("Visit before", "Linked through the alignment (Shift+V)", window.views.other_visit),
        "theme": ("Dark / light", "Colours of the window", window.change_theme),
        "keys": ("Keys (?)", "What every key does", window.show_keys),
    }


def _resize(desk: Desk, factor: float) -> None:
    desk.tools.radius_mm = round(min(100.0, max(0.5, desk.tools.radius_mm * factor)), 1)
    desk.taken.emit()


def _ball(desk: Desk) -> None:
    desk.tools.ball = not desk.tools.ball
    desk.taken.emit()


def _next_mask(desk: Desk) -> None:
    names = [name for name in EDITABLE if name in desk.reading.masks]
    desk.take(mask=names[(names.index(desk.tools.mask) + 1) % len(names)])


def _masks(desk: Desk) -> None:
    on = not any(layer.visible for layer in desk.layers.values())
    for name, layer in desk.layers.items():
        layer.visible = on and name in SHOWN
