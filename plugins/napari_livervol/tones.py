"""Colours of words that warn, for the dark and the light window."""

from __future__ import annotations

__all__ = ["tone"]

_TONES = {
    "warning": {"dark": "#E9C46A", "light": "#7A5600"},
    "refusal": {"dark": "#F4A28C", "light": "#A3290F"},
}


def tone(kind: str, theme: str) -> str:
    """A colour that reads well on the window's theme: ``kind`` is warning or refusal (contrast 4.5 or more)."""
    return _TONES[kind]["light" if theme == "light" else "dark"]
