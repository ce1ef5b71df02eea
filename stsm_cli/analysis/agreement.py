"""Whether the order of a table's rows, as measured, is the paper's."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import stats


def agreement(names: Sequence[str], printed: Sequence[float], means: Sequence[float]) -> str:
    """The place of the paper's best row, and how well the whole order agrees, as a sentence.

    Args:
        names: Of the rows, two to eight: all their orders are looked at.
        printed: Their top-1 in the paper, not all equal.
        means: Their top-1 as measured, not all equal.
    """
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
    ranks: npt.NDArray[np.float64] = stats.rankdata(-np.asarray(values))
    return ranks
