"""Finds ``models`` and ``sample_scans`` in a checkout or an installed wheel."""

from __future__ import annotations

from pathlib import Path

from livervol.errors import LivervolError, refusal

__all__ = ["models_folder", "sample_scans_folder"]

_PACKAGE = Path(__file__).resolve().parent


def _find(name: str) -> Path:
    # the wheel carries the folders inside the package; a checkout has them beside it
    for folder in (_PACKAGE / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise LivervolError(
        refusal(
            f"{name} folder not found",
            expected=f"{name}/ inside the installed package or beside it",
            got="neither",
            do="Install livervol again.",
        )
    )


def models_folder() -> Path:
    """The folder that holds one sub-folder per released model."""
    return _find("models")


def sample_scans_folder() -> Path:
    """The folder of generated sample scans with ``truth.json``."""
    return _find("sample_scans")
