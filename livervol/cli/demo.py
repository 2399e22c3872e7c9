"""``livervol demo``: the main job on the sample course."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livervol.cli.show import show_course, show_visit, steps

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("demo_out"),
    language: Annotated[str, typer.Option("--language", help="Language of the reports: en or zh.")] = "en",
    pdf: Annotated[bool, typer.Option("--pdf", help="Write the reports as PDF too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output folder.")] = False,
) -> None:
    """Segment, measure and report three generated visits of one virtual patient, then assess the response."""
    from livervol.report.pages import ReportSettings
    from livervol.workflows.course import run_demo

    with steps() as progress:
        output = run_demo(out, overwrite=overwrite, report=ReportSettings(language, pdf), progress=progress)
    for number, visit in enumerate(output.visits, 1):
        show_visit(visit.document, output.folder / f"visit_{number}")
    show_course(output.document["responses"], output.folder)
    typer.echo(f"report: {output.folder / 'report.html'}")
