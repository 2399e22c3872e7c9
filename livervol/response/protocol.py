"""Protocol files: a study's settings as versioned TOML, shipped or the user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livervol.errors import CriteriaError, refusal
from livervol.response.bor import BorSettings

__all__ = ["PROTOCOLS", "Protocol", "load_protocol"]

_FOLDER = Path(__file__).parent / "protocols"
_SCHEMA = 1

#: Names of the shipped protocols.
PROTOCOLS = ("trial", "flr_20_30_40", "cnlc")


@dataclass(frozen=True)
class Protocol:
    """A protocol file: ``name``, ``version``, where it comes from, and its sections as plain mappings."""

    name: str
    version: str
    title: str
    source: str
    sections: Mapping[str, Mapping[str, Any]]

    def section(self, name: str) -> Mapping[str, Any]:
        """One section, for example ``conversion``; ``CriteriaError`` when the file has none."""
        if name not in self.sections:
            raise CriteriaError(
                refusal(f"protocol has no section {name}", expected=", ".join(self.sections) or "sections", got="none")
            )
        return self.sections[name]

    def bor_settings(self) -> BorSettings:
        """The settings of best overall response from the section ``response``."""
        section = self.section("response")
        names = ("min_sd_days", "confirm_days", "max_ne", "accept_sd", "missing_as_ne", "require_confirmation")
        return BorSettings(**{name: section[name] for name in names if name in section})


def load_protocol(name: str | Path) -> Protocol:
    """A shipped protocol by name, or a TOML file of one's own.

    The file needs ``schema`` = 1, ``name``, ``version``, ``title``, ``source`` and tables for its sections.
    """
    path = _FOLDER / f"{name}.toml" if str(name) in PROTOCOLS else Path(name)
    if not path.is_file():
        raise CriteriaError(
            refusal("protocol not found", expected=f"{', '.join(PROTOCOLS)} or a TOML file", got=str(name))
        )
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CriteriaError(
            refusal("protocol cannot be read", expected="TOML", got=str(error), where=path.name)
        ) from error
    missing = [key for key in ("schema", "name", "version", "title", "source") if key not in document]
    if missing:
        raise CriteriaError(refusal("protocol is incomplete", expected=", ".join(missing), got="none", where=path.name))
    if document["schema"] != _SCHEMA:
        raise CriteriaError(
            refusal("protocol schema", expected=str(_SCHEMA), got=str(document["schema"]), where=path.name)
        )
    sections = {key: value for key, value in document.items() if isinstance(value, dict)}
    return Protocol(document["name"], str(document["version"]), document["title"], document["source"], sections)
