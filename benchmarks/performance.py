"""Every kernel against its peers, and whole visits: the table and plot of docs/performance.md, by one command.

    python benchmarks/performance.py [--only FAMILY ...] [--keep FOLDER] [--out docs]

Each family runs in a process of its own and checks equality before it is timed; a difference ends this with exit code
1 and no page. ``--keep`` stores each family's rows there and takes those already stored instead of running it again.
Peers that are not installed are left out (``pip install "livervol[bench]"``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
FAMILIES = (
    "components", "tally", "distance", "morphology", "fill", "smooth", "front", "tubeness", "resample", "surface",
    "diameter", "scaling", "visit",
)  # fmt: skip
PEERS = (
    "numpy", "numba", "scipy", "scikit-image", "SimpleITK", "connected-components-3d", "edt", "fill-voids", "PyMaxflow",
)  # fmt: skip

Row = dict[str, Any]


def rows_of(family: str, folder: Path, tiny: bool) -> Any:
    """The rows of one family, run now unless they are kept in ``folder``."""
    path = folder / f"{family}.json"
    if not path.is_file():
        words = [sys.executable, str(FOLDER / f"{family}.py"), "--json", str(path), *(["--tiny"] if tiny else [])]
        done = subprocess.run(words, text=True, capture_output=True, check=False)
        print(done.stdout, end="", flush=True)
        if done.returncode:
            path.unlink(missing_ok=True)
            sys.exit(f"{family} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return json.loads(path.read_text(encoding="utf-8"))


def short(seconds: float) -> str:
    """A time as a reader wants it."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def kernel_table(rows: list[Row]) -> list[str]:
    """One line for each operation."""
    lines = [
        "| operation | livervol | best peer | ratio | equal | memory beyond input | times the floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds = dict(row["seconds"])
        ours = seconds.pop("livervol")
        best = min(seconds, key=seconds.__getitem__, default="")
        equal = {None: "times only", True: "yes", False: "NO"}[row["equal"]]
        floor = f"{ours / row['floor_s']:.1f}" if row["floor_s"] else ""
        peer = f"{best} {short(seconds[best])}" if best else "none found"
        ratio = f"{row['ratio']:.1f}x" if best else ""
        cells = (row["title"], short(ours), peer, ratio, equal, f"{row['extra_mb']:.0f} MB", floor)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


#: Wall, CPU seconds and peak MB of the same visit on a quiet machine of two cores before steps ran beside each other
#: and before coarse looks at a scan were taken without a copy in double precision.
BEFORE: dict[str, tuple[float, float, int]] = {
    "importing": (2.84, 2.94, 205),
    "reading": (1.47, 1.47, 410),
    "recognising phases": (5.42, 5.48, 1083),
    "finding the liver": (11.54, 16.73, 1336),
    "aligning phases": (8.75, 10.14, 1861),
    "finding lesions": (4.98, 5.85, 1619),
    "judging viability": (2.90, 3.31, 1676),
    "finding vessels and segments": (8.11, 10.07, 2139),
    "measuring": (2.27, 2.68, 1834),
    "writing": (1.42, 1.37, 1834),
    "reporting": (1.06, 1.10, 1836),
    "whole, two threads": (50.8, 61.1, 2139),
}


def visit_table(visit: Row) -> list[str]:
    """Wall, CPU and memory of the steps of a visit one after the other, and of the whole both ways."""
    lines = [
        "| step | wall | CPU | peak memory | before: wall | CPU | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    steps = [(step["step"], step) for step in visit["one"]["steps"]]
    for name, row in [*steps, ("whole, one thread", visit["one"]), ("whole, two threads", visit["two"])]:
        cells = [name, f"{row['wall_s']:.2f} s", f"{row['cpu_s']:.2f} s", f"{row['peak_mb']:.0f} MB"]
        if name in BEFORE and visit["voxels"] == [200, 512, 512]:
            wall, cpu, peak = BEFORE[name]
            cells += [f"{wall:.2f} s", f"{cpu:.2f} s", f"{peak} MB"]
        else:
            cells += ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def scaling_table(rows: list[Row]) -> list[str]:
    """Time and memory against size, and the slope between the ends."""
    lines = ["| operation | against | sizes | times | memory | exponent |", "|---|---|---|---|---|---|"]
    for row in rows:
        sizes = ", ".join(f"{n:.3g}" for n in row["sizes"])
        times = ", ".join(short(s) for s in row["seconds"])
        memory = (
            ", ".join(f"{m:.1f}" for m in row["bytes_per_voxel"]) + " bytes a voxel" if row["bytes_per_voxel"] else ""
        )
        lines.append(f"| {row['title']} | {row['against']} | {sizes} | {times} | {memory} | {row['exponent']:.2f} |")
    return lines


def plot(rows: list[Row], path: Path) -> None:
    """Ratio to the best peer, operation by operation, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if len(row["seconds"]) > 1]
    figure, axes = pyplot.subplots(figsize=(8, 0.24 * len(shown) + 1.2), layout="constrained")
    for place, row in enumerate(reversed(shown)):
        ratio = row["ratio"]
        axes.barh(place, ratio, color="#0072B2" if ratio >= 3 else "#E69F00" if ratio >= 1 else "#D55E00")
        axes.text(ratio * 1.05, place, f"{ratio:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(shown)), [row["title"] for row in reversed(shown)], fontsize=7)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvline(3, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("times as fast as the best peer in the same run (dotted: 3)")
    axes.set_ylim(-0.6, len(shown) - 0.4)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def versions() -> str:
    """What was compared."""
    found = []
    for name in PEERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    kernels = [row for family in FAMILIES if family not in ("scaling", "visit") for row in results.get(family, [])]
    fair = [row for row in kernels if len(row["seconds"]) > 1]
    slower = [row["title"] for row in fair if row["ratio"] < 1]
    below = [row["title"] for row in fair if 1 <= row["ratio"] < 3]
    text = [
        "# Performance",
        "",
        f"Written by `python benchmarks/performance.py` on {date.today().isoformat()}: {os.cpu_count()} cores,"
        f" {platform.machine()}, Python {platform.python_version()}; {versions()}.",
        "",
        "Every result is compared with its peers' before anything is timed (`equal`; times only where a peer answers"
        " a nearby question). Medians of interleaved runs in one process, peers that are slow or far behind the best"
        " timed once; peers use both cores where they can. Other work may have run on the machine: trust the ratios"
        " more than the seconds. The floor is the time numpy takes"
        " on one core to read, and where there is a result to write, the same bytes once.",
        "",
        "## Kernels",
        "",
        f"Families in this run: {', '.join(f for f in FAMILIES if f in results)}. Not in it:"
        f" {', '.join(f for f in FAMILIES if f not in results) or 'none'}.",
        "",
        "![How many times as fast as the best peer each operation is](images/performance.png)",
        "",
        *kernel_table(kernels),
        "",
        f"{sum(row['ratio'] >= 3 for row in fair)} of {len(fair)} comparisons are at least three times as fast as the"
        " best peer."
        f" Between one and three times: {'; '.join(below) or 'none'}. Slower: {'; '.join(slower) or 'none'}.",
    ]
    if "scaling" in results:
        text += [
            "", "## Scaling", "",
            "Exponent: the slope of time against size between the ends, both logarithmic; 1 is proportional.", "",
            *scaling_table(results["scaling"]),
        ]  # fmt: skip
    if "visit" in results:
        visit = results["visit"]
        size = " x ".join(str(n) for n in reversed(visit["voxels"]))
        text += [
            "", "## A whole visit", "",
            f"Two phases of {size} voxels, DICOM in, everything out (`python benchmarks/visit.py`): aligned, segmented,"
            " measured, written and reported, the compiled kernels in the cache. The steps are those of a run on one"
            " thread, one after the other; on two threads phases, network and atlas, vessels and lesions, numbers and"
            " files run beside each other, and write the same bytes. Before: two threads within kernels alone.", "",
            *visit_table(visit), "",
            f"The first run on a new machine took {visit['first_run_extra_cpu_s']:.0f} CPU seconds more: it compiles."
            " Later runs compile nothing.",
        ]  # fmt: skip
    return "\n".join(text) + "\n"


def main() -> None:
    """Run, check, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER.parent / "docs")
    parser.add_argument("--tiny", action="store_true", help="small input: for checking this program")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = chosen.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        results = {family: rows_of(family, keep, chosen.tiny) for family in FAMILIES if family in chosen.only}
    (chosen.out / "images").mkdir(parents=True, exist_ok=True)
    plot([row for family, rows in results.items() if family not in ("scaling", "visit") for row in rows],
         chosen.out / "images" / "performance.png")  # fmt: skip
    (chosen.out / "performance.md").write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
