"""Exact binomial intervals against published and R values, and a slow twin by bisection of the binomial tail."""

from __future__ import annotations

import csv
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.endpoints.proportion import clopper_pearson, proportion
from livervol.errors import CriteriaError

# Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 5 (four decimals)
NEWCOMBE = [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)]


@pytest.mark.parametrize(("count", "total", "low", "high"), NEWCOMBE)
def test_newcombe(count, total, low, high):
    assert clopper_pearson(count, total) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_every_interval_computed_with_r(shared):
    with (shared / "oracles/clopper_pearson/clopper_pearson_R.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    passed = 0
    for row in rows:
        low, high = clopper_pearson(int(row["x"]), int(row["n"]), float(row["conf_level"]))
        passed += abs(low - float(row["lower"])) <= 1e-12 and abs(high - float(row["upper"])) <= 1e-12
    assert passed == len(rows) == 6819, f"passed {passed} of {len(rows)}"


def tail_above(x: int, n: int, p: float) -> float:
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(x, n + 1))


def bisected(rising, target: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_slow_twin_solves_the_tails(pair, level):
    x, n = pair
    low, high = clopper_pearson(x, n, level)
    alpha = (1 - level) / 2
    slow_low = 0.0 if x == 0 else bisected(lambda p: tail_above(x, n, p), alpha)
    slow_high = 1.0 if x == n else bisected(lambda p: tail_above(x + 1, n, p), 1 - alpha)
    assert (low, high) == (pytest.approx(slow_low, abs=1e-9), pytest.approx(slow_high, abs=1e-9))


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_successes_and_failures_mirror_each_other(pair):
    x, n = pair
    low, high = clopper_pearson(x, n)
    other_low, other_high = clopper_pearson(n - x, n)
    assert low == pytest.approx(1 - other_high, abs=1e-12)
    assert high == pytest.approx(1 - other_low, abs=1e-12)
    assert low <= x / n <= high


def test_a_wider_level_is_a_wider_interval():
    narrow, wide = clopper_pearson(7, 20, 0.9), clopper_pearson(7, 20, 0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (0, 0), (1.5, 5)])
def test_impossible_counts_are_refused(count, total):
    with pytest.raises(CriteriaError, match="whole numbers"):
        clopper_pearson(count, total)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_impossible_level_is_refused(level):
    with pytest.raises(CriteriaError, match="interval level"):
        clopper_pearson(1, 5, level)


def test_proportion_counts_everybody_given():
    result = proportion([True, False, False, True])
    assert (result.count, result.total, result.rate) == (2, 4, 0.5)
    assert (result.low, result.high) == clopper_pearson(2, 4)
    nobody = proportion([])
    assert (nobody.total, nobody.rate, nobody.low, nobody.high) == (0, None, None, None)
