from itertools import permutations

import pytest

from stsm_cli.analysis.agreement import agreement, share_as_close
from stsm_cli.analysis.spread import rank_correlation


def by_definition(printed, means):
    """Spearman's ρ of every order of the rows, one by one."""
    rho = rank_correlation(printed, means)
    orders = [rank_correlation(printed, order) for order in permutations(means)]
    return sum(value >= rho - 1e-9 for value in orders) / len(orders)


@pytest.mark.parametrize(
    ("printed", "means"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        ([1, 2, 3, 4, 5], [50, 10, 30, 20, 40]),
        ([1, 2, 2, 4, 5], [1, 3, 3, 2, 2]),
    ],
)
def test_share_is_that_of_all_orders(printed, means):
    assert share_as_close(printed, means) == by_definition(printed, means)


def test_the_same_order_of_five_is_one_of_120():
    assert share_as_close([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]) == 1 / 120


def test_nine_rows_are_sampled_and_come_near():
    rows, means = [1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 1, 3, 9, 5, 4, 7, 6, 8]
    share = share_as_close(rows, means)
    assert share == pytest.approx(7_848 / 362_880, rel=0.1)  # of all 9! orders, counted
    assert share == share_as_close(rows, means)  # always the same sample


def test_a_sample_is_called_one():
    names, printed = list("abcdefghi"), [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert agreement(names, printed, printed) == (
        "The paper's best row, i, is number 1 of 9 as measured. Spearman's rank correlation with "
        "the paper's rows is +1.00 (+1: the same order); of all orders of 9 rows, less than 1 % "
        "agree "
        "at least as well."
    )
    assert ", 4 % agree" in agreement(names[:4], printed[:4], printed[:4])
