"""How the liver outline bears thick slices, noise, lesions, cut fields, wrong orientation and fat; with a plot.

    python benchmarks/liver_robustness.py [--work WORK] [--scans NAME ...] [--out PLOT.png]

Labelled scans of LIVERVOL_SHARED (one CT unless named) are spoilt step by step. With ``--work`` (the folder of the fit)
each scan is segmented by the network of its fold, which never saw the patient. Dice is taken on the spoilt scan's own
grid; for a painted lesion also the part of it inside the outline. A refusal counts as such, not as a wrong answer.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from livervol.assets import models_folder
from livervol.errors import ScanError
from livervol.grid import Grid
from livervol.scan import Scan, Segmentation
from livervol.segment.liver import MODEL, segment_liver

sys.path.insert(0, str(models_folder() / MODEL))
from cases import fold_of
from evaluate import fold_models, labelled_scan

SCANS = ("sabs_13",)
PLOT = Path(__file__).resolve().parents[1] / "docs" / "images" / "liver_robustness.png"


@dataclass(frozen=True, eq=False)
class Trial:
    """A spoilt scan with its true liver and, where one was painted, its lesion."""

    sweep: str
    step: float | str
    scan: Scan
    truth: np.ndarray
    lesion: np.ndarray | None = None


def thick(scan: Scan, truth: np.ndarray, slice_mm: float) -> tuple[Scan, np.ndarray]:
    """The scan as slices of ``slice_mm`` would show it: means over the slices' height."""
    fine_mm = min(1.0, slice_mm)
    spacing = scan.grid.spacing_mm
    fine = scan.grid.with_spacing((fine_mm, spacing[1], spacing[2]))
    label = Segmentation(truth.astype(np.uint8), scan.grid, {1: "liver"})
    values, mask = scan.resampled(fine).voxels, label.resampled(fine).mask()
    count = max(1, round(slice_mm / fine_mm))
    whole = values.shape[0] // count
    means = values[: whole * count].reshape(whole, count, *values.shape[1:]).mean(axis=1, dtype=np.float32)
    share = mask[: whole * count].reshape(whole, count, *values.shape[1:]).mean(axis=1)
    matrix = fine.matrix
    matrix[:3, 3] = fine.index_to_lps(((count - 1) / 2, 0, 0))
    matrix[:3, 0] *= count
    grid = Grid.from_matrix(means.shape, matrix)
    return Scan(means.astype(scan.voxels.dtype), grid, scan.modality, scan.sequence), share >= 0.5


def with_lesion(scan: Scan, truth: np.ndarray, diameter_mm: float, contrast: float) -> tuple[Scan, np.ndarray]:
    """A dark ball centred a third of its radius below the liver's right surface, cut off at the surface."""
    index = np.argwhere(truth)
    spacing = np.array(scan.grid.spacing_mm)
    level = np.median(index[:, 0])
    slice_index = index[np.abs(index[:, 0] - level) < 1]
    edge = slice_index[slice_index[:, 2].argmin()]
    centre = edge * spacing + np.array([0, 0, diameter_mm / 6])
    away = np.sqrt(sum((np.arange(n).reshape([-1 if a == b else 1 for b in range(3)]) * spacing[a] - centre[a]) ** 2
                       for a, n in enumerate(truth.shape)))  # fmt: skip
    lesion = (away < diameter_mm / 2) & truth
    voxels = scan.voxels.astype(np.float32)
    voxels[lesion] += contrast
    return replace(scan, voxels=voxels.astype(scan.voxels.dtype)), lesion


def trials(scan: Scan, truth: np.ndarray) -> Iterator[Trial]:
    """Every spoilt version of one scan."""
    random = np.random.default_rng(1)
    one_hu = 1.0 if scan.modality == "CT" else float(np.percentile(scan.voxels, 99.5)) / 365
    yield Trial("as it is", "", scan, truth)
    for slice_mm in (1, 5, 10):
        if slice_mm >= 0.9 * scan.grid.spacing_mm[0] or slice_mm < 2:
            yield Trial("slice thickness (mm)", slice_mm, *thick(scan, truth, slice_mm))
    for sigma in (30, 60):
        noise = random.normal(0, sigma * one_hu, truth.shape)
        yield Trial("noise (HU)", sigma, replace(scan, voxels=(scan.voxels + noise).astype(np.int16)), truth)
    for diameter in (10, 40, 80, 120):
        spoilt, lesion = with_lesion(scan, truth, diameter, -60 * one_hu)
        yield Trial("lesion (mm)", diameter, spoilt, truth, lesion)
    for drop in (60, 120):
        voxels = np.where(truth, scan.voxels - drop * one_hu, scan.voxels).astype(np.int16)
        yield Trial("liver darker (HU)", drop, replace(scan, voxels=voxels), truth)
    rows = np.argwhere(truth)
    for axis, word in ((0, "upper half"), (0, "lower half"), (2, "right half"), (2, "left half")):
        middle = int(np.median(rows[:, axis]))
        low, high = [0, 0, 0], list(truth.shape)
        if word in ("upper half", "left half"):
            low[axis] = middle
        else:
            high[axis] = middle
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        part = Scan(scan.voxels[box], scan.grid.crop(low, high), scan.modality, scan.sequence)
        yield Trial("field cut", word, part, truth[box])
    yield from turned(scan, truth)


def turned(scan: Scan, truth: np.ndarray) -> Iterator[Trial]:
    """Orientation wrong in the header (arrays flipped or turned), and truly oblique slices."""
    for word, change in (
        ("left-right mirrored", lambda a: a[:, :, ::-1]),
        ("front-back mirrored", lambda a: a[:, ::-1]),
        ("upside down", lambda a: a[::-1]),
        ("turned 180 degrees about z", lambda a: a[:, ::-1, ::-1]),
        ("turned 90 degrees about z", lambda a: np.rot90(a, 1, (1, 2))),
        ("feet first, mirrored twice", lambda a: a[::-1, :, ::-1]),
    ):
        voxels, mask = np.ascontiguousarray(change(scan.voxels)), np.ascontiguousarray(change(truth))
        spacing = scan.grid.spacing_mm
        grid = Grid.from_parts(voxels.shape, spacing, scan.grid.origin_lps_mm)
        yield Trial("wrong orientation", word, Scan(voxels, grid, scan.modality, scan.sequence), mask)
    angle = np.radians(20)
    matrix = scan.grid.matrix
    centre = scan.grid.index_to_lps((np.array(truth.shape) - 1) / 2)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix[:3, :3] = turn @ matrix[:3, :3]
    matrix[:3, 3] = turn @ (matrix[:3, 3] - centre) + centre
    grid = Grid.from_matrix(truth.shape, matrix)
    label = Segmentation(truth.astype(np.uint8), scan.grid, {1: "liver"}).resampled(grid)
    yield Trial("oblique slices", "20 degrees", scan.resampled(grid), label.mask())


def measure(trial: Trial, models: dict[str, Any]) -> dict[str, object]:
    """One row of the table."""
    row: dict[str, object] = {"sweep": trial.sweep, "step": trial.step}
    try:
        found = segment_liver(trial.scan, **models)
    except ScanError as error:
        return row | {"said": str(error)[:80]}
    mask = found.segmentation.mask()
    both = np.count_nonzero(mask & trial.truth)
    row["dice"] = round(2 * both / (np.count_nonzero(mask) + np.count_nonzero(trial.truth)), 4)
    row["confidence"] = round(found.confidence, 2)
    if trial.lesion is not None:
        row["lesion_inside"] = round(float(mask[trial.lesion].mean()), 3)
    if found.warnings:
        row["said"] = found.warnings[0][:80]
    return row


def plot(tables: dict[str, list[dict[str, object]]], path: Path) -> None:
    """One panel per sweep, one line per scan."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sweeps = list(dict.fromkeys(row["sweep"] for rows in tables.values() for row in rows if row["sweep"] != "as it is"))
    figure, axes = plt.subplots(2, (len(sweeps) + 1) // 2, figsize=(16, 8), squeeze=False)
    for panel in axes.flat[len(sweeps) :]:
        panel.axis("off")
    for panel, sweep in zip(axes.flat, sweeps, strict=False):
        for colour, (name, rows) in enumerate(tables.items()):
            chosen = [row for row in rows if row["sweep"] == sweep]
            places = [str(row["step"]) for row in chosen]
            panel.plot(places, [row.get("dice", np.nan) for row in chosen], "o-", color=f"C{colour}", label=name)
            panel.plot(places, [row.get("confidence", 0) for row in chosen], ":", color=f"C{colour}", alpha=0.6)
            refused = [n for n, row in enumerate(chosen) if "dice" not in row]
            panel.plot(refused, [0.02] * len(refused), "x", color=f"C{colour}")
        panel.set_title(sweep)
        panel.set_ylim(0, 1.02)
        panel.tick_params(axis="x", rotation=30 if sweep in ("wrong orientation", "field cut") else 0, labelsize=8)
    axes.flat[0].legend(loc="lower left", fontsize=8)
    figure.suptitle("Liver Dice (solid), confidence (dotted), refused (x)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def main() -> None:
    """Print every row and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--scans", nargs="*", default=SCANS)
    parser.add_argument("--out", type=Path, default=PLOT)
    chosen = parser.parse_args()
    shared = os.environ.get("LIVERVOL_SHARED")
    if not shared:
        sys.exit("set LIVERVOL_SHARED to the folder that holds scans/")
    tables: dict[str, list[dict[str, object]]] = {}
    for name in chosen.scans:
        scan, truth = labelled_scan(Path(shared) / "scans", name)
        models = fold_models(chosen.work, fold_of(name)) if chosen.work else {}
        tables[name] = []
        for trial in trials(scan, truth):
            tables[name].append(measure(trial, models))
            print(name, tables[name][-1], flush=True)
    plot(tables, chosen.out)


if __name__ == "__main__":
    main()
