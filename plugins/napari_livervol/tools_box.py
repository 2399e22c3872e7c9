"""The tools: which structure, which tool, the brush, what is done to a whole lesion or slice, undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from livervol.edit.brush import alike_limits
from napari_livervol.buttons import button
from napari_livervol.desk import EDITABLE, Desk

__all__ = ["ToolsBox"]

_TOOLS = (
    ("move", "Move", "Move the image, scroll, zoom (Esc)"),
    ("brush", "Brush", "Paint the chosen structure; Ctrl erases (B)"),
    ("eraser", "Eraser", "Take away from the chosen structure (X)"),
    ("smart", "Smart", "Brush that stops at edges of the tissue (S)"),
    ("contour", "Contour", "The outline in this slice as a curve: drag a handle or a stretch of it (C)"),
    ("click", "Lesion", "One click outlines a lesion; drag to give its diameter (A)"),
    ("measure", "Measure", "Two clicks measure by hand the chosen lesion's diameter (D)"),
)


class ToolsBox(QWidget):
    """Buttons over a desk's toolbox; ``actions`` are the whole-structure operations by name."""

    def __init__(self, desk: Desk, actions: dict[str, tuple[str, str, Callable[[], Any]]]) -> None:
        super().__init__()
        self.desk = desk
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addLayout(self._what())
        box.addLayout(self._tools())
        box.addLayout(self._brush())
        grid = QGridLayout()
        grid.setSpacing(3)
        for position, (name, (text, tip, do)) in enumerate(actions.items()):
            grid.addWidget(button(text, f"action_{name}", tip, do), position // 4, position % 4)
        box.addLayout(grid)
        desk.taken.connect(self.refresh)
        self.refresh()

    def _what(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(QLabel("Structure"))
        self.mask = QComboBox()
        self.mask.setObjectName("structure")
        self.mask.setToolTip("Which mask is corrected, and shown from then on (Tab: next)")
        self.mask.addItems([name for name in EDITABLE if name in self.desk.reading.masks])
        self.mask.currentTextChanged.connect(lambda name: self.desk.take(mask=name))
        row.addWidget(self.mask, 1)
        row.addWidget(QLabel("Number"))
        self.value = QSpinBox()
        self.value.setObjectName("number")
        self.value.setRange(1, 999)
        self.value.setToolTip("Lesion or segment number that is painted")
        self.value.valueChanged.connect(lambda value: self.desk.take(value=value))
        row.addWidget(self.value)
        return row

    def _tools(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(3)
        self.group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for position, (tool, text, tip) in enumerate(_TOOLS):
            made = button(text, f"tool_{tool}", tip, partial(self.desk.take, tool))
            made.setCheckable(True)
            self.group.addButton(made)
            self.buttons[tool] = made
            grid.addWidget(made, position // 4, position % 4)
        return grid

    def _brush(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(3)
        grid.addWidget(QLabel("Radius"), 0, 0)
        self.radius = QDoubleSpinBox()
        self.radius.setObjectName("radius")
        self.radius.setRange(0.5, 100.0)
        self.radius.setDecimals(1)
        self.radius.setSuffix(" mm")
        self.radius.setToolTip("Radius of the brush ([ and ])")
        self.radius.valueChanged.connect(self._set_radius)
        grid.addWidget(self.radius, 0, 1)
        self.ball = QCheckBox("3-D ball")
        self.ball.setObjectName("ball")
        self.ball.setToolTip("Paint neighbouring slices too (3)")
        self.ball.toggled.connect(self._set_ball)
        grid.addWidget(self.ball, 0, 2)
        alike = button("Alike", "alike", "Limits from the tissue in the middle of the window", self._alike)
        grid.addWidget(alike, 0, 3)
        self.limited = QCheckBox("Only")
        self.limited.setObjectName("limited")
        self.limited.setToolTip("Paint only voxels with values between these limits")
        self.limited.toggled.connect(self._set_limits)
        grid.addWidget(self.limited, 1, 0)
        self.low, self.high = QSpinBox(), QSpinBox()
        for spin, value, name in ((self.low, 40, "low"), (self.high, 180, "high")):
            spin.setRange(-2000, 30000)
            spin.setValue(value)
            spin.setSuffix(" HU")
            spin.setObjectName(name)
            spin.valueChanged.connect(self._set_limits)
        grid.addWidget(self.low, 1, 1)
        grid.addWidget(QLabel("to"), 1, 2)
        grid.addWidget(self.high, 1, 3)
        return grid

    def _set_radius(self, radius_mm: float) -> None:
        if radius_mm != self.desk.tools.radius_mm:
            self.desk.tools.radius_mm = radius_mm
            self.desk.taken.emit()

    def _set_ball(self, on: bool) -> None:
        self.desk.tools.ball = on

    def _set_limits(self, _: Any = None) -> None:
        limits = (float(self.low.value()), float(self.high.value()))
        self.desk.tools.limits = limits if self.limited.isChecked() and limits[0] <= limits[1] else None

    def _alike(self) -> None:
        desk = self.desk
        centre = list(desk.viewer.dims.point)
        for axis in desk.viewer.dims.displayed:
            centre[axis] = desk.viewer.scene.camera.center[axis]
        found = desk.try_to(
            lambda: alike_limits(desk.canvas(), desk.index_at(centre), max(3.0, desk.tools.radius_mm / 2))
        )
        if found is not None:
            self.low.setValue(round(found[0]))
            self.high.setValue(round(found[1]))
            self.limited.setChecked(True)

    def refresh(self) -> None:
        """Show what the desk has in hand."""
        tools = self.desk.tools
        for widget in (self.mask, self.value, self.radius):
            widget.blockSignals(True)
        if self.mask.findText(tools.mask) < 0:
            self.mask.addItem(tools.mask)
        self.mask.setCurrentText(tools.mask)
        self.value.setValue(tools.value)
        self.value.setEnabled(tools.mask != "liver")
        self.radius.setValue(tools.radius_mm)
        self.ball.setChecked(tools.ball)
        for widget in (self.mask, self.value, self.radius):
            widget.blockSignals(False)
        if tools.tool in self.buttons:
            self.buttons[tools.tool].setChecked(True)
        else:
            self.group.setExclusive(False)
            for each in self.buttons.values():
                each.setChecked(False)
            self.group.setExclusive(True)
