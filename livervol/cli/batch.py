"""``livervol batch``: many visits, resumed after any interruption."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from livervol.cli.show import steps
from livervol.errors import LivervolError, refusal

if TYPE_CHECKING:
    from livervol.batch import BatchReport

__all__ = ["EXIT_FAILED_VISITS", "EXIT_INTERRUPTED", "app"]

EXIT_FAILED_VISITS = 3
#: What shells give a program that SIGINT ended.
EXIT_INTERRUPTED = 130

_SHOWN_FAILURES = 20

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def batch(
    visits: Annotated[
        Path, typer.Argument(metavar="VISITS.csv|TREE", help="Table of visits, or a tree of DICOM to find them in.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the study: results, ledger, index. Resumed if there.")],
    workers: Annotated[int, typer.Option("--workers", min=0, help="Worker processes; 0: one per core.")] = 0,
    scheduler: Annotated[str, typer.Option("--scheduler", help="tcp://host:port of a dask scheduler.")] = "",
    shard: Annotated[str, typer.Option("--shard", help="i/n: only the i-th of n parts, for job arrays.")] = "",
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", min=0.1, help="Memory for all workers; else 80 % of what is free.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try refused visits again.")] = False,
    root: Annotated[
        Path | None, typer.Option("--root", help="Tree that paths are relative to and may not leave; else the table's.")
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="With a TREE: write OUT/VISITS.csv and stop.")] = False,
    resection: Annotated[
        list[str] | None, typer.Option("--resection", help="Operation by name, or segments:5,6; repeatable.")
    ] = None,
    accept_early_arterial: Annotated[
        bool, typer.Option("--accept-early-arterial", help="Judge viability in an early arterial phase too.")
    ] = False,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each worker's kernels.")] = 1,
    language: Annotated[str, typer.Option("--language", help="Language of the visits' reports: en or zh.")] = "en",
) -> None:
    """Run every visit of a table once; exit 3 when some have failed, 130 when interrupted."""
    from livervol.batch import BatchSettings, TaskSettings, read_visits, run_batch
    from livervol.measure.resection import operation
    from livervol.report.pages import ReportSettings

    if scheduler and (shard or workers):
        got = "--scheduler with --shard or --workers"
        raise LivervolError(refusal("batch executor", expected="--workers, --scheduler or --shard", got=got))
    for slug in resection or ():
        operation(slug)
    ReportSettings(language).check()
    if visits.is_dir():
        if root is not None:
            raise LivervolError(refusal("--root", expected="a table of visits", got="a tree, which is its own root"))
        visits, root = _found(visits, out), visits
    if list_only:
        return
    settings = BatchSettings(
        TaskSettings(accept_early_arterial, tuple(resection or ()), language),
        workers,
        scheduler,
        _shard(shard),
        None if memory_gb is None else 1024 * memory_gb,
        retry_failed,
        threads,
    )
    table = read_visits(visits, root)
    for warning in table.warnings:
        typer.echo(f"warning: {warning}", err=True)
    report = run_batch(table, out, settings)
    _show(report, out)
    if report.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not report.complete:
        raise typer.Exit(EXIT_FAILED_VISITS)


def _found(tree: Path, out: Path) -> Path:
    from livervol.batch import discover
    from livervol.batch.discovery import TABLE_FILE

    with steps() as progress:
        warnings = discover(tree, out, progress=progress)
    for warning in warnings[:_SHOWN_FAILURES]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"visits found: {out / TABLE_FILE}", err=True)
    return out / TABLE_FILE


def _shard(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise LivervolError(refusal("--shard", expected="i/n with 1 <= i <= n", got=repr(text)))
    return int(found[1]), int(found[2])


def _show(report: BatchReport, out: Path) -> None:
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for row, sentence in report.failed[:_SHOWN_FAILURES]:
        say(f"failed: {row.place}: {sentence}")
    if len(report.failed) > _SHOWN_FAILURES:
        say(f"and {len(report.failed) - _SHOWN_FAILURES} more: see the sentence column of index.csv")
    if report.waiting:
        say(f"{report.waiting} visits wait for others; run the same command again to go on")
    if report.stopped:
        say(f"stopped early: {report.stopped}")
    new = report.done - report.found
    pace = f", {3600 * new / report.seconds:.0f} visits/h" if new and report.seconds else ""
    print(
        f"{report.done} of {report.visits} visits done ({report.found} before), {len(report.failed)} failed, "
        f"{report.seconds:.0f} s{pace}, peak {report.peak_mb / 1024:.1f} GB a visit: {out}"
    )
