"""Resampling by an affine map and a lattice of displacements against scipy and SimpleITK."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, is_tiny, itk, values_of
from scipy import ndimage

from livervol.kernels.warp import warp_linear, warp_nearest


def agreeing(inside: np.ndarray) -> Any:
    """Integers rounded from one real number, which may be a half to the last digit; beyond the edge each its own."""

    def same(a: Any, b: Any) -> bool:
        return bool(np.abs(values_of(a).astype(np.int32) - values_of(b))[inside].max() <= 1)

    return same


def agreeing_but(ties: np.ndarray) -> Any:
    """The same voxels, but for places half way between two, which either may take."""

    def same(a: Any, b: Any) -> bool:
        return bool(((values_of(a) == values_of(b)) | ties).all())

    return same


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    race = Race(tiny, repeats=3)
    ct, liver = scene.cropped(scene.ct), scene.cropped(scene.liver)
    # half a degree about the long axis and a shift that is no whole voxel, onto the same voxels
    matrix = np.array([[1.0, 0.0, 0.0, 0.3], [0.0, 0.99996, -0.0087, 1.2], [0.0, 0.0087, 0.99996, -0.7]])
    still = (matrix, np.eye(3, 4), np.zeros((3, 2, 2, 2), np.float32))
    read_at = np.moveaxis(np.indices(ct.shape), 0, -1) @ matrix[:, :3].T + matrix[:, 3]
    inside = ((read_at >= 0) & (read_at <= np.array(ct.shape) - 1)).all(axis=-1)
    ties = (np.abs(read_at - np.floor(read_at) - 0.5) < 1e-9).any(axis=-1)
    image, mask = itk(ct, (1.0, 1.0, 1.0)), itk(liver, (1.0, 1.0, 1.0))
    move = sitk.AffineTransform(3)
    move.SetMatrix(matrix[::-1, 2::-1].ravel().tolist())
    move.SetTranslation(matrix[::-1, 3].tolist())
    race.run(
        "affine map, trilinear, liver crop",
        lambda: warp_linear(ct, still, ct.shape, -1024),
        {
            "scipy": lambda: ndimage.affine_transform(ct, matrix, order=1, mode="grid-constant", cval=-1024),
            "SimpleITK": lambda: sitk.Resample(image, move, sitk.sitkLinear, -1024),
        },
        agreeing(inside),
    )
    race.run(
        "affine map, nearest, liver crop",
        lambda: warp_nearest(liver, still, liver.shape, 0),
        {"SimpleITK": lambda: sitk.Resample(mask, move, sitk.sitkNearestNeighbor, 0)},
        agreeing_but(ties),
    )
    bend = np.random.default_rng(3).normal(0, 2, (3, 6, 6, 6)).astype(np.float32)
    onto = np.diag([(n - 1) / (m - 1) for n, m in zip(bend.shape[1:], ct.shape, strict=True)])
    bent = (np.eye(3, 4), np.hstack([onto, np.zeros((3, 1))]), bend)
    field = sitk.GetImageFromArray(np.moveaxis(bend[::-1], 0, -1).astype(np.float64), isVector=True)
    field.SetSpacing([1 / float(v) for v in np.diag(onto)[::-1]])
    displace = sitk.DisplacementFieldTransform(field)
    race.run(
        "map bent by a lattice of displacements, liver crop",
        lambda: warp_linear(ct, bent, ct.shape, -1024),
        {"SimpleITK": lambda: sitk.Resample(image, displace, sitk.sitkLinear, -1024)},
        agreeing(np.pad(np.ones([n - 20 for n in ct.shape], bool), 10)),
    )
    race.finish()


if __name__ == "__main__":
    main()
