"""``livervol ledger``: ask, check, export and repair a study's ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from livervol.cli.show import wide_console

__all__ = ["EXIT_UNSOUND", "app"]

#: The ledger was read and something is wrong with it.
EXIT_UNSOUND = 3

Study = Annotated[Path, typer.Argument(metavar="LEDGER", help="study.sqlite, or the folder that holds it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="A study's ledger.")


def _path(study: Path) -> Path:
    return study / "study.sqlite" if study.is_dir() else study


def _print(rows: list[dict[str, Any]], title: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ("nothing recorded",):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_said(value) for value in row.values()))
    wide_console().print(table)


def _said(value: object) -> str:
    if value is None:
        return "–"
    # the table is for eyes; --json has every digit
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@app.command()
def history(
    study: Study,
    patient: Annotated[str, typer.Option("--patient", help="Pseudonym.")],
    visit: Annotated[int | None, typer.Option("--visit", help="Only this visit.")] = None,
    name: Annotated[str, typer.Option("--name", help="A number's name, such as volume_ml: its revisions.")] = "",
    as_json: AsJson = False,
) -> None:
    """Every attempt at a patient's visits, or every revision of a number."""
    from livervol.ledger import open_ledger

    with open_ledger(_path(study), create=False) as ledger:
        _print(ledger.history(patient, visit, name), "History", as_json)


@app.command()
def check(
    study: Study,
    results: Annotated[bool, typer.Option("--results/--no-results", help="Read the result folders too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Whether the ledger is sound; exit 3 when it is not."""
    from livervol.ledger import check as check_ledger
    from livervol.ledger import open_ledger

    with open_ledger(_path(study), create=False) as ledger:
        findings = check_ledger(ledger, results=results)
    if not findings and not as_json:
        print("the ledger is sound")
        return
    _print([{"rule": f.rule, "what": f.sentence, "do": f.do} for f in findings], "Findings", as_json)
    if findings:
        raise typer.Exit(EXIT_UNSOUND)


@app.command()
def repair(
    study: Study, out: Annotated[Path, typer.Option("--out", help="New ledger; the damaged one stays as it is.")]
) -> None:
    """Save every readable row of a damaged ledger into a new one, and say how many."""
    from livervol.ledger import repair as repair_ledger

    report = repair_ledger(_path(study), out)
    rows = [{"table": t, "saved": n, "lost": report.lost[t]} for t, n in report.saved.items()]
    _print(rows, f"Saved into {out.name}", as_json=False)


@app.command()
def export(
    study: Study,
    out: Annotated[Path, typer.Option("--out", help="Folder to write one file per table to.")],
    kind: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    """The ledger's tables as CSV or Parquet."""
    from livervol.ledger import export_tables, open_ledger

    with open_ledger(_path(study), create=False) as ledger:
        written = export_tables(ledger, out, kind, overwrite=overwrite)
    print(f"{len(written)} tables: {out}")
