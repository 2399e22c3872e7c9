"""``livervol run`` and ``livervol measure``: one visit to an output folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from livervol.cli.show import show_visit, steps
from livervol.errors import ScanError, refusal

__all__ = ["measure_app", "run_app"]

Out = Annotated[Path, typer.Option("--out", help="Folder to write; must not exist yet unless --overwrite.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print measurements.json instead of the table.")]
Liver = Annotated[Path | None, typer.Option("--liver", help="Liver mask to use instead of segmenting.")]
Lesions = Annotated[Path | None, typer.Option("--lesions", help="Lesion labels 1..n to use instead of segmenting.")]
Viable = Annotated[Path | None, typer.Option("--viable", help="Viable part, labelled with the lesion's number.")]
Segments = Annotated[Path | None, typer.Option("--segments", help="Couinaud segments 1..8 (41, 42 for IVa, IVb).")]
Vessels = Annotated[Path | None, typer.Option("--vessels", help="Vessels: 1 portal vein, 2 hepatic veins.")]

SegmentsMethod = Annotated[
    str, typer.Option("--segments-method", help="shape, or combined: shape with the vessels that were found.")
]
Resection = Annotated[
    list[str] | None, typer.Option("--resection", help="Operation by name, or segments:5,6; repeatable.")
]
Site = Annotated[
    list[str] | None,
    typer.Option("--site", help="Lesion outside the liver, as NUMBER=SITE (such as 3=lung); repeatable."),
]
HeightCm = Annotated[
    float | None, typer.Option("--height-cm", help="Body height in cm, for the standard liver volume.")
]
WeightKg = Annotated[float | None, typer.Option("--weight-kg", help="Body weight in kg.")]
Sex = Annotated[str, typer.Option("--sex", help="male or female.")]

Language = Annotated[str, typer.Option("--language", help="Language of the report: en or zh.")]
Pdf = Annotated[bool, typer.Option("--pdf", help="Write the report as PDF too.")]
Viewer = Annotated[bool, typer.Option("--viewer", help="Put an interactive viewer into the page (larger).")]

run_app = typer.Typer(add_completion=False, rich_markup_mode=None)
measure_app = typer.Typer(add_completion=False, rich_markup_mode=None)


@run_app.command()
def run(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="A DICOM folder, phase=PATH pairs, or one image.")
    ],
    out: Out,
    liver: Liver = None,
    lesions: Lesions = None,
    viable: Viable = None,
    segments: Segments = None,
    vessels: Vessels = None,
    accept_early_arterial: Annotated[
        bool, typer.Option("--accept-early-arterial", help="Judge viability in an early arterial phase too.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Liver model: a released one, nnunet:FOLDER or totalsegmentator[:FOLDER]."),
    ] = None,
    segments_method: SegmentsMethod = "shape",
    resection: Resection = None,
    site: Site = None,
    height_cm: HeightCm = None,
    weight_kg: WeightKg = None,
    sex: Sex = "",
    language: Language = "en",
    pdf: Pdf = False,
    viewer: Viewer = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Segment, measure and report one visit."""
    from livervol.report.pages import ReportSettings
    from livervol.workflows.plan import patient_size
    from livervol.workflows.visit import GivenMasks, VisitSettings, run_visit

    with steps(quiet=as_json) as progress:
        output = run_visit(
            inputs,
            out,
            given=GivenMasks(liver, lesions, viable, segments, vessels),
            settings=VisitSettings(
                accept_early_arterial,
                overwrite,
                tuple(resection or ()),
                patient_size(height_cm, weight_kg, sex),
                model,
                segments_method,
                ReportSettings(language, pdf, viewer),
                sites=_sites(site or ()),
            ),
            progress=progress,
        )
    _print(output.document, output.folder, as_json)


@measure_app.command()
def measure(
    out: Out,
    liver: Annotated[Path, typer.Option("--liver", help="Liver mask, lesions and vessels included.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE...]", help="Images for the pictures: as for livervol run.")
    ] = None,
    lesions: Lesions = None,
    viable: Viable = None,
    segments: Segments = None,
    vessels: Vessels = None,
    segments_method: SegmentsMethod = "shape",
    resection: Resection = None,
    site: Site = None,
    height_cm: HeightCm = None,
    weight_kg: WeightKg = None,
    sex: Sex = "",
    language: Language = "en",
    pdf: Pdf = False,
    viewer: Viewer = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure masks that already exist and write the same folder as livervol run."""
    from livervol.report.pages import ReportSettings
    from livervol.workflows.plan import patient_size
    from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks

    with steps(quiet=as_json) as progress:
        output = measure_masks(
            GivenMasks(liver, lesions, viable, segments, vessels),
            inputs or [],
            out,
            settings=VisitSettings(
                overwrite=overwrite,
                resections=tuple(resection or ()),
                patient=patient_size(height_cm, weight_kg, sex),
                segments_method=segments_method,
                report=ReportSettings(language, pdf, viewer),
                sites=_sites(site or ()),
            ),
            progress=progress,
        )
    _print(output.document, output.folder, as_json)


def _sites(words: Sequence[str]) -> tuple[tuple[int, str], ...]:
    placed: dict[int, str] = {}
    for word in words:
        number, is_there, site = word.partition("=")
        if not (is_there and number.isascii() and number.isdecimal() and int(number)):
            raise ScanError(refusal("--site cannot be read", expected="NUMBER=SITE, such as 3=lung", got=repr(word)))
        if placed.setdefault(int(number), site) != site:
            raise ScanError(refusal("lesion has two sites", expected="one", got=repr(word), where="--site"))
    return tuple(placed.items())


def _print(document: object, folder: Path, as_json: bool) -> None:
    if as_json:
        json.dump(document, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        print()
    else:
        show_visit(document, folder)  # type: ignore[arg-type]
