"""How time and memory of each kernel grow with voxels (8-fold) and of the measurements with lesions (1 to 200).

python benchmarks/scaling.py [--tiny] [--json ROWS.json]
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench import extra_mb

from livervol.grid import Grid
from livervol.kernels.components import label_components
from livervol.kernels.cut import smooth_cut
from livervol.kernels.distance import distance_mm
from livervol.kernels.fill import fill_holes
from livervol.kernels.morphology import close_mm
from livervol.kernels.smooth import gaussian, median3
from livervol.kernels.tally import label_moments
from livervol.kernels.tubeness import tubeness
from livervol.measure.visit import measure_visit
from livervol.scan import Segmentation

SPACING_MM = (1.5, 0.8, 0.7)


def scene(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """CT values and a round organ with holes, the same at every size."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(0, n)) for n in shape)]
    organ = (z / 0.8) ** 2 + (y / 0.7) ** 2 + (x / 0.75) ** 2 < 1
    organ &= ((np.hypot(y, x) * 9) % 2 > 0.35) | (np.abs(z) < 0.1)
    noise = np.random.default_rng(5).normal(0, 20, shape).astype(np.int16)
    return np.where(organ, 110, -60).astype(np.int16) + noise, organ.astype(np.uint8)


def kernels(ct: np.ndarray, organ: np.ndarray) -> dict[str, Callable[[], object]]:
    """What is measured, with its result's bytes a voxel left in."""
    cost, price = ct.astype(np.float32) / 100, np.ones(ct.shape, np.float32)
    return {
        "26-connected labels + statistics": lambda: label_components(organ),
        "moments of each label": lambda: label_moments(organ, ct),
        "exact distance": lambda: distance_mm(organ, SPACING_MM),
        "closing with a 3.75 mm ball": lambda: close_mm(organ, 3.75, SPACING_MM),
        "holes": lambda: fill_holes(organ),
        "3x3x3 median": lambda: median3(ct),
        "Gaussian of 1.5 mm": lambda: gaussian(ct, 1.5, SPACING_MM),
        "tubeness at three scales": lambda: tubeness(ct, SPACING_MM, [1.5, 2.5, 4.0]),
        "smooth cut, 10 rounds": lambda: smooth_cut(cost, price, SPACING_MM, 10),
    }


def lesions_visit(count: int) -> Callable[[], object]:
    """A liver with so many round lesions of 8 mm, each half alive."""
    shape, spacing = (120, 160, 200), (2.0, 1.5, 1.5)
    labels, viable = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
    places = [(z, y, x) for z in range(8, 112, 10) for y in range(10, 150, 13) for x in range(10, 190, 13)]
    z, y, x = np.mgrid[-3:4, -3:4, -3:4]
    ball = (z * 2.0) ** 2 + (y * 1.5) ** 2 + (x * 1.5) ** 2 <= 16
    for number in range(1, count + 1):
        at = places[(number - 1) * len(places) // count]
        box = tuple(slice(c - 3, c + 4) for c in at)
        labels[box][ball] = viable[box][ball & (z >= 0)] = number
    grid = Grid.from_parts(shape, spacing, (0.0, 0.0, 0.0))
    liver = Segmentation(np.ones(shape, np.uint8), grid, {1: "liver"}, "scene")
    names = {k: f"lesion {k}" for k in range(1, count + 1)}
    parts = [Segmentation(values, grid, names, "scene") for values in (labels, viable)]
    return lambda: measure_visit(liver, lesions=parts[0], viable=parts[1])


def median_s(run: Callable[[], object], repeats: int) -> float:
    """Median of so many runs after one that does not count."""
    run()
    taken = []
    for _ in range(repeats):
        gc.collect()
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def row(title: str, against: str, sizes: list[float], seconds: list[float], memory: list[float]) -> dict[str, Any]:
    slope = np.log(seconds[-1] / seconds[0]) / np.log(sizes[-1] / sizes[0])
    print(f"{title} against {against}: exponent {slope:.2f}, {[round(s * 1e3, 1) for s in seconds]} ms, "
          f"{[round(m, 1) for m in memory]} bytes a voxel", flush=True)  # fmt: skip
    return {"title": title, "against": against, "sizes": sizes, "seconds": seconds, "bytes_per_voxel": memory,
            "exponent": float(slope)}  # fmt: skip


def main() -> None:
    """Print every law."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    scale = 0.25 if chosen.tiny else 1.0
    shapes = [tuple(int(n * scale * k) for n in (110, 256, 256)) for k in (1.0, 2 ** (1 / 2), 2.0)]
    repeats = 1 if chosen.tiny else 3
    seconds: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}
    for shape in shapes:
        for name, run in kernels(*scene((shape[0], shape[1], shape[2]))).items():
            seconds.setdefault(name, []).append(median_s(run, repeats))
            memory.setdefault(name, []).append(extra_mb(run) * 2**20 / float(np.prod(shape)))
    sizes = [float(np.prod(shape)) for shape in shapes]
    rows = [row(name, "voxels", sizes, seconds[name], memory[name]) for name in seconds]
    counts = [1, 14, 200]
    rows.append(
        row(
            "all measurements",
            "lesions",
            [*map(float, counts)],
            [median_s(lesions_visit(n), repeats) for n in counts],
            [],
        )
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
