"""``livervol models``: the released models, their cards and their self-tests."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from livervol.cli.show import wide_console

__all__ = ["app"]


class Action(StrEnum):
    """What to do with the models."""

    LIST = "list"
    VERIFY = "verify"


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def models(
    action: Annotated[Action, typer.Argument(help="list, or verify sha256 and self-test.")] = Action.LIST,
) -> None:
    """List the released models, or verify each one's weights and self-test."""
    from livervol.segment.model import find_models, self_test

    table = Table(title="Models", title_justify="left")
    for column in ("name", "task", "version", "sha256", "licence"):
        table.add_column(column)
    if action is Action.VERIFY:
        table.add_column("self-test")
    for card in find_models():
        row = [card.name, card.task, card.version, card.sha256[:12], card.licence]
        if action is Action.VERIFY:
            row.append(f"passed, largest difference {self_test(card):.2g}")
        table.add_row(*row)
    console = wide_console()
    if table.row_count:
        console.print(table)
    else:
        console.print("no model is released; segmentation runs without learned weights")
