"""``livervol endpoints``: a cohort's response rates, conversion and survival under a protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from livervol.cli.cohort_options import Changes, Events, Protocol, Responses, Subjects
from livervol.cli.respond import parse_parameters
from livervol.cli.show import steps

if TYPE_CHECKING:
    from livervol.endpoints.summary import EndpointRow

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def endpoints(
    responses: Responses,
    subjects: Subjects,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not exist yet unless --overwrite.")],
    events: Events = None,
    protocol: Protocol = "trial",
    settings: Changes = None,
    group_by: Annotated[str, typer.Option("--group", help="Column of SUBJECTS to compare groups by.")] = "",
    plots: Annotated[bool, typer.Option(help="Draw the plots and write the report.")] = True,
    adam: Annotated[
        str, typer.Option("--adam", help="Also write ADTR, ADRS and ADTTE as csv, xpt or dataset-json.")
    ] = "",
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="study.sqlite of the batch: its failed visits are listed.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the report and plots: en or zh.")] = "en",
    pdf: Annotated[bool, typer.Option("--pdf", help="Write the report as PDF too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of the table.")] = False,
) -> None:
    """Best response, ORR, DCR, conversion, PFS, OS, DoR, TTR, TTP with exact intervals; tables and plots."""
    from livervol.report.pages import ReportSettings
    from livervol.workflows.cohort import CohortInputs, run_cohort

    changes = parse_parameters(settings or ())
    inputs = CohortInputs(
        responses, subjects, events, protocol, changes, group_by, ledger, ReportSettings(language, pdf)
    )
    with steps(quiet=as_json) as progress:
        output = run_cohort(inputs, out, overwrite=overwrite, plots=plots, adam=adam, progress=progress)
    if as_json:
        json.dump(output.summary, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()
    else:
        _show(output.rows, output.summary, output.folder)


def _show(rows: Sequence[EndpointRow], summary: dict[str, Any], folder: Path) -> None:
    console = Console()
    protocol, patients = summary["protocol"], summary["patients"]
    head = f"{protocol['name']}: {protocol['title']}, {patients['population']} of {patients['subjects']} patients"
    console.print(head, markup=False, highlight=False, soft_wrap=True)
    level = protocol["parameters"]["level"]["value"]
    for group in ("", *summary["groups"]):
        table = Table(title=f"group {group}" if group else None, title_justify="left")
        for column in ("endpoint", "measure", "events / n", f"estimate ({100 * level:g} % interval)"):
            table.add_column(column, justify="left" if column in ("endpoint", "measure") else "right", no_wrap=True)
        for row in rows:
            if row.variant == "primary" and row.group == group and _worth_a_line(row):
                endpoint, measure = (text.replace(" months", " mo.") for text in (row.endpoint, row.measure))
                table.add_row(endpoint, measure, f"{row.events} / {row.n}", _estimate(row))
        console.print(table)
    best = ", ".join(f"{word} {count}" for word, count in summary["best_overall_response"].items())
    console.print(f"confirmed best response: {best}", markup=False, highlight=False)
    for variant, found in summary["sensitivity"].items():
        medians = {name: m["median"]["estimate"] for name, m in found.items()}
        shown = [f"{name} {_number(m)}{'' if m is None else ' months'}" for name, m in medians.items()]
        console.print(f"median with {variant}: {', '.join(shown)}", markup=False, highlight=False)
    for note in summary["notes"]:
        console.print(f"! {note}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"tables and plots: {folder}", markup=False, highlight=False, soft_wrap=True)


def _worth_a_line(row: EndpointRow) -> bool:
    """Categories have their own line below; a landmark beyond follow-up says nothing."""
    return not row.endpoint.startswith("BOR ") and not (row.measure.startswith("at ") and row.estimate is None)


def _number(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.1f}"


def _estimate(row: EndpointRow) -> str:
    if row.unit == "1":
        return "–" if row.estimate is None else f"{row.estimate:.4f}"
    if row.estimate is None and row.unit != "months":
        return "–"
    unit = "" if row.estimate is None else f" {row.unit}".replace(" months", " mo.")
    if row.low is None and row.high is None:
        return f"{_number(row.estimate)}{unit}"
    low, high = ("–" if bound is None else f"{bound:.1f}" for bound in (row.low, row.high))
    return f"{_number(row.estimate)}{unit} ({low} to {high})"
