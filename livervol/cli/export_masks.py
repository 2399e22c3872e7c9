"""What the verbs of ``livervol export`` share: a visit's mask files, what they are called, and the usual options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livervol.errors import LivervolError, refusal

if TYPE_CHECKING:
    from livervol.scan import Segmentation

__all__ = ["MASKS", "Folder", "Of", "Overwrite", "chosen", "read_mask"]

#: A visit folder's mask files without their ending, and what a value of each is called; {} is the value.
MASKS = {
    "liver": "liver",
    "segments": "segment {}",
    "lesions": "lesion {}",
    "viable": "viable {}",
    "necrosis": "necrosis {}",
    "uncertain": "uncertain {}",
    "vessels": "vessel {}",
}

_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")

_NAMES = {
    ("vessels", 1): "portal vein",
    ("vessels", 2): "hepatic vein",
    **{("segments", n): f"segment {r}" for n, r in enumerate(_ROMAN, start=1)},
    ("segments", 41): "segment IVa",
    ("segments", 42): "segment IVb",
}

Folder = Annotated[Path, typer.Argument(help="A visit's output folder, or one reader's folder in it.")]
Of = Annotated[list[str] | None, typer.Option("--of", help=f"A mask to take, repeatable: {', '.join(MASKS)}.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]


def chosen(folder: Path, of: list[str] | None, usual: tuple[str, ...]) -> dict[str, Path]:
    """Mask name to file; asked-for masks must exist, the usual ones may be absent."""
    there = {mask: path for mask in MASKS if (path := folder / f"{mask}.nii.gz").is_file()}
    missing = [mask for mask in of or [] if mask not in there]
    found = {mask: path for mask, path in there.items() if mask in (of or usual)}
    if missing or not found:
        raise LivervolError(
            refusal(
                "mask is not in the folder",
                expected=" and ".join(f"{mask}.nii.gz" for mask in missing) or "a visit's masks",
                got=", ".join(there) or "no masks",
                where=str(folder),
                do="Give a folder that run or measure wrote, and masks that it holds.",
            )
        )
    return found


def read_mask(mask: str, path: Path) -> Segmentation:
    """A visit's mask with its structures named."""
    from dataclasses import replace

    from livervol.io.nifti import read_nifti_labels

    found = read_nifti_labels(path)
    names = {value: _NAMES.get((mask, value), MASKS[mask].format(value)) for value in found.names}
    return replace(found, names=names)
