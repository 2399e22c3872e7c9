from __future__ import annotations

from response.mutation_check import EQUIVALENT, check, rule_mutants


def test_every_changed_threshold_operator_or_category_is_noticed():
    total, survivors = check()
    assert not survivors, f"killed {total - len(survivors)} / {total}; survivors:\n" + "\n".join(survivors)
    assert total > 600


def test_mutants_left_out_exist():
    labels = {label for label, _ in rule_mutants()}
    assert set(EQUIVALENT) <= labels
