"""Step 5: what the reading says, saving, sign-off, taking it back, and the adjudication of two readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from livervol.workflows.reading_save import save, sign_off, withdraw_sign_off
from livervol.workflows.reading_table import Numbers
from napari_livervol.adjudication import AdjudicationBox
from napari_livervol.buttons import button
from napari_livervol.desk import Desk
from napari_livervol.jobs import Jobs
from napari_livervol.numbers_dock import headline, response_words
from napari_livervol.tones import tone

__all__ = ["ReportPage"]


class ReportPage(QWidget):
    """``written()`` is called when the folder or the lock has changed; ``adjudication`` stands below, hidden."""

    def __init__(self, desk: Desk, jobs: Jobs, written: Callable[[], Any], adjudication: AdjudicationBox) -> None:
        super().__init__()
        self.desk, self.jobs, self._written = desk, jobs, written
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.summary = QLabel("")
        self.summary.setObjectName("summary")
        self.summary.setWordWrap(True)
        box.addWidget(self.summary)
        row = QHBoxLayout()
        row.addWidget(
            button("Save", "save", "Masks, numbers and landmarks into the reader's folder (Ctrl+S)", self.save)
        )
        box.addLayout(row)
        self.statement = QLineEdit()
        self.statement.setObjectName("statement")
        self.statement.setPlaceholderText("statement for the sign-off")
        box.addWidget(self.statement)
        row = QHBoxLayout()
        row.addWidget(button("Sign off", "sign_off", "Saves, then locks this reading", self._sign))
        row.addWidget(
            button("Withdraw", "withdraw", "Takes the sign-off back; the line above is the reason", self._withdraw)
        )
        box.addLayout(row)
        show = button(
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
        lines += [
            f"<span style='color:{tone('warning', self.desk.viewer.theme)}'>⚠ {problem}</span>"
            for problem in numbers.problems
        ]
        self.summary.setText("<br>".join(lines))

    def save(self) -> bool:
        """Write the reader's folder behind the drawing; a refusal is shown. False when something else still runs."""
        reading = self.desk.reading

        def then(folder: Path) -> None:
            self._tell(f"saved in readers/{folder.name}")

        return self.jobs.run("Saving", lambda _: save(reading), then)

    def _sign(self) -> None:
        reading, statement = self.desk.reading, self.statement.text().strip()

        def then(_: Path) -> None:
            self._tell("signed off: this reading is locked")

        self.jobs.run("Signing off", lambda _: sign_off(reading, statement), then, pause=self.desk)

    def _withdraw(self) -> None:
        reading, reason = self.desk.reading, self.statement.text().strip()
        self.desk.try_to(lambda: withdraw_sign_off(reading, reason))
        if not reading.locked:
            self._tell("sign-off withdrawn")

    def _tell(self, words: str) -> None:
        # a reading that was closed meanwhile is written, but no longer on the screen
        if not self.desk.closed:
            self.desk.said.emit(words)
            self._written()
