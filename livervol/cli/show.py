"""What the commands print: progress on stderr, tables on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show_course", "show_visit", "steps", "wide_console"]

#: Characters of a table that goes to a file: nothing is cut off there.
_PIPED_WIDTH = 140


def wide_console() -> Console:
    """Standard output, wide enough for a whole table when it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


@contextmanager
def steps(*, quiet: bool = False, prefix: str = "") -> Iterator[Callable[[str], None]]:
    """Yield a function that names the step under way; shown on stderr when that is a terminal."""
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield lambda step: None
        return
    with console.status("starting") as status:
        yield lambda step: status.update(f"{prefix}{step}")


def _cell(value: Any, decimals: int = 1) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def show_visit(document: Mapping[str, Any], folder: Path) -> None:
    """Print a visit's volumes, lesions and quality warnings."""
    console = Console()
    volumes = Table(title=f"Visit in {folder}", title_justify="left")
    volumes.add_column("structure")
    volumes.add_column("volume ml", justify="right")
    liver, tumor = document.get("liver", {}), document.get("tumor", {})
    for label, value in (
        ("liver", liver.get("volume_ml")),
        ("liver without tumour", liver.get("functional_volume_ml")),
        ("tumour", tumor.get("volume_ml")),
        ("viable tumour", tumor.get("viable_volume_ml")),
    ):
        volumes.add_row(label, _cell(value))
    for number, values in document.get("segments", {}).items():
        volumes.add_row(f"segment {number}", _cell(values.get("volume_ml")))
    console.print(volumes)
    for slug, values in document.get("remnant", {}).items():
        percent = values.get("flr_of_functional_percent")
        low, high = values.get("flr_of_functional_percent_interval", (None, None))
        console.print(
            f"{slug}: remnant {_cell(values.get('volume_ml'))} ml, FLR {_cell(percent)} % of the functional liver "
            f"(95 % interval {_cell(low)} to {_cell(high)})",
            markup=False,
            highlight=False,
        )
    lesions = document.get("lesions", [])
    if lesions:
        table = Table(title="Lesions (lengths in mm)", title_justify="left")
        keys = (
            ("ml", "volume_ml"), ("longest", "longest_mm"), ("short", "short_axis_mm"),
            ("viable", "viable_longest_mm"), ("viable ml", "viable_volume_ml"), ("necrosis %", "necrosis_percent"),
        )  # fmt: skip
        table.add_column("lesion")
        for title, _ in keys:
            table.add_column(title, justify="right")
        for lesion in lesions:
            table.add_row(str(lesion["number"]), *(_cell(lesion.get(key)) for _, key in keys))
        console.print(table)
    if not document.get("mrecist_evaluable"):
        console.print(f"mRECIST: not evaluable, {document.get('mrecist_reason', '')}", markup=False)
    for warning in document.get("quality", []):
        console.print(f"! {warning}", markup=False, highlight=False)
    console.print(f"report: {folder / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def show_course(rows: list[Mapping[str, Any]], folder: Path) -> None:
    """Print one line per visit and criterion."""
    console = Console()
    table = Table(title="Course", title_justify="left")
    for column in ("visit", "date", "criterion", "sum mm", "from baseline %", "from nadir %", "response"):
        table.add_column(column, justify="right" if "%" in column or "mm" in column else "left")
    for row in rows:
        table.add_row(
            str(row["visit"]),
            str(row["date"]),
            str(row["criterion"]),
            _cell(row["sum_mm"]),
            _cell(row["change_from_baseline_percent"], 0),
            _cell(row["change_from_nadir_percent"], 0),
            str(row["overall"] or "baseline"),
        )
    console.print(table)
    console.print(f"course: {folder / 'course.json'}", markup=False, highlight=False, soft_wrap=True)
