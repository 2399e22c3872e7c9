"""Reads the truth tables and runs them; used by the tests and, with changed rulebooks, by the mutation check."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from livervol.records import Course, Lesion, Measurement, ResponseRow, Visit
from livervol.response.assess import _BY_SUMS, _OTHERS
from livervol.response.bor import BorSettings, DatedResponse, best_overall_response
from livervol.response.conversion import ConversionFindings, assess_conversion
from livervol.response.lirads import treatment_response
from livervol.response.protocol import Protocol
from livervol.response.rulebook import Rulebook
from livervol.response.scores import ChildPughBands, Lab, child_pugh
from livervol.response.targets import eligibility
from livervol.response.timepoint import assess_course

FOLDER = Path(__file__).parent
BookOf = Callable[[str], Rulebook]

_ROLES = {"T": "target", "N": "non_target", "+": "new"}
_SITES = {
    "node": "other_node",
    "porta": "porta_hepatis_node",
    "pvt": "portal_vein_thrombus",
    "hvtt": "hepatic_vein_thrombus",
    **{word: word for word in ("liver", "lung", "adrenal", "bone", "peritoneum", "other")},
}
_STATES = {
    "absent": "absent",
    "small": "too_small",
    "ne": "not_evaluable",
    "present": "present",
    "pd": "unequivocal_progression",
    "equivocal": "equivocal",
}
_NUMBERS = {
    "long": ("longest_mm", "mm"),
    "short": ("short_axis_mm", "mm"),
    "viable": ("viable_longest_mm", "mm"),
    "perp": ("viable_perpendicular_mm", "mm"),
    "vol": ("volume_ml", "ml"),
    "vvol": ("viable_volume_ml", "ml"),
    "hu": ("mean_hu", "HU"),
}


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of one truth table, with their line number under ``line``."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
        lines = csv.DictReader(handle)
        rows = []
        for row in lines:
            assert None not in row, f"{name}.csv line {lines.line_num}: too many cells"
            rows.append({k: (v or "").strip() for k, v in row.items()} | {"line": f"{name}.csv line {lines.line_num}"})
    return tuple(rows)


def settings(text: str) -> dict[str, float | str | bool]:
    """``name=value`` words as parameters."""
    found: dict[str, float | str | bool] = {}
    for word in text.split():
        name, value = word.split("=", 1)
        try:
            found[name] = {"true": True, "false": False}[value] if value in ("true", "false") else float(value)
        except ValueError:
            found[name] = value
        if name == "version":
            found[name] = value
    return found


def lesion(text: str) -> Lesion:
    """One lesion as the tables write it."""
    head, *words = text.split()
    site, state, numbers, attributes = "liver", "measured", [], {}
    for word in (rest := iter(words)):
        if "=" in word:
            name, value = word.split("=", 1)
            attributes[name] = value.replace("+", " ")
        elif word in _SITES:
            site = _SITES[word]
        elif word in _STATES:
            state = _STATES[word]
        else:
            name, unit = _NUMBERS[word]
            numbers.append(Measurement(name, float(next(rest)), unit))
    return Lesion(int(head[1:]), _ROLES[head[0]], site, site.endswith("node"), state, tuple(numbers), attributes)


def run(criterion: str, course: Course, book: Rulebook) -> tuple[ResponseRow, ...]:
    """A course under a given rulebook."""
    if criterion in _OTHERS:
        return _OTHERS[criterion](course, book)
    return assess_course(course, _BY_SUMS[criterion], book)


def _sums(book_of: BookOf) -> Iterator[tuple[str, str, object, object]]:
    for row in table("sums"):
        book = book_of(row["criterion"]).with_parameters(settings(row["settings"]))
        visits = []
        for number, word in enumerate(row["sums_mm"].split(), start=1):
            value = None if word == "ne" else float(word)
            measured = Measurement("sum_mm", value, "mm", reason="" if value is not None else "not evaluable")
            visits.append(Visit(number, measurements=(measured,)))
        rows = run(row["criterion"], Course("case", tuple(visits)), book)
        got = " ".join(r.target for r in rows[1:])
        yield row["criterion"], f"{row['line']}, {row['rule']}", row["expected"], got


def cases() -> Iterator[tuple[list[dict[str, str]], Course]]:
    """The cases of courses.csv: their rows and the course they describe."""
    kept: list[dict[str, str]] = []
    for row in table("courses"):
        if kept and row["case"] != kept[0]["case"]:
            yield kept, _course(kept)
            kept = []
        kept.append(row)
    yield kept, _course(kept)


def _course(rows: list[dict[str, str]]) -> Course:
    visits = []
    for number, row in enumerate(rows, start=1):
        parts = [part.strip() for part in row["lesions"].split(";") if part.strip()]
        words = dict(part[1:].split("=") for part in parts if part.startswith("@"))
        lesions = tuple(lesion(part) for part in parts if not part.startswith("@"))
        visits.append(Visit(number, row["date"], lesions=lesions, is_baseline=number == 1, attributes=words))
    return Course("case", tuple(visits))


def _courses(book_of: BookOf) -> Iterator[tuple[str, str, object, object]]:
    for rows, course in cases():
        first = rows[0]
        for criterion in first["criterion"].split():
            book = book_of(criterion).with_parameters(settings(first["settings"]))
            found = run(criterion, course, book)
            for row, got in zip(rows[1:], found[1:], strict=True):
                for column in ("target", "non_target", "new_lesion", "overall"):
                    if row[column] != "-":
                        place = f"{row['line']}, case {row['case']}, {criterion}, {column}"
                        yield criterion, place, row[column].replace("none", ""), getattr(got, column)
            for row, got in zip(rows, found, strict=True):
                if row["reason"]:
                    place = f"{row['line']}, case {row['case']}, {criterion}, reason"
                    wanted = row["reason"].removeprefix("!")
                    yield criterion, place, row["reason"] == wanted, any(wanted in text for text in got.reasons)


def _overall(book_of: BookOf) -> Iterator[tuple[str, str, object, object]]:
    for row in table("overall"):
        words = [row[k].replace("none", "") for k in ("target", "non_target")]
        yield "recist11", row["line"], row["overall"], book_of("recist11").overall(*words, row["new_lesion"]).category


def _eligibility(book_of: BookOf) -> Iterator[tuple[str, str, object, object]]:
    for row in table("eligibility"):
        for criterion in row["criterion"].split():
            book = book_of(criterion).with_parameters(settings(row["settings"]))
            decision = eligibility(lesion("T1 " + row["lesion"]), Visit(1), book)
            yield criterion, f"{row['line']}, {criterion}", row["role"], decision.category


def _treatment(book_of: BookOf) -> Iterator[tuple[str, str, object, object]]:
    for row in table("treatment_response"):
        book = book_of("lirads").with_parameters(settings(row["settings"]))
        before = float(row["smallest_before_mm"]) if row["smallest_before_mm"] else None
        decision = treatment_response(lesion("T1 " + row["lesion"]), Visit(1), before, book)
        yield "lirads", row["line"], row["category"], decision.category


def rule_checks(book_of: BookOf) -> Iterator[tuple[str, str, object, object]]:
    """Criterion, place, expected and got for everything the rulebooks decide."""
    for part in (_sums, _courses, _overall, _eligibility, _treatment):
        yield from part(book_of)


def _bor_settings(text: str) -> BorSettings:
    return BorSettings(**{k: v if isinstance(v, bool) else int(v) for k, v in settings(text).items()})  # type: ignore[arg-type]


def bor_checks() -> Iterator[tuple[str, object, object]]:
    """Place, expected and got of best_response.csv."""
    for row in table("best_response"):
        dated = [DatedResponse(*part.split(" ", 1)) for part in row["responses"].split("; ") if part]
        for confirmed, column in ((False, "unconfirmed"), (True, "confirmed")):
            best = best_overall_response(
                dated, row["start"], _bor_settings(row["settings"]), confirmed=confirmed, until=row["until"]
            )
            yield f"{row['line']}, {column}", row[column], f"{best.category} {best.date}".strip()


def _lab(text: str) -> Lab | None:
    return None if text == "-" else Lab(float(text.split()[0]), text.split()[1])


def child_pugh_checks(bands: ChildPughBands | None = None) -> Iterator[tuple[str, object, object]]:
    """Place, expected and got of child_pugh.csv."""
    for row in table("child_pugh"):
        labs = [_lab(row[k]) for k in ("bilirubin", "albumin", "clotting")]
        words = [None if row[k] == "-" else row[k] for k in ("ascites", "encephalopathy")]
        score = child_pugh(labs[0], labs[1], labs[2], words[0], words[1], bands)
        got = f"{score.total} {score.grade}" if score.total else f"{score.lowest}-{score.highest}"
        yield row["line"], row["points"], got


_ANSWERS = {True: "yes", False: "no", None: "unknown"}
_INTACT = {"yes": True, "no": False, "-": None}
_PUGH = {"5": (1.0, 4.0), "6": (2.5, 4.0), "7": (2.5, 3.0), "8": (4.0, 3.0)}


def conversion_checks(protocol_of: Callable[[str], Protocol]) -> Iterator[tuple[str, object, object]]:
    """Place, expected and got of conversion.csv: the five items in order, then the whole."""
    names = ("portal_inflow", "arterial_inflow", "hepatic_outflow", "biliary_drainage")
    for row in table("conversion"):
        score = None
        if row["child_pugh"] in _PUGH:
            bilirubin, albumin = _PUGH[row["child_pugh"]]
            score = child_pugh(Lab(bilirubin, "mg/dL"), Lab(albumin, "g/dL"), Lab(1.0, "INR"), "none", "none")
        elif row["child_pugh"] != "-":
            bilirubin, albumin = _PUGH[row["child_pugh"].split()[0]]
            score = child_pugh(Lab(bilirubin, "mg/dL"), Lab(albumin, "g/dL"), Lab(1.0, "INR"), "none", None)
        vessels = {n: _INTACT[w] for n, w in zip(names, row["vessels"].split(), strict=True)}
        found = ConversionFindings(
            score,
            None if row["ecog"] == "-" else int(row["ecog"]),
            None if row["extrahepatic"] == "-" else row["extrahepatic"],
            vessels=vessels,
            portal_thrombus=row["portal_thrombus"],
            flr_percent=None if row["flr_percent"] == "-" else float(row["flr_percent"]),
            liver_condition=row["liver_condition"],
        )
        result = assess_conversion(found, protocol_of(row["protocol"]))
        yield f"{row['line']}, items", row["items"], " ".join(_ANSWERS[item.met] for item in result.items)
        yield f"{row['line']}, converted", row["converted"], _ANSWERS[result.met]
        border = "yes" if any(item.borderline for item in result.items) else "no"
        yield f"{row['line']}, borderline", row["borderline"], border
