"""Everything livervol adds to a napari window, wired together: one reading at a time."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QDockWidget, QMessageBox, QShortcut

from livervol.workflows.reading import Reading, ReadingSettings
from livervol.workflows.reading_table import Numbers
from livervol.workflows.visit import run_visit
from napari_livervol.actions import key_actions, view_buttons
from napari_livervol.adjudication import AdjudicationBox
from napari_livervol.contour import ContourTool
from napari_livervol.desk import EDITABLE, Desk
from napari_livervol.gestures import Gestures
from napari_livervol.guide import Guide
from napari_livervol.jobs import Courier, Jobs
from napari_livervol.judging import Judging
from napari_livervol.keys import bind_keys, free_menu_keys, key_help
from napari_livervol.layers import know_units
from napari_livervol.lesion_page import LesionPage
from napari_livervol.lines import LineDrawing
from napari_livervol.load_page import LoadPage
from napari_livervol.measuring import TwoClicks
from napari_livervol.memory import Memory
from napari_livervol.numbers import LatestOnly
from napari_livervol.numbers_dock import NumbersDock
from napari_livervol.operations import operations
from napari_livervol.pages import Pages
from napari_livervol.panes import PaneRow
from napari_livervol.readout import Readout
from napari_livervol.remnant_page import RemnantPage
from napari_livervol.report_page import ReportPage
from napari_livervol.thumbnails import thumbnail
from napari_livervol.tools_box import ToolsBox
from napari_livervol.views import Views
from napari_livervol.wheel import reader_mouse

__all__ = ["ReadingWindow", "earlier_visits"]


def earlier_visits(folder: Path) -> tuple[Path, ...]:
    """The output folders of the course's visits before this one, in order; empty for a visit that stands alone."""
    try:
        course = json.loads((folder.parent / "course.json").read_text(encoding="utf-8"))
        names = [str(visit["folder"]) for visit in sorted(course["visits"], key=lambda visit: visit["number"])]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    if folder.name not in names:
        return ()
    return tuple(folder.parent / name for name in names[: names.index(folder.name)])


class ReadingWindow:
    """The plugin on one napari viewer. ``open_visit`` starts a reading; ``close`` gives its journal free.

    ``docked`` false leaves it to the caller to dock ``guide``.
    """

    def __init__(self, viewer: Any, *, docked: bool = True) -> None:
        self.viewer = viewer
        self.desk: Desk | None = None
        self.numbers_worker: LatestOnly | None = None
        self.seconds: list[float] = []
        self.courier = Courier()
        self.courier.done.connect(self._on_numbers)
        self.guide = Guide()
        self.courier.failed.connect(self.guide.refuse)
        self.jobs = Jobs(self.guide)
        self.readout = Readout(viewer)
        reader_mouse(viewer)
        self.row = PaneRow(viewer)
        self.views = Views(viewer, self.row, self.jobs)
        self.load = LoadPage(self.open_visit, self._make_visit, view_buttons(self))
        self.guide.page("load").addWidget(self.load)
        self.dock = NumbersDock(self.choose_lesion, self._thumbnail, self._decided)
        self._stoppers: list[Callable[[], Any]] = []
        window = viewer.window
        panels = {"numbers": window.add_dock_widget(self.dock, area="bottom", name="numbers")}
        if docked:
            panels["guide"] = window.add_dock_widget(
                self.guide, area="right", name="livervol", add_vertical_stretch=False
            )
        self.main = self.dock.window()
        # napari's layers need both; got ready while the reader chooses a visit, not when it is shown
        QTimer.singleShot(0, know_units)
        threading.Thread(target=importlib.import_module, args=("pandas",), daemon=True).start()
        # beside the main canvas, each half of the middle
        middle = self.main.centralWidget().layout()
        middle.addWidget(self.row, 1)
        middle.setStretch(0, 1)
        for dock in self.main.findChildren(QDockWidget):
            # napari's own controls paint past the journal; the View menu brings them back
            if dock.windowTitle() == "layer controls":
                dock.hide()
        question = QShortcut(QKeySequence("?"), self.main)
        question.activated.connect(self.show_keys)
        bind_keys(viewer, key_actions(self))
        free_menu_keys(self.main)
        self.memory = Memory(viewer, self.main, panels)
        self.load.reader.setText(self.memory.reader)
        self.memory.watch()
        viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    # ------------------------------------------------------------------------------------------------------- opening

    def open_visit(self, folder: Path, reader: str, scans: tuple[Path, ...] = (), blinded: bool = False) -> None:
        """Open a reading in a worker thread, then show it."""
        if not reader:
            self.guide.refuse("Give the reader's code first: every edit is journalled under it.")
            return
        if self.jobs.refuses():
            # the reading that is open stays open
            return
        folder = Path(folder).resolve()
        settings = ReadingSettings(inputs=scans, lesions_from="none" if blinded else "machine")
        earlier = earlier_visits(folder)
        self.close()

        def work(progress: Any) -> Reading:
            progress("reading")
            reading = Reading.open(folder, reader, earlier=earlier, settings=settings)
            reading.numbers()
            if reading.phases:
                reference = str(reading.files.document.get("provenance", {}).get("reference_phase", ""))
                reading.scan(reference if reference in reading.phases else reading.phases[0])
            return reading

        def then(reading: Reading) -> None:
            self.memory.reader = reader
            self.load.folder.setText(str(folder))
            self.load.reader.setText(reader)
            self.show_reading(reading, earlier, settings)

        self.load.reader.setText(reader)
        self.jobs.run(f"Opening {folder.name}", work, then)

    def _make_visit(self, scans: Path, folder: Path) -> None:
        def then(_: Any) -> None:
            self.load.folder.setText(str(folder))
            self.guide.say(f"{folder.name} is ready: give your code and start reading.")

        def work(progress: Any) -> Any:
            return run_visit([scans], folder, progress=progress)

        self.jobs.run("Segmenting a new visit", work, then)

    def show_reading(
        self, reading: Reading, earlier: tuple[Path, ...] = (), settings: ReadingSettings | None = None
    ) -> None:
        """Put a reading on the window, instead of the one that is open."""
        self.close()
        if self.viewer.layers:
            # also where there is none it costs half a second
            self.viewer.layers.clear()
        desk = self.desk = Desk(self.viewer, reading, earlier, settings)
        desk.refused.connect(self.guide.refuse)
        desk.said.connect(self.guide.say)
        self.views.desk, self.views.earlier = desk, earlier
        gestures = Gestures(desk)
        self.contour = ContourTool(desk, gestures)
        self.measuring = TwoClicks(desk, gestures, self._marked, lambda: self.lesions.length.currentData())
        self.lines = LineDrawing(desk)
        self.judging = Judging(desk)
        self._stoppers += [gestures.close, self.contour.close, self.judging.close]
        self.operations = operations(desk, self._marked, self.judging.ask)
        self.tools = ToolsBox(desk, self.operations)
        self.lesions = LesionPage(desk)
        self.remnant = RemnantPage(desk, gestures, self.jobs)
        self.adjudication = AdjudicationBox(desk, self.jobs, lambda found: self.show_reading(found, earlier, settings))
        self.report = ReportPage(desk, self.jobs, self._written, self.adjudication)
        self._stoppers.append(self.remnant.close)
        pages = {"lesions": self.lesions, "remnant": self.remnant, "report": self.report}
        self._stoppers.append(Pages(self.guide, desk, self.tools, pages).close)
        desk.changed.connect(self._on_changed)
        self.numbers_worker = LatestOnly(reading.refresh, self.courier.done.emit, self.courier.failed.emit)
        self._show_numbers(reading.numbers())
        self._show_lock()
        self.guide.tick("load")
        self.guide.go("liver")
        desk.take(tool="move", mask="liver")
        told = [text for text in (reading.recovered, reading.trouble) if text]
        self.guide.say("; ".join(told) or "Check the liver's outline, then go on with Next.")
        self.judging.ask()

    def close(self) -> None:
        """End the reading: its journal has everything, nothing is lost."""
        for stop in self._stoppers:
            stop()
        self._stoppers.clear()
        if self.numbers_worker is not None:
            self.numbers_worker.close()
            self.numbers_worker = None
        self.views.close()
        if self.desk is not None:
            self.desk.close()
            self.desk.reading.close()
            self.desk = self.views.desk = None
            self.viewer.layers.clear()

    # ------------------------------------------------------------------------------------------------------- numbers

    def _on_changed(self, touched: tuple[str, ...]) -> None:
        if self.numbers_worker is not None:
            self.numbers_worker.ask()
            if self.desk is not None and self.desk.reading.records[-1].kind == "step":
                # not after an undo: what was taken back is not done again
                self.judging.ask()
        masks = tuple(name for name in touched if name in EDITABLE)
        self.views.refresh(masks)
        placed = any(name.endswith(".site") for name in touched)
        self.remnant.cut.follow((*masks, "lesions") if placed else masks)
        self.contour.refresh(masks)
        if any(name.split(".")[0] in ("resections", "landmarks") for name in touched):
            self.remnant.refresh()
        if self.desk is not None and self.desk.reading.trouble:
            self.guide.refuse(self.desk.reading.trouble)

    def _on_numbers(self, numbers: Numbers, seconds: float) -> None:
        if self.desk is not None and numbers.version == self.desk.reading.version:
            self.seconds.append(seconds)
            self._show_numbers(numbers)

    def _show_numbers(self, numbers: Numbers) -> None:
        self.dock.show_numbers(numbers)
        self.lines.show(numbers)
        self.report.show_numbers(numbers)
        marked = self._marked()
        if marked is None and self.desk is not None and self.desk.tools.mask == "lesions":
            marked = self.desk.tools.value
            self.dock.select(marked)
        row = next((row for row in numbers.table if row.number == marked), None)
        self.lesions.show_row(row)

    def _decided(self, number: int) -> bool:
        return self.desk is not None and f"lesion.{number}.role" in self.desk.reading.settings

    def _thumbnail(self, row: Any) -> Any:
        return thumbnail(self.desk, row) if self.desk is not None else None

    # ------------------------------------------------------------------------------------------------------- lesions

    def _marked(self) -> int | None:
        """The lesion that is marked in the table."""
        return self.dock.selected()

    def choose_lesion(self, number: int) -> None:
        """Mark a lesion, centre every view on it and take its number in hand."""
        desk, numbers = self.desk, self.dock.numbers
        if desk is None or numbers is None:
            return
        row = next((row for row in numbers.table if row.number == number), None)
        if row is None:
            return
        self.dock.select(number)
        desk.go_to(desk.place_of(row))
        if desk.tools.mask in ("lesions", "viable"):
            desk.take(value=number)
        self.lesions.show_row(row)

    def step_lesion(self, steps: int) -> None:
        """Mark the lesion so many lines further down the table, round and round."""
        numbers = self.dock.numbers
        if numbers is None or not numbers.table:
            return
        known = [row.number for row in numbers.table]
        marked = self._marked()
        at = known.index(marked) + steps if marked in known else 0
        self.choose_lesion(known[at % len(known)])

    # ----------------------------------------------------------------------------------------------------- the rest

    def _written(self) -> None:
        """The folder is new: so are the intervals, and perhaps the lock."""
        self._show_lock()
        if self.numbers_worker is not None:
            self.numbers_worker.ask()

    def _show_lock(self) -> None:
        if self.desk is None:
            return
        reading = self.desk.reading
        locked = f" — <b>locked</b>: {reading.locked}" if reading.locked else ""
        visit = reading.files.visit
        date = f" {reading.files.date}" if reading.files.date else ""
        self.guide.headline.setText(f"<b>{visit.name}</b>{date}, reader {reading.reader}{locked}")
        self.guide.tick("report", bool(reading.locked))

    def change_theme(self) -> None:
        """Dark to light and back."""
        self.viewer.theme = "light" if self.viewer.theme == "dark" else "dark"

    def _on_theme(self, event: Any = None) -> None:
        self.guide.set_theme(str(self.viewer.theme))
        self.dock.set_theme(str(self.viewer.theme))
        if self.desk is not None and self.dock.numbers is not None:
            self.report.show_numbers(self.dock.numbers)

    def show_keys(self) -> None:
        """The keyboard map."""
        self.help = QMessageBox(self.main)
        self.help.setObjectName("key_map")
        self.help.setWindowTitle("Keys")
        self.help.setTextFormat(Qt.TextFormat.RichText)
        self.help.setText(key_help())
        self.help.setModal(False)
        self.help.show()
