"""``livervol pull`` and ``livervol push``: a visit from an archive, results back to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["pull_app", "push_app"]

Settings = Annotated[
    Path | None, typer.Option("--settings", help="Settings file, mode 0600; else LIVERVOL_PACS_FILE or the usual one.")
]
Name = Annotated[str, typer.Option("--archive", help="Which archive of the settings file, when it holds several.")]

pull_app = typer.Typer(add_completion=False, rich_markup_mode=None)
push_app = typer.Typer(add_completion=False, rich_markup_mode=None)


@pull_app.command()
def pull(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not exist yet unless --overwrite.")],
    patient: Annotated[str, typer.Option("--patient", help="Patient ID, exactly; no wildcards.")] = "",
    date: Annotated[str, typer.Option("--date", help="Study date, YYYY-MM-DD.")] = "",
    study: Annotated[str, typer.Option("--study", help="Study instance UID.")] = "",
    modality: Annotated[
        list[str] | None, typer.Option("--modality", help="Only series of this modality; repeatable.")
    ] = None,
    settings: Settings = None,
    archive: Name = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output folder.")] = False,
) -> None:
    """Fetch one visit by patient and date, or by study UID, over DICOMweb or DIMSE."""
    from livervol.cli.show import steps
    from livervol.io.pacs import VisitQuery, pull_visit
    from livervol.io.pacs_settings import load_settings

    query = VisitQuery(patient, date, study, tuple(modality or ()))
    with steps(prefix="pulling: ") as progress:
        report = pull_visit(load_settings(settings, archive), query, out, overwrite=overwrite, progress=progress)
    kinds = ", ".join(report.series)
    print(f"{report.instances} instances, {report.n_bytes} bytes in {len(report.series)} series ({kinds})")
    print(report.folder)


@push_app.command()
def push(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders of them.")],
    settings: Settings = None,
    archive: Name = "",
) -> None:
    """Send DICOM files to an archive, and count what it confirms."""
    from livervol.cli.show import steps
    from livervol.io.pacs import push_files
    from livervol.io.pacs_settings import load_settings

    with steps(prefix="pushing: ") as progress:
        report = push_files(load_settings(settings, archive), paths, progress=progress)
    kinds = ", ".join(f"{count} {modality}" for modality, count in report.modalities)
    print(f"{report.instances} instances confirmed ({kinds})")
