"""``livervol plan``: the operations that clear all tumour, ranked by the liver they leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from livervol.cli.show import wide_console

if TYPE_CHECKING:
    from livervol.records import Measurement
    from livervol.workflows.plan import Plan, PlannedOperation

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def plan(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A visit's output folder.")],
    margin_mm: Annotated[
        float, typer.Option("--margin-mm", help="Least tumour-free margin; 10 wide, 1 narrow.")
    ] = 10.0,
    liver_condition: Annotated[
        str,
        typer.Option(
            "--liver-condition", help="trial, normal, chemotherapy, steatosis, cirrhosis, cnlc_normal, cnlc_cirrhosis."
        ),
    ] = "trial",
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Least FLR in %, instead of the condition's.")
    ] = None,
    height_cm: Annotated[float | None, typer.Option("--height-cm", help="Body height in cm.")] = None,
    weight_kg: Annotated[float | None, typer.Option("--weight-kg", help="Body weight in kg.")] = None,
    sex: Annotated[str, typer.Option("--sex", help="male or female.")] = "",
    vessels: Annotated[
        bool, typer.Option("--vessels", help="Say what each operation does to the visit's portal and hepatic veins.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing plan.json.")] = False,
) -> None:
    """List all standard operations that remove all tumour with the wanted margin, ranked by future liver remnant."""
    from dataclasses import replace

    from livervol.measure.resection import protocol
    from livervol.workflows.plan import PlanSettings, patient_size, plan_visit

    rule = protocol(liver_condition)
    if threshold is not None:
        rule = replace(rule, name=f"{rule.name}, threshold given", threshold_percent=threshold)
    size = patient_size(height_cm, weight_kg, sex)
    settings = PlanSettings(margin_mm, rule, size, vessels=vessels, overwrite=overwrite)
    _show(plan_visit(folder, settings), settings.margin_mm, folder)


def _cell(found: Measurement | None, decimals: int = 1) -> str:
    if found is None or found.value is None:
        return "–"
    text = f"{found.value:.{decimals}f}"
    if found.interval is not None:
        text += f" ({found.interval.low:.{decimals}f}–{found.interval.high:.{decimals}f})"
    return text


_COLUMNS = {
    "FLR % of TLV-TV": ("flr_of_functional_percent", 1),
    "of TLV": ("flr_of_total_percent", 1),
    "sFLR %": ("sflr_percent", 1),
    "FLR ml": ("volume_ml", 0),
    "% of body": ("weight_ratio_percent", 2),
    "margin mm": ("margin_mm", 1),
    "P(enough)": ("probability_at_least_threshold", 2),
}


def _row(row: PlannedOperation) -> list[str]:
    return [row.remnant.operation.name, *(_cell(row.measurements.get(k), d) for k, d in _COLUMNS.values())]


def _vessels_line(row: PlannedOperation) -> str:
    """The proposal on the remnant's vessels in words."""
    intact, cut = row.measurements["vessels.intact"], row.measurements["vessels.branches_cut"]
    answer = {None: "unknown", 0.0: "no", 1.0: "yes"}[intact.value]
    return f"{row.remnant.operation.name}: vessels intact: {answer} (proposal); cuts {cut.value or 0:.0f}: {cut.method}"


def _show(found: Plan, margin_mm: float, folder: Path) -> None:
    console = wide_console()
    table = Table(title=f"Operations that clear all tumour by {margin_mm:g} mm", title_justify="left")
    for title in ("operation", *_COLUMNS):
        table.add_column(title, justify="left" if title == "operation" else "right")
    for row in found.possible:
        table.add_row(*_row(row))
    if found.possible:
        console.print(table)
        chance = found.possible[0].measurements.get("probability_at_least_threshold")
        if chance is not None and chance.value is not None:
            console.print(f"P(enough): {chance.method.split(' against ')[-1].split(';')[0]}", markup=False)
    else:
        console.print(f"no standard operation clears all tumour by {margin_mm:g} mm")
    for row in found.possible:
        if "vessels.intact" in row.measurements:
            console.print(_vessels_line(row), markup=False, highlight=False, soft_wrap=True)
    for row in found.rejected:
        console.print(
            f"not {row.remnant.operation.name}: {row.rejected}", markup=False, highlight=False, soft_wrap=True
        )
    console.print(f"plan with every number: {folder / 'plan.json'}", markup=False, highlight=False, soft_wrap=True)
    warnings = Console(stderr=True)
    for text in found.warnings:
        warnings.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)
