"""Small pictures of lesions for the table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.workflows.reading_table import LesionRow
from napari_livervol.desk import Desk
from napari_livervol.layers import flipped

__all__ = ["thumbnail"]

_HALF_MM = 28.0


def thumbnail(desk: Desk, row: LesionRow) -> NDArray[np.uint8] | None:
    """The slice through a lesion's middle in the shown phase's window, 56 mm wide; None without a scan."""
    layer: Any = desk.images.get(desk.phase())
    if layer is None:
        return None
    voxels = flipped(layer.data)
    plane = voxels[min(max(round(row.centre_zyx[0]), 0), voxels.shape[0] - 1)]
    box = []
    for middle, spacing, size in zip(row.centre_zyx[1:], desk.grid.spacing_mm[1:], plane.shape, strict=True):
        half = _HALF_MM / spacing
        box.append(slice(max(0, round(middle - half)), min(size, round(middle + half) + 1)))
    low, high = layer.contrast_limits
    grey = np.clip((plane[tuple(box)].astype(np.float32) - low) / (high - low), 0, 1)
    picture: NDArray[np.uint8] = (255 * grey).astype(np.uint8)
    return picture
