"""Does the sum of viable diameters stay when the same visit is scanned again? Shifts, 2 mm slices, noise.

    python benchmarks/repeatability.py [--scans FOLDER ...] [--image FOLDER] [--given]

Each visit is measured as it is and again after: a shift of one voxel along each axis, half a voxel in plane, slices of
2 mm at other places, and noise added as strong as the scan's own. FOLDER is a visit's output folder with its
phases (``livervol run --out FOLDER``); the liver outline is carried along, lesions and viability are found anew
(``--given``: viability alone, the lesions carried along). Without folders: phantoms, with known truth, scanned at
2.5 x 0.8 x 0.8 mm. Printed: sum of viable diameters of the lesions that are found in every repetition, and
the within-patient coefficient of variation (standard deviation over the mean).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.io.nifti import read_nifti, read_nifti_labels
from livervol.kernels.smooth import gaussian
from livervol.measure.lesions import measure_lesions
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesions import segment_lesions
from livervol.segment.viability import segment_viability

#: Phases, liver, lesions where they are carried along, whether native may be subtracted.
Visit = tuple[dict[Phase, Scan], Segmentation, Segmentation | None, bool]

SLICE_MM = 2.0
#: Noise is what a Gaussian of this width takes off.
NOISE_BAND_MM = 2.0
#: Overlap with the unchanged visit's lesion from which a lesion is the same (share of the smaller).
SAME_SHARE = 0.3


def moved(grid: Grid, shift_zyx: tuple[float, float, float], spacing_z: float | None = None) -> Grid:
    """The grid shifted by parts of a voxel, with other slices where asked for."""
    _, y, x = grid.spacing_mm
    fine = grid if spacing_z is None else grid.with_spacing((spacing_z, y, x))
    matrix = fine.matrix
    matrix[:3, 3] = fine.index_to_lps(shift_zyx)
    return Grid.from_matrix(fine.shape_zyx, matrix, frame=grid.frame)


def on_grid(visit: Visit, grid: Grid) -> Visit:
    """The visit sampled at other places."""
    scans, liver, lesions, subtract = visit
    other = {phase: scan.resampled(grid, outside=float(scan.voxels.min())) for phase, scan in scans.items()}
    return other, liver.resampled(grid), None if lesions is None else lesions.resampled(grid), subtract


def noisier(visit: Visit, seed: int) -> Visit:
    """The visit with noise of the scan's own strength and grain added."""
    scans, liver, lesions, subtract = visit
    rng, other = np.random.default_rng(seed), {}
    for phase, scan in scans.items():
        core = liver.mask()
        plain = scan.voxels.astype(np.float32)
        fine = plain - gaussian(plain, NOISE_BAND_MM, scan.grid.spacing_mm)
        sigma = 1.4826 * float(np.median(np.abs(fine[core])))
        # reconstruction leaves CT noise little power at low frequencies: the band that was measured is what is added
        grain = gaussian(rng.normal(0, 1, plain.shape).astype(np.float32), 0.5, scan.grid.spacing_mm)
        grain -= gaussian(grain, NOISE_BAND_MM, scan.grid.spacing_mm)
        other[phase] = replace(scan, voxels=plain + grain * np.float32(sigma / grain.std()))
    return other, liver, lesions, subtract


def repetitions(visit: Visit) -> Iterator[tuple[str, Visit]]:
    """The visit and the same visit scanned again."""
    grid = visit[1].grid
    yield "as it is", visit
    for axis, word in enumerate("zyx"):
        shift = [0.0, 0.0, 0.0]
        shift[axis] = 1.0
        yield f"one voxel along {word}", on_grid(visit, moved(grid, (shift[0], shift[1], shift[2])))
    yield "half a voxel in plane", on_grid(visit, moved(grid, (0.0, 0.5, 0.5)))
    yield "half a slice", on_grid(visit, moved(grid, (0.5, 0.0, 0.0)))
    yield "slices of 2 mm", on_grid(visit, moved(grid, (0.0, 0.0, 0.0), SLICE_MM))
    for seed in (1, 2):
        yield f"noise {seed}", noisier(visit, seed)


def viable_lengths(visit: Visit, first: Segmentation | None) -> tuple[dict[int, float], Segmentation]:
    """Viable diameters by the unchanged visit's lesion numbers (``first``; None: this is it), and the lesions."""
    scans, liver, given, subtract = visit
    lesions = given if given is not None else segment_lesions(scans, liver).segmentation
    judged = segment_viability(scans, liver, lesions, accept_early_arterial=True, subtract_native=subtract)
    lengths = {one.number: one.value("viable_longest_mm") or 0.0 for one in measure_lesions(lesions, judged.viable)}
    if first is None or given is not None:
        return lengths, lesions
    before = first.resampled(lesions.grid).labels
    found: dict[int, float] = {}
    for number, length in lengths.items():
        own = lesions.labels == number
        counts = np.bincount(before[own], minlength=2)
        best = int(np.argmax(counts[1:])) + 1
        if counts[best] >= SAME_SHARE * min(own.sum(), (before == best).sum()):
            found[best] = max(found.get(best, 0.0), length)
    return found, lesions


def examine(name: str, visit: Visit, truth_mm: float | None = None) -> float:
    """Prints one visit's sums and returns its coefficient of variation in percent."""
    first: Segmentation | None = None
    rows: list[tuple[str, dict[int, float]]] = []
    for what, again in repetitions(visit):
        lengths, lesions = viable_lengths(again, first)
        first = lesions if first is None else first
        rows.append((what, lengths))
    numbers = [n for n, length in rows[0][1].items() if length > 0 or any(row.get(n, 0) > 0 for _, row in rows)]
    sums = np.array([sum(row.get(n, 0.0) for n in numbers) for _, row in rows])
    largest = np.array([max(row.values(), default=0.0) for _, row in rows])
    percent = float(100 * sums.std(ddof=1) / max(sums.mean(), 1e-9))
    print(f"{name}: sum of viable diameters {sums.mean():.1f} mm, within-patient variation {percent:.1f} %"
          f"{'' if truth_mm is None else f', truth {truth_mm:.1f} mm'}; of the largest alone "
          f"{100 * largest.std(ddof=1) / max(largest.mean(), 1e-9):.1f} %")  # fmt: skip
    for (what, row), total in zip(rows, sums, strict=True):
        print(f"  {what}: {total:.1f} ({', '.join(f'{n}: {row.get(n, 0.0):.1f}' for n in numbers)})", flush=True)
    return percent


def folder_visit(folder: Path, given: bool, image: Path | None = None) -> Visit:
    """A visit from its output folder; a visit of one phase keeps no copy of it, ``image`` is where it lies."""
    liver = read_nifti_labels(folder / "liver.nii.gz", {1: "liver"})
    scans = {}
    for path in sorted((folder / "phases").glob("*.nii.gz")):
        phase = Phase(path.name.removesuffix(".nii.gz"))
        scans[phase] = read_nifti(path, modality="CT", sequence="CT").with_phase(phase)
    lesions = None
    if given:
        labels = read_nifti_labels(folder / "lesions.nii.gz")
        lesions = replace(labels, names={n: f"lesion {n}" for n in range(1, int(labels.labels.max()) + 1)})
    if not scans and image is not None:
        (scan,) = read_dicom(image)
        scans = {}
        for row in json.loads((folder / "measurements.json").read_text(encoding="utf-8"))["phases"]:
            scans[Phase(row["phase"])] = scan
    document = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))
    return scans, liver, lesions, "not subtracted" not in " ".join(document["quality"])


def phantom(kind: str, seed: int) -> tuple[Visit, float]:
    """A liver with one 44 mm tumour: whole, with a dead core, or a nodule in a dead ball; and its true diameter."""
    shape, spacing = (52, 170, 180), (2.5, 0.8, 0.8)
    grid = Grid.from_parts(shape, spacing)
    z, y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    liver = (z / 60) ** 2 + (y / 64) ** 2 + (x / 68) ** 2 <= 1

    def ball(cz: float, cy: float, cx: float, mm: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= (0.5 * mm) ** 2
        return inside

    tumour, part = ball(4, -10, 14, 44), ball(4, -10, 14, 0.1)
    alive, truth = tumour, 44.0
    if kind == "dead core":
        part = ball(4, -10, 14, 22)
        # the longest chord that passes the core: it touches it
        alive, truth = tumour & ~part, float(2 * np.sqrt(22.0**2 - 11.0**2))
    elif kind == "nodule":
        alive, truth = ball(4, -16, 20, 20), 20.0
    scans = {}
    levels = ((Phase.NATIVE, 55, 45, 45), (Phase.LATE_ARTERIAL, 78, 130, 45), (Phase.PORTAL_VENOUS, 110, 80, 48))
    rng = np.random.default_rng(seed)
    for phase, parenchyma, living, dead in levels:
        values = np.where(liver, parenchyma, -95.0)
        values = np.where(tumour, dead, values)
        values = np.where(alive, living, values).astype(np.float32)
        grain = gaussian(rng.normal(0, 1, shape).astype(np.float32), 0.6, spacing)
        values = gaussian(values, 0.9, spacing) + np.float32(10.0 / grain.std()) * grain
        scans[phase] = Scan(values, grid, phase=phase)
    return (scans, Segmentation(liver.astype(np.uint8), grid, {1: "liver"}), None, True), truth


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, nargs="*", default=[], help="output folders of visits")
    parser.add_argument("--given", action="store_true", help="carry the lesion outlines along")
    parser.add_argument("--image", type=Path, help="DICOM folder of a visit of one phase")
    chosen = parser.parse_args()
    begun, found = time.process_time(), []
    for folder in chosen.scans:
        found.append(examine(folder.name, folder_visit(folder, chosen.given, chosen.image)))
    if not chosen.scans:
        for seed, kind in enumerate(("whole", "dead core", "nodule")):
            visit, truth = phantom(kind, seed)
            found.append(examine(f"phantom, {kind}", visit, truth))
    print(f"within-patient variation: root mean square {np.sqrt(np.mean(np.square(found))):.1f} %; "
          f"{time.process_time() - begun:.0f} s of CPU time")  # fmt: skip


if __name__ == "__main__":
    main()
