"""A trial's protocol as data: named parameters with their sources, read from TOML, versioned, extensible."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from livervol.errors import CriteriaError, refusal
from livervol.files import check_readable, sha256_of
from livervol.io.cohort_tables import EVENT_KINDS, date_bounds
from livervol.response.bor import BorSettings

__all__ = ["Protocol", "Settings", "load_protocol", "protocol_names"]

_FOLDER = Path(__file__).parent / "protocols"
_WORDS: dict[str, tuple[str, ...]] = {
    "population": ("treated", "all"),
    "censoring": ("fda", "ema"),
    "conversion_surgery": ("neutral", "censor"),
    "pfs_start": ("first_dose", "enrolled"),
    "os_start": ("first_dose", "enrolled"),
    "ttp_death": ("death", "last_assessment"),
    "impute_event": ("first", "middle", "last"),
    "impute_start": ("first", "middle", "last"),
    "impute_last": ("first", "middle", "last"),
    "interval_kind": ("log-log", "log", "plain"),
    "median_tie": ("midpoint", "first"),
}
#: Parameters that make no sense at 0.
_POSITIVE = ("cycle_days", "first_assessment_cycles", "interval_cycles", "missed_allowed", "days_per_month")

Value = str | float | bool | list[Any]


@dataclass(frozen=True)
class Settings:
    """The values of a protocol's parameters; what each means stands in the protocol file beside it."""

    response_criterion: str
    disease_control_criterion: str
    progression_criterion: str
    reader: str
    population: Literal["treated", "all"]
    min_response_days: int
    min_sd_days: int
    max_ne: int
    accept_sd: bool
    control_after_treatment_days: int
    max_treatment_days: int
    cycle_days: int
    first_assessment_cycles: int
    interval_cycles: int
    window_days: int
    missed_allowed: int
    baseline_max_days: int
    censoring: Literal["fda", "ema"]
    conversion_surgery: Literal["neutral", "censor"]
    new_therapy_kinds: tuple[str, ...]
    pfs_start: Literal["first_dose", "enrolled"]
    os_start: Literal["first_dose", "enrolled"]
    ttp_death: Literal["death", "last_assessment"]
    impute_event: Literal["first", "middle", "last"]
    impute_start: Literal["first", "middle", "last"]
    impute_last: Literal["first", "middle", "last"]
    data_cutoff: str
    level: float
    interval_kind: Literal["log-log", "log", "plain"]
    median_tie: Literal["midpoint", "first"]
    days_per_month: float
    response_horizon_months: float
    landmark_months: tuple[float, ...]
    conversion_protocol: str

    @property
    def first_assessment_days(self) -> int:
        """Days from the first dose to the first scheduled assessment."""
        return self.cycle_days * self.first_assessment_cycles

    @property
    def interval_days(self) -> int:
        """Days between later scheduled assessments."""
        return self.cycle_days * self.interval_cycles

    @property
    def longest_gap_days(self) -> int:
        """A longer gap between adequate assessments is censored: ``missed_allowed`` intervals and as many windows."""
        return self.missed_allowed * (self.interval_days + self.window_days)

    @property
    def longest_first_gap_days(self) -> int:
        """The same from the first dose: the first assessment may be due later than the others."""
        return self.longest_gap_days + self.first_assessment_days - self.interval_days

    @property
    def best_response(self) -> BorSettings:
        """The settings of best overall response."""
        return BorSettings(
            min_sd_days=self.min_sd_days,
            confirm_days=self.min_response_days,
            max_ne=self.max_ne,
            accept_sd=self.accept_sd,
            missing_as_ne=True,
        )

    def with_values(self, **changes: Any) -> Settings:
        """A copy with some values changed, for sensitivity analyses."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Protocol:
    """A protocol file: name, version, title, source, digest, its settings, and where each parameter comes from."""

    name: str
    version: str
    title: str
    source: str
    sha256: str
    settings: Settings
    sources: Mapping[str, str]

    def with_parameters(self, changes: Mapping[str, Value]) -> Protocol:
        """The protocol with parameters changed by name; unknown names and impossible values raise ``CriteriaError``."""
        if not changes:
            return self
        values = {f.name: getattr(self.settings, f.name) for f in fields(Settings)}
        sources = {**self.sources, **dict.fromkeys(changes, "set by the user")}
        return replace(self, settings=_settings({**values, **changes}, self.name), sources=sources)

    def described(self) -> dict[str, Any]:
        """The protocol as plain data for summary.json."""
        parameters = {
            f.name: {"value": getattr(self.settings, f.name), "source": self.sources[f.name]} for f in fields(Settings)
        }
        head = {"name": self.name, "version": self.version, "title": self.title, "sha256": self.sha256}
        return {**head, "parameters": parameters}


def protocol_names() -> tuple[str, ...]:
    """The shipped protocols."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_protocol(name: str | Path) -> Protocol:
    """A shipped protocol by name, or a user's TOML file; ``extends`` takes over the parameters of a shipped one.

    Raises ``CriteriaError`` for a missing or unknown parameter, a wrong type or word, or a file that is no TOML.
    """
    path = _FOLDER / f"{name}.toml"
    if str(name) not in protocol_names():
        path = Path(name)
        if not path.is_file():
            expected = f"{', '.join(protocol_names())} or a TOML file"
            raise CriteriaError(refusal("protocol is not known", expected=expected, got=repr(str(name))))
    document, values, sources = _read(path, ())
    return Protocol(
        str(document.get("protocol", path.stem)),
        str(document.get("version", "")),
        str(document.get("title", "")),
        str(document.get("source", "")),
        sha256_of(path),
        _settings(values, path.name),
        sources,
    )


def _read(path: Path, below: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Value], dict[str, str]]:
    try:
        document = tomllib.loads(check_readable(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CriteriaError(
            refusal("protocol cannot be read", expected="a TOML file", got=str(error), where=path.name)
        ) from error
    values: dict[str, Value] = {}
    sources: dict[str, str] = {}
    if "extends" in document:
        base = document["extends"]
        if base not in protocol_names() or base in below:
            expected = f"one of {', '.join(protocol_names())}, without a circle"
            raise CriteriaError(refusal("extends", expected=expected, got=repr(base), where=path.name))
        _, values, sources = _read(_FOLDER / f"{base}.toml", (*below, base))
    entries = document.get("parameters", {})
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if not isinstance(entry, dict) or "value" not in entry or not entry.get("source"):
            expected = "a value and its source"
            raise CriteriaError(refusal(f"parameter {name}", expected=expected, got=repr(entry), where=path.name))
        values[name], sources[name] = entry["value"], str(entry["source"])
    return document, values, sources


def _settings(values: Mapping[str, Any], where: str) -> Settings:
    known = {f.name: str(f.type) for f in fields(Settings)}
    if unknown := sorted(set(values) - set(known)):
        raise CriteriaError(refusal("parameter is not known", expected=", ".join(known), got=unknown[0], where=where))
    if missing := sorted(set(known) - set(values)):
        do = 'Add it, or write extends = "trial".'
        raise CriteriaError(refusal("parameter is missing", expected=missing[0], got="nothing", where=where, do=do))
    return Settings(**{name: _typed(name, values[name], known[name], where) for name in known})


def _typed(name: str, value: Any, kind: str, where: str) -> Any:
    def refused(expected: str) -> CriteriaError:
        return CriteriaError(refusal(f"parameter {name}", expected=expected, got=repr(value), where=where))

    if kind == "bool":
        if not isinstance(value, bool):
            raise refused("true or false")
        return value
    if kind in ("int", "float"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or value < 0 or (kind == "int" and value != int(value)):
            raise refused("a whole number from 0" if kind == "int" else "a number from 0")
        if (name in _POSITIVE and value == 0) or (name == "level" and not 0 < value < 1):
            raise refused("a number between 0 and 1" if name == "level" else "a number above 0")
        return int(value) if kind == "int" else float(value)
    if kind.startswith("tuple"):
        return _typed_list(name, value, refused)
    if not isinstance(value, str):
        raise refused("a word")
    if name in _WORDS and value not in _WORDS[name]:
        raise refused(" or ".join(_WORDS[name]))
    if name == "data_cutoff" and value and (date_bounds(value) is None or len(value) != len("2024-01-01")):
        raise refused("an ISO date or nothing")
    return value


def _typed_list(name: str, value: Any, refused: Any) -> tuple[Any, ...]:
    items = value.split() if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise refused("a list")
    if name == "new_therapy_kinds":
        if any(item not in EVENT_KINDS for item in items):
            raise refused(f"kinds of events: {', '.join(EVENT_KINDS)}")
        return tuple(items)
    try:
        return tuple(float(item) for item in items)
    except (TypeError, ValueError):
        raise refused("numbers") from None
