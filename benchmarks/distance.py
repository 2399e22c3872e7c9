"""Exact anisotropic distances against scipy, SimpleITK and edt."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, close, is_tiny, itk, optional, values_of
from scipy import ndimage

from livervol.kernels.distance import distance_mm, distance_to


def peers(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, Any]:
    image = itk((mask == 0).astype(np.uint8), spacing)
    runners = {
        "scipy": lambda: ndimage.distance_transform_edt(mask, spacing),
        "SimpleITK": lambda: sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True),
    }
    edt = optional("edt")
    if edt is not None:
        runners["edt"] = lambda: edt.edt(mask, anisotropy=spacing, parallel=2)
    return runners


def same_depth(a: Any, b: Any) -> bool:
    """One peer is negative on the other side."""
    return close(a, np.maximum(values_of(b), 0))


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    spacing = scene.spacing_mm
    race = Race(tiny)
    liver, lesions, crop = scene.liver, scene.lesions, scene.cropped(scene.liver)
    race.run("depth in the liver, full volume", lambda: distance_mm(liver, spacing), peers(liver, spacing), same_depth)
    race.run("depth in the liver, its crop", lambda: distance_mm(crop, spacing), peers(crop, spacing), same_depth)
    outside = (lesions == 0).astype(np.uint8)
    runners = peers(outside, spacing)
    race.run("distance to the nearest lesion, full volume", lambda: distance_to(lesions, spacing), runners, same_depth)
    race.run("the same within 20 mm of a lesion", lambda: distance_to(lesions, spacing, 20.0), runners)
    race.finish()


if __name__ == "__main__":
    main()
