"""Region growing and arrival costs against scikit-image, SimpleITK and cc3d."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, close, identical, is_tiny, itk, optional
from skimage import segmentation
from skimage.graph import MCP_Geometric

from livervol.kernels.front import geodesic_front, grow_region


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    race = Race(tiny)
    cc3d = optional("cc3d")
    ct = scene.cropped(scene.ct)
    inside = np.argwhere(scene.cropped(scene.liver) & (ct >= 60) & (ct <= 160))
    seed = tuple(int(k) for k in inside[len(inside) // 2])
    seeds = np.zeros(ct.shape, np.uint8)
    seeds[seed] = 1
    image = itk(ct, scene.spacing_mm)
    runners = {
        "SimpleITK": lambda: sitk.ConnectedThreshold(image, [seed[::-1]], 60, 160),
        "scikit-image": lambda: segmentation.flood((ct >= 60) & (ct <= 160), seed, connectivity=1),
    }
    if cc3d is not None:

        def by_cc3d() -> Any:
            labels = cc3d.connected_components((ct >= 60) & (ct <= 160), connectivity=6)
            return labels == labels[seed]

        runners["cc3d"] = by_cc3d
    race.run(
        "region of a threshold from a seed, liver crop", lambda: grow_region(ct, seeds, 60, 160), runners, identical
    )

    # costs as a segmentation would have them, in a quarter of the crop: the peer is slow
    part = np.ascontiguousarray(ct[: ct.shape[0] // 4])
    cost = (1 + np.abs(part - 110) / 20).astype(np.float32)
    start = (cost.shape[0] // 2, cost.shape[1] // 2, cost.shape[2] // 2)
    seeds = np.zeros(cost.shape, np.uint8)
    seeds[start] = 1

    def by_skimage() -> Any:
        return MCP_Geometric(cost, sampling=scene.spacing_mm, fully_connected=True).find_costs([start])[0]

    race.run(
        "arrival cost over 26 neighbours, a quarter of the liver crop",
        lambda: geodesic_front(cost, seeds, scene.spacing_mm),
        {"scikit-image": by_skimage},
        close,
    )
    race.finish()


if __name__ == "__main__":
    main()
