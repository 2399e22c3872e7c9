from __future__ import annotations

from livervol.response.protocol import load_protocol
from livervol.response.rulefiles import load_rulebook
from response import truth_tables


def _wrong(checks):
    rows = list(checks)
    wrong = [f"{place}: expected {expected!r}, got {got!r}" for *_, place, expected, got in rows if expected != got]
    return wrong, f"{len(rows) - len(wrong)} of {len(rows)} passed\n" + "\n".join(wrong)


def test_every_line_of_the_rule_tables():
    wrong, message = _wrong(truth_tables.rule_checks(load_rulebook))
    assert not wrong, message


def test_every_line_of_best_response():
    wrong, message = _wrong(truth_tables.bor_checks())
    assert not wrong, message


def test_every_line_of_child_pugh():
    wrong, message = _wrong(truth_tables.child_pugh_checks())
    assert not wrong, message


def test_every_line_of_conversion():
    wrong, message = _wrong(truth_tables.conversion_checks(load_protocol))
    assert not wrong, message
