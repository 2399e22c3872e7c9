"""Changes every threshold, operator, category and row of the rule data, one at a time; a truth table must notice.

Run as a script it prints the survivors and killed / total; the test fails on a survivor that is not in ``EQUIVALENT``
with its reason.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from livervol.errors import CriteriaError
from livervol.response import bor, protocol
from livervol.response.bor import BorSettings
from livervol.response.protocol import PROTOCOLS, Protocol
from livervol.response.rulefiles import build_rulebook, read_rules
from livervol.response.scores import ChildPughBands
from response import truth_tables

CRITERIA = ("recist11", "mrecist", "easl", "who", "choi", "volumetric", "irecist", "lirads")
FLIPS = {"<=": ("<", ">="), ">=": (">", "<="), "<": ("<=", ">"), ">": (">=", "<"), "==": ("!=",)}
SECTIONS = ("target", "non_target", "new", "eligible", "confirm", "v2018", "v2024", "v2024_radiation")
WORDS = {
    "multi_component": "sum",
    "pd_operator": ">=",
    "measure": "whole",
    "version": "2024",
    "base_criterion": "mrecist",
}
STEP = {"%": 1.0, "mm": 0.3, "1": 1.0, "days": 1.0, "": 1.0, "ml": 0.01}

#: Mutants that no table can tell apart, with the reason.
EQUIVALENT = {
    "mrecist: min_abs_increase_mm 0 as -0.3": "PD asks for a sum above the nadir anyway",
    "lirads: radiation.nonprogressing any 'growth < enlarging_mm' as 'growth <= enlarging_mm'": (
        "growth of exactly the limit is viable by the rule before"
    ),
}

Mutant = tuple[str, Callable[[], bool]]


def _documents(name: str, document: dict[str, Any]) -> Callable[[str], Any]:
    return lambda wanted: document if wanted == name else read_rules(wanted)


def _heirs(name: str) -> tuple[str, ...]:
    """The criteria a document decides: its own and those that extend it."""
    return tuple(c for c in CRITERIA if c == name or read_rules(c).get("extends") == name)


def _notices(checks: Iterator[tuple[Any, ...]]) -> bool:
    """True when some line of the tables fails, or the changed rules cannot be read at all."""
    try:
        return any(expected != got for *_, expected, got in checks)
    except (CriteriaError, StopIteration, KeyError):
        return True


def _killed_rules(name: str, document: dict[str, Any]) -> bool:
    try:
        books = {c: build_rulebook(c, _documents(name, document)) for c in _heirs(name)}
    except CriteriaError:
        return True
    shipped = {c: build_rulebook(c) for c in CRITERIA if c not in books}
    touched = set(books)
    rows = (row for row in truth_tables.rule_checks({**shipped, **books}.__getitem__) if row[0] in touched)
    return _notices(rows)


def _document_mutants(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    original = read_rules(name)

    def changed(label: str, change: Callable[[dict[str, Any]], None]) -> tuple[str, dict[str, Any]]:
        document = copy.deepcopy(dict(original))
        change(document)
        return f"{name}: {label}", document

    for key, entry in original.get("parameters", {}).items():
        for value in _other_values(key, entry):
            yield changed(
                f"{key} {entry['value']} as {value}", lambda d, k=key, v=value: d["parameters"][k].update(value=v)
            )
    for section in SECTIONS:
        for n, rule in enumerate(original.get(section, ())):
            yield from _rule_mutants(section, n, rule, changed)
    for n, rule in enumerate(original.get("overall", ())):
        other = "SD" if rule["gives"] != "SD" else "PR"
        yield changed(f"{rule['id']} gives {other}", lambda d, n=n, o=other: d["overall"][n].update(gives=o))
        yield changed(f"{rule['id']} dropped", lambda d, n=n: d["overall"].pop(n))
        for key in ("target", "non_target", "new"):
            for k, word in enumerate(rule[key]):
                label = f"{rule['id']} without {key} {word or 'none'}"
                yield changed(label, lambda d, n=n, key=key, k=k: d["overall"][n][key].pop(k))


def _other_values(key: str, entry: dict[str, Any]) -> tuple[Any, ...]:
    value = entry["value"]
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, str):
        return (WORDS[key],)
    step = STEP[entry["unit"]]
    if key in ("max_targets", "max_targets_per_organ"):
        return (value + 1, value - 1)
    return (value + step, value - step)


def _rule_mutants(section: str, n: int, rule: dict[str, Any], changed: Callable[..., Any]) -> Iterator[Any]:
    kinds = {
        "new": ("no", "yes"),
        "eligible": ("target", "none"),
        "confirm": ("iUPD", "iCPD"),
        "target": ("SD", "PD"),
        "non_target": ("CR", "NE"),
    }.get(section, ("Equivocal", "Nonviable"))
    other = next(word for word in kinds if word != rule["gives"])
    yield changed(f"{rule['id']} gives {other}", lambda d: d[section][n].update(gives=other))
    if len(rule.get("when", ())) + len(rule.get("any", ())):
        yield changed(f"{rule['id']} dropped", lambda d: _drop(d[section], n))
    for key in ("when", "any", "unless"):
        for k, condition in enumerate(rule.get(key, ())):
            for text in _flipped(condition):
                label = f"{rule['id']} {key} {condition!r} as {text!r}"
                yield changed(label, lambda d, key=key, k=k, t=text: d[section][n][key].__setitem__(k, t))
            if len(rule[key]) > 1 or key == "unless":
                label = f"{rule['id']} {key} without {condition!r}"
                yield changed(label, lambda d, key=key, k=k: d[section][n][key].pop(k))


def _drop(rules: list[dict[str, Any]], n: int) -> None:
    """A dropped rule never holds; its name stays so that an heir's ``before`` still finds it."""
    rules[n] = {**rules[n], "when": ["false == true"], "any": [], "unless": []}


def _flipped(condition: str) -> Iterator[str]:
    left, operator, *rest = condition.split()
    for other in FLIPS.get(operator, ()):
        yield " ".join((left, other, *rest))
    if " plus " in condition:
        yield condition.split(" plus ")[0]


def rule_mutants() -> Iterator[Mutant]:
    for name in CRITERIA:
        for label, document in _document_mutants(name):
            yield label, lambda n=name, d=document: _killed_rules(n, d)


def bor_mutants() -> Iterator[Mutant]:
    """Defaults of the protocol settings, and every word of the two ladders."""
    for field in fields(BorSettings):
        if field.name == "require_confirmation":
            continue
        value = field.default
        for other in (not value,) if isinstance(value, bool) else (value + 1, value - 1):
            yield f"bor: {field.name} {value} as {other}", lambda f=field.name, o=other: _with_defaults(f, o)
    for ladder in ("_UNCONFIRMED", "_CONFIRMED"):
        rungs = getattr(bor, ladder)
        for n, (category, words, needs_time) in enumerate(rungs):
            flipped = (*rungs[:n], (category, words, not needs_time), *rungs[n + 1 :])
            yield (
                f"bor: {ladder} {category} needs time {not needs_time}",
                lambda name=ladder, r=flipped: _with_ladder(name, r),
            )
            for k, word in enumerate(words):
                fewer = (*rungs[:n], (category, words[:k] + words[k + 1 :], needs_time), *rungs[n + 1 :])
                yield f"bor: {ladder} {category} without {word}", lambda name=ladder, r=fewer: _with_ladder(name, r)


def _with_defaults(name: str, value: object) -> bool:
    original = truth_tables._bor_settings
    truth_tables._bor_settings = lambda text: (
        original(text) if name in text else replace(original(text), **{name: value})
    )
    try:
        return _notices(truth_tables.bor_checks())
    finally:
        truth_tables._bor_settings = original


def _with_ladder(name: str, rungs: object) -> bool:
    original = getattr(bor, name)
    setattr(bor, name, rungs)
    try:
        return _notices(truth_tables.bor_checks())
    finally:
        setattr(bor, name, original)


def child_pugh_mutants() -> Iterator[Mutant]:
    for field in fields(ChildPughBands):
        low, high = getattr(ChildPughBands(), field.name)
        nudge = 0.2 if high > 5 else 0.02
        for edges in ((low + nudge, high), (low - nudge, high), (low, high + nudge), (low, high - nudge)):
            bands = replace(ChildPughBands(), **{field.name: edges})
            yield f"child_pugh: {field.name} as {edges}", lambda b=bands: _notices(truth_tables.child_pugh_checks(b))


def protocol_mutants() -> Iterator[Mutant]:
    folder = Path(protocol.__file__).parent / "protocols"
    for name in PROTOCOLS:
        document = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
        for label, change in _conversion_changes(document["conversion"]):
            changed = copy.deepcopy(document)
            change(changed["conversion"])
            yield f"{name}: {label}", lambda n=name, d=changed: _with_protocol(n, d)


def _conversion_changes(items: dict[str, Any]) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    for item, entry in items.items():
        yield f"without {item}", lambda d, i=item: d.pop(i)
        for key, value in entry.items():
            if key in ("source", "confirm_days"):
                continue
            if isinstance(value, list):
                for word in value:
                    yield f"{item} without {word}", lambda d, i=item, k=key, w=word: d[i][k].remove(w)
            elif isinstance(value, dict):
                for word, limit in value.items():
                    for other in (limit + 0.15, limit - 0.15):
                        label = f"{item}.{key}.{word} as {other}"
                        yield label, lambda d, i=item, k=key, w=word, o=other: d[i][k].__setitem__(w, o)
            elif isinstance(value, str):
                for other in ("I", "III"):
                    yield f"{item}.{key} as {other}", lambda d, i=item, k=key, o=other: d[i].__setitem__(k, o)
            else:
                step = 0.15 if key in ("at_least_percent", "borderline_points") else 1
                for other in (value + step, value - step):
                    yield f"{item}.{key} as {other}", lambda d, i=item, k=key, o=other: d[i].__setitem__(k, o)


def _with_protocol(name: str, document: dict[str, Any]) -> bool:
    def protocol_of(wanted: str) -> Protocol:
        if wanted != name:
            return protocol.load_protocol(wanted)
        sections = {key: value for key, value in document.items() if isinstance(value, dict)}
        return Protocol(name, document["version"], document["title"], document["source"], sections)

    rows = (row for row in truth_tables.conversion_checks(protocol_of))
    return _notices(rows)


def check() -> tuple[int, list[str]]:
    """How many mutants there are and which ones survive; those known to be equivalent are not counted."""
    total, survivors = 0, []
    for label, killed in chain(rule_mutants(), bor_mutants(), child_pugh_mutants(), protocol_mutants()):
        if label in EQUIVALENT:
            continue
        total += 1
        if not killed():
            survivors.append(label)
    return total, survivors


if __name__ == "__main__":
    count, alive = check()
    print("\n".join(alive))
    print(f"killed {count - len(alive)} / {count}, {len(EQUIVALENT)} equivalent left out")
