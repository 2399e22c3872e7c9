"""The validation page from recorded figures: sentences here, numbers never."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import numpy as np
from validation_results import (
    MISSING,
    Record,
    conformance,
    course,
    real,
    repeatability,
    section,
    shapes,
    stamped,
    table,
)

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"


NOTE = "<!-- made by benchmarks/validation.py: measure again instead of changing it -->"

#: What was not validated and is no number: said plainly.
NOT_VALIDATED = (
    "T1-weighted and hepatobiliary MR: no labelled data. Nothing on this page speaks for them.",
    "Cirrhotic livers as a group, livers after resection, children, situs inversus.",
    "Viability against pathology: no specimen was available. Readers' sums of one patient are below; they are "
    "no truth.",
    "Kinds of vessels (portal or hepatic) and thrombus on real scans: no drawn truth.",
    "Lesion tracking over real courses: one patient with two visits.",
    "Couinaud segments against vessels drawn in the same patients: the reference maps are partly schematic.",
    "Repeat scans of the same patient, and the same patient on two scanners.",
    "Readers: how fast and how well people correct with the plugin.",
    "Other viewers and archives than those named: 3D Slicer, OHIF, and PACS other than Orthanc were not tried.",
    "CDISC's own validators on the SDTM datasets.",
)


def page(record: Record) -> str:
    """The page as Markdown; sections that were never measured say so."""
    parts = [
        NOTE,
        "# Validation",
        "What livervol was compared with and how it did. Every figure on this page was computed by "
        "`python benchmarks/validation.py` or is a score recorded with a released model; the date, version and "
        "commit stand "
        "under each. Figures on real scans come from the shared evaluation data, which are not part of the "
        "project: where "
        "they are absent, the recorded figures stay.",
        "**Cross-validated** means: by a network and an atlas that never saw the patient. Settings were "
        "nevertheless chosen "
        "while looking at some of these scans, so the figures are slightly favourable. **Not a medical device.**",
        *not_validated(),
        *liver(record),
        *segments(),
        *course(record),
        *real(record),
        *shapes(record),
        *conformance(record),
        *repeatability(record),
        *speed(record),
        *cards(),
    ]
    return "\n\n".join(parts) + "\n"


def recorded(path: Path) -> str:
    """The day a file was last changed, where the checkout's history tells."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cs", "--", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return f", recorded {done.stdout.strip()}" if done.returncode == 0 and done.stdout.strip() else ""


def not_validated() -> list[str]:
    """What nobody has checked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = [c.rpartition(" :: ")[2] for c in project["project"]["classifiers"] if "Python :: 3." in c]
    checked = project["tool"]["mypy"]["python_version"]
    others = [version for version in named if version != checked]
    python = f"Python {', '.join(others)}: declared, not exercised. The checks run on {checked}." if others else ""
    systems = "Windows and macOS: not exercised. The checks run on Linux."
    return ["## What was not validated", "\n".join(f"- {line}" for line in (*NOT_VALIDATED, python, systems) if line)]


def released(task: str) -> tuple[Path, str]:
    """The newest released model of a task that has scores, and a link to its card."""
    found = [
        (int(card["version"]), path.parent)
        for path in MODELS.glob("*/model.toml")
        if (card := tomllib.loads(path.read_text(encoding="utf-8")))["task"] == task
        and (path.parent / "scores.json").is_file()
    ]
    folder = max(found)[1]
    return folder, f"[{folder.name}](../models/{folder.name}/card.md)"


def liver(record: Record) -> list[str]:
    """Scores of the liver model."""
    folder, link = released("liver")
    path = folder / "scores.json"
    scores = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (name, s["scans"], f"{s['dice_mean']:.3f}", f"{s['dice_median']:.3f}", f"{s['dice_worst']:.3f}",
         f"{s['volume_error_percent_mean']:.1f}", f"{s['volume_error_percent_median']:.1f}", f"{s['assd_mm_mean']:.1f}")
        for name, s in scores["sets"].items()
    ]  # fmt: skip
    head = ("set, cross-validated", "scans", "Dice mean", "median", "worst", "absolute volume error mean %", "median %",
            "surface distance mm")  # fmt: skip
    ranks = ", ".join(f"{name} {value:.2f}" for name, value in scores["confidence_rank_correlation"].items())
    parts = [
        "## Liver",
        f"Model {link}{recorded(path)}.",
        table(head, rows),
        f"Rank correlation of the liver's confidence with the true Dice: {ranks}.",
    ]
    held = section(record, "held_out")
    if held is None:
        return [*parts, MISSING]
    return [
        *parts,
        f"One donor CT kept out of every setting ({held['voxels']}): Dice {held['dice']:.3f}, volume "
        f"{held['volume_error_percent']:+.1f} %, confidence {held['confidence']:.2f}.",
        stamped(record, "held_out"),
    ]


def segments() -> list[str]:
    """Scores of the segment model."""
    folder, link = released("couinaud")
    path = folder / "scores.json"
    scores = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (name.replace("_", " "), f"{errors['median']:.1f}", f"{errors['p90']:.1f}", f"{errors['bias']:+.1f}",
         f"{scores['flr_error_points_landmarks'][name]['median']:.1f}",
         f"{scores['interval'][name]['coverage_percent']:.0f}",
         f"{scores['interval'][name]['median_width_points']:.1f}")
        for name, errors in scores["flr_error_points"].items()
    ]  # fmt: skip
    head = ("operation", "FLR % error, median points", "90th percentile", "bias", "median with landmarks",
            "interval holds the truth, %", "its median width, points")  # fmt: skip
    dices = ", ".join(f"{value:.2f}" for value in scores["dice"]["segments"])
    return [
        "## Couinaud segments and remnants",
        f"Model {link}; scores{recorded(path)}. {scores['livers']} test livers on which nothing was fitted.",
        f"Mean Dice {scores['dice']['mean']:.3f}; segments I to VIII: {dices}.",
        table(head, rows),
        f"Intervals are meant to hold the truth in 95 %; over all operations they did in "
        f"{scores['interval_coverage_percent']:.1f} %.",
    ]


def speed(record: Record) -> list[str]:
    """CPU seconds of what was measured above."""
    scores = json.loads((released("liver")[0] / "scores.json").read_text(encoding="utf-8"))["scans"]
    per_scan = [row["cpu_s"] for row in scores.values() if "cpu_s" in row]
    rows = []
    if per_scan:
        rows.append(("liver of a real scan, cross-validation", len(per_scan), f"{np.median(per_scan):.0f}"))
    for name, words in (("held_out", "liver of the donor CT"), ("repeatability", "liver of a sample scan")):
        values = section(record, name)
        if values:
            rows.append((words, 1, f"{values['cpu_s']:.0f}"))
    values = section(record, "course")
    if values and values["cpu_s"] is not None:
        rows.append(("sample course: three visits of three phases, everything", 1, f"{values['cpu_s']:.0f}"))
    parts = ["## Speed", table(("what", "runs", "CPU seconds, median"), rows)]
    more = "[Many visits](cohorts.md#how-fast) has the throughput of cohorts"
    if (ROOT / "docs" / "performance.md").is_file():
        more += ", [Performance](performance.md) everything else"
    return [*parts, f"{more}."]


def cards() -> list[str]:
    """Links to the models' cards."""
    rows = []
    for path in sorted(MODELS.glob("*/model.toml")):
        card = tomllib.loads(path.read_text(encoding="utf-8"))
        link = f"[{card['name']}](../models/{path.parent.name}/card.md)"
        rows.append((link, card["task"], card["version"], f"`{card['sha256'][:12]}`", card["licence"]))
    return ["## Models", table(("card", "task", "version", "sha256", "licence"), rows)]
