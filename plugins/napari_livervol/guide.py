"""The guided panel: load, check liver, check lesions, check remnant, report; with progress and one status line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_livervol.tones import tone

__all__ = ["STEPS", "Guide"]

#: Steps of a reading and what a reader does in each.
STEPS = (
    ("load", "Load", "Open a visit and give the reader's code"),
    ("liver", "Liver", "Check the liver's outline"),
    ("lesions", "Lesions", "Check every lesion, its role and its diameters"),
    ("remnant", "Remnant", "Choose the resection, check what remains"),
    ("report", "Report", "Response, sign-off, second reader"),
)


class Guide(QWidget):
    """Five steps over a stack of pages. ``page(name)`` is where the others put their controls."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("livervol_guide")
        self._theme, self._refused = "dark", False
        self.setMinimumWidth(410)
        box = QVBoxLayout(self)
        box.setContentsMargins(4, 4, 4, 4)
        self.headline = QLabel("No visit is open")
        self.headline.setObjectName("headline")
        self.headline.setWordWrap(True)
        box.addWidget(self.headline)
        row = QHBoxLayout()
        row.setSpacing(2)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        self.progress = QProgressBar()
        self.progress.setRange(0, len(STEPS))
        self.progress.setFormat("%v of %m steps checked")
        self.progress.setToolTip("Steps of this reading that are checked")
        self.stack = QStackedWidget()
        self._pages: dict[str, QVBoxLayout] = {}
        self.checked: set[str] = set()
        for number, (name, text, tip) in enumerate(STEPS, 1):
            button = QPushButton(f"{number} {text}")
            button.setToolTip(tip)
            button.setCheckable(True)
            button.setObjectName(f"step_{name}")
            button.clicked.connect(lambda _=False, name=name: self.go(name))
            self._group.addButton(button)
            self.buttons[name] = button
            row.addWidget(button)
            self._add_page(name)
        box.addLayout(row)
        box.addWidget(self.progress)
        box.addWidget(self.stack, 1)
        self.status = QLabel("")
        self.status.setObjectName("status")
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        box.addWidget(self.status)
        box.addLayout(self._work_row())
        self.go("load")

    def _add_page(self, name: str) -> None:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        self.stack.addWidget(area)
        self._pages[name] = layout

    def _work_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.work = QProgressBar()
        self.work.setRange(0, 0)
        self.work.setTextVisible(True)
        self.cancel = QPushButton("Cancel")
        self.cancel.setObjectName("cancel")
        self.cancel.setToolTip("Stop what is running; nothing is changed")
        row.addWidget(self.work, 1)
        row.addWidget(self.cancel)
        self.work.hide()
        self.cancel.hide()
        self._on_cancel: Callable[[], Any] | None = None
        self.cancel.clicked.connect(self._cancelled)
        return row

    def page(self, name: str) -> QVBoxLayout:
        """The layout of a step's page."""
        return self._pages[name]

    @property
    def step(self) -> str:
        """The step that is shown."""
        return STEPS[self.stack.currentIndex()][0]

    def go(self, name: str) -> None:
        """Show a step."""
        names = [step[0] for step in STEPS]
        self.stack.setCurrentIndex(names.index(name))
        self.buttons[name].setChecked(True)

    def next(self) -> None:
        """Tick this step and go on to the next."""
        self.tick(self.step)
        names = [step[0] for step in STEPS]
        self.go(names[min(names.index(self.step) + 1, len(names) - 1)])

    def tick(self, name: str, on: bool = True) -> None:
        """Mark a step as checked."""
        (self.checked.add if on else self.checked.discard)(name)
        for number, (each, text, _) in enumerate(STEPS, 1):
            self.buttons[each].setText(f"{'✓' if each in self.checked else number} {text}")
        self.progress.setValue(len(self.checked))

    def say(self, text: str, *, refusal: bool = False) -> None:
        """One sentence for the reader."""
        self.status.setText(text)
        self._refused = refusal
        self.status.setStyleSheet(f"color: {tone('refusal', self._theme)};" if refusal else "")

    def set_theme(self, theme: str) -> None:
        """Colours for a dark or a light window."""
        self._theme = theme
        self.say(self.status.text(), refusal=self._refused)

    def refuse(self, text: str) -> None:
        """A refusal's sentence."""
        self.say(text, refusal=True)

    def working(self, text: str, cancel: Callable[[], Any] | None = None) -> None:
        """Show that something runs; an empty text: it has ended."""
        self._on_cancel = cancel
        self.work.setVisible(bool(text))
        self.work.setFormat(text)
        self.cancel.setVisible(bool(text) and cancel is not None)

    def _cancelled(self) -> None:
        if self._on_cancel is not None:
            self._on_cancel()
