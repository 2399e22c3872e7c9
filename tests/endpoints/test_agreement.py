"""Agreement against published worked examples."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.endpoints.agreement import (
    bland_altman,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac,
    icc_2_1,
    within_patient_variation,
)
from livervol.errors import CriteriaError


def pairs(table):
    """Two readings from a square table of counts."""
    found = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [i for i, _ in found], [j for _, j in found]


# Agresti 1990, Categorical Data Analysis, table 2.10 and p. 367: husbands and wives; R package vcd, Kappa(SexualFun)
SEXUAL_FUN = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]


def test_cohen_on_agrestis_table():
    plain = cohen_kappa(*pairs(SEXUAL_FUN))
    assert (plain.value, plain.std_error) == (pytest.approx(0.1293, abs=5e-5), pytest.approx(0.0686, abs=5e-5))
    weighted = cohen_kappa(*pairs(SEXUAL_FUN), weights="linear", categories=range(4))
    assert (weighted.value, weighted.std_error) == (pytest.approx(0.2374, abs=5e-5), pytest.approx(0.0783, abs=5e-5))


def test_cohen_by_hand():
    # agreement 35/50; margins 25/25 and 30/20: expected 0.5
    kappa = cohen_kappa(*pairs([[20, 5], [10, 15]]))
    assert (kappa.observed, kappa.expected, kappa.value) == (
        pytest.approx(0.7), pytest.approx(0.5), pytest.approx(0.4),
    )  # fmt: skip


# Fleiss 1971, Psychological Bulletin 76:378-382, table 1: 30 patients, 6 psychiatrists, 5 diagnoses; kappa 0.430
FLEISS = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"""


def spread(counts):
    return [n for n, count in enumerate(counts) for _ in range(count)]


def test_fleiss_table():
    ratings = [spread(map(int, word)) for word in FLEISS.split()]
    kappa = fleiss_kappa(ratings)
    assert kappa.value == pytest.approx(0.430, abs=5e-4)
    assert kappa.observed == pytest.approx(0.556, abs=5e-4)
    assert kappa.expected == pytest.approx(0.220, abs=5e-4)


# Gwet 2014, Handbook of Inter-Rater Reliability, table 2.10 (also R package irrCAC, cac.raw4raters)
GWET = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1], [None, None, 3, None],
]  # fmt: skip


def test_gwets_handbook():
    ac1 = gwet_ac(GWET)
    assert ac1.observed == pytest.approx(0.8181818, abs=5e-8)
    assert ac1.expected == pytest.approx(0.1903212, abs=5e-8)
    assert (ac1.value, ac1.std_error) == (pytest.approx(0.77544, abs=5e-6), pytest.approx(0.14295, abs=5e-6))
    fleiss = fleiss_kappa(GWET)
    assert (fleiss.value, fleiss.std_error) == (pytest.approx(0.76117, abs=5e-6), pytest.approx(0.15302, abs=5e-6))


def test_gwets_paradox():
    # Gwet 2002: 118 + 0 agreements of 125, 5 and 2 disagreements: kappa -0.0234, AC1 0.9408
    first, second = pairs([[118, 5], [2, 0]])
    assert cohen_kappa(first, second).value == pytest.approx(-0.0234, abs=5e-5)
    assert gwet_ac(list(zip(first, second, strict=True))).value == pytest.approx(0.9408, abs=5e-5)


# Shrout and Fleiss 1979, table 2: 6 targets, 4 judges
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_shrout_and_fleiss():
    icc = icc_2_1(SHROUT_FLEISS)
    assert icc.value == pytest.approx(0.29, abs=5e-3)
    # table 3: mean squares 11.24 between targets, 32.49 between judges, 1.02 residual
    assert icc.mean_squares == (
        pytest.approx(11.24, abs=5e-3), pytest.approx(32.49, abs=5e-3), pytest.approx(1.02, abs=5e-3),
    )  # fmt: skip
    # R package irr, icc(model = "twoway", type = "agreement"): 0.019 to 0.761
    assert (icc.low, icc.high) == (pytest.approx(0.019, abs=5e-4), pytest.approx(0.761, abs=5e-4))


# Bland and Altman 1986, table: peak expiratory flow (l/min) of 17 subjects, first readings, Wright and mini meter
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_bland_and_altman():
    found = bland_altman(WRIGHT, MINI)
    assert (found.bias, found.std_dev) == (pytest.approx(-2.1, abs=0.05), pytest.approx(38.8, abs=0.05))
    # the paper uses 2 SD (-79.7 to 75.5); intervals -22.0 to 17.8 of the bias
    assert found.low == pytest.approx(-2.118 - 1.95996 * 38.765, abs=0.01)
    assert found.bias_interval == (pytest.approx(-22.0, abs=0.1), pytest.approx(17.8, abs=0.1))
    # and -114.3 to -45.1, 40.9 to 110.1 of the limits at 2 SD
    shift = (2 - 1.959964) * found.std_dev
    assert [x - shift for x in found.low_interval] == [pytest.approx(-114.3, abs=0.4), pytest.approx(-45.1, abs=0.4)]
    assert [x + shift for x in found.high_interval] == [pytest.approx(40.9, abs=0.4), pytest.approx(110.1, abs=0.4)]


def test_within_patient_variation_by_hand():
    # two repeats: SD = |difference| / sqrt(2); CVs 2/100 and 4/200 over sqrt(2)
    found = within_patient_variation([[101, 99], [202, 198]])
    assert found.cv_percent == pytest.approx(100 * 0.02 / math.sqrt(2), rel=1e-12)
    assert found.std_dev == pytest.approx(math.sqrt((2 + 8) / 2), rel=1e-12)
    assert found.repeatability == pytest.approx(1.959964 * math.sqrt(2) * math.sqrt(5), rel=1e-6)


RATINGS = st.lists(st.lists(st.sampled_from([0, 1, 2, None]), min_size=3, max_size=3), min_size=3, max_size=12)


def usable(ratings):
    kept = [[x for x in row if x is not None] for row in ratings]
    return sum(bool(row) for row in kept) >= 2 and any(len(row) >= 2 for row in kept)


@given(RATINGS, st.sampled_from(["none", "linear", "quadratic"]))
def test_slow_twin_of_gwet_and_fleiss(ratings, weights):
    if not usable(ratings):
        return
    power = {"linear": 1, "quadratic": 2}.get(weights)

    def weight(a, b):
        return float(a == b) if power is None else 1 - (abs(a - b) / 2) ** power

    kept = [[x for x in row if x is not None] for row in ratings]
    kept = [row for row in kept if row]
    observed = np.mean([np.mean([weight(a, b) for a, b in combinations(row, 2)]) for row in kept if len(row) >= 2])
    shares = [np.mean([row.count(k) / len(row) for row in kept]) for k in range(3)]
    by_chance = sum(weight(a, b) * shares[a] * shares[b] for a in range(3) for b in range(3))
    gwet_chance = sum(weight(a, b) for a in range(3) for b in range(3)) / 6 * sum(s * (1 - s) for s in shares)
    fleiss = fleiss_kappa(ratings, weights=weights, categories=range(3))
    gwet = gwet_ac(ratings, weights=weights, categories=range(3))
    assert (fleiss.observed, fleiss.expected) == (pytest.approx(observed), pytest.approx(by_chance))
    assert gwet.value == pytest.approx((observed - gwet_chance) / (1 - gwet_chance))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=20))
def test_two_categories_and_order_of_readers(readings):
    first, second = [a for a, _ in readings], [b for _, b in readings]
    one, other = cohen_kappa(first, second), cohen_kappa(second, first)
    assert one.value == pytest.approx(other.value, nan_ok=True)
    assert one.std_error == pytest.approx(other.std_error, nan_ok=True)
    if len(set(first)) > 1:
        same = cohen_kappa(first, first)
        assert (same.value, same.std_error) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-7))
        assert gwet_ac([[a, a] for a in first]).value == pytest.approx(1.0)


def test_perfect_and_useless_numbers():
    values = np.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]])
    assert (icc_2_1(values).value, icc_2_1(values).low) == (1.0, 1.0)
    offset = icc_2_1(values + np.array([0.0, 1.0]))
    assert 0 < offset.low < offset.value < offset.high < 1  # a constant offset is disagreement
    assert math.isnan(icc_2_1(np.ones((3, 2))).value)


def test_everybody_says_the_same():
    assert math.isnan(cohen_kappa(["a"] * 4, ["a"] * 4).value)
    assert math.isnan(fleiss_kappa([["a", "a"]] * 4).value)
    assert gwet_ac([["a", "a"]] * 4, categories=["a", "b"]).value == 1.0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cohen_kappa([1], [1, 2]), "two of equal length"),
        (lambda: cohen_kappa([], []), "two of equal length"),
        (lambda: cohen_kappa([1, 2], [1, 2], weights="linear"), "weights need ordered categories"),
        (lambda: cohen_kappa([1, 2], [1, 3], categories=[1, 2]), "category is not listed"),
        (lambda: cohen_kappa([1, 2], [1, 2], weights="cubic", categories=[1, 2]), "expected none, linear or quadratic"),
        (lambda: fleiss_kappa([[1, None], [2, None]]), "two patients or more"),
        (lambda: gwet_ac([[1, 1]]), "two patients or more"),
        (lambda: icc_2_1([[1, 2]]), "two patients and two readings"),
        (lambda: icc_2_1([[1, math.nan], [1, 2]]), "two patients and two readings"),
        (lambda: within_patient_variation([[0, 0], [1, 1]]), "means above 0"),
    ],
)
def test_impossible_input_is_refused(call, sentence):
    with pytest.raises(CriteriaError, match=sentence):
        call()
