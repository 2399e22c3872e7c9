"""Scan and Segmentation to napari layers and back; the only file that knows a layer's scale.

napari draws the first shown axis downwards. Axis 0 goes in reversed (head to feet), so that coronal and sagittal
views have the head up; axial views then have the front up and the patient's right on the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid
from livervol.scan import Scan, Segmentation

__all__ = ["LayerData", "image_layer", "labels_layer", "segmentation_of"]

#: napari's layer tuple: data, keyword arguments, layer type.
LayerData = tuple[NDArray[Any], dict[str, Any], str]

#: Soft tissue window in HU.
_CT_WINDOW_HU = (-110.0, 240.0)


def _place(grid: Grid) -> dict[str, Any]:
    """Scale and translation in mm; axes stay those of the slices, so that oblique scans are shown as acquired."""
    top = grid.index_to_lps((grid.shape_zyx[0] - 1, 0, 0))
    directions = grid.directions
    # the place of the first shown voxel along each slice axis
    translate = [-float(top @ directions[:, 0]), float(top @ directions[:, 1]), float(top @ directions[:, 2])]
    return {"scale": grid.spacing_mm, "translate": translate}


def image_layer(scan: Scan, name: str) -> LayerData:
    """A scan as an image layer with its window."""
    window: tuple[float, float]
    if scan.modality == "CT":
        window = _CT_WINDOW_HU
    else:
        low, high = np.percentile(scan.voxels[:: max(1, scan.voxels.shape[0] // 16), ::2, ::2], [1, 99.5])
        window = (float(low), float(max(high, low + 1)))
    options = {
        **_place(scan.grid),
        "name": name,
        "colormap": "gray",
        "contrast_limits": window,
        "metadata": {"livervol_grid": scan.grid, "livervol_stored": scan.source.stored},
    }
    return scan.voxels[::-1], options, "image"


def labels_layer(segmentation: Segmentation, name: str, stored: Grid | None = None) -> LayerData:
    """A segmentation as an editable labels layer; ``stored`` is the grid on which it is to be written back."""
    options = {
        **_place(segmentation.grid),
        "name": name,
        "opacity": 0.5,
        "metadata": {
            "livervol_grid": segmentation.grid,
            "livervol_stored": stored,
            "livervol_names": dict(segmentation.names),
        },
    }
    return segmentation.labels[::-1].copy(), options, "labels"


def segmentation_of(data: NDArray[Any], metadata: Mapping[str, Any], made_by: str) -> Segmentation:
    """A labels layer's data and metadata as a Segmentation; values without a name are named after their number."""
    labels = np.ascontiguousarray(np.asarray(data)[::-1])
    names = dict(metadata.get("livervol_names", {}))
    for value in np.unique(labels):
        if value:
            names.setdefault(int(value), f"label {int(value)}")
    return Segmentation(labels, metadata["livervol_grid"], names, made_by)
