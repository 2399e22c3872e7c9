"""Rulebooks as TOML files: what a shipped file holds, and how one book extends another."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from livervol.response.rulebook import HEADING, SECTIONS, Condition, Parameter, Rule, Rulebook

__all__ = ["build_rulebook", "load_rulebook", "read_rules"]

_FOLDER = Path(__file__).parent / "rules"


def _condition(text: str) -> Condition:
    for word, change in ((" changed by ", "percent"), (" plus ", "plus")):
        if word in text:
            main, amount = text.split(word)
            left, compare, right = main.split()
            return Condition(left, compare, right, change, amount.strip())
    left, compare, right = text.split()
    return Condition(left, compare, right)


def _rule(section: str, row: Mapping[str, Any]) -> Rule:
    def conditions(key: str) -> tuple[Condition, ...]:
        return tuple(_condition(text) for text in row.get(key, ()))

    patterns = tuple(tuple(row[k]) for k in ("target", "non_target", "new")) if section == "overall" else ()
    return Rule(
        row["id"],
        row["gives"],
        row.get("says", ""),
        row["source"],
        conditions("when"),
        conditions("any"),
        conditions("unless"),
        patterns,
    )


def _merged(base: Sequence[Rule], rows: Iterable[Mapping[str, Any]], section: str) -> tuple[Rule, ...]:
    """The base rules with same-named ones replaced and further ones put where ``before`` says."""
    rules = list(base)
    for row in rows:
        rule, ids = _rule(section, row), [r.id for r in rules]
        if rule.id in ids:
            rules[ids.index(rule.id)] = rule
        else:
            rules.insert(ids.index(row["before"]) if "before" in row else len(rules), rule)
    return tuple(rules)


@cache
def read_rules(name: str) -> Mapping[str, Any]:
    """The document of a shipped rulebook, as its TOML file has it."""
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def build_rulebook(name: str, read: Callable[[str], Mapping[str, Any]] = read_rules) -> Rulebook:
    """The rulebook of a document, its ``extends`` chain resolved; ``read`` gives the document of a name.

    A document replaces parameters, facts and rules of the one it extends by name; ``without`` lists parameters of that
    one which do not apply.
    """
    document = read(name)
    base = build_rulebook(document["extends"], read) if "extends" in document else None
    parameters = dict(base.parameters) if base else {}
    for name_left_out in document.get("without", ()):
        del parameters[name_left_out]
    parameters |= {n: Parameter(n, **entry) for n, entry in document.get("parameters", {}).items()}
    facts = (dict(base.facts) if base else {}) | document.get("facts", {})
    sections = {s: _merged(base.sections.get(s, ()) if base else (), document.get(s, ()), s) for s in SECTIONS}
    return Rulebook(name, {k: document[k] for k in HEADING}, parameters, facts, sections)


@cache
def load_rulebook(name: str) -> Rulebook:
    """The shipped rulebook of that name."""
    return build_rulebook(name)
