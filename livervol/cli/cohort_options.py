"""The arguments of every verb that reads a cohort's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Changes", "Events", "Protocol", "Responses", "Subjects"]

Responses = Annotated[Path, typer.Argument(help="Responses as livervol respond writes them, CSV or Parquet.")]
Subjects = Annotated[Path, typer.Option("--subjects", help="One row per patient: first_dose, death, surgery ...")]
Events = Annotated[Path | None, typer.Option("--events", help="One row per event: therapy, labs, ecog ...")]
Protocol = Annotated[str, typer.Option("--protocol", help="trial, trial_ema, recist_six_weeks, or a TOML file.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="A protocol parameter as NAME=VALUE, repeatable.")]
