"""What a handful of seeds says: mean, spread, and whether two orders of rows agree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one or more values, in their unit."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return math.fsum(self.values) / len(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (n − 1); None for a single value."""
        if len(self.values) < 2:
            return None
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


def chance(high: Sequence[float], low: Sequence[float]) -> float:
    """How often chance puts the mean of `high` as far above that of `low`, or farther.

    The one-sided p of Fisher's exact permutation test: of all ways to deal the values out anew into
    groups of these sizes.
    """
    values, reached = (*high, *low), math.fsum(high) - 1e-9
    deals = [math.fsum(deal) >= reached for deal in combinations(values, len(high))]
    return sum(deals) / len(deals)


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, 1 for the largest; equal values share the mean of their ranks."""
    return [
        1 + sum(other > value for other in values) + (values.count(value) - 1) / 2
        for value in values
    ]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's ρ with ties; None where an order does not exist (all values equal, or < 2)."""
    a, b = ranks(first), ranks(second)
    middle = (len(a) + 1) / 2
    covariance = math.fsum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    scale = math.sqrt(
        math.fsum((x - middle) ** 2 for x in a) * math.fsum((y - middle) ** 2 for y in b)
    )
    return covariance / scale if scale else None
