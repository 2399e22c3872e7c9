"""The virtual patient's tumours at three visits: ellipsoids with necrotic cores or with viable nodules inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import Array, Ellipsoid

__all__ = ["COURSE_LESIONS", "LesionShape"]


@dataclass(frozen=True)
class LesionShape:
    """One lesion at one visit: ``outer`` less ``cores`` is viable, or, with ``nodules``, only these are.

    All axes of one lesion's ellipsoids lie along the outer one's or are turned about z only, so that axial slices are
    ellipses with axes known in closed form.
    """

    number: int
    role: str
    outer: Ellipsoid
    cores: tuple[Ellipsoid, ...] = ()
    nodules: tuple[Ellipsoid, ...] = ()

    def inside(self, x: Array, y: Array, z: Array) -> NDArray[np.bool_]:
        """True inside the lesion, necrosis included."""
        return self.outer.inside(x, y, z)

    def viable(self, x: Array, y: Array, z: Array) -> NDArray[np.bool_]:
        """True in viable tissue."""
        inside = self.outer.inside(x, y, z)
        if self.nodules:
            parts = [nodule.inside(x, y, z) for nodule in self.nodules]
            return inside & np.logical_or.reduce(parts)
        for core in self.cores:
            inside &= ~core.inside(x, y, z)
        return inside


_FIRST = (-88.0, 8.0, 30.0)
_SECOND = (-92.0, -16.0, -36.0)
_NEW = (30.0, -46.0, 36.0)

#: Lesions by visit number; lesion 1 lies in segments 7/8, 2 in 5/6, 3 in 2/3.
COURSE_LESIONS: dict[int, tuple[LesionShape, ...]] = {
    1: (
        LesionShape(
            1,
            "target",
            Ellipsoid(_FIRST, (26.0, 23.0, 24.0), (0.0, 0.0, 20.0)),
            cores=(Ellipsoid((-86.0, 9.0, 30.0), (9.0, 8.0, 7.0), (0.0, 0.0, 20.0)),),
        ),
        LesionShape(2, "target", Ellipsoid(_SECOND, (15.5, 13.0, 14.0), (0.0, 0.0, -30.0))),
    ),
    2: (
        LesionShape(
            1,
            "target",
            Ellipsoid(_FIRST, (25.0, 22.5, 23.5), (0.0, 0.0, 20.0)),
            nodules=(Ellipsoid((-80.5, 2.5, 34.0), (12.0, 9.0, 10.0), (0.0, 0.0, -40.0)),),
        ),
        LesionShape(
            2,
            "target",
            Ellipsoid(_SECOND, (14.5, 12.5, 13.5), (0.0, 0.0, -30.0)),
            cores=(Ellipsoid(_SECOND, (10.5, 8.5, 9.0), (0.0, 0.0, -30.0)),),
        ),
    ),
    3: (
        LesionShape(
            1,
            "target",
            Ellipsoid(_FIRST, (26.0, 23.5, 24.0), (0.0, 0.0, 20.0)),
            nodules=(Ellipsoid((-87.0, 2.0, 34.0), (21.0, 13.0, 15.0), (0.0, 0.0, 20.0)),),
        ),
        LesionShape(
            2,
            "target",
            Ellipsoid(_SECOND, (15.0, 13.0, 14.0), (0.0, 0.0, -30.0)),
            cores=(Ellipsoid(_SECOND, (6.0, 5.0, 4.5), (0.0, 0.0, -30.0)),),
        ),
        LesionShape(3, "new", Ellipsoid(_NEW, (9.5, 8.5, 9.0))),
    ),
}
