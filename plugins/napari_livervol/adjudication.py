"""Two signed readings side by side: where they differ, in numbers and on the image, and whose stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from livervol.scan import Segmentation
from livervol.workflows.reading import Reading
from livervol.workflows.reading_folder import ADJUDICATED
from livervol.workflows.reading_review import (
    Comparison,
    compare,
    differing_voxels,
    open_adjudication,
    readers_of,
)
from napari_livervol.desk import Desk
from napari_livervol.jobs import Jobs
from napari_livervol.preview import Preview

__all__ = ["AdjudicationBox", "comparison_words"]

_PICKS = ("liver", "lesions", "segments", "decisions")
_MACHINE = "the machine's"


def comparison_words(found: Comparison) -> str:
    """A comparison in a few lines of rich text."""
    first, second = found.readers
    lines = []
    for mask in found.masks:
        lines.append(
            f"{mask.mask}: {mask.first_ml:.1f} | {mask.second_ml:.1f} ml, Dice {mask.dice:.3f}, "
            f"only {first} {mask.only_first_ml:.1f}, only {second} {mask.only_second_ml:.1f} ml"
        )
    for pair in found.lesions:
        sizes = pair.values.get("longest_mm", (None, None))
        words = " | ".join("–" if size is None else f"{size:.1f}" for size in sizes)
        lines.append(f"lesion {pair.first or '–'} | {pair.second or '–'}: longest {words} mm, Dice {pair.dice:.2f}")
    for criterion, (one, two) in found.responses.items():
        lines.append(f"{criterion}: {one or 'baseline'} | {two or 'baseline'}")
    told = [f"<b>{sentence}</b>" for sentence in found.disagreements] or ["<b>no disagreement that decides</b>"]
    return "<br>".join([f"<b>{first} | {second}</b>", *told, *lines])


class AdjudicationBox(QWidget):
    """``opened(reading)`` shows the adjudicated reading. Nobody who has not signed off sees another's work here."""

    def __init__(self, desk: Desk, jobs: Jobs, opened: Callable[[Reading], Any]) -> None:
        super().__init__()
        self.desk, self.jobs, self._opened = desk, jobs, opened
        self.differences = Preview(desk, "readers differ", {1: "#FF4136", 2: "#2ECC40", 3: "#00000000"})
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        self.first, self.second, self.mask = QComboBox(), QComboBox(), QComboBox()
        for combo, name, tip in (
            (self.first, "first_reader", "First reader (red: marked by this one only)"),
            (self.second, "second_reader", "Second reader (green: marked by this one only)"),
            (self.mask, "compared_mask", "Structure whose differences are shown on the image"),
        ):
            combo.setObjectName(name)
            combo.setToolTip(tip)
            row.addWidget(combo, 1)
        self.mask.addItems(["liver", "lesions"])
        button = QPushButton("Compare")
        button.setObjectName("compare")
        button.setToolTip("Where two signed readings differ")
        button.clicked.connect(lambda _=False: self.compare())
        row.addWidget(button)
        box.addLayout(row)
        self.says = QLabel("")
        self.says.setObjectName("comparison")
        self.says.setWordWrap(True)
        box.addWidget(self.says)
        form = QFormLayout()
        self.picks: dict[str, QComboBox] = {}
        for what in _PICKS:
            combo = QComboBox()
            combo.setObjectName(f"pick_{what}")
            # a long comparison above must not squeeze it
            combo.setMinimumHeight(24)
            combo.setToolTip("Whose stands; it can be edited afterwards")
            self.picks[what] = combo
            form.addRow(f"{what.capitalize()} by", combo)
        box.addLayout(form)
        button = QPushButton("Open the adjudicated reading")
        button.setObjectName("open_adjudicated")
        button.setToolTip("Begins (or goes on with) the reading that stands")
        button.clicked.connect(lambda _=False: self.open())
        box.addWidget(button)
        self.refresh()

    def refresh(self) -> None:
        """List the readers who have signed off."""
        signed = [name for name, done in readers_of(self.desk.reading.files.visit).items() if done]
        for combo in (self.first, self.second):
            combo.clear()
            combo.addItems(signed)
        if len(signed) > 1:
            self.second.setCurrentIndex(1)
        for combo in self.picks.values():
            combo.clear()
            combo.addItems([_MACHINE, *signed])

    def _may_look(self) -> bool:
        reading = self.desk.reading
        if reading.locked or reading.reader == ADJUDICATED:
            return True
        self.desk.refused.emit("Readers stay blinded: sign off your own reading before you look at others'.")
        return False

    def compare(self) -> None:
        """Compare the two chosen readings and show where the chosen structure differs."""
        if not self._may_look():
            return
        visit, mask = self.desk.reading.files.visit, self.mask.currentText()
        readers, grid = (self.first.currentText(), self.second.currentText()), self.desk.grid

        def work(progress: Any) -> tuple[Comparison, Segmentation]:
            found = compare(visit, *readers)
            progress("differences")
            voxels = differing_voxels(visit, *readers, mask)
            return found, Segmentation(voxels, grid, {1: readers[0], 2: readers[1], 3: "both"})

        def then(result: tuple[Comparison, Segmentation]) -> None:
            self.says.setText(comparison_words(result[0]))
            self.differences.show(result[1], opacity=0.6)

        self.jobs.run("Comparing readers", work, then)

    def open(self) -> None:
        """Begin the adjudicated reading with what was picked, or go on with it."""
        if not self._may_look():
            return
        visit, earlier = self.desk.reading.files.visit, self.desk.earlier
        readers = (self.first.currentText(), self.second.currentText())
        picks = {what: c.currentText() for what, c in self.picks.items() if c.currentText() != _MACHINE}
        settings = self.desk.opened_with

        def work(_: Any) -> Reading:
            reading = open_adjudication(visit, readers, picks, earlier=earlier, settings=settings)
            reading.numbers()
            return reading

        self.jobs.run("Adjudication", work, self._opened)
