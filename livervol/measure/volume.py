"""Volumes in ml: voxels counted, times the volume of a voxel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from livervol.kernels.tally import label_boxes, label_counts
from livervol.scan import Segmentation

__all__ = ["COUNTED", "Box", "label_places", "volume_ml"]

#: Method of every volume: no partial-volume correction, no mesh.
COUNTED = "sum of voxels"

Box = tuple[slice, slice, slice]


def volume_ml(segmentation: Segmentation, value: int | None = None) -> float:
    """Volume in ml of one label value, or of everything that is not background.

    Voxel count times ``grid.voxel_ml`` (IBSI "volume, voxel counting", YEKZ); an absent value is 0 ml.
    """
    counts = label_counts(segmentation.labels)
    if value is None:
        count = int(counts[1:].sum())
    else:
        count = int(counts[value]) if 0 < value < len(counts) else 0
    return count * segmentation.grid.voxel_ml


def label_places(segmentation: Segmentation) -> Iterator[tuple[int, int, Box]]:
    """(value, voxels, box) of every value present except the background, in increasing order."""
    counts, boxes = label_counts(segmentation.labels), label_boxes(segmentation.labels)
    for value in np.flatnonzero(counts[1:]) + 1:
        (z0, z1), (y0, y1), (x0, x1) = boxes[value].tolist()
        yield int(value), int(counts[value]), (slice(z0, z1), slice(y0, y1), slice(x0, x1))
