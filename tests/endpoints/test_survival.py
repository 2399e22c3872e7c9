"""Survival curves and tests against R (package survival), and against slow twins."""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.endpoints.survival import follow_up, kaplan_meier, log_rank
from livervol.errors import CriteriaError

DATA_SETS = ("lung", "aml", "ovarian", "veteran", "colon_recur", "pbc_death", "gehan6mp")


def read(path):
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return list(csv.DictReader(text.splitlines()))


@pytest.fixture(scope="module")
def survival(shared):
    return shared / "oracles" / "survival"


@pytest.fixture(scope="module")
def data(survival):
    found = {}
    for name in DATA_SETS:
        rows = read(survival / f"data_{name}.csv")
        found[name] = [(float(r["time"]), int(r["event"]), r["group"]) for r in rows]
    return found


def chosen(data, name, group):
    rows = [r for r in data[name] if group in ("ALL", r[2])]
    return [r[0] for r in rows], [r[1] for r in rows]


def number(text):
    return None if text == "NA" else float(text)


def close(got, text, tolerance=1e-12):
    wanted = number(text)
    if wanted is None:
        return got is None or math.isnan(got)
    return got is not None and abs(got - wanted) <= tolerance * max(1.0, abs(wanted))


def test_curves_and_their_three_intervals(survival, data):
    groups = defaultdict(list)
    for row in read(survival / "reference_curves_R.csv.gz"):
        if not row["dataset"].startswith("hcctace"):
            groups[row["dataset"], row["group"], row["conf_type"]].append(row)
    passed = given_rows = 0
    for (name, group, kind), rows in groups.items():
        curve = kaplan_meier(*chosen(data, name, group))
        low, high = curve.interval(kind)
        at = np.flatnonzero(curve.events > 0)
        assert at.size == len(rows), (name, group, kind)
        for i, row in zip(at, rows, strict=True):
            given_rows += 1
            passed += all(
                (
                    curve.times[i] == float(row["time"]),
                    curve.at_risk[i] == float(row["n_risk"]),
                    curve.events[i] == float(row["n_event"]),
                    close(curve.survival[i], row["surv"]),
                    close(curve.std_error[i], row["std_err"]),
                    close(low[i], row["lower"]),
                    close(high[i], row["upper"]),
                )
            )
    assert passed == given_rows > 2000, f"passed {passed} of {given_rows}"


def test_quartiles_and_the_interval_of_the_median(survival, data):
    rows = [r for r in read(survival / "reference_medians_R.csv") if not r["dataset"].startswith("hcctace")]
    passed = 0
    for row in rows:
        curve = kaplan_meier(*chosen(data, row["dataset"], row["group"]))
        median = curve.quantile(0.5, kind=row["conf_type"])
        passed += all(
            (
                curve.n == int(row["n"]),
                curve.n_events == int(row["events"]),
                close(curve.quantile(0.25).value, row["q25"]),
                close(median.value, row["q50"]),
                close(curve.quantile(0.75).value, row["q75"]),
                close(median.low, row["q50_lower"]),
                close(median.high, row["q50_upper"]),
            )
        )
    assert passed == len(rows) == 66, f"passed {passed} of {len(rows)}"


def test_log_rank(survival, data):
    rows = [r for r in read(survival / "reference_logrank_R.csv") if not r["dataset"].startswith("hcctace")]
    passed = 0
    for row in rows:
        times, events, groups = zip(*data[row["dataset"]], strict=True)
        test = log_rank(times, events, groups)
        right = close(test.chi_square, row["chisq"]) and test.degrees == int(row["df"])
        passed += right and abs(test.p / float(row["p"]) - 1) <= 1e-12
    assert passed == len(rows) == 7, f"passed {passed} of {len(rows)}"


def test_follow_up_by_reverse_kaplan_meier(survival, data):
    rows = [r for r in read(survival / "reference_reverseKM_R.csv") if not r["dataset"].startswith("hcctace")]
    passed = 0
    for row in rows:
        median = follow_up(*chosen(data, row["dataset"], "ALL")).quantile(0.5, kind="log")
        passed += (
            close(median.value, row["median_followup_reverseKM"])
            and close(median.low, row["lower"])
            and close(median.high, row["upper"])
        )
    assert passed == len(rows) == 7, f"passed {passed} of {len(rows)}"


def test_median_where_the_curve_rests_on_one_half(data):
    curve = kaplan_meier(*chosen(data, "veteran", "trt2"))
    assert curve.quantile(tie="midpoint").value == 52.5
    assert curve.quantile(tie="first").value == 52.0


def test_median_of_a_last_step_on_one_half_reaches_the_end_of_follow_up():
    curve = kaplan_meier([3, 9], [1, 0])
    assert curve.quantile(tie="first").value == 3
    assert curve.quantile(tie="midpoint").value == 6


def test_gehan_by_hand():
    # Gehan 1965, 6-MP arm: S(6) = 1 - 3/21 and S(7) = S(6) (1 - 1/17)
    times = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    events = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    curve = kaplan_meier(times, events)
    assert curve.at(5.9) == 1.0
    assert curve.at(6) == pytest.approx(18 / 21, abs=1e-15)
    assert curve.at(8) == pytest.approx(18 / 21 * 16 / 17, abs=1e-15)
    assert math.isnan(curve.at(36))
    # variance at 6 by Greenwood: S^2 * 3/(21*18)
    assert curve.std_error[0] == pytest.approx(18 / 21 * math.sqrt(3 / (21 * 18)), abs=1e-15)


Samples = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=25)


def slow_survival(sample, time):
    result = 1.0
    for moment in sorted({t for t, e in sample if e}):
        if moment <= time:
            at_risk = sum(t >= moment for t, _ in sample)
            result *= 1 - sum(t == moment and e for t, e in sample) / at_risk
    return result


@given(Samples)
def test_slow_twin_of_the_curve(sample):
    curve = kaplan_meier([t for t, _ in sample], [e for _, e in sample])
    for time, value in zip(curve.times, curve.survival, strict=True):
        assert value == pytest.approx(slow_survival(sample, time), abs=1e-14)
    assert curve.events.sum() + curve.censored.sum() == len(sample)


@given(Samples)
def test_order_does_not_matter_and_bounds_hold_the_curve(sample):
    curve = kaplan_meier([t for t, _ in sample], [e for _, e in sample])
    turned = kaplan_meier([t for t, _ in sample[::-1]], [e for _, e in sample[::-1]])
    assert np.array_equal(curve.survival, turned.survival)
    for kind in ("log", "log-log", "plain"):
        low, high = curve.interval(kind)
        known = np.isfinite(low)
        assert (low[known] <= curve.survival[known] + 1e-15).all()
        assert (high[known] >= curve.survival[known] - 1e-15).all()
        assert ((low[known] >= 0) & (high[known] <= 1)).all()


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1), st.integers(0, 2)), min_size=4, max_size=30))
def test_slow_twin_of_the_log_rank(sample):
    if len({g for _, _, g in sample}) < 2:
        return
    times, events, groups = zip(*sample, strict=True)
    test = log_rank(times, events, groups)
    for name, observed, expected in zip(test.groups, test.observed, test.expected, strict=True):
        due = 0.0
        for moment in {t for t, e, _ in sample if e}:
            at_risk = [g for t, _, g in sample if t >= moment]
            due += sum(t == moment and e for t, e, _ in sample) * at_risk.count(name) / len(at_risk)
        assert expected == pytest.approx(due, abs=1e-12)
        assert observed == sum(e for _, e, g in sample if g == name)
    if test.degrees:
        assert test.chi_square >= -1e-12
        assert 0 <= test.p <= 1


def test_strata_add_up(data):
    times, events, groups = zip(*data["lung"], strict=True)
    half = len(times) // 2
    strata = [i < half for i in range(len(times))]
    one, two = (
        log_rank(times[:half], events[:half], groups[:half]),
        log_rank(times[half:], events[half:], groups[half:]),
    )
    both = log_rank(times, events, groups, strata)
    assert both.expected == pytest.approx([a + b for a, b in zip(one.expected, two.expected, strict=True)], abs=1e-12)
    # one group out of two: chi-square is (O - E)^2 / V, so the variances can be recovered and must add
    spread = [(t.observed[0] - t.expected[0]) ** 2 / t.chi_square for t in (one, two, both)]
    assert spread[2] == pytest.approx(spread[0] + spread[1], rel=1e-12)
    assert both.chi_square != pytest.approx(log_rank(times, events, groups).chi_square, rel=1e-6)


def test_no_events_at_all():
    curve = kaplan_meier([4, 5], [0, 0])
    assert curve.survival.tolist() == [1.0, 1.0]
    assert curve.quantile().value is None
    test = log_rank([4, 5], [0, 0], ["a", "b"])
    assert test.degrees == 0
    assert math.isnan(test.p)


@pytest.mark.parametrize(
    ("times", "events", "sentence"),
    [
        ([1, -2], [1, 0], "finite and not negative"),
        ([1, math.nan], [1, 0], "finite and not negative"),
        ([1, 2], [1, 2], "0 (censored) or 1 (event)"),
        ([1, 2], [1], "alike"),
    ],
)
def test_impossible_data_is_refused(times, events, sentence):
    with pytest.raises(CriteriaError) as refused:
        kaplan_meier(times, events)
    assert sentence in str(refused.value)


def test_wrong_words_are_refused():
    curve = kaplan_meier([1, 2, 3], [1, 1, 0])
    with pytest.raises(CriteriaError, match="interval kind"):
        curve.interval("arcsine")
    with pytest.raises(CriteriaError, match="tie rule"):
        curve.quantile(tie="last")
    with pytest.raises(CriteriaError, match="two groups"):
        log_rank([1, 2], [1, 1], ["a", "a"])
    with pytest.raises(CriteriaError, match="strata"):
        log_rank([1, 2], [1, 1], ["a", "b"], ["x"])


def test_a_bound_that_rises_again_ends_late(data):
    # acute leukaemia, log interval: the upper bound is 0.514 at 43, 0.458 at 45, 0.462 at 48 weeks; R gives 48
    curve = kaplan_meier(*chosen(data, "aml", "ALL"))
    assert curve.quantile(kind="log").high == 48
