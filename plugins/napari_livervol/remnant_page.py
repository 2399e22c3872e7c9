"""Step 4: which operation, what remains, how near it comes to a lesion; ranked operations; a cut of one's own."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from livervol.measure.planes import wedge_parts
from livervol.measure.resection import STANDARD
from livervol.workflows.plan import Plan, PlanSettings, plan_visit
from livervol.workflows.reading_lesions import choose_resections
from livervol.workflows.reading_save import save
from napari_livervol.buttons import button
from napari_livervol.cut_box import CutBox
from napari_livervol.desk import Desk
from napari_livervol.gestures import Gestures
from napari_livervol.jobs import Jobs
from napari_livervol.landmark_box import LandmarkBox
from napari_livervol.preview import Preview
from napari_livervol.snapshot import snapshot

__all__ = ["RemnantPage", "plan_lines"]

_NONE = "no resection chosen"


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
        self.ring = Preview(desk, "margin", {1: "#00000000", 2: "#FF5DA2"})
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
            row.addWidget(button(text, name, tip, do))
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
        self.cut = CutBox(desk, gestures)
        box.addWidget(self.cut)
        self.landmarks = LandmarkBox(desk, gestures, jobs)
        box.addWidget(self.landmarks)
        self.refresh()

    def close(self) -> bool:
        """Stop what runs for this page."""
        self.cut.close()
        return bool(super().close())

    def refresh(self) -> None:
        """Show what is decided."""
        chosen = list(self.desk.reading.settings.get("resections", ()))
        self.resection.setCurrentIndex(max(0, self.resection.findData(chosen[0] if chosen else "")))
        self.landmarks.refresh()

    # ---------------------------------------------------------------------------------------------------- operations

    def _choose(self) -> None:
        slug = self.resection.currentData()
        desk = self.desk
        desk.do(lambda: choose_resections(desk.reading, [slug] if slug else []))
        self.desk.show_mask("segments", bool(slug))

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
