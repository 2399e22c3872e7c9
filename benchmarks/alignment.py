"""Alignment of real scans of LIVERVOL_SHARED by header, rigid and deformable: likeness, liver Dice, CPU seconds.

    python benchmarks/alignment.py [--out TABLE.csv]

Pairs: the phases of one visit, the two visits of one patient both ways, and one phase bent by a known smooth
deformation under changed contrast, where the landmark error is known too. Livers are the product's own outlines.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.align import Alignment, align
from livervol.align.bending import BendSettings, local_correlation
from livervol.io.dicom import read_dicom
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.liver import segment_liver
from livervol.segment.phase import recognise_phases

COLUMNS = (
    "pair",
    "method",
    "correlation",
    "liver_dice",
    "landmark_mm",
    "landmark_p95_mm",
    "bend_mm",
    "jacobian",
    "seconds",
)
Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two scans with their livers; ``landmarks`` are (fixed, moving) LPS mm where the truth is known."""

    name: str
    moving: Scan
    fixed: Scan
    moving_liver: Segmentation
    fixed_liver: Segmentation
    landmarks: tuple[Points, Points] | None = None


def pull(points: Points, centre: Points) -> Points:
    """A known smooth displacement: a breath of 15 mm down and 4 mm forward, more on the right, and local bends."""
    away = points - centre
    moved = np.zeros_like(points)
    moved[..., 2] = 15.0 * (1 + 0.25 * np.tanh(away[..., 0] / 60))
    moved[..., 1] = 4.0
    for at, strength in (((40, 0, 20), (6, -3, 0)), ((-50, 20, -30), (-4, 5, 3)), ((0, -40, 40), (2, 3, -5))):
        moved += np.exp(-0.5 * (((away - np.array(at)) / 35.0) ** 2).sum(-1))[..., None] * np.array(strength, float)
    return moved


def bent_pair(name: str, fixed: Scan, liver: Segmentation) -> Pair:
    """The scan against itself, displaced by ``pull``, vessels darker than the liver, with noise of 12 HU."""
    grid = fixed.grid
    inner = np.argwhere(ndimage.binary_erosion(liver.mask(), iterations=2))
    centre = grid.index_to_lps(inner.mean(axis=0))
    voxels, mask = np.empty(grid.shape_zyx, np.float32), np.empty(grid.shape_zyx, bool)
    for z in range(grid.shape_zyx[0]):
        index = np.stack(np.meshgrid([z], *(np.arange(n) for n in grid.shape_zyx[1:]), indexing="ij"), -1)
        places = grid.index_to_lps(index)
        at = np.moveaxis(grid.lps_to_index(places + pull(places, centre)), -1, 0)
        voxels[z] = ndimage.map_coordinates(fixed.voxels, at, order=1, cval=-1000.0, output=np.float32)[0]
        mask[z] = ndimage.map_coordinates(liver.labels, at, order=0)[0] > 0
    voxels = np.where(voxels > 150, 0.9 * voxels - 30, voxels)
    voxels += np.random.default_rng(0).normal(0, 12, voxels.shape)
    chosen = grid.index_to_lps(inner[:: max(1, len(inner) // 1000)])
    truth = chosen
    for _ in range(60):  # the place whose pull ends at the landmark
        truth = chosen - pull(truth, centre)
    moved = replace(liver, labels=mask.astype(np.uint8))
    return Pair(name, replace(fixed, voxels=voxels.astype(np.int16)), fixed, moved, liver, (chosen, truth))


def pairs(shared: Path) -> Iterator[Pair]:
    before = recognise_phases(read_dicom(shared / "scans/hcc_007/19971227"))
    portal, arterial = before.of(Phase.PORTAL_VENOUS), before.of(Phase.LATE_ARTERIAL)
    native, after = before.of(Phase.NATIVE), read_dicom(shared / "scans/hcc_007/19980314")[0]
    assert portal is not None
    assert arterial is not None
    assert native is not None
    livers = {id(scan): segment_liver(scan).segmentation for scan in (portal, arterial, native, after)}

    def pair(name: str, moving: Scan, fixed: Scan) -> Pair:
        return Pair(name, moving, fixed, livers[id(moving)], livers[id(fixed)])

    yield bent_pair("known bend", portal, livers[id(portal)])
    yield pair("arterial to portal venous", arterial, portal)
    yield pair("native (10 mm) to portal venous", native, portal)
    yield pair("before to after", portal, after)
    yield pair("after to before", after, portal)


def figures(pair: Pair, result: Alignment | None, seconds: float) -> dict[str, object]:
    """One row; ``result`` None is the header alone. Correlation on a lattice of 3 mm inside the fixed liver."""
    scan = pair.moving.resampled(pair.fixed.grid) if result is None else result.scan
    lattice = pair.fixed.grid.with_spacing((3.0, 3.0, 3.0))
    here, there = (np.clip(s.resampled(lattice).voxels, -100, 300).astype(np.float32) for s in (pair.fixed, scan))
    liver = pair.fixed_liver.resampled(lattice).mask()
    smooth = [ndimage.gaussian_filter(image, 0.5) for image in (here, there)]
    if result is None:
        warped = pair.moving_liver.resampled(pair.fixed.grid).mask()
    else:
        warped = result.warp_labels(pair.moving_liver, pair.fixed.grid).mask()
    fixed = pair.fixed_liver.mask()
    row: dict[str, object] = {
        "pair": pair.name,
        "method": "header" if result is None else result.method,
        "correlation": round(local_correlation(*smooth, liver.astype(np.float32), BendSettings()), 3),
        "liver_dice": round(2 * np.count_nonzero(warped & fixed) / (warped.sum() + fixed.sum()), 4),
        "cpu_seconds": round(seconds, 1),
    }
    if pair.landmarks is not None:
        points, truth = pair.landmarks
        found = points if result is None else result.map_points(points, to="moving")
        error = np.linalg.norm(found - truth, axis=1)
        row["landmark_mm"], row["landmark_p95_mm"] = round(error.mean(), 2), round(float(np.percentile(error, 95)), 2)
    if result is not None and result.bend_mm:
        row["bend_mm"] = round(result.bend_mm, 1)
        row["jacobian"] = "{:.2f} to {:.2f}".format(*result.jacobian_range)
    return row


def main() -> None:
    """Print the table and write it as CSV when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="CSV file of the table")
    chosen = parser.parse_args()
    shared = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    rows = []
    for pair in pairs(shared):
        rows.append(figures(pair, None, 0.0))
        print(*(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
        for deformable in (False, True):
            start = time.process_time()
            result = align(
                pair.moving,
                pair.fixed,
                mask=pair.fixed_liver,
                moving_liver=pair.moving_liver if pair.moving.date != pair.fixed.date else None,
                deformable=deformable,
            )
            rows.append(figures(pair, result, time.process_time() - start))
            print(*(f"{key}={value}" for key, value in rows[-1].items()), *result.warnings, flush=True)
    if chosen.out is not None:
        with chosen.out.open("w", newline="", encoding="utf-8") as table:
            writer = csv.DictWriter(table, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
