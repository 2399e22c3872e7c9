"""``livervol export``: a visit's masks in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livervol.errors import LivervolError, refusal

if TYPE_CHECKING:
    from livervol.scan import Segmentation

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

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

#: What goes into a ``.seg.nrrd`` unasked.
_USUAL = ("liver", "lesions", "viable")

_Folder = Annotated[Path, typer.Argument(help="A visit's output folder, or one reader's folder in it.")]
_Of = Annotated[list[str] | None, typer.Option("--of", help=f"A mask to take, repeatable: {', '.join(MASKS)}.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]


@app.callback()
def _export() -> None:
    """Write a visit's masks for other programs."""


@app.command("nifti")
def export_nifti(
    folder: _Folder,
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    of: _Of = None,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="Axes right-left, front-back, feet-head instead of the input's.")
    ] = False,
    overwrite: _Overwrite = False,
) -> None:
    """Masks as .nii.gz, on the input's own axes or in canonical order; all masks the folder holds unless --of."""
    from livervol.files import atomic_folder
    from livervol.io.nifti import read_nifti_grid, write_nifti_labels

    paths = _chosen(folder, of, tuple(MASKS))
    with atomic_folder(out, overwrite=overwrite) as temporary:
        for mask, path in paths.items():
            stored = None if canonical else read_nifti_grid(path)
            write_nifti_labels(temporary / path.name, _read(mask, path), stored)
    for path in paths.values():
        print(out / path.name)


@app.command("seg-nrrd")
def export_seg_nrrd(
    folder: _Folder,
    out: Annotated[Path, typer.Option("--out", help="File to write, ending in .seg.nrrd.")],
    of: _Of = None,
    overwrite: _Overwrite = False,
) -> None:
    """Masks as one 3D Slicer segmentation: each structure a segment; liver, lesions and viable parts unless --of."""
    from livervol.io.seg_nrrd import write_seg_nrrd

    paths = _chosen(folder, of, _USUAL)
    found = [_read(mask, path) for mask, path in paths.items()]
    # structures nest, so each mask is a layer of its own; a mask without a structure needs none
    write_seg_nrrd(out, [mask for mask in found if mask.names] or found[:1], overwrite=overwrite)
    print(out)


def _chosen(folder: Path, of: list[str] | None, usual: tuple[str, ...]) -> dict[str, Path]:
    """Mask name to file; asked-for masks must exist, the usual ones may be absent."""
    there = {mask: path for mask in MASKS if (path := folder / f"{mask}.nii.gz").is_file()}
    missing = [mask for mask in of or [] if mask not in there]
    chosen = {mask: path for mask, path in there.items() if mask in (of or usual)}
    if missing or not chosen:
        raise LivervolError(
            refusal(
                "mask is not in the folder",
                expected=" and ".join(f"{mask}.nii.gz" for mask in missing) or "a visit's masks",
                got=", ".join(there) or "no masks",
                where=str(folder),
                do="Give a folder that run or measure wrote, and masks that it holds.",
            )
        )
    return chosen


def _read(mask: str, path: Path) -> Segmentation:
    from dataclasses import replace

    from livervol.io.nifti import read_nifti_labels

    found = read_nifti_labels(path)
    names = {value: _NAMES.get((mask, value), MASKS[mask].format(value)) for value in found.names}
    return replace(found, names=names)


@app.command("sdtm")
def export_sdtm(
    table: Annotated[Path, typer.Argument(help="Response table: one row per lesion and visit (CSV or Parquet).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make: TU, TR, RS and their supplements.")],
    study: Annotated[str, typer.Option("--study", help="STUDYID.")],
    criterion: Annotated[
        list[str] | None, typer.Option("--criterion", help="Criteria whose responses go into RS, repeatable.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="csv, xpt or dataset-json.")] = "csv",
    overwrite: _Overwrite = False,
) -> None:
    """Write a response table and its derived responses as CDISC SDTM datasets."""
    from datetime import UTC, datetime

    from livervol.io.cdisc import write_datasets
    from livervol.io.response_tables import read_response_table
    from livervol.io.sdtm_write import sdtm_datasets
    from livervol.response import assess

    courses = list(read_response_table(table))
    rows = [row for name in criterion or ("mrecist",) for course in courses for row in assess(course, name)]
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    print(write_datasets(sdtm_datasets(courses, rows, study=study), out, form, overwrite=overwrite, study=study,
                         created=created))  # fmt: skip
