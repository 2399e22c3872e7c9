"""``livervol view``: hands a folder to the installed viewer."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from livervol.errors import LivervolError, refusal

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: Viewers register a function ``view(folder, reader, scans)`` under this entry-point group.
GROUP = "livervol.viewers"


@app.command()
def view(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A visit's output folder, a DICOM folder or an image.")],
    scans: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SCAN]...", help="The visit's scans, when its folder holds no phases."),
    ] = None,
    reader: Annotated[str, typer.Option(help="Code of the reader (never a name): opens the visit for reading.")] = "",
) -> None:
    """Open a visit in napari with the livervol plugin."""
    scans = scans or []
    for path in (folder, *scans):
        if not path.exists():
            raise LivervolError(
                refusal(
                    "input not found",
                    expected="a folder or image",
                    got="nothing",
                    where=str(path),
                    do="Check the path.",
                )
            )
    found = next(iter(entry_points(group=GROUP)), None)
    if found is None or find_spec("napari") is None:
        raise LivervolError(
            refusal("no viewer is installed", expected="napari", got="none", do='Run pip install "livervol[napari]".')
        )
    found.load()(folder, reader, scans)
