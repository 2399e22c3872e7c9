"""Scan and Segmentation to napari layers and back; the only file that knows a layer's scale.

napari draws the first shown axis downwards. Axis 0 goes in reversed (head to feet), so that coronal and sagittal
views have the head up; axial views then have the front up and the patient's right on the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.grid import Grid
from livervol.scan import Scan, Segmentation
from napari_livervol.windows import first_window

__all__ = [
    "LABEL_COLORS",
    "LayerData",
    "edge_letters",
    "flipped",
    "grid_of",
    "image_layer",
    "index_of",
    "know_units",
    "labels_layer",
    "live_layer",
    "lps_of",
    "one_color",
    "segmentation_of",
    "shown_box",
    "shown_index",
    "vector_layer_options",
    "world_of",
]

#: napari's layer tuple: data, keyword arguments, layer type.
LayerData = tuple[NDArray[Any], dict[str, Any], str]

#: Colours of the structures (Okabe and Ito, told apart by the colour blind), the same as in the report.
LABEL_COLORS = {
    "liver": "#56B4E9",
    "lesions": "#F0E442",
    "viable": "#D55E00",
    "necrosis": "#0072B2",
    "uncertain": "#CC79A7",
}

#: Patient directions along LPS x, y, z: negative end, positive end.
_ENDS = (("R", "L"), ("A", "P"), ("F", "H"))

#: A slice axis that leans more than this towards a second patient axis gets that letter too (sine of 20 degrees).
_LEANS = 0.34


def one_color(name: str) -> Any:
    """One colour for all numbers of a structure: lesions are told apart by place and listed by number."""
    from napari.utils.color import ColorArray
    from napari.utils.colormaps import CyclicLabelColormap

    # cyclic, because napari compiles a table for every direct map and that takes seconds
    return CyclicLabelColormap(colors=ColorArray(["transparent", LABEL_COLORS[name]]))


def know_units() -> None:
    """Have the table of units read, which napari does with its first layer and takes a while."""
    import pint

    registry: Any = pint.get_application_registry
    _ = registry().pixel


def flipped(voxels: NDArray[Any]) -> NDArray[Any]:
    """Voxels in the order a layer shows them, as a view; its own inverse."""
    return voxels[::-1]


def shown_box(box: Sequence[slice], grid: Grid) -> tuple[slice, slice, slice]:
    """A box of the grid (three slices with bounds) as the slices of a layer's data."""
    z, y, x = box
    n = grid.shape_zyx[0]
    return slice(n - z.stop, n - z.start), y, x


def grid_of(layer: Any) -> Grid | None:
    """The grid a layer lies on, None for a layer made elsewhere."""
    found = layer.metadata.get("livervol_grid")
    return found if isinstance(found, Grid) else None


def world_of(grid: Grid, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
    """Where napari shows points of the patient: shape (..., 3) LPS mm to shape (..., 3) shown mm."""
    along: NDArray[np.float64] = np.asarray(points_lps_mm, dtype=np.float64) @ grid.directions
    along[..., 0] *= -1
    return along


def lps_of(grid: Grid, world: ArrayLike) -> NDArray[np.float64]:
    """The patient's place in LPS mm of a shown point; inverse of :func:`world_of`."""
    along = np.array(world, dtype=np.float64)
    along[..., 0] *= -1
    points: NDArray[np.float64] = along @ np.linalg.inv(grid.directions)
    return points


def index_of(grid: Grid, world: ArrayLike) -> NDArray[np.float64]:
    """Fractional index (z, y, x) on ``grid`` of a shown point."""
    return grid.lps_to_index(lps_of(grid, world))


def edge_letters(grid: Grid, down: int, right: int) -> tuple[str, str, str, str]:
    """Patient directions at the left, right, top and bottom edge when layer axes ``down`` and ``right`` are shown.

    An oblique axis is named by two letters, the nearer one first ("RA").
    """

    def ends(axis: int) -> tuple[str, str]:
        direction = grid.directions[:, axis] * (-1 if axis == 0 else 1)
        order = np.argsort(-np.abs(direction))
        named = [k for k in order if abs(direction[k]) > _LEANS] or [int(order[0])]
        start = "".join(_ENDS[k][0 if direction[k] > 0 else 1] for k in named)
        stop = "".join(_ENDS[k][1 if direction[k] > 0 else 0] for k in named)
        return start, stop

    left, right_end = ends(right)
    top, bottom = ends(down)
    return left, right_end, top, bottom


def _place(grid: Grid) -> dict[str, Any]:
    """Scale and translation in mm; axes stay those of the slices, so that oblique scans are shown as acquired."""
    # the place of the first shown voxel along each slice axis
    top = world_of(grid, grid.index_to_lps((grid.shape_zyx[0] - 1, 0, 0)))
    return {"scale": grid.spacing_mm, "translate": top.tolist()}


def image_layer(scan: Scan, name: str) -> LayerData:
    """A scan as an image layer with its window."""
    options = {
        **_place(scan.grid),
        "name": name,
        "colormap": "gray",
        "contrast_limits": first_window(scan),
        "metadata": {
            "livervol_grid": scan.grid,
            "livervol_stored": scan.source.stored,
            "livervol_modality": scan.modality,
            "livervol_phase": scan.phase.value,
        },
    }
    return flipped(scan.voxels), options, "image"


def labels_layer(segmentation: Segmentation, name: str, stored: Grid | None = None) -> LayerData:
    """A segmentation as a labels layer with its own copy; ``stored`` is the grid on which it is to be written back."""
    options: dict[str, Any] = {
        **_place(segmentation.grid),
        "name": name,
        "opacity": 0.5,
        "metadata": {
            "livervol_grid": segmentation.grid,
            "livervol_stored": stored,
            "livervol_names": dict(segmentation.names),
        },
    }
    return flipped(segmentation.labels).copy(), options, "labels"


def live_layer(labels: NDArray[Any], grid: Grid, name: str, stored: Grid | None = None) -> LayerData:
    """An array of labels on ``grid`` as a labels layer that shows the array itself; what others write shows there."""
    options: dict[str, Any] = {
        **_place(grid),
        "name": name,
        "metadata": {"livervol_grid": grid, "livervol_stored": stored, "livervol_live": True},
    }
    if name in LABEL_COLORS:
        options["colormap"] = one_color(name)
    return flipped(labels), options, "labels"


def shown_index(grid: Grid, index_zyx: ArrayLike) -> NDArray[np.float64]:
    """Indices of ``grid`` as indices of a layer's data, shape (..., 3); its own inverse."""
    shown = np.array(index_zyx, dtype=np.float64)
    shown[..., 0] = grid.shape_zyx[0] - 1 - shown[..., 0]
    return shown


def vector_layer_options(grid: Grid, name: str) -> dict[str, Any]:
    """Keyword arguments of a shapes or points layer whose coordinates are ``shown_index`` of ``grid``."""
    return {**_place(grid), "name": name, "ndim": 3, "metadata": {"livervol_grid": grid}}


def segmentation_of(data: NDArray[Any], metadata: Mapping[str, Any], made_by: str) -> Segmentation:
    """A labels layer's data and metadata as a Segmentation; values without a name are named after their number."""
    labels = np.ascontiguousarray(flipped(np.asarray(data)))
    names = dict(metadata.get("livervol_names", {}))
    for value in np.unique(labels):
        if value:
            names.setdefault(int(value), f"label {int(value)}")
    return Segmentation(labels, metadata["livervol_grid"], names, made_by)
