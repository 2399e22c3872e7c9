"""From the end of a stroke to its numbers, without a window: median and 95 % on a 512x512x200 visit.

    python benchmarks/editing.py [--tiny]

A synthetic abdomen becomes a visit's folder; the reading journals each stroke (synced to the disk), completes it and
measures again. Afterwards the live numbers are compared with ``measure_visit`` on the final masks.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import SPACING_MM, TINY_SPACING_MM, abdomen, is_tiny

from livervol.edit.brush import Brush, erase, paint
from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels
from livervol.kernels.components import label_components
from livervol.measure.remnant_rows import measure_remnants
from livervol.measure.visit import measure_visit
from livervol.scan import Segmentation
from livervol.workflows.reading import Reading, ReadingSettings

PLANES = 200
RESECTION = "right_hepatectomy"


def make_visit(folder: Path, tiny: bool) -> None:
    """Masks of the synthetic abdomen as a visit's output folder."""
    scene = abdomen(tiny)
    grid = Grid.from_parts(
        (min(PLANES, scene.ct.shape[0]), *scene.ct.shape[1:]), TINY_SPACING_MM if tiny else SPACING_MM
    )
    part = slice(0, grid.shape_zyx[0])
    liver = ((scene.liver | scene.lesions)[part] != 0).astype(np.uint8)
    lesions = label_components(scene.lesions[part] & liver, 26)[0].astype(np.uint8)
    viable = np.where(scene.ct[part] > 65, lesions, 0)
    columns = np.arange(grid.shape_zyx[2])
    segments = np.where(liver, 1 + 8 * columns // grid.shape_zyx[2], 0).astype(np.uint8)
    folder.mkdir()
    for name, labels in {"liver": liver, "lesions": lesions, "viable": viable, "segments": segments}.items():
        names = {v: str(v) for v in range(1, int(labels.max()) + 1)}
        write_nifti_labels(folder / f"{name}.nii.gz", Segmentation(labels, grid, names))


def strokes(reading: Reading, count: int) -> dict[str, list[tuple[float, float, float]]]:
    """(wall seconds to apply and journal, to the numbers after that, CPU seconds of both) of each stroke, by mask."""
    rng = np.random.default_rng(2)
    taken: dict[str, list[tuple[float, float, float]]] = {"liver": [], "lesions": [], "viable": []}
    for stroke in range(count):
        for mask in taken:
            number = reading.lesion_numbers[stroke % len(reading.lesion_numbers)]
            where = reading.masks["liver"] if mask == "liver" else reading.masks["lesions"] == number
            places = np.flatnonzero(where)
            at = np.array(np.unravel_index(places[rng.integers(len(places))], where.shape))
            line = [at, at + rng.normal(size=3) * (0, 6, 6)]
            canvas = reading.canvas(mask, number=number if mask == "viable" else None)
            brush = Brush(float(rng.uniform(3, 10)), None if stroke % 2 else 0)
            start, busy = time.perf_counter(), time.process_time()
            if stroke % 3:
                change = paint(canvas, line, brush, 1 if mask == "liver" else number)
            else:
                change = erase(canvas, line, brush)
            reading.apply(change)
            applied = time.perf_counter()
            reading.refresh()
            taken[mask].append((applied - start, time.perf_counter() - applied, time.process_time() - busy))
    return taken


def whole(reading: Reading) -> tuple[object, ...]:
    """The same numbers measured from scratch."""
    given = {}
    for name, labels in reading.masks.items():
        names = {int(v): str(v) for v in np.flatnonzero(np.bincount(labels.ravel())) if v}
        given[name] = Segmentation(labels, reading.grid, names, "given")
    measured = measure_visit(given["liver"], given["lesions"], given["viable"], given["segments"])
    rest = measure_remnants(given["liver"], given["segments"], given["lesions"], [RESECTION])
    return (*measured.measurements, *rest, *measured.lesions)


def main() -> None:
    """Print medians and 95 % points; exit 1 when live numbers differ from those measured whole."""
    tiny = is_tiny(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        visit = Path(scratch) / "visit"
        make_visit(visit, tiny)
        with Reading.open(visit, "bench", settings=ReadingSettings(resections=(RESECTION,))) as reading:
            reading.refresh()
            strokes(reading, 2)  # compiles
            taken = strokes(reading, 2 if tiny else 24)
            shape = "x".join(map(str, reading.grid.shape_zyx))
            for mask, rows in taken.items():
                both = 1e3 * np.array(rows)
                total = both[:, :2].sum(axis=1)
                shown = f"median {np.median(total):.0f} ms, 95 % {np.percentile(total, 95):.0f} ms"
                print(
                    f"{mask} on {shape}: stroke to number {shown} (of it apply and journal {np.median(both[:, 0]):.0f})"
                )
            live = reading.refresh().measured
            same = (*live.measurements, *live.lesions) == whole(reading)
    print("live numbers equal those measured whole" if same else "live numbers DIFFER from those measured whole")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
