"""The liver in 3-D: coloured segments, and what an operation would leave of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from livervol.errors import ScanError
from livervol.measure.mesh import Mesh, surface_of
from livervol.scan import Segmentation

__all__ = ["SEGMENT_COLORS", "segments_figure"]

#: Eight hues that colour-blind readers tell apart (Okabe and Ito), neighbours in the liver far apart.
SEGMENT_COLORS = {
    1: "#999999",
    2: "#0072B2",
    3: "#56B4E9",
    4: "#F0E442",
    41: "#F0E442",
    42: "#C9B800",
    5: "#D55E00",
    6: "#009E73",
    7: "#CC79A7",
    8: "#E69F00",
}
_ROMAN = {1: "I", 2: "II", 3: "III", 4: "IV", 41: "IVa", 42: "IVb", 5: "V", 6: "VI", 7: "VII", 8: "VIII"}
_LESION = "#7A0019"
_GONE = (0.75, 0.75, 0.75, 0.18)
#: Pictures need no finer surface than this.
_SPACING_MM = 3.5
#: Elevation and azimuth in degrees: from the front and, as at operation, from below.
_VIEWS = (("from the front", 8.0, -90.0), ("from below", -65.0, -90.0))
_LIGHT = np.array([-0.35, -0.8, 0.5])
_DPI = 100


def segments_figure(
    segments: Segmentation, lesions: Segmentation | None = None, *, removed: Collection[int] = ()
) -> Figure:
    """Segments as shaded solids from the front and from below, the patient's right on the left.

    ``removed`` segments are drawn as grey glass; lesions are dark red where they come to the surface or lie behind
    glass. Structures too small for a surface are left out.
    """
    figure = Figure(figsize=(9.6, 4.2), dpi=_DPI, facecolor="white")
    solids: list[tuple[Mesh, NDArray[np.float64]]] = []
    present = [v for v in sorted(segments.names) if v in SEGMENT_COLORS]
    shown = []
    for value in present:
        mesh = _surface(segments, value)
        if mesh is None:
            continue
        gone = value in removed
        shown.append((value, gone))
        solids.append((mesh, np.array(_GONE if gone else to_rgba(SEGMENT_COLORS[value]))))
    for value in [] if lesions is None else sorted(lesions.names):
        assert lesions is not None
        mesh = _surface(lesions, value)
        if mesh is not None:
            solids.append((mesh, np.array(to_rgba(_LESION))))
    for place, (title, elevation, azimuth) in enumerate(_VIEWS, 1):
        axes: Any = figure.add_subplot(1, len(_VIEWS), place, projection="3d", proj_type="ortho")
        _draw(axes, solids)
        axes.view_init(elev=elevation, azim=azimuth)
        axes.set_title(title, fontsize=9)
    patches = [
        Patch(
            facecolor=_GONE if gone else SEGMENT_COLORS[value],
            edgecolor="#555555",
            label=_ROMAN[value] + (" removed" if gone else ""),
        )
        for value, gone in shown
    ]
    if lesions is not None and lesions.names:
        patches.append(Patch(facecolor=_LESION, label="lesion"))
    figure.legend(handles=patches, loc="lower center", ncols=10, fontsize=8, frameon=False)
    figure.subplots_adjust(left=0, right=1, bottom=0.08, top=0.93, wspace=0)
    return figure


def _surface(segmentation: Segmentation, value: int) -> Mesh | None:
    if not (segmentation.labels == value).any():
        return None
    try:
        return surface_of(segmentation, value, smooth_mm=2.0, spacing_mm=_SPACING_MM)
    except ScanError:
        return None


def _draw(axes: Any, solids: list[tuple[Mesh, NDArray[np.float64]]]) -> None:
    """All triangles in one collection, so that they hide each other by depth."""
    axes.set_axis_off()
    if not solids:
        return
    places, colors = [], []
    for mesh, color in solids:
        corners = mesh.vertices_lps_mm[mesh.triangles].astype(np.float64)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        bright = 0.55 + 0.45 * np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
        shaded = np.repeat(color[None], len(corners), axis=0)
        shaded[:, :3] *= bright[:, None]
        places.append(corners)
        colors.append(shaded)
    axes.add_collection3d(
        Poly3DCollection(np.concatenate(places), facecolors=np.concatenate(colors), linewidths=0, antialiased=False)
    )
    points = np.concatenate([mesh.vertices_lps_mm for mesh, _ in solids])
    low, high = points.min(axis=0), points.max(axis=0)
    for letter, a, b in zip("xyz", low, high, strict=True):
        getattr(axes, f"set_{letter}lim")(a, b)
    axes.set_box_aspect(high - low, zoom=1.35)
