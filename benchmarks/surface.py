"""Volume and surface of a liver's smooth surface against scikit-image's marching cubes."""

from __future__ import annotations

from typing import Any

import numpy as np
from bench import Race, abdomen, is_tiny
from skimage import measure

from livervol.kernels.surface import case_areas, case_volumes, neighbourhood_counts


def near(a: Any, b: Any) -> bool:
    """Two triangulations of the same cubes: half a percent of volume, two of area."""
    return bool(np.allclose(np.asarray(a)[0], np.asarray(b)[0], rtol=5e-3)) and bool(
        np.allclose(np.asarray(a)[1], np.asarray(b)[1], rtol=2e-2)
    )


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    spacing = scene.spacing_mm
    race = Race(tiny)
    mask = scene.cropped(scene.liver).astype(bool)
    volumes, areas = case_volumes(), case_areas(np.array(spacing))

    def ours() -> Any:
        counts = neighbourhood_counts(mask)
        return counts @ volumes * np.prod(spacing), counts @ areas

    def by_skimage() -> Any:
        corners, faces, _, _ = measure.marching_cubes(np.pad(mask, 1).astype(np.uint8), 0.5, spacing=spacing)
        a, b, c = (corners[faces[:, k]].astype(np.float64) for k in range(3))
        return abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6, measure.mesh_surface_area(corners, faces)

    race.run("volume and area of the smooth surface, liver crop", ours, {"scikit-image": by_skimage}, near)
    race.finish()


if __name__ == "__main__":
    main()
