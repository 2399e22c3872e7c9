"""The numbers under the image: headline, lesion table, response with its reason. They follow every stroke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from livervol.measure.resection import operation
from livervol.records import Interval
from livervol.workflows.reading_table import LesionRow, Numbers
from napari_livervol.tones import tone

__all__ = ["NumbersDock", "headline", "interval_words", "lesion_words", "response_words"]

_COLUMNS = (
    ("Lesion", "Number, the same at every visit; a click centres all views on it"),
    ("Role", "Target, non-target or new: as you decided, else as proposed (in brackets)"),
    ("Where", "Site and Couinaud segment"),
    ("State", "Measured, absent, too small, not evaluable ..."),
    ("Longest mm", "Longest diameter in a slice (RECIST 1.1); * measured by hand"),
    ("Short mm", "Longest diameter at right angles to it"),
    ("Viable mm", "Longest viable diameter that crosses no necrosis (mRECIST); * measured by hand"),
    ("Volume ml", "All of the lesion"),
    ("Viable ml", "Its viable part; c computed for a lesion you added, … being judged"),
    ("Necrosis %", "Share of the volume that is not viable; c computed for a lesion you added"),
)
_THUMB = 44


def _number(value: float | None, decimals: int = 1) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def headline(numbers: Numbers) -> str:
    """Liver, tumour and remnant in one line."""
    measured = numbers.measured
    words = [
        f"Liver <b>{_number(numbers.liver_ml, 0)} ml</b>",
        f"functional {_number(measured.value('liver.functional_volume_ml'), 0)} ml",
        f"tumour {_number(measured.value('tumor.volume_ml'))} ml",
    ]
    if numbers.resection:
        left = _number(measured.value(f"remnant.{numbers.resection}.volume_ml"), 0)
        flr = _number(numbers.flr_percent)
        known = numbers.intervals.get(f"remnant.{numbers.resection}.flr_of_functional_percent")
        range_ = f", 95 % {interval_words(known)} %" if known is not None else ""
        words.append(f"FLR, {operation(numbers.resection).name}: <b>{flr} %</b> ({left} ml{range_})")
    return " · ".join(words)


def interval_words(interval: Interval) -> str:
    """A 95 % interval in short: whole numbers from 10 on."""
    decimals = 0 if interval.low >= 10 else 1
    return f"{interval.low:,.{decimals}f}–{interval.high:,.{decimals}f}"


def response_words(numbers: Numbers, criterion: str) -> tuple[str, str]:
    """(sum, changes and category; the reasons) of the current visit by a criterion."""
    row = numbers.responses.get(criterion)
    if row is None:
        return "no response: see what is missing", "\n".join(numbers.problems)
    words = [f"sum <b>{_number(row.sum_mm)} mm</b>"]
    if row.change_from_baseline_percent is not None:
        words.append(f"{row.change_from_baseline_percent:+.0f} % from baseline")
    if row.change_from_nadir_percent is not None:
        words.append(f"{row.change_from_nadir_percent:+.0f} % from nadir")
    words.append(f"<b>{row.overall or 'baseline'}</b>")
    return " · ".join(words), "; ".join(row.reasons)


def lesion_words(
    row: LesionRow, *, decided: bool = False, intervals: Mapping[str, Interval] | None = None
) -> list[str]:
    """The cells of a lesion's line; a role that the reader has not ``decided`` stands in brackets.

    ``intervals`` by ``lesion.N.<name>`` stand in brackets behind their numbers; by hand there is none.
    """
    known = intervals or {}

    def length(name: str, value: float | None) -> str:
        line, interval = row.line(name), known.get(f"lesion.{row.number}.{name}")
        if line is not None and line.by == "manual":
            return _number(value) + "*"
        return _number(value) + (f" ({interval_words(interval)})" if interval is not None and value else "")

    role = row.role.replace("_", "-")
    if row.role and not decided:
        role = f"({role})"
    where = row.site.replace("_", " ") + (f", {row.site_segment}" if row.site_segment else "")
    return [
        str(row.number),
        role,
        where,
        row.state.replace("_", " "),
        length("longest_mm", row.longest_mm),
        length("short_axis_mm", row.short_axis_mm),
        length("viable_longest_mm", row.viable_longest_mm) if row.viability != "waiting" else "…",
        _number(row.volume_ml, 2),
        _part(row, row.viable_volume_ml, 2),
        _part(row, row.necrosis_percent, 0),
    ]


def _part(row: LesionRow, value: float | None, decimals: int) -> str:
    """A number of the viable part: not yet judged, or marked where it was computed on the reader's lesion."""
    if row.viability == "waiting":
        return "…"
    return _number(value, decimals) + ("ᶜ" if row.viability == "computed" and value is not None else "")


class NumbersDock(QWidget):
    """``choose(number)`` is called with a clicked lesion; ``thumbnail(row)`` gives a small grey picture or None;
    ``decided(number)`` tells whether the reader gave it its role.
    """

    def __init__(
        self,
        choose: Callable[[int], Any],
        thumbnail: Callable[[LesionRow], Any],
        decided: Callable[[int], bool],
    ) -> None:
        super().__init__()
        self._decided = decided
        self.setObjectName("livervol_numbers")
        self._choose, self._thumbnail = choose, thumbnail
        self._numbers: Numbers | None = None
        self._rows: tuple[LesionRow, ...] = ()
        box = QVBoxLayout(self)
        box.setContentsMargins(4, 2, 4, 2)
        box.setSpacing(2)
        self.headline = QLabel("")
        self.headline.setObjectName("numbers_headline")
        self.note = QLabel("without a range: 95 % intervals come with Save")
        self.note.setObjectName("interval_note")
        self.note.setToolTip("In brackets: 95 % intervals of the saved numbers; a lesion that was changed has none yet")
        self.note.hide()
        row = QHBoxLayout()
        row.addWidget(self.headline, 1)
        row.addWidget(self.note)
        box.addLayout(row)
        row = QHBoxLayout()
        self.criterion = QComboBox()
        self.criterion.setObjectName("criterion")
        self.criterion.addItem("mRECIST", "mrecist")
        self.criterion.addItem("RECIST 1.1", "recist11")
        self.criterion.setToolTip("Response criterion shown here")
        self.criterion.currentIndexChanged.connect(lambda _: self._show_response())
        self.response = QLabel("")
        self.response.setObjectName("response")
        self.reason = QLabel("")
        self.reason.setWordWrap(True)
        self.reason.setObjectName("reason")
        row.addWidget(self.criterion)
        row.addWidget(self.response)
        row.addWidget(self.reason, 1)
        box.addLayout(row)
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setObjectName("lesion_table")
        self.table.setHorizontalHeaderLabels([name for name, _ in _COLUMNS])
        for column, (_, tip) in enumerate(_COLUMNS):
            self.table.horizontalHeaderItem(column).setToolTip(tip)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(_THUMB + 4)
        self.table.setIconSize(QSize(_THUMB, _THUMB))
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.cellClicked.connect(self._clicked)
        box.addWidget(self.table, 1)
        self.warnings = QLabel("")
        self.warnings.setObjectName("warnings")
        self.warnings.setWordWrap(True)
        self.set_theme("dark")
        self.warnings.hide()
        box.addWidget(self.warnings)

    def set_theme(self, theme: str) -> None:
        """Colours for a dark or a light window."""
        self.warnings.setStyleSheet(f"color: {tone('warning', theme)};")

    @property
    def numbers(self) -> Numbers | None:
        """What is shown."""
        return self._numbers

    def show_numbers(self, numbers: Numbers) -> None:
        """Show these numbers."""
        self._numbers = numbers
        self.headline.setText(headline(numbers))
        self._show_response()
        self._fill(numbers.table)
        self.note.setVisible(any(f"lesion.{r.number}.longest_mm" not in numbers.intervals for r in numbers.table))
        told = [*numbers.problems, *numbers.warnings]
        self.warnings.setText("⚠ " + " · ".join(told[:2]) + (f" (+{len(told) - 2})" if len(told) > 2 else ""))
        self.warnings.setToolTip("\n".join(told))
        self.warnings.setVisible(bool(told))

    def _show_response(self) -> None:
        if self._numbers is None:
            return
        text, reasons = response_words(self._numbers, self.criterion.currentData())
        self.response.setText(text)
        self.reason.setText(reasons if len(reasons) < 90 else reasons[:88] + "…")
        self.reason.setToolTip(reasons)

    def _fill(self, rows: tuple[LesionRow, ...]) -> None:
        before = {row.number: row for row in self._rows}
        same_lines = [r.number for r in rows] == [r.number for r in self._rows]
        self._rows = rows
        self.table.setRowCount(len(rows))
        for line, row in enumerate(rows):
            old = before.get(row.number) if same_lines else None
            words = lesion_words(row, decided=self._decided(row.number), intervals=self._intervals())
            for column, text in enumerate(words):
                item = self.table.item(line, column)
                if item is None:
                    item = QTableWidgetItem()
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                    self.table.setItem(line, column, item)
                item.setText(text)
            self.table.item(line, 3).setToolTip(row.reason)
            for column, name in ((7, "volume_ml"), (8, "viable_volume_ml")):
                interval = self._intervals().get(f"lesion.{row.number}.{name}")
                words_ = f"95 % interval {interval_words(interval)} ml" if interval else "95 % interval: on Save"
                self.table.item(line, column).setToolTip(words_)
            if old is None or old.centre_zyx != row.centre_zyx:
                picture = self._thumbnail(row)
                if picture is not None:
                    self.table.item(line, 0).setIcon(QIcon(_pixmap(picture)))

    def _intervals(self) -> Mapping[str, Interval]:
        return {} if self._numbers is None else self._numbers.intervals

    def select(self, number: int) -> None:
        """Mark a lesion's line."""
        for line, row in enumerate(self._rows):
            if row.number == number:
                self.table.selectRow(line)

    def selected(self) -> int | None:
        """The marked lesion's number."""
        lines = {index.row() for index in self.table.selectedIndexes()}
        return self._rows[min(lines)].number if lines and min(lines) < len(self._rows) else None

    def _clicked(self, line: int, _: int) -> None:
        self._choose(self._rows[line].number)


def _pixmap(grey: Any) -> QPixmap:
    grey = np.ascontiguousarray(grey, dtype=np.uint8)
    height, width = grey.shape
    image = QImage(grey.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image).scaled(
        _THUMB, _THUMB, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
