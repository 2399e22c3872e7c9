"""Connected components and the largest of them against scipy, scikit-image, SimpleITK and cc3d."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, identical, is_tiny, itk, optional, values_of
from scipy import ndimage
from skimage import measure

from livervol.kernels.components import component_stats, keep_largest, label_components

FULL = ndimage.generate_binary_structure(3, 3)


def same_partition(a: Any, b: Any) -> bool:
    """The same components, whatever their numbers."""
    ours, theirs = values_of(a[0]), values_of(b[0])
    pairs = np.unique(ours.astype(np.int64) << 32 | theirs.astype(np.int64))
    return pairs.size == np.unique(ours).size == np.unique(theirs).size


def peers(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, Any]:
    image = itk(mask, spacing)

    def by_itk() -> Any:
        labels = sitk.ConnectedComponent(image, True)
        stats = sitk.LabelShapeStatisticsImageFilter()
        stats.Execute(labels)
        return labels, stats.GetNumberOfLabels()

    def by_scipy() -> Any:
        labels, count = ndimage.label(mask, FULL)
        return labels, np.bincount(labels.ravel()), ndimage.find_objects(labels, count)

    def by_skimage() -> Any:
        labels = measure.label(mask, connectivity=3)
        return labels, np.bincount(labels.ravel())

    runners = {"SimpleITK": by_itk, "scipy": by_scipy, "scikit-image": by_skimage}
    cc3d = optional("cc3d")
    if cc3d is not None:

        def by_cc3d() -> Any:
            labels = cc3d.connected_components(mask, connectivity=26)
            return labels, cc3d.statistics(labels)

        runners["cc3d"] = by_cc3d
    return runners


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    race = Race(tiny)
    lesions = scene.lesions
    runners = peers(lesions, scene.spacing_mm)
    race.run("26-connected labels + statistics, lesions", lambda: label_components(lesions), runners, same_partition)
    race.run("the same without the label image", lambda: component_stats(lesions), runners)
    noisy = scene.noisy
    runners = peers(noisy, scene.spacing_mm)
    race.run("26-connected labels + statistics, noise", lambda: label_components(noisy), runners, same_partition)

    def largest_by_scipy() -> Any:
        labels, _ = ndimage.label(noisy)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        return labels == np.argmax(sizes)

    runners = {"scipy": largest_by_scipy}
    cc3d = optional("cc3d")
    if cc3d is not None:
        runners["cc3d"] = lambda: cc3d.largest_k(noisy, k=1, connectivity=6) != 0
    race.run("largest 6-connected component, noise", lambda: keep_largest(noisy), runners, identical)
    race.finish()


if __name__ == "__main__":
    main()
