"""Step 3: the marked lesion's role, site and state, the length that counts, and its match with earlier visits."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from livervol.records import ROLES, SITES, STATES
from livervol.workflows.reading_lesions import (
    choose_length,
    next_number,
    renumber_lesion,
    set_role,
    set_site,
    set_state,
)
from livervol.workflows.reading_table import LENGTHS, LesionRow
from napari_livervol.desk import Desk

__all__ = ["LesionPage"]

_LENGTHS = {
    "longest_mm": "longest diameter",
    "short_axis_mm": "short axis",
    "viable_longest_mm": "viable diameter",
    "viable_perpendicular_mm": "viable, at right angles",
}
_PROPOSED = "as proposed"


class LesionPage(QWidget):
    """Decisions about one lesion of a desk."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.row: LesionRow | None = None
        self._filling = False
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.title = QLabel("<b>Lesion</b>: choose one in the table")
        self.title.setObjectName("lesion_title")
        box.addWidget(self.title)
        form = QFormLayout()
        roles = "Target lesions are summed, non-target ones followed; new ones mean progression"
        self.role = self._choice(form, "Role", "lesion_role", [_PROPOSED, *[r for r in ROLES if r]], "role", roles)
        self.site = self._choice(form, "Site", "lesion_site", list(SITES), "site", "Where the lesion lies")
        self.state = self._choice(form, "State", "lesion_state", list(STATES), "state",
                                  "Not evaluable needs a reason")  # fmt: skip
        self.reason = QLineEdit()
        self.reason.setObjectName("lesion_reason")
        self.reason.setPlaceholderText("reason, for example motion artefact")
        self.reason.setToolTip("Why; stands in the journal and in the report")
        form.addRow("Reason", self.reason)
        box.addLayout(form)
        box.addWidget(QLabel("<b>By hand</b>: two clicks with the tool Measure (D)"))
        hand = QHBoxLayout()
        self.length = QComboBox()
        self.length.setObjectName("manual_length")
        for name in LENGTHS:
            if name in _LENGTHS:
                self.length.addItem(_LENGTHS[name], name)
        self.length.setToolTip("Which length the two clicks give")
        self.length.currentIndexChanged.connect(lambda _: self._show_chosen())
        self.chosen = QComboBox()
        self.chosen.setObjectName("chosen_length")
        self.chosen.addItems(["computed", "manual"])
        self.chosen.setToolTip("Both are kept; this one counts")
        self.chosen.currentTextChanged.connect(self._choose)
        hand.addWidget(self.length, 1)
        hand.addWidget(self.chosen)
        box.addLayout(hand)
        self.both = QLabel("")
        self.both.setObjectName("both_lengths")
        box.addWidget(self.both)
        match = QHBoxLayout()
        match.addWidget(QLabel("Same as earlier lesion"))
        self.match = QComboBox()
        self.match.setObjectName("lesion_match")
        self.match.setToolTip("The lesion of an earlier visit that this one is; it gets that number")
        match.addWidget(self.match, 1)
        confirm = QPushButton("Confirm")
        confirm.setObjectName("confirm_match")
        confirm.setToolTip("Keep or change the match")
        confirm.clicked.connect(self._confirm)
        match.addWidget(confirm)
        box.addLayout(match)

    def _choice(self, form: QFormLayout, label: str, name: str, words: list[str], key: str, tip: str) -> QComboBox:
        combo = QComboBox()
        combo.setObjectName(name)
        for word in words:
            combo.addItem(word.replace("_", " "), word)
        combo.setToolTip(tip)
        combo.activated.connect(lambda _: self._decide(key, combo.currentData()))
        form.addRow(label, combo)
        return combo

    def show_row(self, row: LesionRow | None) -> None:
        """Show the decisions about a lesion."""
        self.row = row
        if row is None:
            self.title.setText("<b>Lesion</b>: choose one in the table")
            return
        self._filling = True
        settings, key = self.desk.reading.settings, f"lesion.{row.number}."
        self.title.setText(f"<b>Lesion {row.number}</b>, proposed: {row.proposed_role.replace('_', '-') or 'no role'}")
        self.role.setCurrentIndex(max(0, self.role.findData(settings.get(key + "role", _PROPOSED))))
        self.site.setCurrentIndex(self.site.findData(row.site))
        self.state.setCurrentIndex(self.state.findData(row.state))
        self.reason.setText(str(settings.get(key + "reason", "")))
        self.match.clear()
        self.match.addItem("none: it is new", 0)
        for number in self._earlier():
            self.match.addItem(f"lesion {number}", number)
        self.match.setCurrentIndex(max(0, self.match.findData(row.number)))
        self._filling = False
        self._show_chosen()

    def _earlier(self) -> list[int]:
        return sorted({lesion.number for visit in self.desk.reading.earlier for lesion in visit.lesions})

    def _show_chosen(self) -> None:
        if self.row is None:
            return
        name = self.length.currentData()
        lines = {line.by: line for line in self.row.lines if line.name == name}
        self._filling = True
        marked = next((by for by, line in lines.items() if line.chosen), "computed")
        self.chosen.setCurrentText(marked)
        self._filling = False
        words = [f"{by} {line.value_mm:.1f} mm{' (counts)' if line.chosen else ''}" for by, line in lines.items()]
        self.both.setText(" · ".join(words) or "not measured")

    def _decide(self, key: str, value: str) -> None:
        if self._filling or self.row is None:
            return
        desk, number, reason = self.desk, self.row.number, self.reason.text().strip()
        if key == "role":
            role = "" if value == _PROPOSED else value
            done = desk.do(lambda: set_role(desk.reading, number, role, reason))
        elif key == "site":
            done = desk.do(lambda: set_site(desk.reading, number, value, reason))
        else:
            done = desk.do(lambda: set_state(desk.reading, number, value, reason))
        if done is None:
            # what was refused is not shown as decided
            row = self.row
            self.state.setCurrentIndex(self.state.findData(row.state))
            self.site.setCurrentIndex(self.site.findData(row.site))

    def _choose(self, by: str) -> None:
        if self._filling or self.row is None:
            return
        desk, number, name = self.desk, self.row.number, self.length.currentData()
        if desk.do(lambda: choose_length(desk.reading, number, name, by)) is None:
            self._show_chosen()

    def _confirm(self) -> None:
        if self.row is None:
            return
        desk, number, new = self.desk, self.row.number, int(self.match.currentData())
        if new == number:
            desk.do(lambda: desk.reading.set({f"lesion.{number}.word.match": "confirmed"}, "match confirmed"))
            desk.said.emit(f"lesion {number}: match confirmed")
            return
        new = new or next_number(desk.reading)
        if desk.do(lambda: renumber_lesion(desk.reading, number, new, self.reason.text().strip())) is not None:
            desk.said.emit(f"lesion {number} is lesion {new}")
