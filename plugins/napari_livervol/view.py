"""``livervol view``: a visit's folder in a napari window, ready for reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_livervol.lasting import keep_none
from napari_livervol.reader import is_visit

__all__ = ["new_window", "open_window", "reading_panel", "view"]


def new_window(title: str) -> tuple[Any, Any]:
    """An empty napari viewer with the reading panel; (viewer, ReadingWindow)."""
    import napari

    from napari_livervol.window import ReadingWindow

    keep_none()
    viewer = napari.Viewer(title=title)
    window = ReadingWindow(viewer)
    _keep_when_closed(window)
    return viewer, window


def open_window(folder: Path, reader: str = "", scans: Sequence[Path] = ()) -> tuple[Any, Any]:
    """A window with the reading panel on ``folder``; (viewer, ReadingWindow).

    A visit's output folder is opened for reading when ``reader`` is given; anything else is shown as images.
    """
    viewer, window = new_window(f"livervol: {folder.name}")
    if is_visit(folder):
        window.load.folder.setText(str(folder))
        window.load.scans.setText(";".join(str(scan) for scan in scans))
        if reader:
            window.open_visit(folder, reader, tuple(scans))
        else:
            window.guide.say("Give your reader's code, then start reading.")
    else:
        viewer.open([str(folder), *map(str, scans)] if scans else str(folder), plugin="livervol")
    return viewer, window


def _keep_when_closed(window: Any) -> None:
    """Closing the window gives the journal free."""
    from qtpy.QtCore import QEvent, QObject

    class Watch(QObject):
        def eventFilter(self, _: Any, event: Any) -> bool:
            if event.type() == QEvent.Type.Close:
                window.close()
            return False

    window.watch = Watch(window.main)
    window.main.installEventFilter(window.watch)


def reading_panel(napari_viewer: Any) -> Any:
    """The reading panel in an open napari (npe2 widget), which docks the guide that is returned."""
    keep_none()
    from napari_livervol.window import ReadingWindow

    window = ReadingWindow(napari_viewer, docked=False)
    _keep_when_closed(window)
    # the guide is what napari keeps; it keeps the rest
    window.guide.reading_window = window
    return window.guide


def view(folder: Path, reader: str = "", scans: Sequence[Path] = ()) -> None:
    """Open ``folder`` (a visit's output, a DICOM folder or an image) in napari and wait until the window closes."""
    import napari

    open_window(Path(folder), reader, scans)
    napari.run()
