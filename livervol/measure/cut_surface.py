"""A user's curved cut through the liver: a thin plate through placed points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from livervol.errors import GridError, refusal
from livervol.kernels.tally import label_boxes
from livervol.measure.planes import KEPT, REMOVED, Plane
from livervol.scan import Segmentation

__all__ = ["CutSurface", "surface_parts"]

#: The plate's height is laid out on a raster this fine and read off between its points; a plate bends over centimetres.
RASTER_MM = 1.0

_PARTS = {KEPT: "kept", REMOVED: "removed"}


@dataclass(frozen=True, eq=False)
class CutSurface:
    """A height over a plane: ``plane`` fits the points best, ``points_uvw_mm`` (n, 3) are they along and across it.

    Between the points the height is that of a thin plate (Duchon 1977), the smoothest surface through all of them; far
    away it runs on flat.
    """

    plane: Plane
    axes: NDArray[np.float64]
    points_uvw_mm: NDArray[np.float64]

    @classmethod
    def through(cls, points_lps_mm: ArrayLike, positive_lps_mm: ArrayLike) -> CutSurface:
        """The surface through at least four points, shape (n, 3) in mm, positive where ``positive_lps_mm`` lies.

        Raises ``GridError`` for fewer points, points on one line, two points one above the other, or a positive point
        on the plane of best fit.
        """
        points = np.atleast_2d(np.asarray(points_lps_mm, dtype=np.float64))
        if len(points) < 4:
            raise GridError(
                refusal("points of a curved cut", expected="at least 4", got=str(len(points)), do="Use a plane for 3.")
            )
        plane = Plane.through(points, positive_lps_mm)
        normal = np.array(plane.normal)
        along = np.eye(3)[int(np.abs(normal).argmin())]
        u = np.cross(normal, along)
        u /= np.linalg.norm(u)
        axes = np.stack([u, np.cross(normal, u), normal])
        uvw = points @ axes.T - [0.0, 0.0, plane.offset_mm]
        apart = np.linalg.norm(uvw[:, None, :2] - uvw[None, :, :2], axis=2) + 1e9 * np.eye(len(uvw))
        if apart.min() < 1e-3:
            raise GridError(
                refusal(
                    "points of a curved cut",
                    expected="one height at each place",
                    got="two points one above the other",
                    do="Move or remove one of them.",
                )
            )
        return cls(plane, axes, uvw)

    def signed_mm(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Height in mm of points (n, 3) over the surface, along the plane's normal; positive on the positive side."""
        uvw = np.asarray(points_lps_mm, dtype=np.float64) @ self.axes.T - [0.0, 0.0, self.plane.offset_mm]
        height: NDArray[np.float64] = uvw[:, 2] - self._height(uvw[:, :2])
        return height

    def _height(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        plate = RBFInterpolator(self.points_uvw_mm[:, :2], self.points_uvw_mm[:, 2], kernel="thin_plate_spline")
        height: NDArray[np.float64] = plate(uv)
        return height

    def raster(self, low_uv: NDArray[np.float64], high_uv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heights in mm on a raster of ``RASTER_MM`` from ``low_uv`` to beyond ``high_uv``."""
        sizes = np.ceil((high_uv - low_uv) / RASTER_MM).astype(int) + 2
        u, v = (low_uv[k] + RASTER_MM * np.arange(sizes[k]) for k in range(2))
        places = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
        heights: NDArray[np.float64] = self._height(places).reshape(sizes)
        return heights


def surface_parts(liver: Segmentation, surface: CutSurface) -> Segmentation:
    """The liver in two parts: removed (2) where a voxel's centre is on or beyond the surface, else kept (1)."""
    boxes = label_boxes((liver.labels != 0).view(np.uint8))
    labels = np.zeros(liver.grid.shape_zyx, np.uint8)
    if len(boxes) < 2:
        return Segmentation(labels, liver.grid, _PARTS, made_by="curved surface")
    index = np.argwhere(liver.labels != 0)
    # one affine map takes an index to (u, v, height over the plane)
    matrix = surface.axes @ liver.grid.matrix[:3, :3]
    offset = surface.axes @ liver.grid.matrix[:3, 3] - [0.0, 0.0, surface.plane.offset_mm]
    uvw = index @ matrix.T + offset
    low = uvw[:, :2].min(axis=0)
    heights = surface.raster(low, uvw[:, :2].max(axis=0))
    over = map_coordinates(heights, ((uvw[:, :2] - low) / RASTER_MM).T, order=1, mode="nearest")
    labels[tuple(index.T)] = np.where(uvw[:, 2] >= over, REMOVED, KEPT)
    return Segmentation(labels, liver.grid, _PARTS, made_by="curved surface")
