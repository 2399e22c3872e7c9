"""A real window on a screen of its own (Xvfb), moved by real X11 mouse and keys (xdotool)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tools import need_tool

_SCREEN = "1400x900x24"
#: Screens that go with this process: kept here, because a forgotten Popen complains that its program still runs.
_OPEN: list[subprocess.Popen] = []


def _start_screen() -> tuple[subprocess.Popen, str]:
    read, write = os.pipe()
    program = str(need_tool("Xvfb"))
    server = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", _SCREEN, "-nolisten", "tcp", "-terminate"],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _OPEN.append(server)
    os.close(write)
    with os.fdopen(read) as answer:
        number = answer.readline().strip()
    assert number, "Xvfb did not start"
    return server, f":{number}"


@pytest.fixture(scope="session")
def screen(tmp_path_factory):
    """The display's name; Qt and xdotool use it."""
    need_tool("xdotool")
    pytest.importorskip("qtpy")
    if sys.platform != "linux":
        pytest.skip("X11 is needed")
    if "PySide6.QtWidgets" in sys.modules:
        from qtpy.QtWidgets import QApplication

        assert QApplication.instance() is None, "a window system was chosen before this screen was there"
    server, name = _start_screen()
    kept = {key: os.environ.get(key) for key in ("DISPLAY", "QT_QPA_PLATFORM", "XDG_CONFIG_HOME", "WAYLAND_DISPLAY")}
    os.environ.update(DISPLAY=name, QT_QPA_PLATFORM="xcb", XDG_CONFIG_HOME=str(tmp_path_factory.mktemp("config")))
    os.environ.pop("WAYLAND_DISPLAY", None)
    yield name
    for key, value in kept.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        server.terminate()
        server.wait(timeout=20)
    # else the screen goes with its last program: Qt ends a process whose screen goes first


class Hand:
    """A reader's hand on one window: mouse and keys come from the X server, as from a real one."""

    def __init__(self, viewer, window, shots: Path | None = None):
        self.viewer, self.window, self.shots = viewer, window, shots
        from napari.qt import get_qapp

        self.app = get_qapp()

    # -- time

    def spin(self, seconds: float = 0.05) -> None:
        """Let the window live for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.app.processEvents()
            time.sleep(0.002)

    def until(self, what, timeout_s: float = 180.0) -> None:
        """Let the window live until something is true."""
        end = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < end, f"waited {timeout_s:g} s; status: {self.window.guide.status.text()!r}"
            self.spin(0.02)

    def settled(self) -> None:
        """Until no job, no judging, no cut and no number is outstanding."""
        window = self.window

        def quiet() -> bool:
            if window.jobs.running:
                return False
            if window.desk is None:
                return True
            shown = window.dock.numbers
            busy = window.judging.running or window.remnant.cut.busy or window.numbers_worker.busy
            return not busy and shown is not None and shown.version == window.desk.reading.version

        self.until(quiet)
        # the last answer is on its way to the window
        self.spin(0.05)

    # -- mouse and keys

    def x(self, *words: object) -> None:
        """One xdotool command."""
        subprocess.run(["xdotool", *map(str, words)], check=True, timeout=120, capture_output=True)
        self.spin(0.02)

    def canvas(self):
        """The main canvas' widget."""
        from qtpy.QtWidgets import QWidget

        found = [w for w in self.window.main.centralWidget().findChildren(QWidget) if "Canvas" in type(w).__name__]
        found = [w for w in found if not self.window.row.isAncestorOf(w)]
        return found[0]

    def spot(self, index_zyx) -> tuple[int, int]:
        """Screen pixel of a place of the reading's grid in the main canvas."""
        from qtpy.QtCore import QPoint

        from napari_livervol.layers import world_of

        grid = self.window.desk.grid
        world = world_of(grid, grid.index_to_lps(index_zyx))
        camera, widget = self.viewer.scene.camera, self.canvas()
        down, right = self.viewer.dims.displayed
        x = widget.width() / 2 + (world[right] - camera.center[right]) * camera.zoom
        y = widget.height() / 2 + (world[down] - camera.center[down]) * camera.zoom
        at = widget.mapToGlobal(QPoint(round(x), round(y)))
        return at.x(), at.y()

    def move(self, at) -> None:
        self.x("mousemove", *at)

    def click(self, at, button: int = 1) -> None:
        """Press and release."""
        self.move(at)
        self.x("mousedown", button)
        self.x("mouseup", button)
        # on a busy machine the window hears of it later than the server
        self.spin(0.1)

    def drag(self, points, button: int = 1) -> None:
        """Press at the first point, move through the others, release."""
        self.move(points[0])
        self.x("mousedown", button)
        for (x0, y0), (x1, y1) in pairwise(points):
            for part in (0.25, 0.5, 0.75, 1.0):
                self.move((round(x0 + part * (x1 - x0)), round(y0 + part * (y1 - y0))))
        self.x("mouseup", button)
        self.spin(0.1)

    def key(self, *keys: str) -> None:
        """Keys over the canvas: the pointer goes there first, as a reader's does."""
        for key in keys:
            self.x("key", key)

    def widget(self, name: str):
        """A control by its name."""
        from qtpy.QtWidgets import QWidget

        found = self.window.main.findChildren(QWidget, name)
        assert len(found) == 1, f"{len(found)} controls are called {name}"
        return found[0]

    def press(self, name: str) -> None:
        """Click a control in its middle, scrolled into view if need be."""
        from qtpy.QtCore import QPoint
        from qtpy.QtWidgets import QScrollArea

        widget = self.widget(name)
        for _ in range(300):
            parent = widget.parent()
            while parent is not None:
                if isinstance(parent, QScrollArea):
                    parent.ensureWidgetVisible(widget)
                parent = parent.parent()
            self.spin(0.02)
            at = widget.mapToGlobal(QPoint(widget.width() // 2, widget.height() // 2))
            self.move((at.x(), at.y()))
            under = self.app.widgetAt(at)
            # a form that is still being laid out moves away from under the pointer
            still = widget.mapToGlobal(QPoint(widget.width() // 2, widget.height() // 2)) == at
            if widget.isVisible() and still and under is not None and (under is widget or widget.isAncestorOf(under)):
                break
        else:
            pytest.fail(f"{name} cannot be pressed")
        self.click((at.x(), at.y()))

    def choose(self, name: str, text: str) -> None:
        """Open a drop-down list and click one of its lines."""
        combo = self.widget(name)
        for _ in range(5):
            # a form that is still being laid out moves away from under the pointer
            self.press(name)
            end = time.monotonic() + 2.0
            while not combo.view().isVisible() and time.monotonic() < end:
                self.spin(0.02)
            if combo.view().isVisible():
                break
        assert combo.view().isVisible(), f"{name} did not open"
        lines = combo.view()
        place = lines.visualRect(combo.model().index(combo.findText(text), 0)).center()
        at = lines.viewport().mapToGlobal(place)
        self.spin(0.3)
        self.click((at.x(), at.y()))
        self.until(lambda: combo.currentText() == text)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.x("type", "--delay", "5", text)

    def shot(self, name: str) -> None:
        """A picture of the whole screen, when asked for (LIVERVOL_SHOTS=folder)."""
        if self.shots is not None:
            # a form is laid out anew in several turns
            self.spin(1.0)
            self.app.primaryScreen().grabWindow(0).save(str(self.shots / f"{name}.png"))


@pytest.fixture(scope="module")
def hand(napari_there, screen):
    """A window with the reading panel, and a hand on it; opening and closing one takes seconds, so tests share it."""
    from napari_livervol.view import new_window

    viewer, window = new_window("livervol")
    viewer.window.resize(1396, 896)
    folder = os.environ.get("LIVERVOL_SHOTS")
    hand = Hand(viewer, window, Path(folder) if folder else None)
    window.main.move(0, 0)
    hand.until(window.main.isVisible)
    yield hand
    window.close()
    viewer.close()
    hand.spin(0.1)
