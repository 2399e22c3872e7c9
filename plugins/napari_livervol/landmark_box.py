"""Landmarks of the Couinaud boundaries: placed by clicks, and the segments drawn anew by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from livervol.segment.couinaud_landmarks import LANDMARKS
from livervol.workflows.reading_lesions import place_landmarks, redraw_segments
from napari_livervol.buttons import button
from napari_livervol.desk import Desk
from napari_livervol.gestures import Gestures
from napari_livervol.jobs import Jobs
from napari_livervol.layers import lps_of

__all__ = ["LandmarkBox"]


class LandmarkBox(QWidget):
    """Landmarks over one desk."""

    def __init__(self, desk: Desk, gestures: Gestures, jobs: Jobs) -> None:
        super().__init__()
        self.desk, self.jobs = desk, jobs
        gestures.handlers["landmark"] = self._place
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(QLabel("<b>Landmarks</b> of the Couinaud boundaries"))
        self.landmark = QComboBox()
        self.landmark.setObjectName("landmark")
        for name in LANDMARKS:
            self.landmark.addItem(name.replace("_", " "), name)
        self.landmark.setToolTip("Which vessel or fissure the next clicks mark")
        box.addWidget(self.landmark)
        row = QHBoxLayout()
        for text, name, tip, do in (
            ("Place", "place_landmark", "Click on it in the image, once or more", self._start),
            ("Clear", "clear_landmarks", "Forget this landmark's points", self._clear),
            ("Segments", "apply_landmarks", "Draw the segments anew by the landmarks", self._segments),
        ):
            row.addWidget(button(text, name, tip, do))
        box.addLayout(row)
        self.placed = QLabel("")
        self.placed.setObjectName("landmarks_placed")
        self.placed.setWordWrap(True)
        box.addWidget(self.placed)

    def refresh(self) -> None:
        """Show what is placed."""
        placed = ", ".join(f"{name.replace('_', ' ')} {len(points)}" for name, points in self._points().items())
        self.placed.setText(placed or "none placed")

    def _start(self) -> None:
        self.desk.take(tool="landmark")
        self.desk.said.emit(f"click on the {self.landmark.currentText()}")

    def _points(self) -> dict[str, list[list[float]]]:
        return {k: list(v) for k, v in self.desk.reading.settings.get("landmarks", {}).items() if k in LANDMARKS}

    def _place(self, event: Any) -> None:
        point = lps_of(self.desk.grid, np.array(event.position, dtype=float))
        points = self._points()
        points.setdefault(self.landmark.currentData(), []).append([round(float(v), 2) for v in point])
        self._keep(points)

    def _clear(self) -> None:
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
            desk.show_mask("segments")
            desk.said.emit("; ".join(found[1]) or "segments drawn anew")

        self.jobs.run("Segments by landmarks", lambda _: redraw_segments(desk.reading), then, pause=desk)
