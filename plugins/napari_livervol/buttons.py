"""A button of the panel: its text, its name for tests and scripts, its tooltip, what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QPushButton

__all__ = ["button"]


def button(text: str, name: str, tip: str, do: Callable[[], Any]) -> QPushButton:
    """A push button; ``do`` takes nothing."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.clicked.connect(lambda _=False: do())
    return made
