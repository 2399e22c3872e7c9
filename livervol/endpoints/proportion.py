"""Proportions with exact intervals: response rate, disease control rate, conversion rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import betaincinv

from livervol.errors import CriteriaError, refusal

__all__ = ["Proportion", "clopper_pearson", "proportion"]


@dataclass(frozen=True)
class Proportion:
    """``count`` of ``total`` patients; ``low`` and ``high`` bound the true rate at ``level``; None without patients."""

    count: int
    total: int
    rate: float | None
    low: float | None
    high: float | None
    level: float = 0.95


def clopper_pearson(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial proportion (dimensionless, 0 to 1).

    Both tails hold ``(1 - level) / 2``: the interval never covers less than ``level``, and is wider than necessary.
    Raises ``CriteriaError`` unless ``0 <= count <= total`` and ``total >= 1``. Source: Clopper and Pearson 1934,
    Biometrika 26:404-413, through the beta quantile.
    """
    if not (isinstance(count, int) and isinstance(total, int) and 0 <= count <= total and total >= 1):
        raise CriteriaError(
            refusal("proportion", expected="whole numbers 0 <= count <= total, total >= 1", got=f"{count} of {total}")
        )
    if not 0 < level < 1:
        raise CriteriaError(refusal("interval level", expected="between 0 and 1", got=str(level)))
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def proportion(successes: Iterable[bool], level: float = 0.95) -> Proportion:
    """The share of patients that succeeded, with its exact interval.

    The denominator is everybody given: a patient without an evaluable assessment is a failure, not a gap.
    """
    outcomes = [bool(one) for one in successes]
    count, total = sum(outcomes), len(outcomes)
    if not total:
        return Proportion(0, 0, None, None, None, level)
    low, high = clopper_pearson(count, total, level)
    return Proportion(count, total, count / total, low, high, level)
