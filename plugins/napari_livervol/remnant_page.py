"""Step 4: which operation, what remains, how near the cut comes; landmarks, a plane of one's own, ranked operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from livervol.measure.planes import Plane, plane_parts, wedge_parts
from livervol.measure.remnant import Remnant, find_remnants
from livervol.measure.resection import STANDARD, Operation
from livervol.scan import Segmentation
from livervol.segment.couinaud_landmarks import LANDMARKS
from livervol.workflows.plan import Plan, PlanSettings, plan_visit
from livervol.workflows.reading_lesions import choose_resections, place_landmarks, redraw_segments
from livervol.workflows.reading_save import save
from napari_livervol.desk import Desk
from napari_livervol.gestures import Gestures
from napari_livervol.jobs import Jobs
from napari_livervol.layers import lps_of, shown_index, vector_layer_options
from napari_livervol.preview import Preview
from napari_livervol.snapshot import snapshot

__all__ = ["RemnantPage", "plan_lines", "remnant_words"]

_PLANE = Operation("plane", "your plane", (2,))
_NONE = "no resection chosen"
#: A press this near to a line's end (screen mm of the patient) takes the end, not a new line.
_GRIP_MM = 8.0


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


def plan_lines(plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """Ranked operations, then the rejected ones: name, slug, FLR %, margin mm, why not."""
    lines = []
    for row in (*plan.possible, *plan.rejected):
        margin = "–" if row.remnant.margin_mm is None else f"{row.remnant.margin_mm:.1f}"
        flr = f"{row.remnant.flr_of_functional_percent:.1f}"
        lines.append((row.remnant.operation.name, row.slug, flr, margin, row.rejected))
    return lines


class RemnantPage(QWidget):
    """Planning over one desk."""

    def __init__(self, desk: Desk, gestures: Gestures, jobs: Jobs) -> None:
        super().__init__()
        self.desk, self.jobs = desk, jobs
        self.preview = Preview(desk, "resection", {1: "#2A9D8F", 2: "#E76F51"})
        self.ring = Preview(desk, "margin", {1: "#00000000", 2: "#FF5DA2"})
        self._lines: dict[int, list[Any]] = {}
        self._line_layer: Any = None
        gestures.handlers["landmark"] = self._place
        gestures.handlers["plane"] = self._draw_plane
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        self.resection = QComboBox()
        self.resection.setObjectName("resection")
        self.resection.addItem(_NONE, "")
        for one in STANDARD:
            self.resection.addItem(one.name, one.slug)
        self.resection.setToolTip("Its FLR % stands in the numbers and is saved")
        self.resection.activated.connect(lambda _: self._choose())
        form.addRow("Resection", self.resection)
        self.margin = QDoubleSpinBox()
        self.margin.setObjectName("margin")
        self.margin.setRange(0, 50)
        self.margin.setValue(10)
        self.margin.setSuffix(" mm")
        self.margin.setToolTip("Wanted tumour-free margin")
        form.addRow("Margin", self.margin)
        box.addLayout(form)
        row = QHBoxLayout()
        for text, name, tip, do in (
            ("Show margin", "show_margin", "Liver nearer to a lesion than the margin", self._show_margin),
            ("Rank operations", "rank", "Saves, then judges all standard operations by margin and FLR", self._rank),
        ):
            row.addWidget(_button(text, name, tip, do))
        box.addLayout(row)
        self.table = QTableWidget(0, 4)
        self.table.setObjectName("plan_table")
        self.table.setHorizontalHeaderLabels(["Operation", "FLR %", "Margin mm", "Why not"])
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.verticalHeader().hide()
        self.table.setMinimumHeight(140)
        self.table.setMinimumWidth(100)
        self.table.cellDoubleClicked.connect(lambda line, _: self._take(line))
        self.table.setToolTip("Double click chooses the operation")
        self._slugs: list[str] = []
        box.addWidget(self.table)
        hint = QLabel("<b>Your plane</b>: drag a line in one slice or several; drag its ends")
        hint.setWordWrap(True)
        box.addWidget(hint)
        row = QHBoxLayout()
        row.addWidget(_button("Draw plane", "draw_plane", "Drag a line across the liver", self._start_plane))
        row.addWidget(_button("Other side", "flip_plane", "Remove the other side of the plane", self._flip))
        row.addWidget(_button("Clear", "clear_plane", "Forget the plane", self.clear_plane))
        box.addLayout(row)
        self.plane_says = QLabel("")
        self.plane_says.setObjectName("plane_says")
        self.plane_says.setWordWrap(True)
        box.addWidget(self.plane_says)
        box.addWidget(QLabel("<b>Landmarks</b> of the Couinaud boundaries"))
        row = QHBoxLayout()
        self.landmark = QComboBox()
        self.landmark.setObjectName("landmark")
        for name in LANDMARKS:
            self.landmark.addItem(name.replace("_", " "), name)
        self.landmark.setToolTip("Which vessel or fissure the next clicks mark")
        row.addWidget(self.landmark, 1)
        box.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(
            _button("Place", "place_landmark", "Click on it in the image, once or more", self._start_landmark)
        )
        row.addWidget(_button("Clear", "clear_landmarks", "Forget this landmark's points", self._clear_landmark))
        row.addWidget(_button("Segments", "apply_landmarks", "Draw the segments anew by the landmarks", self._segments))
        box.addLayout(row)
        self.placed = QLabel("")
        self.placed.setObjectName("landmarks_placed")
        self.placed.setWordWrap(True)
        box.addWidget(self.placed)
        self._away = False
        self.refresh()

    def refresh(self) -> None:
        """Show what is decided."""
        chosen = list(self.desk.reading.settings.get("resections", ()))
        self.resection.setCurrentIndex(max(0, self.resection.findData(chosen[0] if chosen else "")))
        points = self.desk.reading.settings.get("landmarks", {})
        self.placed.setText(
            ", ".join(f"{n.replace('_', ' ')} {len(p)}" for n, p in points.items() if n in LANDMARKS) or "none placed"
        )

    # ---------------------------------------------------------------------------------------------------- operations

    def _choose(self) -> None:
        slug = self.resection.currentData()
        desk = self.desk
        desk.do(lambda: choose_resections(desk.reading, [slug] if slug else []))
        if "segments" in self.desk.layers:
            self.desk.layers["segments"].visible = bool(slug)

    def _take(self, line: int) -> None:
        self.resection.setCurrentIndex(max(0, self.resection.findData(self._slugs[line])))
        self._choose()

    def _rank(self) -> None:
        settings = PlanSettings(margin_mm=self.margin.value(), overwrite=True)
        reading = self.desk.reading

        def work(progress: Any) -> Plan:
            progress("saving")
            folder = save(reading)
            progress("judging operations")
            return plan_visit(folder, settings)

        self.jobs.run("Ranking operations", work, self._show_plan, pause=self.desk)

    def _show_plan(self, plan: Plan) -> None:
        lines = plan_lines(plan)
        self._slugs = [slug for _, slug, _, _, _ in lines]
        self.table.setRowCount(len(lines))
        for line, (name, _, flr, margin, why) in enumerate(lines):
            for column, text in enumerate((name, flr, margin, why)):
                self.table.setItem(line, column, QTableWidgetItem(text))
        self.desk.said.emit(f"{len(plan.possible)} operations clear all tumour with {self.margin.value():g} mm")

    def _show_margin(self) -> None:
        liver, lesions = snapshot(self.desk.reading, "liver"), snapshot(self.desk.reading, "lesions")
        margin_mm = self.margin.value()
        assert liver is not None
        assert lesions is not None
        self.jobs.run("Margin", lambda _: wedge_parts(liver, lesions, margin_mm), self.ring.show)

    # -------------------------------------------------------------------------------------------------------- plane

    def _start_plane(self) -> None:
        self.desk.take(tool="plane")
        self.desk.said.emit("drag a line across the liver; a second line in another slice tilts the plane")

    def _draw_plane(self, event: Any) -> Iterator[None]:
        """A new line, or one end of the line in this slice moved."""
        desk = self.desk
        at, here = desk.index_at(event.position), desk.plane_index()
        line = self._lines.get(here)
        moved = 1
        if line is not None:
            far = [float(np.linalg.norm((end - at) * desk.grid.spacing_mm)) for end in line]
            moved = int(np.argmin(far))
            if min(far) > _GRIP_MM:
                line = None
        if line is None:
            line, moved = [at, at], 1
        yield
        while event.type == "mouse_move":
            line[moved] = desk.index_at(event.position)
            self._lines[here] = line
            self._show_lines()
            yield
        if self._lines.get(here) is line:
            self._cut()

    def _show_lines(self) -> None:
        viewer, grid = self.desk.viewer, self.desk.grid
        if self._line_layer is None or self._line_layer not in viewer.layers:
            active = viewer.layers.selection.active
            self._line_layer = viewer.add_shapes([], shape_type="line", **vector_layer_options(grid, "cut"))
            self._line_layer.editable = False
            viewer.layers.selection.active = active
        data = [shown_index(grid, np.array(line)) for line in self._lines.values()]
        self._line_layer.data = []
        if data:
            self._line_layer.add(data, shape_type="line", edge_color="#FF4136", edge_width=0.7)

    def _cut(self) -> None:
        liver, lesions = snapshot(self.desk.reading, "liver"), snapshot(self.desk.reading, "lesions")
        grid = self.desk.grid
        assert liver is not None
        points = grid.index_to_lps(np.concatenate([np.array(line) for line in self._lines.values()]))
        along = grid.directions[:, self.desk.axis()] if len(self._lines) == 1 else None
        # the removed side: the patient's right of the line, or the other
        side = points.mean(axis=0) + np.array([1000.0 if self._away else -1000.0, 0.0, 0.0])

        def work(_: Any) -> tuple[Segmentation, Remnant]:
            parts = plane_parts(liver, Plane.through(points, side, along=along))
            return parts, find_remnants(liver, parts, lesions, [_PLANE])[0]

        def then(found: tuple[Segmentation, Remnant]) -> None:
            self.preview.show(found[0])
            self.plane_says.setText(remnant_words(found[1]))

        self.jobs.run("Cutting", work, then)

    def _flip(self) -> None:
        self._away = not self._away
        if self._lines:
            self._cut()

    def clear_plane(self) -> None:
        """Forget the plane."""
        self._lines.clear()
        if self._line_layer is not None and self._line_layer in self.desk.viewer.layers:
            self._line_layer.data = []
        self.preview.hide()
        self.plane_says.setText("")

    # ----------------------------------------------------------------------------------------------------- landmarks

    def _start_landmark(self) -> None:
        self.desk.take(tool="landmark")
        self.desk.said.emit(f"click on the {self.landmark.currentText()}")

    def _points(self) -> dict[str, list[list[float]]]:
        return {k: list(v) for k, v in self.desk.reading.settings.get("landmarks", {}).items() if k in LANDMARKS}

    def _place(self, event: Any) -> None:
        point = lps_of(self.desk.grid, np.array(event.position, dtype=float))
        points = self._points()
        points.setdefault(self.landmark.currentData(), []).append([round(float(v), 2) for v in point])
        self._keep(points)

    def _clear_landmark(self) -> None:
        points = self._points()
        points.pop(self.landmark.currentData(), None)
        self._keep(points)

    def _keep(self, points: dict[str, list[list[float]]]) -> None:
        desk = self.desk
        desk.do(lambda: place_landmarks(desk.reading, points))

    def _segments(self) -> None:
        desk, before = self.desk, self.desk.reading.version

        def then(found: tuple[Any, tuple[str, ...]]) -> None:
            desk.show_since(before)
            desk.said.emit("; ".join(found[1]) or "segments drawn anew")

        self.jobs.run("Segments by landmarks", lambda _: redraw_segments(desk.reading), then, pause=desk)


def _button(text: str, name: str, tip: str, do: Any) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.clicked.connect(lambda _=False: do())
    return button
