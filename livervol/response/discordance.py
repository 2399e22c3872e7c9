"""Criteria side by side on the same course: where they differ and on which numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from livervol.records import Course, ResponseRow
from livervol.response.assess import assess

__all__ = ["DISCORDANCE_CRITERIA", "Discordance", "discordances"]

#: The criteria compared unless others are named; LI-RADS speaks of viability, not response, and is left out.
DISCORDANCE_CRITERIA = ("mrecist", "recist11", "easl", "who", "choi", "volumetric")


@dataclass(frozen=True)
class Discordance:
    """One visit: the overall response by criterion, and each criterion's change from baseline in percent."""

    visit: int
    overall: Mapping[str, str]
    change_percent: Mapping[str, float | None]

    @property
    def agree(self) -> bool:
        """True when every criterion that could be evaluated gives the same response."""
        return len({word for word in self.overall.values() if word not in ("", "NE")}) <= 1

    @property
    def sentence(self) -> str:
        """The visit in one line."""
        parts = [
            f"{name} {word}" + (f" ({change:+.1f} %)" if (change := self.change_percent[name]) is not None else "")
            for name, word in self.overall.items()
        ]
        return f"visit {self.visit}: {'agree' if self.agree else 'differ'}: {', '.join(parts)}"


def discordances(course: Course, criteria: Sequence[str] = DISCORDANCE_CRITERIA) -> tuple[Discordance, ...]:
    """Every visit after baseline with what each criterion says; ``agree`` tells the concordant ones apart."""
    by_visit: dict[int, dict[str, ResponseRow]] = {}
    for name in criteria:
        for row in assess(course, name):
            if row.overall:
                by_visit.setdefault(row.visit, {})[name] = row
    return tuple(
        Discordance(
            visit,
            {name: row.overall for name, row in rows.items()},
            {name: row.change_from_baseline_percent for name, row in rows.items()},
        )
        for visit, rows in sorted(by_visit.items())
    )
