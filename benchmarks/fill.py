"""Hole filling against scipy, SimpleITK and fill-voids."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, identical, is_tiny, itk, optional
from scipy import ndimage

from livervol.kernels.fill import fill_holes, fill_holes_slices


def peers(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, Any]:
    image = itk(mask, spacing)
    runners = {
        "scipy": lambda: ndimage.binary_fill_holes(mask),
        "SimpleITK": lambda: sitk.BinaryFillhole(image),
    }
    fill_voids = optional("fill_voids")
    if fill_voids is not None:
        runners["fill-voids"] = lambda: fill_voids.fill(mask)
    return runners


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    race = Race(tiny)
    # the liver with the lesions as cavities; its vessels are tunnels, which stay open
    mask = scene.liver & (1 - scene.lesions)
    crop = np.ascontiguousarray(mask[scene.crop])
    race.run("holes, full volume", lambda: fill_holes(mask), peers(mask, scene.spacing_mm), identical)
    race.run("holes, liver crop", lambda: fill_holes(crop), peers(crop, scene.spacing_mm), identical)
    slices = {"scipy": lambda: np.stack([ndimage.binary_fill_holes(plane) for plane in crop])}
    race.run("holes of each slice, liver crop", lambda: fill_holes_slices(crop), slices, identical)
    race.finish()


if __name__ == "__main__":
    main()
