"""Per-label tallies against numpy, scipy, scikit-image and SimpleITK."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, close, identical, is_tiny, itk
from scipy import ndimage
from skimage import measure
from skimage.metrics import contingency_table

from livervol.kernels.tally import (
    label_boxes,
    label_counts,
    label_histogram,
    label_moments,
    overlap_counts,
    present_values,
)


def main() -> None:
    tiny = is_tiny(__doc__)
    scene = abdomen(tiny)
    race = Race(tiny)
    ct = scene.ct
    labels = scene.liver + scene.lesions
    index = np.arange(3)
    once, both = (labels.nbytes, 0), (labels.nbytes + ct.nbytes, 0)
    race.run(
        "voxels of each label",
        lambda: label_counts(labels),
        {
            "numpy": lambda: np.bincount(labels.ravel()),
            "scipy": lambda: ndimage.sum_labels(np.broadcast_to(np.uint8(1), labels.shape), labels, index),
        },
        identical,
        one_pass=once,
    )
    race.run(
        "values present",
        lambda: present_values(labels),
        {"numpy": lambda: np.unique(labels)},
        identical,
        one_pass=once,
    )
    race.run(
        "box of each label",
        lambda: label_boxes(labels)[1:],
        {"scipy": lambda: [[[s.start, s.stop] for s in box] for box in ndimage.find_objects(labels)]},
        identical,
        one_pass=once,
    )
    image, intensities = itk(labels, scene.spacing_mm), itk(ct, scene.spacing_mm)

    def by_itk() -> Any:
        stats = sitk.LabelStatisticsImageFilter()
        stats.Execute(intensities, image)
        rows = [(stats.GetMean(k), stats.GetSigma(k), stats.GetMinimum(k), stats.GetMaximum(k)) for k in index.tolist()]
        return np.array(rows).T

    def by_scipy() -> Any:
        spread = ndimage.standard_deviation(ct, labels, index)
        sizes = np.bincount(labels.ravel())
        return (
            ndimage.mean(ct, labels, index),
            spread * np.sqrt(sizes / (sizes - 1)),
            ndimage.minimum(ct, labels, index),
            ndimage.maximum(ct, labels, index),
        )

    def by_skimage() -> Any:
        table = measure.regionprops_table(
            labels, ct, properties=("intensity_mean", "intensity_std", "intensity_min", "intensity_max")
        )
        return np.array([table[name] for name in table])

    def ours() -> Any:
        found = label_moments(labels, ct)
        return found.mean, found.standard_deviation(ddof=1), found.least, found.greatest

    title = "mean, SD, least, greatest of each label"
    race.run(title, ours, {"SimpleITK": by_itk, "scipy": by_scipy}, close, one_pass=both)
    race.run("the same, the peer without the background", ours, {"scikit-image": by_skimage})

    def histogram_by_numpy() -> Any:
        inside = np.clip(ct, -1000, 1000).astype(np.int64) + 1000
        return np.bincount((labels * np.int64(2001) + inside).ravel(), minlength=3 * 2001).reshape(3, 2001)

    race.run(
        "histogram of each label",
        lambda: label_histogram(labels, ct, -1000, 1000),
        {
            "numpy": histogram_by_numpy,
            "scipy": lambda: np.stack(
                ndimage.histogram(np.clip(ct, -1000, 1000), -1000.5, 1000.5, 2001, labels, index)
            ),
        },
        identical,
        one_pass=both,
    )
    other = scene.body + scene.lesions
    race.run(
        "overlap of two label arrays",
        lambda: overlap_counts(labels, other),
        {
            "numpy": lambda: np.bincount((labels * np.uint8(3) + other).ravel(), minlength=9).reshape(3, 3),
            "scikit-image": lambda: contingency_table(labels, other, sparse_type="array").toarray(),
        },
        identical,
        one_pass=(labels.nbytes + other.nbytes, 0),
    )
    race.finish()


if __name__ == "__main__":
    main()
