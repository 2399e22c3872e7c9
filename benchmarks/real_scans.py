"""``livervol run`` over every scan of LIVERVOL_SHARED: exit code, liver Dice and volume error, seconds, peak memory.

    python benchmarks/real_scans.py [--only NAME ...] [--keep FOLDER] [--out TABLE.csv]

Each scan is a fresh process, as a user would start it; times include reading, writing and the report.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livervol.io.images import read_labels

COLUMNS = ("scan", "exit", "dice", "volume_error_percent", "volume_ml", "lesions", "seconds", "peak_mb", "said")


@dataclass(frozen=True)
class Case:
    """One visit, its INPUT words, and the label that holds its liver (None: any value above zero)."""

    name: str
    words: tuple[str, ...]
    label: Path | None = None
    value: int | None = None


def cases(shared: Path) -> Iterator[Case]:
    """Every visit of the shared scans; the last ones must be refused."""
    scans = shared / "scans"
    for folder in sorted((scans / "train_ct").iterdir()):
        words = (str(folder / "ct.nii.gz"),)
        if (folder / "organs.nii.gz").is_file():
            yield Case(folder.name, words, folder / "organs.nii.gz", 6)
        else:
            yield Case(folder.name, words, folder / "couinaud.nii.gz")
    for folder in sorted(scans.glob("chaos_mr_*")):
        yield Case(folder.name, (str(folder / "t2spir.nii.gz"),), folder / "organs.nii.gz", 1)
    yield Case("chaos_ct_03", (str(scans / "chaos_ct_03" / "dicom"),), scans / "chaos_ct_03" / "liver.nii.gz")
    for visit in ("19971227", "19980314"):
        yield Case(f"hcc_007/{visit}", (str(scans / "hcc_007" / visit), "--accept-early-arterial"))
    yield Case("crlm_1004", (str(scans / "crlm_1004" / "dicom"),))
    for name in ("example_ct", "example_mr_sm"):
        yield Case(f"totalseg {name}", (str(scans / "totalseg_example" / f"{name}.nii.gz"),))
    yield Case("tcga_bc_a10x", (str(scans / "tcga_bc_a10x"),))


def dice_of(got: Path, case: Case) -> tuple[float, float]:
    """Dice and volume error in percent against the case's label."""
    assert case.label is not None
    truth, found = read_labels(case.label), read_labels(got)
    a = truth.mask(case.value)
    b = found.resampled(truth.grid).mask()
    return 2 * np.count_nonzero(a & b) / (a.sum() + b.sum()), 100 * (b.sum() / a.sum() - 1)


def run(case: Case, out: Path) -> dict[str, object]:
    """One row of the table."""
    command = [sys.executable, "-c", "import sys; from livervol.cli import main; sys.exit(main())", "run"]
    started = time.monotonic()
    with (out.parent / "said.txt").open("w+") as said:
        process = subprocess.Popen([*command, *case.words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        said.seek(0)
        row: dict[str, object] = {"scan": case.name, "exit": process.returncode, "seconds": round(seconds, 1),
                                  "peak_mb": usage.ru_maxrss // 1024, "said": said.read().strip()[:160]}  # fmt: skip
    if process.returncode == 0:
        document = json.loads((out / "measurements.json").read_text(encoding="utf-8"))
        row["volume_ml"] = round(document["liver"]["volume_ml"], 1)
        row["lesions"] = len(document["lesions"])
        row["said"] = " | ".join(document["quality"])[:160]
        if case.label is not None:
            dice, error = dice_of(out / "liver.nii.gz", case)
            row["dice"], row["volume_error_percent"] = round(dice, 4), round(error, 1)
    return row


def main() -> None:
    """Print the table and write it as CSV when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of scan names")
    parser.add_argument("--keep", type=Path, help="folder that keeps every output")
    parser.add_argument("--out", type=Path, help="CSV file of the table")
    chosen = parser.parse_args()
    shared = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(shared):
            if chosen.only and not any(case.name.startswith(word) for word in chosen.only):
                continue
            place = (chosen.keep or Path(scratch)) / case.name.replace("/", "_").replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            row = run(case, place / "visit")
            rows.append(row)
            print(*(f"{key}={row[key]}" for key in COLUMNS if key in row), flush=True)
    scores = [float(str(row["dice"])) for row in rows if "dice" in row]
    if scores:
        print(f"{len(scores)} labelled livers: median Dice {np.median(scores):.4f}, least {min(scores):.4f}")
    if chosen.out is not None:
        with chosen.out.open("w", newline="", encoding="utf-8") as table:
            writer = csv.DictWriter(table, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
