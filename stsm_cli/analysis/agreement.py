"""Whether the order of a table's rows, as measured, is the paper's."""

from collections.abc import Iterable, Sequence
from itertools import permutations
from random import Random

from stsm_cli.analysis.spread import rank_correlation, ranks

MOST_ROWS = 8
"""Up to here every order is looked at: 8! are 40,320."""
NUM_ORDERS = 20_000
"""As many are drawn where there are more."""


def agreement(names: Sequence[str], printed: Sequence[float], means: Sequence[float]) -> str:
    """The place of the paper's best row, and how well the whole order agrees, as a sentence.

    Args:
        names: Of the rows, at least two.
        printed: Their top-1 in the paper, not all equal.
        means: Their top-1 as measured, not all equal.
    """
    rho = rank_correlation(printed, means)
    assert rho is not None  # neither are all equal
    best = max(range(len(names)), key=printed.__getitem__)
    about = "" if len(names) <= MOST_ROWS else "about "
    percent = 100 * share_as_close(printed, means)
    share = "less than 1" if percent < 1 else f"{about}{percent:.0f}"
    return (
        f"The paper's best row, {names[best]}, is number {ranks(means)[best]:g} of {len(names)} "
        f"as measured. Spearman's rank correlation with the paper's rows is {rho:+.2f} (+1: the "
        f"same order); of all orders of {len(names)} rows, "
        f"{share} % agree at least as well."
    )


def share_as_close(printed: Sequence[float], means: Sequence[float]) -> float:
    """The share of all orders of the rows that agree with the paper's at least as well as `means`.

    Exact up to `MOST_ROWS` rows, above that the share in a sample, always the same. Spearman's ρ
    rises with the sum of products of the ranks, which is what is compared.
    """
    fixed, own = ranks(printed), ranks(means)
    observed = _products(fixed, own)
    close = [_products(fixed, order) >= observed for order in _orders(own)]
    return sum(close) / len(close)


def _products(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))  # of halves: exact


def _orders(values: Sequence[float]) -> Iterable[Sequence[float]]:
    if len(values) <= MOST_ROWS:
        return permutations(values)
    random = Random(0)
    return (random.sample(values, len(values)) for _ in range(NUM_ORDERS))
