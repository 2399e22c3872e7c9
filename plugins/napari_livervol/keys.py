"""Keys: one table, bound in code on the viewer and on every layer (napari ignores a manifest's key bindings)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["KEYS", "Key", "bind_keys", "free_menu_keys", "key_help"]


class Key(NamedTuple):
    """One key: what a reader presses, what it is called in the help, and the group it stands under."""

    press: str
    action: str
    says: str
    group: str


#: Groups in the help's right column.
_RIGHT = ("Tools", "Edits", "Lesions")

#: The one table of keys.
KEYS = (
    Key("Shift-/", "help", "this list (?)", "Window"),
    Key("F1", "help", "this list", "Window"),
    Key("Q", "window_liver", "liver window", "CT window"),
    Key("W", "window_arterial", "arterial window", "CT window"),
    Key("E", "window_soft", "soft tissue window", "CT window"),
    Key("P", "next_phase", "next phase", "Phases"),
    Key("Shift-P", "side_by_side", "phases side by side", "Phases"),
    Key("O", "orthogonal", "coronal and sagittal beside", "Views"),
    Key("Shift-V", "other_visit", "the visit before, side by side", "Views"),
    Key("M", "masks", "masks shown or hidden", "Views"),
    Key("Up", "slice_up", "one slice towards the head", "Views"),
    Key("Down", "slice_down", "one slice towards the feet", "Views"),
    Key("Escape", "tool_move", "move the image (no tool)", "Tools"),
    Key("B", "tool_brush", "brush", "Tools"),
    Key("X", "tool_eraser", "eraser", "Tools"),
    Key("S", "tool_smart", "smart brush (stops at edges)", "Tools"),
    Key("C", "tool_contour", "contour with handles", "Tools"),
    Key("A", "tool_click", "add a lesion by one click", "Tools"),
    Key("D", "tool_measure", "measure by two clicks", "Tools"),
    Key("[", "smaller", "smaller brush", "Tools"),
    Key("]", "larger", "larger brush", "Tools"),
    Key("3", "ball", "brush in the slice or as a ball", "Tools"),
    Key("Tab", "next_mask", "next structure to correct", "Tools"),
    Key("I", "interpolate", "interpolate between corrected slices", "Tools"),
    Key("Control-Z", "undo", "undo, across all structures", "Edits"),
    Key("Control-Shift-Z", "redo", "redo", "Edits"),
    Key("Control-S", "save", "save the reading", "Edits"),
    Key("N", "next_lesion", "next lesion", "Lesions"),
    Key("Shift-N", "previous_lesion", "lesion before", "Lesions"),
)


def bind_keys(viewer: Any, actions: Mapping[str, Callable[[], Any]]) -> None:
    """Bind every key of the table whose action is given, on the viewer and on its layers, present and to come.

    A layer's own keys win over the viewer's, and labels layers use many; so they are bound there as well.
    """

    def bound(target: Any) -> None:
        for key in KEYS:
            action = actions.get(key.action)
            if action is not None:

                def press(_: Any, action: Callable[[], Any] = action) -> None:
                    action()

                target.bind_key(key.press, press, overwrite=True)

    def on_inserted(event: Any) -> None:
        bound(event.value)

    bound(viewer)
    for layer in viewer.layers:
        bound(layer)
    viewer.layers.events.inserted.connect(on_inserted)


def free_menu_keys(main: Any) -> None:
    """Take this table's keys from the menus of napari's window: a menu's key wins over any bound to the viewer."""
    from qtpy.QtGui import QKeySequence

    ours = {QKeySequence(key.press.replace("Control", "Ctrl").replace("-", "+")).toString() for key in KEYS}
    menus = [main.menuBar()]
    while menus:
        for entry in menus.pop().actions():
            if entry.menu() is not None:
                menus.append(entry.menu())
            kept = [one for one in entry.shortcuts() if one.toString() not in ours]
            if len(kept) < len(entry.shortcuts()):
                entry.setShortcuts(kept)


def key_help() -> str:
    """The table as a small HTML page in two columns."""
    columns: tuple[list[str], list[str]] = ([], [])
    seen: set[str] = set()
    for key in KEYS:
        rows = columns[key.group in _RIGHT]
        if key.group not in seen:
            seen.add(key.group)
            rows.append(f'<tr><td colspan="2"><b>{key.group}</b></td></tr>')
        press = "?" if key.press == "Shift-/" else key.press.replace("Control", "Ctrl").replace("-", "+")
        rows.append(f"<tr><td><code>{press}</code>&nbsp;&nbsp;</td><td>{key.says}</td></tr>")
    mouse = (
        ("wheel", "scroll slices"),
        ("Ctrl + wheel", "zoom"),
        ("left drag", "the chosen tool; without one: move the image"),
        ("middle drag", "move the image while a tool is chosen"),
        ("right drag", "brightness and contrast"),
    )
    columns[0].append('<tr><td colspan="2"><b>Mouse</b></td></tr>')
    columns[0].extend(f"<tr><td><code>{press}</code>&nbsp;&nbsp;</td><td>{says}</td></tr>" for press, says in mouse)
    tables = (f"<td><table cellpadding='2'>{''.join(rows)}</table></td>" for rows in columns)
    return f"<table cellspacing='12'><tr>{''.join(tables)}</tr></table>"
