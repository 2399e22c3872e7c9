"""The liver on every labelled scan of LIVERVOL_SHARED: Dice, volume error, mean surface distance, seconds.

    python benchmarks/liver_accuracy.py [--only NAME ...] [--priors FOLDER] [--out TABLE.csv]

The released prior was made from the full-field CT (sabs_*): without ``--priors`` their rows are not of unseen scans.
``--priors`` names a folder of ``SCAN.npz``, priors made without that scan; a scan without one takes the released prior.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livervol.errors import ScanError
from livervol.io.images import read_image, read_labels
from livervol.kernels.distance import distance_to
from livervol.kernels.morphology import erode_mm
from livervol.segment.liver import segment_liver
from livervol.segment.liver_prior import load_prior, read_prior

COLUMNS = ("scan", "dice", "volume_error_percent", "assd_mm", "confidence", "seconds")


@dataclass(frozen=True)
class Case:
    """One scan, its modality and the label that holds its liver (None: any value above zero)."""

    name: str
    image: Path
    label: Path
    value: int | None
    modality: str


def cases(shared: Path) -> Iterator[Case]:
    """Every labelled scan that settings may be chosen on; the evaluate-only scan is left to real_scans.py."""
    scans = shared / "scans"
    for folder in sorted((scans / "train_ct").iterdir()):
        organs = folder / "organs.nii.gz"
        drawn = [folder / "liver_tumour.nii.gz", folder / "liver.nii.gz"]
        label = organs if organs.is_file() else next(path for path in drawn if path.is_file())
        yield Case(folder.name, folder / "ct.nii.gz", label, 6 if label == organs else None, "CT")
    for folder in sorted(scans.glob("chaos_mr_*")):
        yield Case(folder.name, folder / "t2spir.nii.gz", folder / "organs.nii.gz", 1, "MR")


def assd_mm(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, float, float]) -> float:
    """Average symmetric surface distance in mm, between the centres of the outermost voxels of two masks."""
    rims = [mask & ~_inner(mask) for mask in (a, b)]
    there = distance_to(rims[1], spacing_mm)[rims[0]]
    back = distance_to(rims[0], spacing_mm)[rims[1]]
    return float((there.sum() + back.sum()) / (there.size + back.size))


def _inner(mask: np.ndarray) -> np.ndarray:
    # voxels as unit cubes: one layer of face neighbours, whatever the spacing
    return erode_mm(mask, 1.0, (1.0, 1.0, 1.0)).astype(bool)


def measure(case: Case, priors: Path | None) -> dict[str, object]:
    """One row of the table; a refused scan has no figures."""
    scan = read_image(case.image, modality=case.modality, sequence="CT" if case.modality == "CT" else "T2")
    truth = read_labels(case.label).mask(case.value)
    own = priors / f"{case.name}.npz" if priors else None
    prior = read_prior(own) if own and own.is_file() else load_prior()
    start = time.perf_counter()
    try:
        found = segment_liver(scan, prior=prior)
    except ScanError as error:
        print(f"{case.name}: {error}", file=sys.stderr)
        return {"scan": case.name}
    seconds = time.perf_counter() - start
    mask = found.segmentation.mask()
    both = np.count_nonzero(mask & truth)
    sizes = np.count_nonzero(mask), np.count_nonzero(truth)
    return {
        "scan": case.name,
        "dice": round(2 * both / sum(sizes), 4),
        "volume_error_percent": round(100 * (sizes[0] / sizes[1] - 1), 2),
        "assd_mm": round(assd_mm(mask, truth, scan.grid.spacing_mm), 2),
        "confidence": round(found.confidence, 3),
        "seconds": round(seconds, 2),
    }


def main() -> None:
    """Print one row per scan, and write them to --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--priors", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    shared = os.environ.get("LIVERVOL_SHARED")
    if not shared:
        sys.exit("set LIVERVOL_SHARED to the folder that holds scans/")
    rows = []
    print("  ".join(COLUMNS))
    for case in cases(Path(shared)):
        if options.only and case.name not in options.only:
            continue
        rows.append(measure(case, options.priors))
        print("  ".join(str(rows[-1].get(column, "")) for column in COLUMNS), flush=True)
    if options.out:
        with options.out.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
