"""The measured parts of the validation page: sentences here, numbers from the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]

MISSING = "Not measured yet."


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def stamped(record: Record, name: str) -> str:
    """When and with what a section was measured."""
    entry = record[name]
    commit = f", commit {entry['commit']}" if entry["commit"] else ""
    return (
        f"*Measured {entry['date']} with livervol {entry['version']}{commit}, Python {entry['python']}, "
        f"numpy {entry['numpy']}, {entry['machine']}.*"
    )


def section(record: Record, name: str) -> Any:
    """The values of a section, or None where it was never measured."""
    return record[name]["values"] if name in record else None


MISSING = "Not measured yet."


def course(record: Record) -> list[str]:
    """The generated course against its truth."""
    parts = ["## Whole job on the generated course", "Three visits of a virtual patient whose every number is known."]
    values = section(record, "course")
    if values is None:
        return [*parts, MISSING]
    visits = [
        (v["visit"], f"{v['dice']:.3f}", f"{v['volume_error_percent']:+.1f}", v["false_lesions"])
        for v in values["visits"]
    ]
    rows = [
        (one["visit"], one["lesion"], pair(one, "longest_mm"), pair(one, "viable_longest_mm"), pair(one, "volume_ml"),
         pair(one, "necrosis_percent"))
        for one in values["lesions"]
    ]  # fmt: skip
    held = [one[f"{name}_held"] for one in values["lesions"] for name in ("longest_mm", "viable_longest_mm")]
    answers = values["responses"]
    return [
        *parts,
        table(("visit", "liver Dice", "volume error %", "false lesions"), visits),
        "True value, then measured:",
        table(("visit", "lesion", "longest mm", "viable longest mm", "volume ml", "necrosis %"), rows),
        f"{sum(held)} of {len(held)} diameters lie in their 95 % interval. {answers['right']} of "
        f"{answers['asked']} responses "
        "(mRECIST and RECIST 1.1) are the true ones. Some settings were chosen on these scans.",
        stamped(record, "course"),
    ]


def pair(one: Mapping[str, Any], name: str) -> str:
    """True value and measured value."""
    got = one[name]
    return f"{one[f'true_{name}']:.1f}, " + ("not found" if got is None else f"{got:.1f}")


def real(record: Record) -> list[str]:
    """Phases, lesions, vessels and readers on real scans."""
    parts = ["## Real scans"]
    phases = section(record, "phases")
    parts.append("### Contrast phases")
    if phases is None:
        parts.append(MISSING)
    else:
        rows = [(kind, v["series"], v["right"], v["wrong"], v["open"]) for kind, v in phases.items()]
        head = ("series of known phase", "series", "right", "wrong", "left open")
        parts += [table(head, rows), "Rules were added after seeing some of these series.", stamped(record, "phases")]
    parts.append("### Lesions of 10 mm equivalent diameter or more")
    parts += _lesions(record)
    parts.append("### Vessels")
    found = section(record, "vessels")
    parts += [MISSING] if found is None else [
        f"One CT with drawn vessels, kinds put together: {100 * found['precision']:.0f} % of what was found "
        "lies within "
        f"2 mm of a drawn vessel, {100 * found['recall']:.0f} % of what was drawn within 2 mm of a found one.",
        stamped(record, "vessels"),
    ]  # fmt: skip
    parts.append("### Readers")
    parts += _readers(record)
    return parts


def _lesions(record: Record) -> list[str]:
    values = section(record, "lesions")
    if values is None:
        return [MISSING]
    rows = [
        (r["scan"], r["drawn"], r["found"], r["false"], f"{np.median(r['click_dice']):.2f}" if r["click_dice"] else "")
        for r in values["rows"]
    ]
    every = [score for r in values["rows"] for score in r["click_dice"]]
    total = {name: sum(r[name] for r in values["rows"]) for name in ("drawn", "found", "false")}
    return [
        "Searched within the drawn liver, portal venous phase alone. Several of these scans are the same "
        "patient or near "
        "copies (006 to 010), and most were looked at while settings were chosen.",
        table(("scan", "drawn", "found", "false", "one click: Dice, median"), rows),
        f"Together {total['found']} of {total['drawn']} found, {total['false']} false; {len(every)} clicks, "
        "Dice median "
        f"{np.median(every):.2f}.",
        stamped(record, "lesions"),
    ]


def _readers(record: Record) -> list[str]:
    values = section(record, "readers")
    if values is None:
        return [MISSING]
    rows = [
        (r["criterion"], r["reader"], number(r["baseline_mm"]), number(r["followup_mm"]), change(r), r["response"])
        for r in sorted(values["rows"], key=lambda r: (r["criterion"], r["reader"]))
    ]
    return [
        "One patient before and after TACE with lipiodol, untouched by a reader, beside three readers' "
        "published sums. The "
        "readers are no truth, and one patient is one patient. The scan after TACE has an early arterial phase only.",
        table(("criterion", "who", "before mm", "after mm", "change %", "response"), rows),
        "Where livervol chose other lesions as targets than the readers, sums differ for that reason too.",
        stamped(record, "readers"),
    ]


def number(value: float | None) -> str:
    """One digit, or a dash."""
    return "–" if value is None else f"{value:.1f}"


def change(row: Mapping[str, Any]) -> str:
    """Change of a sum in percent."""
    if row["baseline_mm"] is None or row["followup_mm"] is None:
        return "–"
    return f"{100 * (row['followup_mm'] / row['baseline_mm'] - 1):+.0f}"


def shapes(record: Record) -> list[str]:
    """Balls of known size."""
    values = section(record, "shapes")
    parts = ["## Volumes and diameters of known shapes"]
    if values is None:
        return [*parts, MISSING]
    rows = []
    for grid in dict.fromkeys(row["grid"] for row in values["rows"]):
        mine = [row for row in values["rows"] if row["grid"] == grid]
        volume = max(abs(row["volume_error_percent"]) for row in mine)
        errors = [row["longest_error_mm"] for row in mine]
        sizes = f"{min(r['diameter_mm'] for r in mine):g} to {max(r['diameter_mm'] for r in mine):g}"
        rows.append((grid, sizes, f"{volume:.1f}", f"{min(errors):+.2f} to {max(errors):+.2f}",
                     f"{mine[0]['in_plane_diagonal_mm']:.2f}"))  # fmt: skip
    head = (
        "grid, tilted",
        "balls mm",
        "largest volume error %",
        "error of the longest diameter mm",
        "voxel diagonal mm",
    )
    return [*parts, table(head, rows), stamped(record, "shapes")]


def conformance(record: Record) -> list[str]:
    """Truth tables, oracles, independent programs."""
    parts = ["## Conformance"]
    tables = section(record, "truth_tables")
    if tables:
        rows = [(r["of"], r["asked"], r["right"]) for r in tables["rows"]]
        parts += ["### Our truth tables", "Lines written from the criteria's own texts, meant for clinicians "
        "to read and "
                  "correct (`tests/response`).", table(("of", "checks", "as written"), rows),
                  stamped(record, "truth_tables")]  # fmt: skip
    answers = section(record, "oracles")
    parts.append("### Answers nobody in this project made")
    if answers is None:
        parts.append(MISSING)
    else:
        rows = [(r["of"], r["asked"], r["right"]) for r in answers["rows"]]
        published = [(r["of"], r["answers"], r["passed"], r["failed"], r["skipped"]) for r in answers["published"]]
        parts += [
            table(("source", "compared", "equal"), rows),
            "Left out of the counts: one published sequence that keeps a partial response after it was lost. livervol "
            "calls it stable, as RECIST 1.1 has it.",
            table(("source", "answers in it", "tests passed", "failed", "skipped"), published),
            stamped(record, "oracles"),
        ]
    parts.append("### Independent programs on our DICOM")
    found = section(record, "independent_programs")
    if found is None:
        return [*parts, MISSING]
    rows = [
        (r["of"], ", ".join(f"{n} ({v})" for n, v in r["programs"].items()), r["passed"], r["failed"], r["skipped"])
        for r in found["rows"]
    ]
    return [*parts, table(("object", "programs", "tests passed", "failed", "skipped"), rows),
            stamped(record, "independent_programs")]  # fmt: skip


def repeatability(record: Record) -> list[str]:
    """The same scan again and changed a little."""
    values = section(record, "repeatability")
    parts = ["## Repeatability"]
    if values is None:
        return [*parts, MISSING]
    first = values["rows"][0]["volume_ml"]
    rows = [
        (r["change"], f"{r['volume_ml']:.1f}", f"{100 * (r['volume_ml'] / first - 1):+.2f}", f"{r['dice']:.4f}",
         "yes" if r["same"] else "no")
        for r in values["rows"]
    ]  # fmt: skip
    head = ("change of the sample scan", "liver ml", "difference %", "Dice with the first", "the same voxels")
    return [
        *parts,
        "The same input gives the same bytes on one machine, whatever the number of workers ([cohorts](cohorts.md)). "
        "Small changes of one generated scan move the liver by:",
        table(head, rows),
        "This is no repeat scan of a patient.",
        stamped(record, "repeatability"),
    ]
