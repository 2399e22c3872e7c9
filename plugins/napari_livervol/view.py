"""``livervol view``: a visit's folder in a napari window."""

from __future__ import annotations

from pathlib import Path

__all__ = ["view"]


def view(folder: Path) -> None:
    """Open ``folder`` (a visit's output, a DICOM folder or an image) in napari and wait until the window closes."""
    import napari

    viewer = napari.Viewer(title=f"livervol: {folder.name}")
    viewer.open(str(folder), plugin="livervol")
    napari.run()
