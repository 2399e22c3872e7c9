"""Agreement of readers: kappas and Gwet's coefficients of categories; ICC, CV and Bland-Altman of numbers."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtri, ndtri, stdtrit

from livervol.errors import CriteriaError, refusal

__all__ = [
    "Agreement",
    "BlandAltman",
    "Icc",
    "Variation",
    "bland_altman",
    "cohen_kappa",
    "fleiss_kappa",
    "gwet_ac",
    "icc_2_1",
    "within_patient_variation",
]

Weights = Literal["none", "linear", "quadratic"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """A chance-corrected coefficient with its interval, and the agreement observed and expected by chance.

    ``value`` is not a number where everybody used one category only and chance alone explains everything.
    """

    value: float
    std_error: float
    low: float
    high: float
    observed: float
    expected: float
    n: int


@dataclass(frozen=True)
class Icc:
    """An intraclass correlation with its interval, and the mean squares of targets, raters and error."""

    value: float
    low: float
    high: float
    mean_squares: tuple[float, float, float]
    n: int


@dataclass(frozen=True)
class Variation:
    """Within-patient variation of repeated measurements: CV in percent, SD and repeatability in the measured unit."""

    cv_percent: float
    std_dev: float
    repeatability: float
    n: int


@dataclass(frozen=True)
class BlandAltman:
    """Differences of two readings in their unit: mean, SD and limits of agreement, each with its interval."""

    bias: float
    std_dev: float
    low: float
    high: float
    bias_interval: tuple[float, float]
    low_interval: tuple[float, float]
    high_interval: tuple[float, float]
    n: int


def _weight_matrix(weights: Weights, q: int) -> Floats:
    if weights == "none":
        return np.eye(q)
    if weights not in ("linear", "quadratic"):
        raise CriteriaError(refusal("weights", expected="none, linear or quadratic", got=repr(weights)))
    distance = np.abs(np.subtract.outer(np.arange(q), np.arange(q))) / max(q - 1, 1)
    return 1.0 - (distance if weights == "linear" else distance**2)


def _category_order(found: set[Any], categories: Sequence[Hashable] | None, weights: Weights) -> list[Any]:
    if categories is None:
        if weights != "none":
            do = "Give categories in order, for example CR, PR, SD, PD."
            raise CriteriaError(refusal("weights need ordered categories", expected="categories", got="none", do=do))
        return sorted(found, key=str)
    if strange := found - set(categories):
        raise CriteriaError(
            refusal(
                "category is not listed", expected=", ".join(map(str, categories)), got=str(sorted(map(str, strange)))
            )
        )
    return list(categories)


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    weights: Weights = "none",
    categories: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Agreement:
    """Cohen's kappa of two readers (dimensionless, 1 is perfect, 0 chance), weighted by distance in ``categories``.

    The standard error is the large-sample one for any kappa. Sources: Cohen 1960, Educ Psychol Meas 20:37-46; 1968,
    Psychol Bull 70:213-220; Fleiss, Cohen and Everitt 1969, Psychol Bull 72:323-327.
    """
    if len(first) != len(second) or not first:
        raise CriteriaError(refusal("readings", expected="two of equal length", got=f"{len(first)}, {len(second)}"))
    order = _category_order({*first, *second}, categories, weights)
    at = {category: n for n, category in enumerate(order)}
    q, n = len(order), len(first)
    p = np.zeros((q, q))
    for one, other in zip(first, second, strict=True):
        p[at[one], at[other]] += 1 / n
    w = _weight_matrix(weights, q)
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float((w * p).sum()), float(rows @ w @ columns)
    if expected >= 1:
        return Agreement(math.nan, math.nan, math.nan, math.nan, observed, expected, n)
    kappa = (observed - expected) / (1 - expected)
    row_mean, column_mean = w @ columns, w.T @ rows
    spread = w - np.add.outer(row_mean, column_mean) * (1 - kappa)
    variance = (float((p * spread**2).sum()) - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
    error = math.sqrt(max(variance, 0.0))
    z = float(ndtri((1 + level) / 2))
    return Agreement(kappa, error, max(kappa - z * error, -1.0), min(kappa + z * error, 1.0), observed, expected, n)


def _counts(
    ratings: Sequence[Sequence[Hashable | None]], categories: Sequence[Hashable] | None, weights: Weights
) -> Floats:
    """How many readers gave each patient each category, shape ``(n_patients, n_categories)``; None was not read."""
    found = {word for row in ratings for word in row if word is not None}
    order = _category_order(found, categories, weights)
    at = {category: n for n, category in enumerate(order)}
    counts = np.zeros((len(ratings), len(order)))
    for n, row in enumerate(ratings):
        for word in row:
            if word is not None:
                counts[n, at[word]] += 1
    counts = np.asarray(counts[counts.sum(axis=1) > 0])
    if counts.shape[0] < 2 or not (counts.sum(axis=1) >= 2).any():
        raise CriteriaError(
            refusal("readings", expected="two patients or more, one of them read twice", got=str(counts.shape[0]))
        )
    return counts


def _corrected(counts: Floats, w: Floats, per_patient: Floats, expected: float, level: float) -> Agreement:
    """A coefficient from observed agreement per patient and chance agreement per patient and overall.

    The variance linearises the coefficient in the patients; the interval is Student's (Gwet 2014, chapter 5).
    """
    total = counts.sum(axis=1)
    read_twice = total >= 2
    n = counts.shape[0]
    agreeing = (counts * (counts @ w.T - 1)).sum(axis=1)
    observed_each = np.where(read_twice, agreeing / np.where(read_twice, total * (total - 1), 1), 0.0)
    observed = float(observed_each[read_twice].mean())
    if expected >= 1:
        return Agreement(math.nan, math.nan, math.nan, math.nan, observed, expected, n)
    value = (observed - expected) / (1 - expected)
    share = n / read_twice.sum()
    each = share * (observed_each - expected * read_twice) / (1 - expected)
    each -= 2 * (1 - value) * (per_patient - expected) / (1 - expected)
    error = math.sqrt(float(((each - value) ** 2).sum()) / (n * (n - 1)))
    t = float(stdtrit(n - 1, (1 + level) / 2))
    return Agreement(value, error, max(value - t * error, -1.0), min(value + t * error, 1.0), observed, expected, n)


def fleiss_kappa(
    ratings: Sequence[Sequence[Hashable | None]],
    *,
    weights: Weights = "none",
    categories: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Agreement:
    """Fleiss' kappa of several readers (dimensionless); one row per patient, None where a reader did not read.

    Chance agreement is that of the categories' overall shares. Sources: Fleiss 1971, Psychol Bull 76:378-382; missing
    readings, weights and variance: Gwet 2014, Handbook of Inter-Rater Reliability, 4th ed.
    """
    counts = _counts(ratings, categories, weights)
    w = _weight_matrix(weights, counts.shape[1])
    shares = counts / counts.sum(axis=1, keepdims=True)
    overall = shares.mean(axis=0)
    expected = float(overall @ w @ overall)
    return _corrected(counts, w, shares @ ((w + w.T) / 2) @ overall, expected, level)


def gwet_ac(
    ratings: Sequence[Sequence[Hashable | None]],
    *,
    weights: Weights = "none",
    categories: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Agreement:
    """Gwet's AC1, or AC2 with weights (dimensionless); one row per patient, None where a reader did not read.

    Unlike kappa it stays near the observed agreement where one category is rare. With fewer than two categories it is
    not a number. Source: Gwet 2008, Br J Math Stat Psychol 61:29-48; Gwet 2014, Handbook of Inter-Rater Reliability.
    """
    counts = _counts(ratings, categories, weights)
    q = counts.shape[1]
    if q < 2:
        return Agreement(math.nan, math.nan, math.nan, math.nan, 1.0, math.nan, counts.shape[0])
    w = _weight_matrix(weights, q)
    shares = counts / counts.sum(axis=1, keepdims=True)
    overall = shares.mean(axis=0)
    scale = float(w.sum()) / (q * (q - 1))
    expected = scale * float((overall * (1 - overall)).sum())
    return _corrected(counts, w, scale * (shares @ (1 - overall)), expected, level)


def _table(values: ArrayLike, least_columns: int = 2) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < least_columns or not np.isfinite(table).all():
        expected = "finite numbers, two patients and two readings or more"
        raise CriteriaError(refusal("readings", expected=expected, got=f"shape {table.shape}"))
    return table


def icc_2_1(values: ArrayLike, level: float = 0.95) -> Icc:
    """ICC(2,1), absolute agreement of single readings by random readers (dimensionless).

    ``values`` has shape ``(n_patients, n_readers)``. A reader's constant offset lowers it. Sources: Shrout and Fleiss
    1979, Psychol Bull 86:420-428; interval: McGraw and Wong 1996, Psychol Methods 1:30-46, ICC(A,1).
    """
    table = _table(values)
    n, k = table.shape
    grand, patients, readers = table.mean(), table.mean(axis=1), table.mean(axis=0)
    between = k * float(((patients - grand) ** 2).sum()) / (n - 1)
    raters = n * float(((readers - grand) ** 2).sum()) / (k - 1)
    rest = table - patients[:, None] - readers[None, :] + grand
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    squares = (between, raters, error)
    below = between + (k - 1) * error + k * (raters - error) / n
    if below <= 0:
        return Icc(math.nan, math.nan, math.nan, squares, n)
    value = (between - error) / below
    if error <= 0 and raters <= 0:
        return Icc(value, value, value, squares, n)
    a, b = k * value / (n * (1 - value)), 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * raters + b * error) ** 2 / ((a * raters) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    tail = (1 + level) / 2
    f_low, f_high = float(fdtri(n - 1, freedom, tail)), float(fdtri(freedom, n - 1, tail))
    pooled = k * raters + (k * n - k - n) * error
    low = n * (between - f_low * error) / (f_low * pooled + n * between)
    high = n * (f_high * between - error) / (pooled + n * f_high * between)
    return Icc(value, low, high, squares, n)


def within_patient_variation(values: ArrayLike) -> Variation:
    """Within-patient CV in percent (root mean square), and SD and repeatability in the measured unit.

    ``values`` has shape ``(n_patients, n_repeats)``. The CV is the root of the mean squared ratio of SD to mean, per
    patient; repeatability is 1.96 * sqrt(2) * SD: 95 % of repeat differences are smaller. Means must be above 0.
    Source: Bland and Altman 1996, BMJ 312:1654 and 313:106; Raunig 2015, Stat Methods Med Res 24:27-67.
    """
    table = _table(values)
    means, variances = table.mean(axis=1), table.var(axis=1, ddof=1)
    if (means <= 0).any():
        raise CriteriaError(refusal("within-patient CV", expected="means above 0", got=f"{means.min():g}"))
    cv = 100 * math.sqrt(float((variances / means**2).mean()))
    deviation = math.sqrt(float(variances.mean()))
    return Variation(cv, deviation, float(ndtri(0.975)) * math.sqrt(2) * deviation, table.shape[0])


def bland_altman(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> BlandAltman:
    """Limits of agreement of two readings in their unit: mean difference (first - second) -+ 1.96 SD.

    Intervals of the bias and of the limits are Student's, the limits' standard error sqrt(3/n) SD. Source: Bland and
    Altman 1986, Lancet 1:307-310.
    """
    table = _table(np.column_stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)]))
    difference = table[:, 0] - table[:, 1]
    n = difference.size
    bias, deviation = float(difference.mean()), float(difference.std(ddof=1))
    width = float(ndtri(0.975)) * deviation
    t = float(stdtrit(n - 1, (1 + level) / 2))
    of_bias, of_limit = t * deviation / math.sqrt(n), t * deviation * math.sqrt(3 / n)
    low, high = bias - width, bias + width
    return BlandAltman(
        bias,
        deviation,
        low,
        high,
        (bias - of_bias, bias + of_bias),
        (low - of_limit, low + of_limit),
        (high - of_limit, high + of_limit),
        n,
    )
