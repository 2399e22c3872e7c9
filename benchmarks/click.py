"""One click on a lesion: Dice against drawn and painted lesions, and milliseconds on a 512x512x200 scan.

    python benchmarks/click.py [--tiny]

Real: every tumour piece of LIVERVOL_SHARED's labelled livers, clicked at its deepest voxel and at two places a third of
its depth away. Painted: ellipsoids with blurred rims and the scan's own noise, of several sizes and contrasts, put into
a donor's liver (``paint_lesion``; fixed before any setting was chosen).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench import SPACING_MM, TINY_SPACING_MM, abdomen, is_tiny
from numpy.typing import NDArray

from livervol.edit.click import outline_lesion
from livervol.edit.gesture import Gesture
from livervol.io.images import read_image, read_labels
from livervol.kernels.components import label_components
from livervol.kernels.distance import distance_mm
from livervol.kernels.smooth import gaussian
from livervol.scan import Scan, Segmentation

#: Pieces below this volume are not clicked: a sphere of 0.25 ml is 8 mm wide.
LEAST_ML = 0.25
SIZES_MM = (10.0, 14.0, 20.0, 30.0, 45.0)
CONTRASTS_HU = (-50.0, -30.0, -18.0, 25.0)


def clicks(mask: NDArray[np.bool_], spacing: tuple[float, float, float], rng: np.random.Generator) -> Iterator[NDArray]:
    """The deepest voxel, then two places a third of its depth away."""
    index = np.argwhere(mask)
    low, high = np.maximum(index.min(0) - 1, 0), index.max(0) + 2
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    depth = distance_mm(mask[box].view(np.uint8), spacing, True)
    at = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) + low
    yield at
    for _ in range(2):
        way = rng.normal(size=3)
        way *= depth.max() / 3 / np.linalg.norm(way)
        yield np.clip(np.rint(at + way / spacing), 0, np.array(mask.shape) - 1)


def dice_of(voxels: NDArray, spacing: tuple[float, float, float], liver: NDArray, mask: NDArray, at: NDArray) -> float:
    """Dice of one click's outline."""
    outline = outline_lesion(voxels, spacing, Gesture.of("click", at), liver)
    shared = np.count_nonzero(outline.mask & mask[outline.box])
    return 2 * shared / (np.count_nonzero(outline.mask) + np.count_nonzero(mask))


def drawn_tumours(shared: Path) -> Iterator[tuple[str, Scan, Segmentation]]:
    """Name, scan and drawing (1 liver, 2 tumour) of each CT of LiTS that has a tumour drawn."""
    for folder in sorted((shared / "scans" / "train_ct").glob("lits_*")):
        path = folder / "liver_tumour.nii.gz"
        drawn = read_labels(path) if path.is_file() else None
        if drawn is not None and (drawn.labels == 2).any():
            yield folder.name, read_image(folder / "ct.nii.gz", modality="CT"), drawn


def real(shared: Path) -> None:
    """Dice on drawn tumours."""
    rng = np.random.default_rng(3)
    rows: list[tuple[str, float, float]] = []
    for name, scan, drawn in drawn_tumours(shared):
        pieces, stats = label_components((drawn.labels == 2).view(np.uint8), 26)
        for number, count in enumerate(stats.voxels, 1):
            ml = count * drawn.grid.voxel_ml
            if ml < LEAST_ML:
                continue
            mask = pieces == number
            for at in clicks(mask, scan.grid.spacing_mm, rng):
                rows.append((name, ml, dice_of(scan.voxels, scan.grid.spacing_mm, drawn.labels > 0, mask, at)))
    report("drawn tumours", rows)


def paint_lesion(
    voxels: NDArray[np.float32], spacing: tuple[float, float, float], at: NDArray, size_mm: float, contrast_hu: float
) -> NDArray[np.bool_]:
    """An ellipsoid (axes 1, 0.85, 0.75 of its size) added to the scan with a rim blurred by 1 mm; returns its mask."""
    index = np.indices(voxels.shape, sparse=True)
    half = 0.5 * size_mm * np.array([0.75, 1.0, 0.85])
    inside = sum(((index[k] - at[k]) * spacing[k] / half[k]) ** 2 for k in range(3)) <= 1.0
    voxels += np.float32(contrast_hu) * gaussian(inside.astype(np.float32), 1.0, spacing)
    return inside


def painted(shared: Path) -> None:
    """Dice on lesions painted into a donor's liver."""
    from livervol.io.dicom import read_dicom

    scan = read_dicom(shared / "scans" / "chaos_ct_03" / "dicom")[0]
    liver = read_labels(shared / "scans" / "chaos_ct_03" / "liver.nii.gz").resampled(scan.grid).labels > 0
    spacing = scan.grid.spacing_mm
    index = np.argwhere(liver)
    low, high = index.min(0), index.max(0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part, inner = scan.voxels[box].astype(np.float32), np.ascontiguousarray(liver[box])
    depth = distance_mm(inner.view(np.uint8), spacing, True)
    rng = np.random.default_rng(17)
    rows = []
    for size in SIZES_MM:
        places = np.argwhere(depth > 0.35 * size)
        for contrast in CONTRASTS_HU:
            for _ in range(3):
                at = places[rng.integers(len(places))]
                voxels = part.copy()
                mask = paint_lesion(voxels, spacing, at, size, contrast) & inner
                place = at + rng.normal(size=3) * 0.1 * size / np.array(spacing)
                place = np.clip(place, 0, np.array(mask.shape) - 1)
                if not mask[tuple(np.rint(place).astype(int))]:
                    place = at
                dice = dice_of(voxels, spacing, inner, mask, place)
                rows.append((f"{size:.0f} mm", np.count_nonzero(mask) * scan.grid.voxel_ml, dice))
    report("painted lesions", rows)


def report(title: str, rows: list[tuple[str, float, float]]) -> None:
    """Medians over all clicks, over those on 10 mm and more, and by group."""
    dice, ml = np.array([r[2] for r in rows]), np.array([r[1] for r in rows])
    large = dice[ml >= 0.52]  # a sphere of 10 mm
    print(f"{title}: {len(rows)} clicks, Dice median {np.median(dice):.3f}, mean {dice.mean():.3f}; "
          f"10 mm and more: {len(large)} clicks, median {np.median(large):.3f}")  # fmt: skip
    for name in dict.fromkeys(r[0] for r in rows):
        own = [r[2] for r in rows if r[0] == name]
        print(f"  {name}: {len(own)} clicks, median {np.median(own):.3f}")


def speed(tiny: bool) -> None:
    """Milliseconds from click to outline on a synthetic abdomen."""
    scene, spacing = abdomen(tiny), TINY_SPACING_MM if tiny else SPACING_MM
    liver = (scene.liver | scene.lesions) != 0
    pieces, stats = label_components(scene.lesions, 26)
    taken = []
    for number in range(1, min(6, len(stats.voxels)) + 1):
        at = np.argwhere(pieces == number)[int(stats.voxels[number - 1]) // 2]
        for _ in range(1 if tiny else 5):
            start = time.perf_counter()
            outline = outline_lesion(scene.ct, spacing, Gesture.of("click", at), liver)
            taken.append(1e3 * (time.perf_counter() - start))
        assert outline.mask.any()
    shown = taken[1:] or taken  # the first call compiles
    print(f"click to outline on {'x'.join(map(str, scene.ct.shape))}: median {np.median(shown):.0f} ms, "
          f"95 % {np.percentile(shown, 95):.0f} ms")  # fmt: skip


def main() -> None:
    """Print everything; without the shared scans only the speed."""
    tiny = is_tiny(__doc__)
    speed(tiny)
    shared = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not tiny and (shared / "scans").is_dir():
        real(shared)
        painted(shared)


if __name__ == "__main__":
    main()
