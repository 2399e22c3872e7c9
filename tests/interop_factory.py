"""A small visit on a DICOM series of any orientation: scan, source, nested masks with holes and touching corners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conftest import oblique_grid, rotation
from dicom_factory import write_enhanced, write_series
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.io.dicom_source import SourceSeries, find_source
from livervol.scan import Scan, Segmentation

SHAPE = (7, 8, 9)


def reversed_grid() -> Grid:
    """Head first: slices run against the patient's axes, rows too."""
    directions = rotation((7.0, -11.0, 13.0)) @ np.eye(3)[:, ::-1] @ np.diag([-1.0, -1.0, 1.0])
    return Grid.from_parts(SHAPE, (2.5, 0.8, 0.7), (-31.5, 47.25, -812.0), directions)


def sagittal_grid() -> Grid:
    """Slices run from right to left, rows from feet to head."""
    directions = np.column_stack([(1.0, 0, 0), (0, 0, 1.0), (0, 1.0, 0)])
    return Grid.from_parts(SHAPE, (2.5, 0.8, 0.7), (-31.5, 47.25, -812.0), directions)


def straight_grid() -> Grid:
    """Axial without a tilt, unequal spacing: what planning systems take."""
    return Grid.from_parts(SHAPE, (2.5, 0.8, 0.7), (-31.5, 47.25, -812.0))


GRIDS = {
    "oblique": oblique_grid,
    "reversed": reversed_grid,
    "sagittal": sagittal_grid,
    "straight": straight_grid,
}


@dataclass(frozen=True, eq=False)
class Made:
    folder: Path
    scan: Scan
    source: SourceSeries
    masks: dict[str, Segmentation]


def masks_on(grid: Grid) -> dict[str, Segmentation]:
    """Nested masks; slice 0 and the last are empty, one slice in between too, and numbers have gaps."""
    random = np.random.default_rng(7)
    shape = grid.shape_zyx
    liver = np.zeros(shape, np.uint8)
    liver[1:-1, 1:-1, 1:-1] = random.random(tuple(n - 2 for n in shape)) < 0.75
    liver[3] = 0
    segments = np.where(liver, random.choice([1, 4, 41, 42, 8], shape), 0).astype(np.uint8)
    lesions = np.where(liver & (random.random(shape) < 0.4), random.choice([2, 5], shape), 0).astype(np.uint8)
    viable = np.where(random.random(shape) < 0.5, lesions, 0).astype(np.uint8)
    vessels = np.where(liver & (random.random(shape) < 0.2), random.choice([1, 2], shape), 0).astype(np.uint8)
    arrays = {"liver": liver, "segments": segments, "lesions": lesions, "viable": viable, "vessels": vessels}
    return {
        name: Segmentation(array, grid, {int(v): f"{name} {v}" for v in np.unique(array) if v}, "a method")
        for name, array in arrays.items()
    }


def made(folder: Path, grid: Grid | None = None, *, enhanced: bool = False) -> Made:
    """Write a series on ``grid`` (as stored) and masks on its canonical axes."""
    stored = oblique_grid() if grid is None else grid
    if enhanced:
        write_enhanced(folder / "mf", grid=stored)
    else:
        write_series(folder, grid=stored)
    scan = read_dicom(folder)[0]
    return Made(folder, scan, find_source(folder, scan.grid), masks_on(scan.grid))
