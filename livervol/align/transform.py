"""Where a place of one scan lies in another: a rigid motion and a smooth bend, in LPS mm, both ways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.grid import Grid
from livervol.kernels.warp import warp_linear, warp_nearest
from livervol.scan import Scan, Segmentation

__all__ = ["Bend", "Transform", "affine_moved"]

#: The bend is turned round by repeated substitution until no point moves by more than this.
INVERSE_TOLERANCE_MM, INVERSE_STEPS = 0.01, 100


def affine_moved(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """LPS mm of points (..., 3) after a 4x4 matrix."""
    moved: NDArray[np.float64] = points @ matrix[:3, :3].T + matrix[:3, 3]
    return moved


def _inverted(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Bend:
    """Displacements in LPS mm, ``shifts_mm`` shape (3, z, y, x) float32, on the nodes of ``grid``; between them linear.

    Beyond the grid its border is carried on.
    """

    grid: Grid
    shifts_mm: NDArray[np.float32]

    def at(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacement in mm at LPS positions, shape (..., 3) in and out."""
        from scipy import ndimage

        index = np.moveaxis(self.grid.lps_to_index(points_mm), -1, 0)
        parts = [ndimage.map_coordinates(part, index, order=1, mode="nearest", output=float) for part in self.shifts_mm]
        return np.stack(parts, axis=-1)


@dataclass(frozen=True, eq=False)
class Transform:
    """A place x of the fixed world lies at ``matrix @ (x + bend(x))`` in the moving world: LPS mm, matrix 4x4 rigid."""

    matrix: NDArray[np.float64]
    bend: Bend | None = None

    def to_moving(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS mm in the moving world of places in the fixed world, shape (..., 3) in and out."""
        points = np.asarray(points_lps_mm, dtype=np.float64)
        if self.bend is not None:
            points = points + self.bend.at(points)
        return affine_moved(points, self.matrix)

    def to_fixed(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS mm in the fixed world of places in the moving world, shape (..., 3); undoes ``to_moving`` to 0.01 mm."""
        back = _inverted(self.matrix)
        straight = affine_moved(np.asarray(points_lps_mm, dtype=np.float64), back)
        if self.bend is None or not straight.size:
            return straight
        # a bend that does not fold shrinks the error with every substitution
        points = straight
        for _ in range(INVERSE_STEPS):
            better: NDArray[np.float64] = straight - self.bend.at(points)
            change = float(np.abs(better - points).max())
            points = better
            if change < INVERSE_TOLERANCE_MM:
                break
        return points

    def inverse(self) -> Transform:
        """The transform from the moving to the fixed world, its bend on a lattice of the same spacing."""
        back = _inverted(self.matrix)
        if self.bend is None:
            return Transform(back)
        reach = np.ceil(np.abs(self.bend.shifts_mm).max() / np.array(self.bend.grid.spacing_mm)).astype(int) + 1
        padded = self.bend.grid.pad(reach.tolist(), reach.tolist())
        lattice = Grid.from_matrix(padded.shape_zyx, self.matrix @ padded.matrix)
        nodes = lattice.index_to_lps(np.moveaxis(np.indices(lattice.shape_zyx), 0, -1))
        shifts = affine_moved(self.to_fixed(nodes), self.matrix) - nodes
        return Transform(back, Bend(lattice, np.moveaxis(shifts, -1, 0).astype(np.float32)))

    def scan(self, moving: Scan, grid: Grid) -> Scan:
        """The moving scan on a grid of the fixed world, linearly; outside its field the minimum."""
        if self.bend is None:
            # moving the grid instead of the voxels: one interpolation, and none at all when the grids agree
            seen: Any = np.linalg.inv(self.matrix) @ moving.grid.matrix
            moved = replace(moving, grid=Grid.from_matrix(moving.grid.shape_zyx, seen, grid.frame))
            if moved.grid.matches(grid, tol_mm=1e-6):
                return replace(moving, grid=grid)
            return moved.resampled(grid)
        plan = self._plan(moving.grid, grid)
        voxels = warp_linear(moving.voxels, plan, grid.shape_zyx, moving.voxels.min())
        return replace(moving, voxels=voxels, grid=grid)

    def labels(self, moving: Segmentation, grid: Grid) -> Segmentation:
        """The moving labels on a grid of the fixed world, nearest neighbour; outside their field is background."""
        labels = warp_nearest(moving.labels, self._plan(moving.grid, grid), grid.shape_zyx, 0)
        return replace(moving, labels=labels, grid=grid)

    def _plan(self, moving: Grid, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
        into = np.linalg.inv(moving.matrix) @ self.matrix
        straight: NDArray[np.float64] = (into @ grid.matrix)[:3]
        if self.bend is None:
            return straight, np.zeros((3, 4)), np.zeros((3, 1, 1, 1), np.float32)
        lattice: NDArray[np.float64] = (np.linalg.inv(self.bend.grid.matrix) @ grid.matrix)[:3]
        return straight, lattice, np.tensordot(into[:3, :3], self.bend.shifts_mm, 1).astype(np.float32)
