"""Every word of the reports in the reader's language, and numbers and dates as that language writes them.

``words/<language>.toml`` is the one catalogue: the same keys and placeholders in every language. Its section
``sentences`` holds what other rooms say in English (warnings, reasons); a sentence that matches the English pattern is
said in the page's language, any other is shown as it was written and marked as English.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from livervol.errors import LivervolError, refusal

__all__ = ["LANGUAGES", "Said", "Words", "catalogue", "words_of"]

#: Languages the reports are written in, each with the code that a page declares.
LANGUAGES = {"en": "en", "zh": "zh-Hans"}
_ABSENT = "–"
_MINUS = "−"
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?\Z")
_HOLE = re.compile(r"\{(\w+)\}")
_SENTENCES = "sentences."
#: Placeholders of sentences whose content is a word of the catalogue; digits may follow the name.
_TERMS = {"phase": "phase", "vein": "word", "state": "word", "category": "category", "new": "new_lesion",
          "criterion": "criterion"}  # fmt: skip
_COUNTED = re.compile(r"(.*\S) ([\d.]+)")


@dataclass(frozen=True)
class Said:
    """A text and the language it is in, as a page declares it; ``foreign`` where that is not the page's own."""

    text: str
    language: str
    foreign: bool = False


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Mapping[str, str]:
    """The strings of a language by dotted key."""
    text = files("livervol.report").joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    return _flat(tomllib.loads(text), "")


def _flat(tree: Mapping[str, Any], stem: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{stem}{key}."))
        else:
            found[f"{stem}{key}"] = str(value)
    return found


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Every English sentence as a pattern of its placeholders, in the catalogue's order."""
    found = []
    for key, text in catalogue("en").items():
        if key.startswith(_SENTENCES):
            parts = _HOLE.split(text)
            pattern = "".join(re.escape(p) if n % 2 == 0 else _hole(p) for n, p in enumerate(parts))
            found.append((key, re.compile(pattern, re.DOTALL)))
    return tuple(found)


def _hole(name: str) -> str:
    """A placeholder's pattern: a single letter is a number, anything else any text."""
    return f"(?P<{name}>{r'[-+]?[0-9][0-9.,]*' if len(name) == 1 else '.+?'})"


def words_of(language: str) -> Words:
    """The words of a language; refused when the reports are not written in it."""
    if language not in LANGUAGES:
        raise LivervolError(
            refusal("language of the report", expected=" or ".join(LANGUAGES), got=repr(language), where="--language")
        )
    return Words(language)


@dataclass(frozen=True)
class Words:
    """A language's strings, numbers and dates."""

    language: str = "en"

    @property
    def code(self) -> str:
        """What the page's ``lang`` attribute says."""
        return LANGUAGES[self.language]

    def __call__(self, key: str, **values: object) -> str:
        """The string of a key with its placeholders filled."""
        return self._filled(catalogue(self.language)[key], values)

    @staticmethod
    def _filled(text: str, values: Mapping[str, object]) -> str:
        return _HOLE.sub(lambda hole: str(values[hole[1]]), text)

    def term(self, group: str, word: object) -> str:
        """A word of the data (a phase, a site) in this language; one the catalogue does not know as it is."""
        text = str(word)
        return catalogue(self.language).get(f"{group}.{text}", text.replace("_", " "))

    def number(self, value: object, decimals: int = 1, unit: str = "") -> str:
        """A number with its unit, a dash when absent."""
        if not isinstance(value, (int, float)) or value != value:
            return _ABSENT
        shown = f"{value:,.{decimals}f}".replace("-", _MINUS)
        if float(value) < 0 and not any(c in "123456789" for c in shown):
            shown = shown.lstrip(_MINUS)
        return f"{shown}\u00a0{unit}" if unit else shown

    def signed(self, value: object, decimals: int = 0, unit: str = "%") -> str:
        """A change: always with its sign."""
        shown = self.number(value, decimals, unit)
        plus = isinstance(value, (int, float)) and value > 0 and any(c in "123456789" for c in shown)
        return f"+{shown}" if plus else shown

    def span(self, interval: object, decimals: int = 1) -> str:
        """An interval ``[low, high]``, empty when absent."""
        if not isinstance(interval, (list, tuple)) or len(interval) != 2:
            return ""
        low, high = interval
        if not all(isinstance(end, (int, float)) for end in (low, high)):
            return ""
        return self("range", low=self.number(low, decimals), high=self.number(high, decimals))

    def date(self, text: object) -> str:
        """An ISO date, whole or partial, as this language writes it; anything else as it is."""
        found = _DATE.match(str(text or ""))
        if found is None:
            return str(text or "")
        year, month, day = found.groups()
        if month is None or not 1 <= int(month) <= 12:
            return str(self("date.year", year=year)) if month is None else str(text)
        name = self(f"month.m{month}")
        if day is None:
            return self("date.month", year=year, month=name)
        return self("date.day", year=year, month=name, day=int(day))

    def sentence(self, text: object) -> Said:
        """A sentence of the data in this language where the catalogue knows it, else as written."""
        written = str(text)
        if self.language == "en":
            return Said(written, self.code)
        found = self._translated(written)
        return Said(found, self.code) if found is not None else Said(written, "en", True)

    def _translated(self, text: str) -> str | None:
        for key, pattern in _patterns():
            match = pattern.fullmatch(text)
            if match is None:
                continue
            values = {name: self._part(name, part) for name, part in match.groupdict().items()}
            if None not in values.values():
                return self._filled(catalogue(self.language)[key], values)
        return None

    def _part(self, name: str, part: str) -> str | None:
        """What fills a placeholder; None where it is a sentence or word the catalogue does not know."""
        stem = name.rstrip("0123456789")
        if stem == "sentence":
            return self._translated(part)
        if stem == "facts":
            return self._facts(part)
        if stem == "list":
            words = [self._listed(one) for one in part.split(", ")]
            return None if None in words else self("list_separator").join(word for word in words if word is not None)
        group = _TERMS.get(stem)
        return (
            catalogue(self.language).get(f"{group}.{part.replace(' ', '_') if group == 'phase' else part}")
            if group
            else part
        )

    def _facts(self, text: str) -> str:
        """The numbers a rule was met by, their names in this language."""
        names = {
            key.removeprefix("fact."): word for key, word in catalogue(self.language).items() if key[:5] == "fact."
        }
        known = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
        return re.sub(rf"\b(?:{known})\b", lambda found: names[found[0]], text)

    def _listed(self, text: str) -> str | None:
        """A word of a list, with the number that may follow it."""
        known = catalogue(self.language)
        counted = _COUNTED.fullmatch(text)
        if counted is not None and f"word.{counted[1]}" in known:
            return f"{known[f'word.{counted[1]}']} {counted[2]}"
        return known.get(f"word.{text}")
