"""Statistics of a handful of seeds and rows: mean and spread, tests, and agreement of orders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

LEVEL = 0.05  # ours: the usual one
LEAST = 1.0
"""Points of top-1; a smaller difference on a set that is made here is not called one."""


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one or more values, in their unit."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        # trap: thirds of equal sums differ in their last bit, and would not be a tie
        return round(math.fsum(self.values) / len(self.values), 9)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (n − 1); None for a single value."""
        if len(self.values) < 2:
            return None
        if self.low == self.high:
            return 0.0
        squares = math.fsum((value - self.mean) ** 2 for value in self.values)
        return math.sqrt(squares / (len(self.values) - 1))

    @property
    def low(self) -> float:
        """Smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Largest value."""
        return max(self.values)


def welch(first: Spread, second: Spread) -> float:
    """Two-sided p of Welch's t-test, which assumes no equal spreads; of two values each, or more.

    1 where neither side varies: such seeds leave nothing to judge a difference by.
    """
    from scipy import stats  # takes a second to import

    if not first.sd and not second.sd:
        return 1.0
    sides = [(side.mean, side.sd, len(side.values)) for side in (first, second)]
    return float(stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue)


def mean_test(values: Sequence[float] | npt.NDArray[np.float64]) -> float | None:
    """Two-sided p of a t-test that the mean is not 0; None of a single value.

    1 where the values do not vary: nothing is left to judge them by.
    """
    from scipy import stats  # takes a second to import

    if len(values) < 2:
        return None
    rounded = np.round(values, 9)  # else the last bits of equal values would pass for their spread
    return 1.0 if np.ptp(rounded) == 0 else float(stats.ttest_1samp(rounded, 0).pvalue)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of two values or more, by Student's t."""
    from scipy import stats  # takes a second to import

    known = Spread(tuple(values))
    assert known.sd is not None
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * known.sd / math.sqrt(len(values))
    return known.mean - half, known.mean + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for as many comparisons as there are values, in the same order."""
    corrected, most = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = most
    return corrected


def agreement(names: Sequence[str], printed: Sequence[float], means: Sequence[float]) -> str:
    """The place of the paper's best row, and how well the whole order agrees, as a sentence.

    Args:
        names: Of the rows, two to eight: all their orders are looked at.
        printed: Their top-1 in the paper, not all equal.
        means: Their top-1 as measured, not all equal.
    """
    from scipy import stats  # takes a second to import

    rho = stats.spearmanr(printed, means).statistic
    best = max(range(len(names)), key=printed.__getitem__)
    percent = 100 * share_as_close(printed, means)
    return (
        f"The paper's best row, {names[best]}, is number {_ranks(means)[best]:g} of {len(names)} "
        f"as measured. Spearman's rank correlation with the paper's rows is {rho:+.2f} (+1: the "
        f"same order); of all orders of {len(names)} rows, "
        f"{'less than 1' if percent < 1 else f'{percent:.0f}'} % agree at least as well."
    )


def share_as_close(printed: Sequence[float], means: Sequence[float]) -> float:
    """The share of all orders of the rows that agree with the paper's at least as well as `means`.

    Spearman's ρ rises with the sum of products of the ranks, which is what is compared; ranks are
    whole or halves, so the sums are exact.
    """
    fixed, own = _ranks(printed), _ranks(means)
    sums = np.array(list(permutations(own))) @ fixed
    return float(np.mean(sums >= own @ fixed))


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """1 for the largest; equal values share the mean of their ranks."""
    from scipy import stats  # takes a second to import

    ranks: npt.NDArray[np.float64] = stats.rankdata(-np.asarray(values))
    return ranks
