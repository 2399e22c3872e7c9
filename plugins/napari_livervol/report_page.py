"""Step 5: what the reading says, saving, sign-off, taking it back, and the adjudication of two readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from livervol.workflows.reading_save import save, sign_off, withdraw_sign_off
from livervol.workflows.reading_table import Numbers
from napari_livervol.adjudication import AdjudicationBox
from napari_livervol.desk import Desk
from napari_livervol.numbers_dock import headline, response_words

__all__ = ["ReportPage"]


class ReportPage(QWidget):
    """``locked()`` is called when the lock may have changed; ``adjudication`` stands below, closed at first."""

    def __init__(self, desk: Desk, locked: Callable[[], Any], adjudication: AdjudicationBox) -> None:
        super().__init__()
        self.desk, self._locked = desk, locked
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.summary = QLabel("")
        self.summary.setObjectName("summary")
        self.summary.setWordWrap(True)
        box.addWidget(self.summary)
        row = QHBoxLayout()
        row.addWidget(
            _button("Save", "save", "Masks, numbers and landmarks into the reader's folder (Ctrl+S)", self.save)
        )
        box.addLayout(row)
        self.statement = QLineEdit()
        self.statement.setObjectName("statement")
        self.statement.setPlaceholderText("statement for the sign-off")
        box.addWidget(self.statement)
        row = QHBoxLayout()
        row.addWidget(_button("Sign off", "sign_off", "Saves, then locks this reading", self._sign))
        row.addWidget(
            _button("Withdraw", "withdraw", "Takes the sign-off back; the line above is the reason", self._withdraw)
        )
        box.addLayout(row)
        show = _button(
            "Two readers, adjudication …",
            "adjudicate",
            "Where two signed readings differ, and whose stands",
            self._show_adjudication,
        )
        box.addWidget(show)
        self.adjudication = adjudication
        self.adjudication.hide()
        box.addWidget(self.adjudication)

    def _show_adjudication(self) -> None:
        self.adjudication.refresh()
        self.adjudication.setVisible(not self.adjudication.isVisible())

    def show_numbers(self, numbers: Numbers) -> None:
        """The reading in a few lines."""
        lines = [headline(numbers)]
        for criterion, name in (("mrecist", "mRECIST"), ("recist11", "RECIST 1.1")):
            text, reasons = response_words(numbers, criterion)
            lines.append(f"<b>{name}</b>: {text}<br><small>{reasons}</small>")
        lines += [f"<span style='color:#E9C46A'>⚠ {problem}</span>" for problem in numbers.problems]
        self.summary.setText("<br>".join(lines))

    def save(self) -> bool:
        """Write the reader's folder; a refusal is shown."""
        folder = self.desk.try_to(lambda: save(self.desk.reading))
        if folder is not None:
            self.desk.said.emit(f"saved in readers/{folder.name}")
        return folder is not None

    def _sign(self) -> None:
        path = self.desk.try_to(lambda: sign_off(self.desk.reading, self.statement.text().strip()))
        if path is not None:
            self.desk.said.emit("signed off: this reading is locked")
            self._locked()

    def _withdraw(self) -> None:
        reading, reason = self.desk.reading, self.statement.text().strip()
        self.desk.try_to(lambda: withdraw_sign_off(reading, reason))
        if not reading.locked:
            self.desk.said.emit("sign-off withdrawn")
            self._locked()


def _button(text: str, name: str, tip: str, do: Any) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.clicked.connect(lambda _=False: do())
    return button
