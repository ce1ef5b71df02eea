"""What a handful of seeds says: mean and spread, and whether two settings differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


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
    if not first.sd and not second.sd:
        return 1.0
    sides = [(side.mean, side.sd, len(side.values)) for side in (first, second)]
    return float(stats.ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for as many comparisons as there are values, in the same order."""
    corrected, most = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = most
    return corrected
