"""``livervol deidentify``: a folder of DICOM copied without what names the patient."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN", help="DICOM folder of one patient, searched recursively.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not exist yet unless --overwrite.")],
    pseudonym: Annotated[str, typer.Option("--pseudonym", help="What stands for name and patient ID.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="Key file, mode 0600, made when absent; keep it for later visits.")
    ] = None,
    dates: Annotated[
        str, typer.Option("--dates", help="shift (by days fixed for the patient), keep or remove.")
    ] = "shift",
    keep_characteristics: Annotated[
        bool, typer.Option("--keep-characteristics", help="Keep age, sex, size and weight.")
    ] = False,
    keep_burned_in: Annotated[
        bool, typer.Option("--keep-burned-in", help="Copy pictures with burned-in annotation too.")
    ] = False,
    report: Annotated[Path | None, typer.Option("--report", help="Write the counts as JSON here too.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")] = False,
) -> None:
    """Copy DICOM without identifiers (DICOM PS3.15 basic profile) and say what was removed."""
    from livervol.files import write_text
    from livervol.io.deidentify import Rules, deidentify, load_key

    done = deidentify(
        source,
        out,
        pseudonym,
        key=load_key(key),
        rules=Rules(dates, keep_characteristics, keep_burned_in),  # type: ignore[arg-type]
        overwrite=overwrite,
    )
    if report is not None:
        write_text(report, done.as_json(), overwrite=overwrite)
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{done.files} files in {done.series} series: {out}")
    for what, counts in (("removed", done.removed), ("emptied", done.emptied), ("replaced", done.replaced)):
        print(f"{what}: " + (", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "nothing"))
