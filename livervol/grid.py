"""Grid: where voxels are. Index ``(z, y, x)`` to LPS millimetres of the voxel centre; it never touches voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.errors import GridError, refusal

__all__ = ["SHEAR_TOLERANCE", "TOLERANCE_MM", "AxisOrder", "Grid"]

#: Cosine between two axes above which a grid counts as sheared. DICOM direction cosines carry about 1e-6 of rounding,
#: NIfTI single-precision affines about 1e-5; a gantry tilt of 0.1 degrees gives 1.7e-3.
SHEAR_TOLERANCE = 1e-3

#: Default distance between corresponding corners below which two grids are the same place: far under a voxel, far
#: over the rounding of single-precision headers (1e-4 mm at 500 mm from the origin).
TOLERANCE_MM = 0.01

Matrix = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class AxisOrder:
    """How stored axes become canonical ones: canonical axis ``i`` is stored axis ``permutation[i]``, reversed if so."""

    permutation: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def apply(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored array to canonical order (a view)."""
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)
        return stored.transpose(self.permutation)[steps]

    def undo(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """Canonical array back to stored order (a view)."""
        steps = tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flipped)
        inverse = tuple(int(i) for i in np.argsort(self.permutation))
        return canonical[steps].transpose(inverse)


@dataclass(frozen=True)
class Grid:
    """A regular lattice of voxels in LPS millimetres.

    ``shape_zyx``  voxels along axes 0, 1, 2.
    ``affine``     4x4 nested tuples; maps the index column ``(z, y, x, 1)`` to the LPS position of the voxel centre.
    ``frame``      DICOM frame-of-reference UID, or None when unknown.

    Oblique and left-handed grids are allowed; shear, zero spacing and non-finite numbers raise ``GridError``.
    Equality is exact in every field; use :meth:`matches` for a tolerance.
    """

    shape_zyx: tuple[int, int, int]
    affine: Matrix
    frame: str | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.affine, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise GridError(refusal("affine is not 4x4", expected="shape (4, 4)", got=str(matrix.shape)))
        if len(self.shape_zyx) != 3 or any(int(n) != n or n < 1 for n in self.shape_zyx):
            raise GridError(refusal("grid is empty", expected="three sizes of at least 1", got=str(self.shape_zyx)))
        if not np.isfinite(matrix).all():
            raise GridError(refusal("affine is not finite", expected="finite numbers", got=str(self.affine)))
        if tuple(matrix[3]) != (0.0, 0.0, 0.0, 1.0):
            raise GridError(refusal("affine has no last row", expected="0 0 0 1", got=str(tuple(matrix[3]))))
        object.__setattr__(self, "shape_zyx", tuple(int(n) for n in self.shape_zyx))
        object.__setattr__(self, "affine", tuple(tuple(float(v) for v in row) for row in matrix))
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if (spacing <= 0).any():
            got = "x".join(f"{s:g}" for s in spacing) + " mm"
            raise GridError(refusal("voxel spacing is zero", expected="spacing above 0 mm on every axis", got=got))
        unit = matrix[:3, :3] / spacing
        cosines = np.abs(unit.T @ unit - np.eye(3))
        if cosines.max() > SHEAR_TOLERANCE:
            degrees = math.degrees(math.asin(min(1.0, float(cosines.max()))))
            raise GridError(
                refusal(
                    "grid is sheared",
                    expected="axes at right angles",
                    got=f"{degrees:.2f} degrees off",
                    do="Resample the scan to a straight grid first (gantry tilt correction).",
                )
            )

    @classmethod
    def from_parts(
        cls,
        shape_zyx: Sequence[int],
        spacing_mm: Sequence[float],
        origin_lps_mm: Sequence[float] = (0.0, 0.0, 0.0),
        directions: ArrayLike | None = None,
        frame: str | None = None,
    ) -> Grid:
        """Grid from spacing per axis (z, y, x), the LPS position of voxel (0, 0, 0) and unit direction columns.

        ``directions`` is shape (3, 3), column ``k`` the LPS direction of axis ``k``; default: z up, y back, x left.
        """
        columns = np.eye(3)[:, ::-1] if directions is None else np.asarray(directions, dtype=np.float64)
        matrix = np.eye(4)
        matrix[:3, :3] = columns * np.asarray(spacing_mm, dtype=np.float64)
        matrix[:3, 3] = origin_lps_mm
        return cls.from_matrix(shape_zyx, matrix, frame)

    @classmethod
    def from_matrix(cls, shape_zyx: Sequence[int], matrix: ArrayLike, frame: str | None = None) -> Grid:
        """Grid from a 4x4 array (index zyx to LPS mm)."""
        values = np.asarray(matrix, dtype=np.float64)
        nested = tuple(tuple(float(v) for v in row) for row in values)
        z, y, x = (int(n) for n in shape_zyx)
        return cls((z, y, x), nested, frame)  # type: ignore[arg-type]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Affine as a fresh float64 array, shape (4, 4)."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along z, y, x, in mm."""
        z, y, x = (float(s) for s in np.linalg.norm(self.matrix[:3, :3], axis=0))
        return (z, y, x)

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit LPS direction of each axis as columns, shape (3, 3)."""
        columns: NDArray[np.float64] = self.matrix[:3, :3] / np.asarray(self.spacing_mm)
        return columns

    @property
    def origin_lps_mm(self) -> tuple[float, float, float]:
        """LPS position of the centre of voxel (0, 0, 0), in mm."""
        return (self.affine[0][3], self.affine[1][3], self.affine[2][3])

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml: |det| / 1000."""
        return abs(float(np.linalg.det(self.matrix[:3, :3]))) / 1000.0

    @property
    def is_left_handed(self) -> bool:
        """True when (x, y, z) index steps form a left-handed triad in LPS."""
        return float(np.linalg.det(self.matrix[:3, 2::-1])) < 0

    @property
    def axial_tilt_degrees(self) -> float:
        """Angle between the slice normal (axis 0) and the patient's long axis, 0 to 90 degrees."""
        return math.degrees(math.acos(min(1.0, abs(float(self.directions[2, 0])))))

    def index_to_lps(self, index_zyx: ArrayLike) -> NDArray[np.float64]:
        """LPS mm of voxel indices, shape (..., 3) in and out; fractions allowed."""
        index = np.asarray(index_zyx, dtype=np.float64)
        points: NDArray[np.float64] = index @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return points

    def lps_to_index(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional (z, y, x) index of LPS positions in mm, shape (..., 3) in and out."""
        point = np.asarray(point_lps_mm, dtype=np.float64)
        inverse = np.linalg.inv(self.matrix[:3, :3])
        index: NDArray[np.float64] = (point - self.matrix[:3, 3]) @ inverse.T
        return index

    def corners_lps_mm(self) -> NDArray[np.float64]:
        """LPS mm of the eight corner voxel centres, shape (8, 3), z slowest."""
        last = [n - 1 for n in self.shape_zyx]
        index = [(z, y, x) for z in (0, last[0]) for y in (0, last[1]) for x in (0, last[2])]
        return self.index_to_lps(index)

    def matches(self, other: Grid, tol_mm: float = TOLERANCE_MM) -> bool:
        """Same shape, every corner within ``tol_mm``, and frames of reference not known to differ."""
        if self.shape_zyx != other.shape_zyx:
            return False
        if self.frame is not None and other.frame is not None and self.frame != other.frame:
            return False
        apart = np.linalg.norm(self.corners_lps_mm() - other.corners_lps_mm(), axis=1)
        return bool(apart.max() <= tol_mm)

    def crop(self, start_zyx: Sequence[int], stop_zyx: Sequence[int]) -> Grid:
        """Grid of the box ``[start, stop)``; a box outside the grid raises ``GridError``."""
        for axis, (a, b, n) in enumerate(zip(start_zyx, stop_zyx, self.shape_zyx, strict=True)):
            if not 0 <= a < b <= n:
                raise GridError(
                    refusal(
                        "crop is outside the grid",
                        expected=f"0 <= start < stop <= {n}",
                        got=f"{a}..{b}",
                        where=f"axis {axis}",
                    )
                )
        matrix = self.matrix
        matrix[:3, 3] = self.index_to_lps(list(start_zyx))
        return Grid.from_matrix([b - a for a, b in zip(start_zyx, stop_zyx, strict=True)], matrix, self.frame)

    def pad(self, before_zyx: Sequence[int], after_zyx: Sequence[int]) -> Grid:
        """Grid with voxels added before and after each axis (counts of at least 0)."""
        if min(*before_zyx, *after_zyx) < 0:
            raise GridError(
                refusal("padding is negative", expected="counts of at least 0", got=f"{before_zyx}, {after_zyx}")
            )
        matrix = self.matrix
        matrix[:3, 3] = self.index_to_lps([-n for n in before_zyx])
        shape = [n + a + b for n, a, b in zip(self.shape_zyx, before_zyx, after_zyx, strict=True)]
        return Grid.from_matrix(shape, matrix, self.frame)

    def with_spacing(self, spacing_mm: Sequence[float]) -> Grid:
        """Grid over the same field (outer voxel faces of the start kept) with about the given spacing per axis."""
        wanted = np.asarray(spacing_mm, dtype=np.float64)
        extent = np.asarray(self.spacing_mm) * self.shape_zyx
        shape = np.maximum(1, np.rint(extent / wanted)).astype(int)
        spacing = extent / shape
        matrix = self.matrix
        matrix[:3, :3] = self.directions * spacing
        matrix[:3, 3] = self.index_to_lps(-0.5 + 0.5 * spacing / np.asarray(self.spacing_mm))
        return Grid.from_matrix(shape.tolist(), matrix, self.frame)

    def canonical_order(self) -> AxisOrder:
        """Permutation and flips after which axis 0 runs most nearly feet to head, 1 front to back, 2 right to left."""
        directions = self.directions
        lps_of_axis = (2, 1, 0)

        def score(candidate: tuple[int, ...]) -> float:
            return sum(abs(float(directions[lps_of_axis[i], stored])) for i, stored in enumerate(candidate))

        a, b, c = max(permutations(range(3)), key=score)
        f0, f1, f2 = (bool(directions[lps_of_axis[i], stored] < 0) for i, stored in enumerate((a, b, c)))
        return AxisOrder((a, b, c), (f0, f1, f2))

    def reordered(self, order: AxisOrder) -> Grid:
        """The same voxels' places after ``order.apply`` on their array."""
        matrix = self.matrix
        index = [0.0, 0.0, 0.0]
        for stored, flip in zip(order.permutation, order.flipped, strict=True):
            if flip:
                index[stored] = self.shape_zyx[stored] - 1.0
        result = np.eye(4)
        for i, (stored, flip) in enumerate(zip(order.permutation, order.flipped, strict=True)):
            result[:3, i] = -matrix[:3, stored] if flip else matrix[:3, stored]
        result[:3, 3] = self.index_to_lps(index)
        return Grid.from_matrix([self.shape_zyx[i] for i in order.permutation], result, self.frame)

    def describe(self) -> str:
        """``40x512x512 at 2.50x0.80x0.80 mm``, for messages."""
        shape = "x".join(str(n) for n in self.shape_zyx)
        spacing = "x".join(f"{s:.2f}" for s in self.spacing_mm)
        return f"{shape} at {spacing} mm"
