"""A cut of one's own: a plane or a curved surface, drawn as lines in slices and dragged by handles; remnants follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from livervol.measure.cut_surface import CutSurface, surface_parts
from livervol.measure.planes import Plane, plane_parts
from livervol.measure.remnant import Remnant, find_remnants
from livervol.measure.resection import Operation
from livervol.scan import Segmentation
from napari_livervol.buttons import button
from napari_livervol.desk import Desk
from napari_livervol.gestures import Gestures
from napari_livervol.jobs import Courier
from napari_livervol.layers import shown_index, vector_layer_options
from napari_livervol.numbers import LatestOnly
from napari_livervol.preview import Preview
from napari_livervol.snapshot import snapshot

__all__ = ["CutBox", "handles_along", "remnant_words"]

_OPERATIONS = {"plane": Operation("plane", "your plane", (2,)), "surface": Operation("surface", "your surface", (2,))}
_COLOR = "#FF4136"
#: A press this near to a handle takes the handle, not a new line (mm).
_GRIP_MM = 8.0
#: Handles of a line: a plane's two ends; enough for a surface to be curved twice.
_HANDLES = {"plane": 2, "surface": 5}
#: A surface drawn in one slice runs straight on to this far on either side of it (mm).
_STRAIGHT_ON_MM = 60.0

Points = NDArray[np.float64]


def remnant_words(remnant: Remnant) -> str:
    """One remnant in a sentence."""
    words = [
        f"{remnant.operation.name}: FLR <b>{remnant.flr_of_functional_percent:.1f} %</b> ({remnant.volume_ml:.0f} ml)"
    ]
    if remnant.margin_mm is not None:
        words.append(f"margin {remnant.margin_mm:.1f} mm")
    for name, numbers in (("cuts", remnant.cut), ("leaves", remnant.remaining)):
        if numbers:
            words.append(f"{name} lesion {', '.join(map(str, numbers))}")
    return ", ".join(words)


def handles_along(path: Points, count: int, spacing_mm: tuple[float, float, float]) -> Points:
    """``count`` points along a drawn path (indices, shape (n, 3)), at equal distances of its length in mm."""
    steps = np.linalg.norm(np.diff(path, axis=0) * spacing_mm, axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.linspace(0.0, along[-1], count)
    return np.column_stack([np.interp(places, along, path[:, axis]) for axis in range(3)])


@dataclass(frozen=True, eq=False)
class _Cut:
    """What is drawn: LPS mm of its handles, a point on the removed side, the normal of the slice of a lone line."""

    kind: str
    points: Points
    side: Points
    along: Points | None

    def parts(self, liver: Segmentation) -> Segmentation:
        """The liver in two parts, 2 removed."""
        if self.kind == "plane":
            return plane_parts(liver, Plane.through(self.points, self.side, along=self.along))
        points = self.points
        if self.along is not None:
            points = np.concatenate([points + step * self.along for step in (-_STRAIGHT_ON_MM, 0.0, _STRAIGHT_ON_MM)])
        return surface_parts(liver, CutSurface.through(points, self.side))


class CutBox(QWidget):
    """One cut over one desk; its remnant is worked out behind the drawing, and again when the liver or a lesion
    changes.
    """

    def __init__(self, desk: Desk, gestures: Gestures) -> None:
        super().__init__()
        self.desk = desk
        self.preview = Preview(desk, "resection", {1: "#2A9D8F", 2: "#E76F51"})
        self.kind = "plane"
        self._lines: dict[tuple[int, int], Points] = {}
        self._layers: dict[str, Any] = {}
        self._away = False
        self._wanted: _Cut | None = None
        self._courier = Courier()
        self._courier.done.connect(self._show)
        self._courier.failed.connect(desk.refused.emit)
        self._worker = LatestOnly(self._cut, self._courier.done.emit, self._courier.failed.emit)
        for kind in _OPERATIONS:
            gestures.handlers[kind] = self._draw
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        hint = QLabel("<b>Your cut</b>: drag a line, then its handles")
        hint.setToolTip("In one slice or in several")
        box.addWidget(hint)
        row = QHBoxLayout()
        for text, name, tip, do in (
            ("Plane", "draw_plane", "Drag a line across the liver; a second one tilts the plane", self._plane),
            ("Surface", "draw_surface", "Drag a curve across the liver, in several slices", self._surface),
            ("Other side", "flip_plane", "Remove the other side of the cut", self._flip),
            ("Clear", "clear_plane", "Forget the cut", self.clear),
        ):
            row.addWidget(button(text, name, tip, do))
        box.addLayout(row)
        self.says = QLabel("")
        self.says.setObjectName("plane_says")
        self.says.setWordWrap(True)
        # a wrapped label in a scrolled page gets the height of one line only
        self.says.setMinimumHeight(3 * self.says.fontMetrics().lineSpacing())
        self.says.setAlignment(Qt.AlignmentFlag.AlignTop)
        box.addWidget(self.says)

    @property
    def busy(self) -> bool:
        """True while the remnant on the screen is not yet that of the cut."""
        return self._worker.busy

    def close(self) -> bool:
        """Stop the worker."""
        self._worker.close()
        return bool(super().close())

    def follow(self, masks: tuple[str, ...]) -> None:
        """The liver or a lesion has changed: so has the remnant."""
        if self._lines and {"liver", "lesions"} & set(masks):
            self._ask()

    # -------------------------------------------------------------------------------------------------------- drawing

    def _plane(self) -> None:
        self._take("plane", "drag a line across the liver; a second line in another slice tilts the plane")

    def _surface(self) -> None:
        self._take("surface", "drag a curve across the liver, here and in other slices; drag its handles to bend it")

    def _take(self, kind: str, words: str) -> None:
        if kind != self.kind:
            self.clear()
        self.kind = kind
        self.desk.take(tool=kind)
        self.desk.said.emit(words)

    def _draw(self, event: Any) -> Iterator[None]:
        """A new line in this slice, or one handle of the one that is there moved."""
        desk = self.desk
        at, here = desk.index_at(event.position), (desk.axis(), desk.plane_index())
        line = self._lines.get(here)
        if line is not None:
            far = np.linalg.norm((line - at) * desk.grid.spacing_mm, axis=1)
            handle = int(far.argmin())
            if far[handle] > _GRIP_MM:
                line = None
        if line is not None:
            yield
            while event.type == "mouse_move":
                line[handle] = desk.index_at(event.position)
                self._show_lines()
                yield
        else:
            path = [at]
            yield
            while event.type == "mouse_move":
                path.append(desk.index_at(event.position))
                ends = path if self.kind == "surface" else [path[0], path[-1]]
                self._lines[here] = handles_along(np.array(ends), _HANDLES[self.kind], desk.grid.spacing_mm)
                self._show_lines()
                yield
            if len(path) < 2:
                return
        self._ask()

    def _layer(self, name: str, add: str) -> Any:
        viewer = self.desk.viewer
        layer = self._layers.get(name)
        if layer is None or layer not in viewer.layers:
            active = viewer.layers.selection.active
            layer = self._layers[name] = getattr(viewer, add)(**vector_layer_options(self.desk.grid, name))
            layer.editable = False
            viewer.layers.selection.active = active
        return layer

    def _show_lines(self) -> None:
        grid = self.desk.grid
        shown = [shown_index(grid, line) for line in self._lines.values()]
        lines, handles = self._layer("cut", "add_shapes"), self._layer("cut handles", "add_points")
        lines.data = []
        if shown:
            lines.add(shown, shape_type="path", edge_color=_COLOR, face_color="transparent", edge_width=0.7)
        handles.data = np.concatenate(shown) if shown else np.zeros((0, 3))
        handles.size, handles.face_color, handles.border_color = 3.0, "#FFFFFF", _COLOR

    # ------------------------------------------------------------------------------------------------------- remnant

    def _ask(self) -> None:
        grid = self.desk.grid
        points = grid.index_to_lps(np.concatenate(list(self._lines.values())))
        along = grid.directions[:, next(iter(self._lines))[0]] if len(self._lines) == 1 else None
        # the removed side: the patient's right of the cut, or the other
        side = points.mean(axis=0) + np.array([1000.0 if self._away else -1000.0, 0.0, 0.0])
        self._wanted = _Cut(self.kind, points, side, along)
        self.says.setText("cutting …")
        self._worker.ask()

    def _cut(self) -> tuple[Segmentation, Remnant] | None:
        """In the worker's thread."""
        wanted, reading = self._wanted, self.desk.reading
        if wanted is None:
            return None
        with reading.still:
            liver, lesions = snapshot(reading, "liver"), snapshot(reading, "lesions")
        assert liver is not None
        parts = wanted.parts(liver)
        return parts, find_remnants(liver, parts, lesions, [_OPERATIONS[wanted.kind]])[0]

    def _show(self, found: tuple[Segmentation, Remnant] | None, _: float) -> None:
        if found is None or self.desk.closed or self._wanted is None:
            return
        self.preview.show(found[0])
        self.says.setText(remnant_words(found[1]))

    def _flip(self) -> None:
        self._away = not self._away
        if self._lines:
            self._ask()

    def clear(self) -> None:
        """Forget the cut."""
        self._lines.clear()
        self._wanted = None
        if any(layer in self.desk.viewer.layers for layer in self._layers.values()):
            self._show_lines()
        self.preview.hide()
        self.says.setText("")
