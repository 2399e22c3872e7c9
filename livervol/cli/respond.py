"""``livervol respond``: responses per patient, reader and visit from a table of lesions or sums, or a ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from livervol.cli.show import wide_console
from livervol.errors import CriteriaError, refusal
from livervol.records import Course, ResponseRow

__all__ = ["Tally", "app", "parse_parameters", "respond_courses"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SHOWN_ROWS = 40
_SHOWN_WARNINGS = 20


@dataclass
class Tally:
    """What a run found, kept small: counts, the first rows, the warnings."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_rows: list[ResponseRow] = field(default_factory=list)
    rows: int = 0
    warnings: list[str] = field(default_factory=list)

    def add(self, row: ResponseRow) -> None:
        """Take one row in."""
        self.rows += 1
        self.counts[row.criterion, row.overall] += 1
        if len(self.first_rows) <= _SHOWN_ROWS:
            self.first_rows.append(row)


def parse_parameters(texts: Iterable[str]) -> dict[str, float | str | bool]:
    """``name=value`` texts as a mapping: numbers, true, false, else words."""
    parameters: dict[str, float | str | bool] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise CriteriaError(refusal("--set", expected="name=value", got=repr(text)))
        parameters[name.strip()] = _value(value.strip())
    return parameters


def _value(text: str) -> float | str | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def respond_courses(
    courses: Iterable[Course],
    criterion: str,
    parameters: Mapping[str, float | str | bool],
    tally: Tally,
) -> Iterator[ResponseRow]:
    """The rows of every course, one course in memory at a time; what is implausible goes to ``tally.warnings``."""
    from livervol.response import assess
    from livervol.response.plausibility import implausible_courses, implausible_responses

    for course in courses:
        tally.warnings += implausible_courses(course)
        rows = assess(course, criterion, parameters)
        for name in dict.fromkeys(row.criterion for row in rows):
            tally.warnings += implausible_responses([row for row in rows if row.criterion == name])
        for row in rows:
            tally.add(row)
            yield row


@app.command()
def respond(
    table: Annotated[
        Path | None,
        typer.Argument(
            help="CSV or Parquet: one row per lesion and visit, or sums; or a batch's study.sqlite, in which the "
            "responses are recorded too."
        ),
    ] = None,
    criterion: Annotated[
        str, typer.Option("--criterion", help="mrecist, recist11, easl, who, choi, volumetric, irecist, lirads, all.")
    ] = "mrecist",
    out: Annotated[Path | None, typer.Option("--out", help="Response file to write: .csv or .parquet.")] = None,
    pd_floor_mm: Annotated[
        float | None,
        typer.Option("--pd-floor-mm", help="Absolute increase PD needs; unless given 0 for mrecist, 5 for recist11."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Another parameter as NAME=VALUE, repeatable; see --rules.")
    ] = None,
    sdtm: Annotated[
        Path | None, typer.Option("--sdtm", help="Folder of SDTM TU and TR (csv, xpt, Dataset-JSON) instead of TABLE.")
    ] = None,
    show_rules: Annotated[bool, typer.Option("--rules", help="Print the criterion's parameters and rules.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing response file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
) -> None:
    """Derive responses per patient, reader and visit, each with its reasons."""
    from livervol.io.response_tables import write_responses

    parameters = parse_parameters(settings or ())
    if pd_floor_mm is not None:
        parameters["min_abs_increase_mm"] = pd_floor_mm
    if show_rules:
        _print_rules(criterion, parameters)
        return
    if (table is None) == (sdtm is None) or out is None:
        raise CriteriaError(
            refusal("respond", expected="TABLE or --sdtm DIR, and --out FILE", got="another mix", do="See --help.")
        )
    tally = Tally()
    kept: list[ResponseRow] = []
    with _courses(table, sdtm, tally) as (courses, record):
        rows = respond_courses(courses, criterion, parameters, tally)
        write_responses(_kept(rows, kept) if as_json or record else rows, out, overwrite=overwrite)
        if record:
            record(kept)
    _warn(tally.warnings)
    if as_json:
        print(json.dumps([asdict(row) for row in kept], indent=1))
    else:
        _show(tally, out)


#: The courses, and where their responses are recorded, if anywhere.
Source = tuple[Iterable[Course], Callable[[Sequence[ResponseRow]], int] | None]


@contextmanager
def _courses(table: Path | None, sdtm: Path | None, tally: Tally) -> Iterator[Source]:
    if sdtm is not None:
        from livervol.io.sdtm import read_sdtm_courses

        yield read_sdtm_courses(sdtm), None
        return
    assert table is not None
    if table.is_dir():
        table = table / "study.sqlite"
    if table.suffix == ".sqlite":
        from livervol.ledger import courses, open_ledger

        with open_ledger(table, create=False) as ledger:
            yield courses(ledger), ledger.record_responses
        return
    from livervol.io.response_tables import read_response_table

    read = read_response_table(table)
    tally.warnings += read.warnings
    yield read, None


def _kept(rows: Iterable[ResponseRow], into: list[ResponseRow]) -> Iterator[ResponseRow]:
    for row in rows:
        into.append(row)
        yield row


def _print_rules(criterion: str, parameters: Mapping[str, float | str | bool]) -> None:
    from livervol.response import CRITERIA, rules

    names = [n for n in CRITERIA if n != "all"] if criterion == "all" else [criterion]
    print("\n\n".join(str(rules(name, parameters)) for name in names))


def _warn(warnings: list[str]) -> None:
    console = Console(stderr=True)
    for text in warnings[:_SHOWN_WARNINGS]:
        console.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)
    if len(warnings) > _SHOWN_WARNINGS:
        console.print(f"warning: {len(warnings) - _SHOWN_WARNINGS} more", markup=False, highlight=False)


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.1f}"


def _show(tally: Tally, out: Path) -> None:
    console = wide_console()
    if tally.rows <= _SHOWN_ROWS:
        table = Table(title="Responses", title_justify="left")
        for title in ("patient", "reader", "visit", "criterion", "sum", "from baseline %", "from nadir %"):
            table.add_column(title, justify="right" if "%" in title or title == "sum" else "left")
        for title in ("target", "non-target", "new", "overall"):
            table.add_column(title)
        for row in tally.first_rows:
            changes = (row.change_from_baseline_percent, row.change_from_nadir_percent)
            numbers = [_number(row.sum_mm), *(_number(change, "+") for change in changes)]
            words = [row.target, row.non_target, row.new_lesion, row.overall or "baseline"]
            table.add_row(row.patient, row.reader, str(row.visit), row.criterion, *numbers, *words)
    else:
        table = Table(title=f"Responses of {tally.rows} visits", title_justify="left")
        for title in ("criterion", "overall", "visits"):
            table.add_column(title, justify="right" if title == "visits" else "left")
        for (name, overall), count in sorted(tally.counts.items()):
            table.add_row(name, overall or "baseline", str(count))
    console.print(table)
    console.print(f"responses with reasons: {out}", markup=False, highlight=False, soft_wrap=True)
