"""Tubeness at three scales against scikit-image and SimpleITK."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, is_tiny, itk, values_of
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature, filters

from livervol.kernels.tubeness import tubeness


def by_eigenvalues(values: NDArray[Any], spacing_mm: tuple[float, ...], scales_mm: list[float]) -> NDArray[Any]:
    """The same definition from scipy's Gaussian, numpy's differences and scikit-image's eigenvalues."""
    best = np.zeros(values.shape, np.float32)
    for scale in scales_mm:
        smooth = ndimage.gaussian_filter(
            values, [scale / s for s in spacing_mm], output=np.float32, mode="nearest", truncate=4.0
        )
        padded = np.pad(smooth, 1, mode="edge")

        def at(a: int, b: int, c: int, padded: NDArray[Any] = padded) -> NDArray[Any]:
            n = values.shape
            return padded[1 + a : 1 + a + n[0], 1 + b : 1 + b + n[1], 1 + c : 1 + c + n[2]]

        elements = []
        for i in range(3):
            for j in range(i, 3):
                u, v = (tuple(int(k == axis) for k in range(3)) for axis in (i, j))
                p, m = tuple(np.add(u, v)), tuple(np.subtract(u, v))
                if i == j:
                    value = at(*u) + at(*(-k for k in u)) - 2 * smooth
                else:
                    value = (at(*p) + at(*(-k for k in p)) - at(*m) - at(*(-k for k in m))) / 4
                elements.append(value / (spacing_mm[i] * spacing_mm[j]))
        _, middle, least = feature.hessian_matrix_eigvals(elements)
        np.maximum(best, scale**2 * np.sqrt(np.where(middle < 0, least * middle, 0)), out=best)
    return best


def near(a: Any, b: Any) -> bool:
    """Both in single precision; near a vanishing second curvature the root magnifies the rounding."""
    return bool(np.allclose(values_of(a), values_of(b), rtol=1e-2, atol=0.5))


def objectness(image: Any, scales_mm: list[float]) -> Any:
    best = None
    for scale in scales_mm:
        smooth = sitk.SmoothingRecursiveGaussian(image, scale)
        found = sitk.ObjectnessMeasure(smooth, alpha=0.5, beta=0.5, gamma=5.0, objectDimension=1)
        best = found if best is None else sitk.Maximum(best, found)
    return best


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    spacing = scene.spacing_mm
    scales = [8.0, 12.0, 20.0] if tiny else [1.5, 2.5, 4.0]
    race = Race(tiny, repeats=3)
    ct, liver = scene.cropped(scene.ct), scene.cropped(scene.liver)
    image = sitk.Cast(itk(ct, spacing), sitk.sitkFloat32)
    single = ct.astype(np.float32)
    step = float(np.mean(spacing))
    race.run(
        "tubeness at three scales, liver crop, same definition",
        lambda: tubeness(ct, spacing, scales)[0],
        {"scipy and scikit-image eigenvalues": lambda: by_eigenvalues(single, spacing, scales)},
        near,
    )
    # other derivatives and measures of the same eigenvalues: times comparable, voxels not
    race.run(
        "tubeness at three scales, liver crop, time only",
        lambda: tubeness(ct, spacing, scales)[0],
        {
            "SimpleITK objectness": lambda: objectness(image, scales),
            "scikit-image sato": lambda: filters.sato(single, [s / step for s in scales], black_ridges=False),
        },
    )
    inside = (liver != 0).view(np.uint8)
    race.run(
        "tubeness at three scales inside the liver, time only",
        lambda: tubeness(ct, spacing, scales, inside)[0],
        {"SimpleITK objectness of the crop": lambda: objectness(image, scales)},
    )
    race.finish()


if __name__ == "__main__":
    main()
