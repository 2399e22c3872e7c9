"""``livervol report``: the report of a visit, a course or a cohort, made again from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livervol.cli.show import steps

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What run, measure, demo or endpoints wrote.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE...]", help="Of a visit with one phase: its image, as for livervol run."),
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the report: en or zh.")] = "en",
    pdf: Annotated[bool, typer.Option("--pdf", help="Write a PDF too.")] = False,
    viewer: Annotated[bool, typer.Option("--viewer", help="Put an interactive viewer into a visit's page.")] = False,
    subjects: Annotated[
        Path | None, typer.Option("--subjects", help="Of a course: SUBJECTS, for surgery and pathology.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="Of a course: EVENTS, for treatment and adverse events.")
    ] = None,
    patient: Annotated[str, typer.Option("--patient", help="The course's pseudonym in these tables.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTML file to write; report.html or report.zh.html in DIR.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing report.")] = False,
) -> None:
    """Write the report of a visit, a course or a cohort as HTML, in English or Chinese, and as PDF."""
    from livervol.report.pages import ReportSettings
    from livervol.workflows.reports import ReportInputs, write_reports

    settings = ReportSettings(language, pdf, viewer)
    inputs = ReportInputs(folder, images or (), subjects, events, patient, settings)
    with steps() as progress:
        written = write_reports(inputs, out, overwrite=overwrite, progress=progress)
    for path in written:
        typer.echo(f"report: {path}")
