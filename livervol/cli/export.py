"""``livervol export``: a visit's masks and numbers in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livervol.cli.cohort_options import Changes, Events, Protocol, Responses, Subjects
from livervol.cli.export_dicom import export_dicom_seg, export_dicom_sr, export_rtstruct
from livervol.cli.export_masks import MASKS, Folder, Of, Overwrite, chosen, read_mask
from livervol.cli.export_mesh import export_mesh

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: What goes into a ``.seg.nrrd`` unasked.
_USUAL = ("liver", "lesions", "viable")


@app.callback()
def _export() -> None:
    """Write a visit's masks and numbers for other programs."""


@app.command("nifti")
def export_nifti(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    of: Of = None,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="Axes right-left, front-back, feet-head instead of the input's.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Masks as .nii.gz, on the input's own axes or in canonical order; all masks the folder holds unless --of."""
    from livervol.files import atomic_folder
    from livervol.io.nifti import read_nifti_grid, write_nifti_labels

    paths = chosen(folder, of, tuple(MASKS))
    with atomic_folder(out, overwrite=overwrite) as temporary:
        for mask, path in paths.items():
            stored = None if canonical else read_nifti_grid(path)
            write_nifti_labels(temporary / path.name, read_mask(mask, path), stored)
    for path in paths.values():
        print(out / path.name)


@app.command("seg-nrrd")
def export_seg_nrrd(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="File to write, ending in .seg.nrrd.")],
    of: Of = None,
    overwrite: Overwrite = False,
) -> None:
    """Masks as one 3D Slicer segmentation: each structure a segment; liver, lesions and viable parts unless --of."""
    from livervol.io.seg_nrrd import write_seg_nrrd

    paths = chosen(folder, of, _USUAL)
    found = [read_mask(mask, path) for mask, path in paths.items()]
    # structures nest, so each mask is a layer of its own; a mask without a structure needs none
    write_seg_nrrd(out, [mask for mask in found if mask.names] or found[:1], overwrite=overwrite)
    print(out)


@app.command("sdtm")
def export_sdtm(
    table: Annotated[Path, typer.Argument(help="Response table: one row per lesion and visit (CSV or Parquet).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make: TU, TR, RS and their supplements.")],
    study: Annotated[str, typer.Option("--study", help="STUDYID.")],
    criterion: Annotated[
        list[str] | None, typer.Option("--criterion", help="Criteria whose responses go into RS, repeatable.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="csv, xpt or dataset-json.")] = "csv",
    overwrite: Overwrite = False,
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


@app.command("adam")
def export_adam(
    responses: Responses,
    subjects: Subjects,
    out: Annotated[Path, typer.Option("--out", help="Folder to make: ADTR, ADRS and ADTTE.")],
    events: Events = None,
    protocol: Protocol = "trial",
    settings: Changes = None,
    study: Annotated[str, typer.Option("--study", help="STUDYID; the protocol's name unless given.")] = "",
    form: Annotated[str, typer.Option("--format", help="csv, xpt or dataset-json.")] = "csv",
    overwrite: Overwrite = False,
) -> None:
    """Write a cohort's responses and times to events as CDISC ADaM datasets, without the rest of its endpoints."""
    from livervol.cli.respond import parse_parameters
    from livervol.workflows.cohort import CohortInputs
    from livervol.workflows.cohort import export_adam as write

    inputs = CohortInputs(responses, subjects, events, protocol, parse_parameters(settings or ()))
    print(write(inputs, out, form, study=study, overwrite=overwrite))


app.command("dicom-seg")(export_dicom_seg)
app.command("dicom-sr")(export_dicom_sr)
app.command("rtstruct")(export_rtstruct)
app.command("mesh")(export_mesh)
