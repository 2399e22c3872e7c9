"""Ball morphology against scipy, scikit-image, SimpleITK and distances by edt."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, identical, is_tiny, itk, optional
from scipy import ndimage
from skimage import morphology

from livervol.kernels.morphology import close_mm, dilate_mm, open_mm


def ball(radius_mm: float, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    reach = [int(radius_mm / s + 1e-9) for s in spacing_mm]
    offsets = np.mgrid[tuple(slice(-n, n + 1) for n in reach)]
    square = sum((k * s) ** 2 for k, s in zip(offsets, spacing_mm, strict=True))
    return np.asarray(square <= (radius_mm * (1 + 1e-9)) ** 2)


def peers(mask: np.ndarray, radius_mm: float, spacing: tuple[float, float, float], what: str) -> dict[str, Any]:
    element = ball(radius_mm, spacing)
    reach = [n // 2 for n in element.shape]

    def by_scipy() -> Any:
        if what == "dilate":
            return ndimage.binary_dilation(mask, element)
        if what == "open":
            return ndimage.binary_dilation(ndimage.binary_erosion(mask, element, border_value=1), element)
        return ndimage.binary_erosion(ndimage.binary_dilation(mask, element), element, border_value=1)

    def by_skimage() -> Any:
        # the peer's erosion counts outside as foreground too
        run = {
            "dilate": morphology.dilation,
            "open": morphology.opening,
            "close": morphology.closing,
        }[what]
        return run(mask, element.astype(np.uint8))

    runners = {"scipy": by_scipy, "scikit-image": by_skimage}
    image = itk(mask, spacing)
    run = {
        "dilate": sitk.BinaryDilate,
        "open": sitk.BinaryMorphologicalOpening,
        "close": sitk.BinaryMorphologicalClosing,
    }[what]
    # its ball is an ellipsoid of whole voxels, so its time is comparable and its result is not
    runners["SimpleITK (own ball)"] = lambda: run(image, reach[::-1], sitk.sitkBall)
    edt = optional("edt")
    if edt is not None:

        def grown(of: np.ndarray) -> np.ndarray:
            return edt.edt(of == 0, anisotropy=spacing, parallel=2) <= radius_mm * (1 + 1e-6)

        def by_edt() -> Any:
            if what == "dilate":
                return grown(mask)
            if what == "open":
                return grown(~grown(mask == 0))
            return ~grown(~grown(mask))

        runners["edt"] = by_edt
    return runners


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    spacing = scene.spacing_mm
    race = Race(tiny, repeats=3)
    crop = scene.cropped(scene.liver)
    # on the tiny scene the same radii in voxels
    scale = 10.0 if tiny else 1.0
    runs = (
        ("closing", close_mm, "close", 3.75),
        ("opening", open_mm, "open", 3.75),
        ("dilation", dilate_mm, "dilate", 10.0),
    )
    for name, ours, what, radius in runs:
        radius_mm = radius * scale
        runners = peers(crop, radius_mm, spacing, what)
        own_ball = runners.pop("SimpleITK (own ball)")
        race.run(
            f"{name} with a {radius_mm:g} mm ball, liver crop",
            lambda ours=ours, radius_mm=radius_mm: ours(crop, radius_mm, spacing),
            runners,
            identical,
        )
        race.run(
            f"{name} with a {radius_mm:g} mm ball, time only",
            lambda ours=ours, radius_mm=radius_mm: ours(crop, radius_mm, spacing),
            {"SimpleITK (own ball)": own_ball},
        )
    race.finish()


if __name__ == "__main__":
    main()
