"""The pages of one reading in the guide: put in when it is opened, taken out when it is closed."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_livervol.buttons import button
from napari_livervol.desk import Desk
from napari_livervol.guide import Guide

__all__ = ["Pages"]

_LIVER_CHECKS = (
    "Scroll through the liver (wheel). Where the blue line is wrong: <b>Contour</b> (C) and drag it, or "
    "<b>Brush</b> (B). After some corrected slices: <b>Interpolate</b> (I)."
)


class Pages:
    """``widgets`` by step; ``tools`` stand at the head of the page where they are used."""

    def __init__(self, guide: Guide, desk: Desk, tools: QWidget, widgets: Mapping[str, QWidget]) -> None:
        self.guide, self.desk = guide, desk
        self._shared = QWidget()
        shared = QVBoxLayout(self._shared)
        shared.setContentsMargins(0, 0, 0, 0)
        shared.addWidget(tools)
        checks = QLabel(_LIVER_CHECKS)
        checks.setWordWrap(True)
        self._parts: list[QWidget] = [self._shared]
        for step, widget in {"liver": checks, **widgets}.items():
            self._add(step, widget)
        for step in ("liver", "lesions", "remnant"):
            self._add(step, button("Checked: next step", f"next_{step}", "Ticks this step", guide.next))
        guide.stack.currentChanged.connect(self._place_tools)
        self._place_tools()

    def close(self) -> None:
        """Take them out."""
        self.guide.stack.currentChanged.disconnect(self._place_tools)
        for part in self._parts:
            part.setParent(None)
            part.deleteLater()

    def _add(self, step: str, widget: QWidget) -> None:
        self.guide.page(step).addWidget(widget)
        self._parts.append(widget)

    def _place_tools(self, _: int = 0) -> None:
        step = self.guide.step
        if step in ("liver", "lesions"):
            self.guide.page(step).insertWidget(0, self._shared)
            self._shared.show()
            if self.desk.tools.mask == "liver" and step == "lesions":
                self.desk.take(mask="lesions")
