"""The few ways an input can be refused. All are ``ValueError``; the command line prints the sentence and exits 2."""

from __future__ import annotations

__all__ = ["CriteriaError", "GridError", "LivervolError", "ModelError", "ScanError", "refusal"]


class LivervolError(ValueError):
    """An input was refused; ``str(error)`` is one sentence a user can act on, free of patient identifiers."""


class ScanError(LivervolError):
    """An image could not be read as what it claims to be."""


class GridError(LivervolError):
    """Two geometries do not fit, or one is not a geometry."""


class ModelError(LivervolError):
    """A model is missing, damaged or does not fit its card."""


class CriteriaError(LivervolError):
    """A response table, protocol or criterion breaks its schema."""


def refusal(rule: str, *, expected: str, got: str, where: str = "", do: str = "") -> str:
    """One refusal sentence: ``<rule>: expected <expected>, got <got> (<where>). <do>``.

    ``rule`` names what was broken, ``where`` the file, row, visit or lesion (never the patient), ``do`` the remedy.
    """
    place = f" ({where})" if where else ""
    remedy = f" {do}" if do else ""
    return f"{rule}: expected {expected}, got {got}{place}.{remedy}"
