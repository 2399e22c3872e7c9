"""SDTM tumour domains read into courses: TU says which lesion is what, TR what it measured at each visit.

A course is one USUBJID, --EVAL and --EVALID; the reader is --EVALID, which may be empty. Lymph nodes (TULOC) are
measured by LPERP, everything else by LDIAM; VDIAM is the viable diameter. A visit is VISITNUM; where a dataset holds
unscheduled visits such as 3.1, every number is taken a hundredfold, so that order and distances stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from livervol.errors import CriteriaError, refusal
from livervol.io.cdisc import find_dataset, read_rows
from livervol.io.csv_rows import quoted
from livervol.io.sdtm_terms import QUALIFIERS, ROLE_WORDS, STATE_WORDS, site_of
from livervol.records import STATES, Course, Lesion, Measurement, Visit

__all__ = ["read_sdtm_courses"]

Row = dict[str, str]
Key = tuple[str, str, str]

_ROLES = {word: role for role, word in ROLE_WORDS.items()} | {
    "NEW TARGET": "new",
    "NEW NON-TARGET": "new",
    "TARGET NODAL": "target",
    "TARGET EXTRA NODAL": "target",
    "NON-TARGET NODAL": "non_target",
    "NON-TARGET EXTRA NODAL": "non_target",
}
_NEW_ROLES = {"NEW TARGET": "target", "NEW NON-TARGET": "non_target"}
_NUMBERS = {"LDIAM": "longest_mm", "LPERP": "short_axis_mm", "VDIAM": "viable_longest_mm"}
#: Standard units a reader understands, and their factor to ours.
_UNITS = {
    "mm": {"": 1.0, "mm": 1.0, "cm": 10.0},
    "ml": {"": 1.0, "ml": 1.0, "cm3": 1.0, "cc": 1.0, "mm3": 0.001},
    "HU": {"": 1.0, "hu": 1.0, "[hnsf'u]": 1.0},
}
_PARTIAL_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_FRACTION = 100
_ALMOST_WHOLE = 1e-6


@dataclass
class _Identity:
    """A lesion as TU identifies it."""

    number: int
    role: str
    site: str
    new_role: str = ""
    split_from: str = ""
    merged_into: str = ""


@dataclass
class _Found:
    """What TR says about one lesion at one visit."""

    values: dict[str, float] = field(default_factory=dict)
    state: str = ""
    not_done: bool = False
    too_small: bool = False
    merged: bool = False
    qualifiers: dict[str, str] = field(default_factory=dict)


@dataclass
class _Visit:
    """One visit of one evaluator while it is read."""

    date: str = ""
    baseline: bool = False
    words: dict[str, str] = field(default_factory=dict)
    lesions: dict[str, _Found] = field(default_factory=dict)


def read_sdtm_courses(folder: str | Path) -> tuple[Course, ...]:
    """Courses from the dataset whose name starts ``tu`` and the one starting ``tr`` in a folder (CSV, XPT, JSON).

    Each visit carries the attribute ``eval`` (--EVAL). Refused with dataset and row, never the subject: missing
    variables, a measured lesion that TU does not identify, a unit or a result that cannot be read.
    """
    tu_path, tr_path = (_needed(folder, prefix) for prefix in ("tu", "tr"))
    tu = _Domain(tu_path, "TU", ("USUBJID", "TULNKID", "TUORRES", "VISITNUM"))
    tr = _Domain(tr_path, "TR", ("USUBJID", "TRLNKID", "TRTESTCD", "VISITNUM"))
    tu.qualify(find_dataset(folder, "supptu"))
    tr.qualify(find_dataset(folder, "supptr"))
    scale = _FRACTION if any(tu.is_fraction(row) for row in tu.rows) or any(map(tr.is_fraction, tr.rows)) else 1
    identities = _identities(tu)
    visits: dict[Key, dict[int, _Visit]] = {key: {} for key in identities}
    for number, row in enumerate(tr.rows, start=1):
        _take(number, row, tr, identities, visits, scale)
    return tuple(_course(key, identities[key], found) for key, found in visits.items() if found)


def _needed(folder: str | Path, prefix: str) -> Path:
    path = find_dataset(folder, prefix)
    if path is None:
        expected = f"a dataset whose name starts with {prefix} (csv, json, xpt)"
        raise CriteriaError(refusal("SDTM dataset is missing", expected=expected, got="none", where=str(folder)))
    return path


class _Domain:
    """A dataset's rows with their supplemental qualifiers, and refusals that name dataset and row."""

    def __init__(self, path: Path, domain: str, needed: Sequence[str]) -> None:
        self.path, self.domain = path, domain
        self.rows = read_rows(path)
        if not self.rows:
            raise self.refused(0, "dataset has no rows", "at least one", "none")
        missing = [name for name in needed if name not in self.rows[0]]
        if missing:
            raise self.refused(0, "variable missing", ", ".join(missing), ", ".join(self.rows[0]))
        self.extra: dict[tuple[str, str], dict[str, str]] = {}

    def refused(self, row: int, rule: str, expected: str, got: str, do: str = "") -> CriteriaError:
        where = self.path.name + (f", record {row}" if row else "")
        return CriteriaError(refusal(rule, expected=expected, got=quoted(got), where=where, do=do))

    def qualify(self, path: Path | None) -> None:
        """Take the supplemental qualifiers in, by subject and sequence number."""
        for row in read_rows(path) if path is not None else ():
            key = (row.get("USUBJID", ""), row.get("IDVARVAL", ""))
            self.extra.setdefault(key, {})[row.get("QNAM", "")] = row.get("QVAL", "")

    def qualifiers(self, row: Row) -> dict[str, str]:
        return self.extra.get((row["USUBJID"], row.get(f"{self.domain}SEQ", "")), {})

    def key(self, row: Row) -> Key:
        return row["USUBJID"], row.get(f"{self.domain}EVAL", ""), row.get(f"{self.domain}EVALID", "")

    def is_fraction(self, row: Row) -> bool:
        return row["VISITNUM"].partition(".")[2].strip("0") != ""

    def visit(self, number: int, row: Row, scale: int) -> int:
        try:
            scaled = float(row["VISITNUM"]) * scale
        except ValueError:
            scaled = -1.0
        if not (scaled >= 0 and abs(scaled - round(scaled)) < _ALMOST_WHOLE):
            expected = "a number from 0 with at most two decimals"
            raise self.refused(number, "VISITNUM cannot be read", expected, repr(row["VISITNUM"]))
        return round(scaled)


def _identities(tu: _Domain) -> dict[Key, dict[str, _Identity]]:
    """Every evaluator's lesions by link identifier, in the order TU lists them."""
    found: dict[Key, dict[str, _Identity]] = {}
    for number, row in enumerate(tu.rows, start=1):
        test, link, word = row.get("TUTESTCD", "TUMIDENT"), row["TULNKID"], row["TUORRES"].upper()
        lesions = found.setdefault(tu.key(row), {})
        if test == "TUMERGE":
            _merge(link, lesions)
            continue
        if not link or link in lesions or word == "BENIGN":
            continue
        if word not in _ROLES:
            raise tu.refused(number, "TUORRES is not known", ", ".join(_ROLES), repr(row["TUORRES"]))
        extra = tu.qualifiers(row)
        identity = _Identity(
            0, _ROLES[word], extra.get("SITE") or site_of(row.get("TULOC", "")), _NEW_ROLES.get(word, "")
        )
        parent = link.rpartition(".")[0]
        if test == "TUSPLIT" and not parent:
            expected = "the origin's identifier, a point and a number (T04.1)"
            raise tu.refused(number, "split lesion without its origin", expected, repr(link))
        if parent in lesions:
            identity.role, identity.split_from, identity.site = "", parent, lesions[parent].site
        lesions[link] = identity
    for lesions in found.values():
        for link, number in _lesion_numbers(list(lesions)).items():
            lesions[link].number = number
    return found


def _merge(link: str, lesions: Mapping[str, _Identity]) -> None:
    """TULNKID ``T01/T02``: these lesions have become one, followed as the first."""
    followed, *gone = link.split("/")
    for other in gone:
        if followed in lesions and other in lesions:
            lesions[other].merged_into = followed


def _lesion_numbers(links: Sequence[str]) -> dict[str, int]:
    """The number in each identifier (T01 is 1) where those are unique, split parts after them; else the position."""
    digits = {link: re.fullmatch(r"[A-Za-z-]*0*([1-9]\d*)", link) for link in links}
    numbers = {link: int(found.group(1)) for link, found in digits.items() if found}
    if len(set(numbers.values())) < len(numbers):
        return {link: n for n, link in enumerate(links, start=1)}
    rest = [link for link in links if link not in numbers]
    after = max(numbers.values(), default=0) + 1
    return {**numbers, **{link: n for n, link in enumerate(rest, start=after)}}


def _take(
    number: int,
    row: Row,
    tr: _Domain,
    identities: Mapping[Key, Mapping[str, _Identity]],
    visits: dict[Key, dict[int, _Visit]],
    scale: int,
) -> None:
    """One TR record into its visit; sums and changes (no link identifier) are derived again, not read."""
    key, link = tr.key(row), row["TRLNKID"]
    if not link:
        return
    if link not in identities.get(key, {}):
        expected = "a TULNKID of the same subject, TUEVAL and TUEVALID"
        raise tr.refused(number, "measured lesion is not identified", expected, repr(link))
    visit = visits[key].setdefault(tr.visit(number, row, scale), _Visit())
    when = _PARTIAL_DATE.match(row.get("TRDTC", ""))
    if when and (not visit.date or when.group() < visit.date):
        # the assessment is dated by its earliest scan
        visit.date = when.group()
    visit.baseline = visit.baseline or "Y" in (row.get("TRLOBXFL", ""), row.get("TRBLFL", ""))
    found = visit.lesions.setdefault(link, _Found())
    for name, value in tr.qualifiers(row).items():
        if name in QUALIFIERS["VISIT"]:
            visit.words[QUALIFIERS["VISIT"][name]] = value
        elif name in QUALIFIERS["TR"]:
            found.qualifiers[QUALIFIERS["TR"][name]] = value
    _result(number, row, tr, found, identities[key][link])


def _result(number: int, row: Row, tr: _Domain, found: _Found, identity: _Identity) -> None:
    test, original = row["TRTESTCD"], row.get("TRORRES", "").upper()
    if row.get("TRSTAT", "") == "NOT DONE":
        found.not_done = True
        return
    if test in ("TUMSTATE", "LNSTATE"):
        word = row.get("TRSTRESC", "").upper() or original
        if test == "LNSTATE":
            word = {"NON-PATHOLOGICAL": "ABSENT", "PATHOLOGICAL": "PRESENT"}.get(word, word)
        if word not in STATE_WORDS:
            raise tr.refused(number, f"{test} is not known", ", ".join(STATE_WORDS), repr(word))
        found.state, found.merged = STATE_WORDS[word], word == "TUMOR MERGED"
        if found.state == "unequivocal_progression" and identity.role == "new":
            found.state = "present"
        return
    node = identity.site.endswith("node")
    if test == "DIAMETER":
        test = "LPERP" if node else "LDIAM"
    units = {"VOLUME": ("volume_ml", "ml"), "RADIODEN": ("mean_hu", "HU")}
    name, unit = units.get(test, (_NUMBERS.get(test, ""), "mm"))
    if not name:
        return
    if "TOO SMALL" in original:
        found.too_small = True
        return
    found.values[name] = _number(number, row, tr, unit)


def _number(number: int, row: Row, tr: _Domain, unit: str) -> float:
    """The standard result in our unit; the original one where no standard result is given."""
    standard = row.get("TRSTRESC", "") or row.get("TRSTRESN", "")
    text, given = (standard, row.get("TRSTRESU", "")) if standard else (row.get("TRORRES", ""), row.get("TRORRESU", ""))
    factor = _UNITS[unit].get(given.lower())
    if factor is None:
        raise tr.refused(number, "unit cannot be read", ", ".join(u for u in _UNITS[unit] if u), repr(given))
    try:
        value = float(text) * factor
    except ValueError:
        expected = "a number, TOO SMALL TO MEASURE, or TRSTAT NOT DONE"
        raise tr.refused(number, "result cannot be read", expected, repr(text)) from None
    if not (value >= 0 or unit == "HU"):
        raise tr.refused(number, "result cannot be read", "a number from 0", text)
    return value


def _course(key: Key, identities: Mapping[str, _Identity], visits: Mapping[int, _Visit]) -> Course:
    subject, evaluator, reader = key
    found = []
    for number, visit in visits.items():
        lesions = tuple(_lesion(identities[link], result, identities) for link, result in visit.lesions.items())
        words = {**visit.words, **({"eval": evaluator} if evaluator else {})}
        found.append(Visit(number, visit.date, reader, visit.baseline, lesions, attributes=words))
    return Course(subject, tuple(found))


def _lesion(identity: _Identity, found: _Found, identities: Mapping[str, _Identity]) -> Lesion:
    words = dict(found.qualifiers)
    if identity.new_role:
        words.setdefault("new_role", identity.new_role)
    if identity.split_from:
        words.setdefault("split_from", str(identities[identity.split_from].number))
    if found.merged and identity.merged_into:
        words["merged_into"] = str(identities[identity.merged_into].number)
    values = dict(found.values)
    for name in ("viable_perpendicular_mm", "viable_volume_ml"):
        if name in words:
            values[name] = float(words.pop(name))
    state = words.pop("state", "") or derived_state(found.state, found.not_done, found.too_small, bool(values))
    units = {"mm": "mm", "ml": "ml", "hu": "HU"}
    measured = tuple(Measurement(name, value, units[name.rsplit("_", 1)[1]]) for name, value in values.items())
    if state not in STATES:
        raise CriteriaError(refusal("qualifier STATE", expected=", ".join(STATES), got=quoted(repr(state))))
    node = identity.site.endswith("_node")
    return Lesion(identity.number, identity.role, identity.site, node, state, measured, words)


def derived_state(state: str, not_done: bool, too_small: bool, measured: bool) -> str:
    """The state of a lesion that TR rows alone tell."""
    if not_done and not measured and not state:
        return "not_evaluable"
    if too_small:
        return "too_small"
    if state:
        return state
    return "measured" if measured else "not_evaluable"
