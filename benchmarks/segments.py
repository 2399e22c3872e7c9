"""Couinaud segments and plans: seconds by step, and atypical livers.

    python benchmarks/segments.py speed --labels LABELS/couinaud
    python benchmarks/segments.py atypical --labels LABELS/couinaud --out docs/images/atypical_livers.png

``speed`` places a labelled liver in 512 x 512 x 200 voxels and prints wall and CPU seconds. ``atypical`` mirrors,
resects and deforms a test liver and draws what is said of each.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from matplotlib import colormaps, pyplot
from matplotlib.patches import Patch
from scipy import ndimage

from livervol.grid import Grid
from livervol.io.images import read_labels
from livervol.io.nifti import write_nifti_labels
from livervol.measure.remnant import find_remnants
from livervol.measure.resection import STANDARD
from livervol.scan import Segmentation
from livervol.segment.couinaud import MODEL, SEGMENT_NAMES, read_shape, segment_couinaud
from livervol.segment.model import find_model
from livervol.workflows.plan import PlanSettings, plan_visit

#: The part of the standardised errors that the half widths are fitted to: round 95 %, and above it rather than below,
#: because most of the livers also fitted the weights.
QUANTILES = np.linspace(0.94, 0.98, 9)


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Print wall and CPU seconds of a step."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{name:32} {time.perf_counter() - wall:6.2f} s wall  {time.process_time() - cpu:6.2f} s CPU", flush=True)


def test_livers(labels: Path) -> list[str]:
    """File names of the test split."""
    with (labels / "split.csv").open() as table:
        return [row["file"] for row in csv.DictReader(table) if row["split"] == "test"]


def large(small: Segmentation, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Segmentation:
    """The segments in the middle of a whole scan's grid."""
    grid = Grid.from_parts(shape, spacing)
    middle = small.grid.index_to_lps((np.array(small.grid.shape_zyx) - 1) / 2)
    moved = np.eye(4)
    moved[:3, 3] = middle - grid.index_to_lps((np.array(shape) - 1) / 2)
    matrix = np.linalg.inv(small.grid.matrix) @ moved @ grid.matrix
    values = ndimage.affine_transform(small.labels, matrix[:3, :3], matrix[:3, 3], shape, order=0)
    return Segmentation(values, grid, small.names)


def ball(segments: Segmentation, value: int, radius_mm: float) -> np.ndarray:
    """Voxels within a radius of the middle of a segment."""
    index = np.argwhere(segments.labels == value)
    middle = index[len(index) // 2]
    z, y, x = (
        ((np.arange(n) - c) * s) ** 2
        for n, c, s in zip(segments.labels.shape, middle, segments.grid.spacing_mm, strict=True)
    )
    inside: np.ndarray = z[:, None, None] + y[:, None] + x <= radius_mm**2
    return inside


def speed(labels: Path) -> None:
    """Seconds of segments, remnants and a plan at 512 x 512 x 200."""
    truth = large(read_labels(labels / test_livers(labels)[0]), (200, 512, 512), (1.0, 0.75, 0.75))
    liver = Segmentation((truth.labels != 0).view(np.uint8), truth.grid, {1: "liver"})
    lesions = np.where(ball(truth, 7, 25.0), 1, np.where(ball(truth, 2, 10.0), 2, 0)).astype(np.uint8)
    marked = Segmentation(lesions, truth.grid, {1: "lesion 1", 2: "lesion 2"})
    card = find_model(MODEL)
    operations = [op for op in STANDARD if 42 not in op.removed]
    with tempfile.TemporaryDirectory() as folder:
        visit = Path(folder)
        for name, mask in (("liver", liver), ("segments", truth), ("lesions", marked)):
            write_nifti_labels(visit / f"{name}.nii.gz", mask)
        for _ in range(2):  # the first run of a kernel compiles it
            with timed("look (network)"):
                reading = read_shape(liver, card)
            with timed("segments, once looked"):
                segment_couinaud(liver, card=card, reading=reading)
            with timed("segments, all"):
                segment_couinaud(liver, card=card)
            with timed(f"remnants of {len(operations)} operations"):
                find_remnants(liver, truth, marked, operations)
            with timed("plan, files read and written"):
                plan_visit(visit, PlanSettings(overwrite=True))


def swollen(labels: np.ndarray, spacing_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    """The liver pushed apart by a ball of that radius in the right lobe; the ball is liver (segment VI)."""
    centre = np.argwhere(labels == 6).mean(axis=0)
    place = (np.indices(labels.shape).transpose(1, 2, 3, 0) - centre) * spacing_mm
    away = np.maximum(np.linalg.norm(place, axis=-1), 1e-6)
    # what lay at the centre now lies on the ball; the push fades over a few centimetres
    came = np.maximum(0.0, away - radius_mm * np.exp(-np.maximum(0.0, away - radius_mm) / 40.0))
    source = (place * (came / away)[..., None] / spacing_mm + centre).transpose(3, 0, 1, 2)
    moved: np.ndarray = ndimage.map_coordinates(labels, source, order=0)
    return np.where((away < radius_mm) & (moved == 0), 6, moved).astype(np.uint8)


def atypical_livers(truth: Segmentation) -> dict[str, np.ndarray]:
    """Label maps whose segments the shape cannot tell, made of a real one; the first is the liver as it is."""
    labels, spacing = truth.labels, truth.grid.spacing_mm
    centre = np.argwhere(labels == 6).mean(axis=0)
    away = np.linalg.norm((np.indices(labels.shape).transpose(1, 2, 3, 0) - centre) * spacing, axis=-1)
    return {
        "as it is": labels,
        "situs inversus, or left and right swapped": labels[:, :, ::-1],
        "head and feet swapped": labels[::-1],
        "front and back swapped": labels[:, ::-1],
        "II, III removed by surgery": np.where(np.isin(labels, (2, 3)), 0, labels),
        "II, III, IV removed by surgery": np.where(np.isin(labels, (2, 3, 4)), 0, labels),
        "V to VIII removed by surgery": np.where(labels > 4, 0, labels),
        "tumour of 16 cm grown out of VI": np.where((away < 80.0) & (labels == 0), 6, labels),
        "tumour of 12 cm pushing the lobe apart": swollen(labels, spacing, 60.0),
    }


def front_view(labels: np.ndarray) -> np.ndarray:
    """The first segment met from the front, as RGB shaded by depth, head up; white where there is none."""
    colours = colormaps["tab10"](np.arange(10))[:, :3]
    depth = np.argmax(labels != 0, axis=1)
    seen = np.take_along_axis(labels, depth[:, None], axis=1)[:, 0]
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(depth.astype(np.float64), 1.0)))
    picture = colours[seen] * (1.0 - 0.6 * np.clip(slope / 4.0, 0, 1))[..., None]
    picture[seen == 0] = 1.0
    return picture[::-1]


def trimmed(picture: np.ndarray) -> np.ndarray:
    """The picture without its white margins."""
    used = np.argwhere((picture < 1.0).any(axis=-1))
    (top, left), (bottom, right) = used.min(axis=0), used.max(axis=0) + 1
    return picture[top:bottom, left:right]


def atypical(labels: Path, out: Path, most: int) -> None:
    """Count how many of each kind are answered with a warning, and draw the first liver of each kind."""
    card = find_model(MODEL)
    names = test_livers(labels)[:most]
    warned: dict[str, int] = {}
    pictures: dict[str, np.ndarray] = {}
    for number, name in enumerate(names):
        whole = read_labels(labels / name)
        step = Grid.from_matrix(
            whole.labels[::2, ::2, ::2].shape, whole.grid.matrix @ np.diag([2.0, 2.0, 2.0, 1.0])
        ).pad((22, 22, 22), (22, 22, 22))
        small = Segmentation(np.pad(whole.labels[::2, ::2, ::2], 22), step, whole.names)
        for kind, changed in atypical_livers(small).items():
            mask = np.ascontiguousarray(changed != 0).view(np.uint8)
            found = segment_couinaud(Segmentation(mask, step, {1: "liver"}), card=card)
            warned[kind] = warned.get(kind, 0) + bool(found.warnings)
            if number == 0:
                pictures[kind] = trimmed(front_view(found.segmentation.labels))
        print(name, warned, flush=True)
    figure, axes = pyplot.subplots(3, 3, figsize=(8.5, 7.6), layout="constrained")
    for axis, (kind, picture) in zip(axes.ravel(), pictures.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(f"{kind}\nwarned: {warned[kind]} of {len(names)} livers", fontsize=8)
        axis.axis("off")
    figure.legend(
        handles=[Patch(color=colormaps["tab10"](n), label=roman) for n, roman in enumerate(SEGMENT_NAMES.values(), 1)],
        ncols=8, fontsize=7, loc="outside lower center", frameon=False,
    )  # fmt: skip
    figure.savefig(out, dpi=80)


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "atypical"))
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--livers", type=int, default=6)
    chosen = parser.parse_args()
    if chosen.part == "atypical" and chosen.out is None:
        parser.error("--out is needed")
    if chosen.part == "speed":
        speed(chosen.labels)
    else:
        atypical(chosen.labels, chosen.out, chosen.livers)


if __name__ == "__main__":
    main()
