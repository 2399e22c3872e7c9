"""What the window remembers from day to day: where its panels stand, its size, its theme, the reader's code."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QByteArray, QEvent, QObject, QSettings
from qtpy.QtWidgets import QDockWidget, QMainWindow

__all__ = ["Memory"]

#: Rises when panels are added or renamed: an older layout would hide them.
_VERSION = 1


class Memory(QObject):
    """Watches one main window: its layout is kept when it closes and put back when the next one opens.

    Size and theme of a napari that was there before are napari's own business.
    """

    def __init__(self, viewer: Any, main: QMainWindow, panels: dict[str, QDockWidget]) -> None:
        super().__init__()
        self.viewer, self.main = viewer, main
        self.settings = QSettings("livervol", "napari")
        self.own_window = "guide" in panels
        for name, panel in panels.items():
            # Qt finds a panel again by its name
            panel.setObjectName(f"livervol_panel_{name}")

    def watch(self) -> None:
        """Put back what was kept, and keep it again when the window closes."""
        state, shape, theme = (self.settings.value(key) for key in ("layout", "geometry", "theme"))
        if self.own_window and isinstance(shape, QByteArray):
            self.main.restoreGeometry(shape)
        if isinstance(state, QByteArray):
            self.main.restoreState(state, _VERSION)
        if self.own_window and theme in ("dark", "light"):
            self.viewer.theme = theme
        self.main.installEventFilter(self)

    @property
    def reader(self) -> str:
        """The code of who read last."""
        return str(self.settings.value("reader", ""))

    @reader.setter
    def reader(self, code: str) -> None:
        self.settings.setValue("reader", code)

    def keep(self) -> None:
        """Keep the layout as it is now."""
        self.settings.setValue("layout", self.main.saveState(_VERSION))
        self.settings.setValue("geometry", self.main.saveGeometry())
        self.settings.setValue("theme", str(self.viewer.theme))
        self.settings.sync()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Qt's name for it: hears of the window's closing before its panels are gone."""
        if watched is self.main and event.type() == QEvent.Type.Close:
            self.keep()
        return False
