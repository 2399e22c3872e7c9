"""A synthetic cohort of any size: small livers with lesions that grow, shrink and come, drawn from shapes.

python benchmarks/batch_cohort.py DIR [--patients N] [--visits N]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels
from livervol.scan import Segmentation

SHAPE_ZYX, SPACING_MM = (22, 30, 34), (9.0, 7.5, 7.0)
FIELDS = ("patient", "visit", "date", "path", "liver", "lesions", "viable", "segments")


def grid() -> Grid:
    return Grid.from_parts(SHAPE_ZYX, SPACING_MM, (-110.0, -100.0, -900.0), np.eye(3)[:, ::-1])


def _ball(
    at: tuple[NDArray[np.float64], ...], centre: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.bool_]:
    return sum(((x - c) / r) ** 2 for x, c, r in zip(at, centre, radii, strict=True)) <= 1


def visit_masks(seed: int, visit: int) -> dict[str, NDArray[np.uint8]]:
    """Liver, lesions, their viable part and eight wedges for segments; the same for the same seed and visit."""
    rng = np.random.default_rng([seed, 0])
    extent = np.array(SHAPE_ZYX) * SPACING_MM
    at = tuple(
        ((np.arange(n) + 0.5) * s).reshape([-1 if k == axis else 1 for k in range(3)])
        for axis, (n, s) in enumerate(zip(SHAPE_ZYX, SPACING_MM, strict=True))
    )
    centre = extent * rng.uniform(0.46, 0.54, 3)
    radii = rng.uniform(66, 82, 3)
    liver = _ball(at, centre, radii)
    lesions, viable = np.zeros(SHAPE_ZYX, np.uint8), np.zeros(SHAPE_ZYX, np.uint8)
    for number in range(1, int(rng.integers(2, 4)) + 1):
        place = centre + rng.uniform(-0.5, 0.5, 3) * radii
        size = rng.uniform(14, 22) * (1 + 0.15 * (visit - 1) * rng.uniform(-1, 1))
        ball = _ball(at, place, np.full(3, size)) & liver & (lesions == 0)
        lesions[ball] = number
        viable[ball & _ball(at, place, np.full(3, 0.75 * size))] = number
    wedge = np.floor((np.arctan2(at[1] - centre[1], at[2] - centre[2]) / np.pi + 1) * 2).clip(0, 3)
    segments = (1 + wedge + 4 * (at[0] > centre[0])).astype(np.uint8) * liver
    return {"liver": liver.astype(np.uint8), "lesions": lesions, "viable": viable, "segments": segments}


def make_cohort(folder: Path, patients: int, visits: int) -> Path:
    """Masks of every visit and VISITS.csv, whose path is returned."""
    rows = []
    for patient in range(1, patients + 1):
        for visit in range(1, visits + 1):
            where = folder / f"p{patient:04d}" / f"v{visit}"
            where.mkdir(parents=True)
            for name, labels in visit_masks(patient, visit).items():
                names = {int(v): f"{name} {v}" for v in np.unique(labels) if v}
                write_nifti_labels(where / f"{name}.nii.gz", Segmentation(labels, grid(), names))
            masks = {name: f"{where.relative_to(folder)}/{name}.nii.gz" for name in FIELDS[4:]}
            date = f"20{20 + patient % 5}-{1 + 2 * (visit - 1) % 12:02d}-{1 + patient % 28:02d}"
            rows.append({"patient": f"P{patient:04d}", "visit": visit, "date": date, "path": "", **masks})
    table = folder / "VISITS.csv"
    with table.open("w", encoding="utf-8", newline="") as handle:
        out = csv.DictWriter(handle, FIELDS, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--visits", type=int, default=4)
    chosen = parser.parse_args()
    print(make_cohort(chosen.folder, chosen.patients, chosen.visits))
