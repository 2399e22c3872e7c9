"""Median, Gaussian and majority smoothing against scipy, scikit-image and SimpleITK."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, identical, is_tiny, itk, values_of
from scipy import ndimage
from skimage import filters

from livervol.kernels.smooth import gaussian, majority_smooth, median3


def near(a: Any, b: Any) -> bool:
    """Single against double precision, relative to the greatest magnitude (1000 HU)."""
    return bool(np.allclose(values_of(a), values_of(b), rtol=1e-4, atol=1e-2))


def nearly_all(a: Any, b: Any) -> bool:
    """Voxels whose Gaussian is one half to the last digit may fall to either side."""
    return np.count_nonzero(np.asarray(a) != np.asarray(b)) <= 1e-5 * np.asarray(a).size


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    spacing = scene.spacing_mm
    sigma_mm = 15.0 if tiny else 1.5
    sigmas = [sigma_mm / s for s in spacing]
    race = Race(tiny, repeats=3)
    ct, liver = scene.cropped(scene.ct), scene.cropped(scene.liver)
    image = itk(ct, spacing)
    race.run(
        "3x3x3 median, liver crop",
        lambda: median3(ct),
        {
            "scipy": lambda: ndimage.median_filter(ct, 3, mode="nearest"),
            "SimpleITK": lambda: sitk.Median(image, [1, 1, 1]),
            "scikit-image": lambda: filters.median(ct, np.ones((3, 3, 3)), mode="nearest", behavior="ndimage"),
        },
        identical,
    )
    race.run(
        f"Gaussian of {sigma_mm:g} mm, liver crop",
        lambda: gaussian(ct, sigma_mm, spacing),
        {
            "scipy": lambda: ndimage.gaussian_filter(ct, sigmas, output=np.float32, mode="nearest", truncate=4.0),
            "scikit-image": lambda: filters.gaussian(
                ct.astype(np.float32), sigmas, mode="nearest", truncate=4.0, preserve_range=True
            ),
        },
        near,
    )
    # other approximations of the same Gaussian: times comparable, voxels not
    race.run(
        f"Gaussian of {sigma_mm:g} mm, time only",
        lambda: gaussian(ct, sigma_mm, spacing),
        {
            "SimpleITK recursive": lambda: sitk.SmoothingRecursiveGaussian(
                sitk.Cast(image, sitk.sitkFloat32), sigma_mm
            ),
            "SimpleITK discrete": lambda: sitk.DiscreteGaussian(sitk.Cast(image, sitk.sitkFloat32), sigma_mm**2),
        },
    )
    race.run(
        f"majority within {sigma_mm:g} mm, liver crop",
        lambda: majority_smooth(liver, sigma_mm, spacing),
        {
            "scipy": lambda: (
                ndimage.gaussian_filter(liver, sigmas, output=np.float32, mode="nearest", truncate=4.0) >= 0.5
            )
        },
        nearly_all,
    )
    race.finish()


if __name__ == "__main__":
    main()
