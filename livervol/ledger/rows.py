"""What goes into the ledger: a run with its numbers, a sign-off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

__all__ = ["MACHINE", "LesionEntry", "Number", "RunRecord", "SignOff"]

#: The reader name of what the program made by itself.
MACHINE = "livervol"


@dataclass(frozen=True)
class Number:
    """One row of measurements.csv: absent numbers have no value and their reason in ``method``."""

    structure: str
    number: str
    name: str
    value: float | None
    unit: str
    lower: float | None = None
    upper: float | None = None
    method: str = ""


@dataclass(frozen=True)
class LesionEntry:
    """One lesion; ``entry`` is its whole dictionary in measurements.json."""

    number: int
    site: str
    state: str
    entry: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """One attempt at one visit: done with its numbers, or failed with its ``sentence`` and the ``kind`` of failure.

    ``subject`` is a pseudonym. ``key`` names inputs, settings, program and models; ``signature`` tells unchanged files
    without reading them; ``folder`` is relative to the ledger's folder and ``result_sha256`` that of its files;
    ``attempt`` is this attempt's own name, under which it is recorded once however often it is handed in.
    """

    subject: str
    visit: int
    key: str
    date: str = ""
    reader: str = MACHINE
    kind: str = ""
    sentence: str = ""
    signature: str = ""
    inputs_sha256: str = ""
    folder: str = ""
    result_sha256: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    lesions: tuple[LesionEntry, ...] = ()
    numbers: tuple[Number, ...] = ()
    seconds: float | None = None
    peak_mb: float | None = None
    attempt: str = field(default_factory=lambda: uuid4().hex)

    @property
    def status(self) -> str:
        """``done`` or ``failed``."""
        return "failed" if self.sentence else "done"


@dataclass(frozen=True)
class SignOff:
    """A reader's signature under the state of a visit named by the head hash of the edit journal."""

    subject: str
    visit: int
    reader: str
    head_sha256: str
    statement: str
    signed_at: str
