"""Rules as data: a rulebook is parameters and rules; this compiles, evaluates, explains and prints it.

A condition is one comparison in words, ``sum <= baseline changed by pr_percent``. The same condition decides and, with
the numbers filled in, gives the reason, so prose and decision cannot drift apart.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from livervol.errors import CriteriaError, refusal

__all__ = [
    "HEADING",
    "SECTIONS",
    "TOLERANCE",
    "Condition",
    "Decision",
    "Parameter",
    "Rule",
    "Rulebook",
    "Value",
    "number",
]

#: Slack of every comparison in its own unit, so that 14 -> 9.8 mm is exactly -30 %; far below what a reader measures.
TOLERANCE = 1e-6

Value = float | str | bool
Facts = Mapping[str, float | None]

#: What a rulebook says of itself besides its name.
HEADING = ("title", "source", "unit")
SECTIONS = ("target", "non_target", "new", "overall", "eligible", "confirm", "v2018", "v2024", "v2024_radiation")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b + TOLERANCE,
    ">=": lambda a, b: a >= b - TOLERANCE,
    "<": lambda a, b: a < b - TOLERANCE,
    ">": lambda a, b: a > b + TOLERANCE,
    "==": operator.eq,
    "!=": operator.ne,
}


def number(value: float) -> str:
    """A number as reasons print it: six significant digits, no trailing zeros."""
    return f"{value:.6g}"


@dataclass(frozen=True)
class Parameter:
    """A named number or word of a criterion, with where it comes from."""

    name: str
    value: Value
    unit: str
    says: str
    source: str


@dataclass(frozen=True)
class Condition:
    """``left operator right``, where right may be ``changed by`` a percentage or ``plus`` an offset."""

    left: str
    operator: str
    right: str
    change: str = ""
    amount: str = ""

    def __str__(self) -> str:
        joined = {"percent": f" changed by {self.amount}", "plus": f" plus {self.amount}"}.get(self.change, "")
        return f"{self.left} {self.operator} {self.right}{joined}"


@dataclass(frozen=True)
class Rule:
    """``gives`` when every ``when``, at least one ``any`` (if there are any) and no ``unless`` holds.

    An unknown fact never meets a condition. Rules of section ``overall`` hold patterns instead of conditions.
    """

    id: str
    gives: str
    says: str
    source: str
    when: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    patterns: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Decision:
    """What a section of the rulebook decided and the sentence that says why."""

    category: str
    reason: str
    rule: str


Test = Callable[[Facts], bool]


class Rulebook:
    """One criterion's parameters and rules, compiled; ``with_parameters`` gives a changed copy."""

    def __init__(
        self,
        name: str,
        heading: Mapping[str, str],
        parameters: Mapping[str, Parameter],
        facts: Mapping[str, Mapping[str, Any]],
        sections: Mapping[str, tuple[Rule, ...]],
    ) -> None:
        self.name = name
        self.title, self.source, self.unit = heading["title"], heading["source"], heading["unit"]
        self.parameters, self.facts, self.sections = dict(parameters), dict(facts), dict(sections)
        self.values: dict[str, Value] = {p.name: p.value for p in self.parameters.values()}
        self._operands: dict[Condition, Callable[[Facts], float | None]] = {}
        self._tests: dict[Condition, Test] = {}
        self._compiled = {
            section: [(rule, self._compile_rule(rule)) for rule in rules]
            for section, rules in self.sections.items()
            if section != "overall"
        }
        self._overall: dict[tuple[str, str, str], Rule] = {}

    def with_parameters(self, changes: Mapping[str, Value]) -> Rulebook:
        """The same rules with other values; an unknown name or a value of another kind raises ``CriteriaError``."""
        if not changes:
            return self
        parameters = dict(self.parameters)
        for name, value in changes.items():
            if name not in parameters:
                raise CriteriaError(
                    refusal(f"{self.name} has no such parameter", expected=", ".join(sorted(parameters)), got=name)
                )
            parameters[name] = replace(parameters[name], value=_same_kind(name, parameters[name].value, value))
        return Rulebook(self.name, self._heading(), parameters, self.facts, self.sections)

    def with_sections(self, sections: Mapping[str, tuple[Rule, ...]]) -> Rulebook:
        """The same parameters with other rules."""
        return Rulebook(self.name, self._heading(), self.parameters, self.facts, sections)

    def _heading(self) -> dict[str, str]:
        return {key: getattr(self, key) for key in HEADING}

    def real(self, name: str) -> float:
        """A parameter that is a number."""
        value = self.values[name]
        if isinstance(value, str):
            raise CriteriaError(refusal(f"parameter {name}", expected="a number", got=repr(value), where=self.name))
        return float(value)

    def flag(self, name: str) -> bool:
        """A parameter that is yes or no."""
        return bool(self.values[name])

    def decide(self, section: str, facts: Facts) -> Decision:
        """The first rule of the section that holds for these facts, with its sentence."""
        for rule, test in self._compiled[section]:
            if test(facts):
                return Decision(rule.gives, self.explain(rule, facts), rule.id)
        raise CriteriaError(refusal("no rule applies", expected="a last rule without conditions", got=section))

    def category(self, section: str, facts: Facts) -> str:
        """Like ``decide``, the category alone."""
        return next(rule.gives for rule, test in self._compiled[section] if test(facts))

    def overall(self, target: str, non_target: str, new: str) -> Decision:
        """The overall time-point response of one combination."""
        key = (target, non_target, new)
        if key not in self._overall:
            self._overall[key] = self._find_overall(key)
        rule = self._overall[key]
        words = f"target {target or 'none'}, non-target {non_target or 'none'}, new lesion {new}"
        return Decision(rule.gives, f"{self.name} {rule.id}: {words} -> {rule.gives}", rule.id)

    def _find_overall(self, key: tuple[str, str, str]) -> Rule:
        for rule in self.sections["overall"]:
            if all("*" in allowed or word in allowed for word, allowed in zip(key, rule.patterns, strict=True)):
                return rule
        raise CriteriaError(refusal("overall response", expected="a combination of the table", got=str(key)))

    def explain(self, rule: Rule, facts: Facts) -> str:
        """The rule's sentence followed by the numbers that met it."""
        met = [self._numbers(c, facts) for c in rule.when if c.left in facts]
        met += [self._numbers(c, facts) for c in rule.any if self._tests[c](facts)]
        numbers = f" ({', '.join(met)})" if met else ""
        return f"{self.name} {rule.id}: {rule.says}{numbers}"

    def _numbers(self, condition: Condition, facts: Facts) -> str:
        left = facts[condition.left]
        limit = self._operands[condition](facts)
        word = self.facts.get(condition.left, {})
        if left is None or limit is None:
            return f"{word.get('label', condition.left)} unknown"
        if condition.operator == "==" and condition.right in ("0", "1"):
            return f"{word.get('label', condition.left)}: {'yes' if left else 'no'}"
        unit = f" {self.unit}" if word.get("unit") else ""
        text = f"{word.get('label', condition.left)} {number(left)}{unit} "
        text += f"{self.values.get(condition.operator, condition.operator)} {number(limit)}{unit}"
        if not condition.change:
            return text
        base = facts.get(condition.right)
        amount = self.real(condition.amount)
        how = f"{amount:+g} %" if condition.change == "percent" else f"+ {amount:g}"
        origin = self.facts.get(condition.right, {}).get("label", condition.right)
        return f"{text} = {origin} {number(base) if base is not None else 'unknown'} {how}"

    def _operand(self, condition: Condition) -> Callable[[Facts], float | None]:
        """The right side as a function of the facts; parameters and literals are bound now."""
        name, fixed = condition.right, self._constant(condition.right)
        if fixed is not None:
            return lambda facts: fixed
        if condition.change == "percent":
            factor = (100.0 + self.real(condition.amount)) / 100.0
            return lambda facts: None if (v := facts.get(name)) is None else v * factor
        if condition.change == "plus":
            offset = self.real(condition.amount)
            return lambda facts: None if (v := facts.get(name)) is None else v + offset
        return lambda facts: facts.get(name)

    def _constant(self, name: str) -> float | None:
        if name in self.values:
            return self.real(name)
        if name in ("true", "false"):
            return float(name == "true")
        try:
            return float(name)
        except ValueError:
            if name not in self.facts:
                raise CriteriaError(
                    refusal("condition names nothing known", expected="a fact, parameter or number", got=name)
                ) from None
            return None

    def _test(self, condition: Condition) -> Test:
        compare = _OPERATORS[str(self.values.get(condition.operator, condition.operator))]
        right = self._operands[condition]
        left = condition.left
        if left in self.values:
            fixed = self.real(left)
            return lambda facts: (r := right(facts)) is not None and compare(fixed, r)
        if left not in self.facts:
            raise CriteriaError(refusal("condition names nothing known", expected="a fact or parameter", got=left))

        def holds(facts: Facts) -> bool:
            value, limit = facts.get(left), right(facts)
            return value is not None and limit is not None and compare(value, limit)

        return holds

    def _compile_rule(self, rule: Rule) -> Test:
        for condition in (*rule.when, *rule.any, *rule.unless):
            self._operands[condition] = self._operand(condition)
            self._tests[condition] = self._test(condition)
        when = [self._tests[c] for c in rule.when]
        any_of = [self._tests[c] for c in rule.any]
        unless = [self._tests[c] for c in rule.unless]

        def holds(facts: Facts) -> bool:
            for test in when:
                if not test(facts):
                    return False
            if any_of and not any(test(facts) for test in any_of):
                return False
            return not any(test(facts) for test in unless)

        return holds

    def __str__(self) -> str:
        """The whole book as a person reads it."""
        lines = [f"{self.name}: {self.title}. {self.source}", "", "parameters"]
        lines += [
            f"  {p.name} = {_plain(p.value)}{' ' + p.unit if p.unit not in ('', '1') else ''}: {p.says} [{p.source}]"
            for p in self.parameters.values()
        ]
        for section in SECTIONS:
            if self.sections.get(section):
                lines += ["", f"{section} (the first that holds)"]
                lines += [f"  {self.describe(rule)}" for rule in self.sections[section]]
        return "\n".join(lines)

    def describe(self, rule: Rule) -> str:
        """One rule as a sentence with its parameters' values."""
        if rule.patterns:
            names = ("target", "non-target", "new lesion")
            shown = ["/".join(w or "none" for w in allowed) for allowed in rule.patterns]
            condition = ", ".join(f"{n} {s}" for n, s in zip(names, shown, strict=True))
            return f"{rule.id}: {rule.gives} when {condition} [{rule.source}]"
        parts = [" and ".join(map(str, rule.when)), " or ".join(map(str, rule.any))]
        condition = " and ".join(p if n == 0 else f"({p})" for n, p in enumerate(parts) if p) or "nothing above holds"
        condition += "".join(f" unless {c}" for c in rule.unless)
        return f"{rule.id}: {rule.gives or 'none'} when {condition}: {rule.says} [{rule.source}]"


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same_kind(name: str, old: Value, new: Value) -> Value:
    kinds_fit = isinstance(old, bool) == isinstance(new, bool) and isinstance(old, str) == isinstance(new, str)
    if not kinds_fit:
        kind = "true or false" if isinstance(old, bool) else "a word" if isinstance(old, str) else "a number"
        raise CriteriaError(refusal(f"parameter {name}", expected=kind, got=repr(new)))
    return new
