"""Step 1: which visit, whose reading, how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

__all__ = ["LoadPage"]


class LoadPage(QWidget):
    """``start(folder, reader, scans, blinded)`` opens a reading, ``make(scans, folder)`` segments new scans first."""

    def __init__(
        self,
        start: Callable[[Path, str, tuple[Path, ...], bool], Any],
        make: Callable[[Path, Path], Any],
        views: dict[str, tuple[str, str, Callable[[], Any]]],
    ) -> None:
        super().__init__()
        self._start, self._make = start, make
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.folder = self._path(form, "Visit", "visit_folder", "The folder that livervol run or measure wrote")
        self.scans = self._path(
            form, "Scan", "scan_path", "Only when the visit's folder holds no phases: the scan it was run on"
        )
        self.reader = QLineEdit()
        self.reader.setObjectName("reader_code")
        self.reader.setPlaceholderText("code, for example R1")
        self.reader.setToolTip("A code, never a name; every edit is journalled under it")
        form.addRow("Reader", self.reader)
        box.addLayout(form)
        self.blinded = QCheckBox("Find the lesions alone")
        self.blinded.setObjectName("blinded")
        self.blinded.setToolTip("Starts without the machine's lesions; other readers' work is never shown")
        box.addWidget(self.blinded)
        row = QHBoxLayout()
        self.open = QPushButton("Start reading")
        self.open.setObjectName("start_reading")
        self.open.clicked.connect(self._pressed)
        row.addWidget(self.open)
        new = QPushButton("New visit from scans …")
        new.setObjectName("new_visit")
        new.setToolTip("Choose a DICOM folder; liver, lesions and segments are found, then you check them")
        new.clicked.connect(self._new)
        row.addWidget(new)
        box.addLayout(row)
        box.addWidget(QLabel("<b>How it is shown</b>"))
        grid = QGridLayout()
        grid.setSpacing(3)
        for position, (name, (text, tip, do)) in enumerate(views.items()):
            button = QPushButton(text)
            button.setObjectName(f"view_{name}")
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, do=do: do())
            grid.addWidget(button, position // 2, position % 2)
        box.addLayout(grid)

    def _path(self, form: QFormLayout, label: str, name: str, tip: str) -> QLineEdit:
        edit = QLineEdit()
        edit.setObjectName(name)
        edit.setToolTip(tip)
        pick = QPushButton("…")
        pick.setMaximumWidth(28)
        pick.clicked.connect(lambda _=False: self._pick(edit, name))
        row = QHBoxLayout()
        row.addWidget(edit, 1)
        row.addWidget(pick)
        form.addRow(label, row)
        return edit

    def _pick(self, edit: QLineEdit, name: str) -> None:
        if name == "scan_path":
            found, _ = QFileDialog.getOpenFileName(self, "The scan", edit.text())
        else:
            found = QFileDialog.getExistingDirectory(self, "The visit's folder", edit.text())
        if found:
            edit.setText(found)

    def _pressed(self) -> None:
        scans = tuple(Path(p) for p in self.scans.text().split(";") if p.strip())
        self._start(Path(self.folder.text().strip()), self.reader.text().strip(), scans, self.blinded.isChecked())

    def _new(self) -> None:
        scans = QFileDialog.getExistingDirectory(self, "DICOM folder of one visit")
        if not scans:
            return
        out, _ = QFileDialog.getSaveFileName(self, "New folder for the visit", str(Path(scans).parent / "visit"))
        if out:
            self._make(Path(scans), Path(out))
