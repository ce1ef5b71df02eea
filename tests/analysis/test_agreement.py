from itertools import permutations
from statistics import correlation

import pytest

from stsm_cli.analysis.agreement import agreement, share_as_close


def ranks(values):
    return [sum(v < own for v in values) + values.count(own) / 2 for own in values]


def by_definition(printed, means):
    """Of every order of the rows, one by one: Spearman's ρ, Pearson's of the ranks."""
    own = ranks(means)
    rho = correlation(ranks(printed), own)
    orders = [correlation(ranks(printed), order) for order in permutations(own)]
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


def test_in_words():
    names, printed = list("abcdefg"), [1, 2, 3, 4, 5, 6, 7]
    assert agreement(names, printed, printed) == (
        "The paper's best row, g, is number 1 of 7 as measured. Spearman's rank correlation with "
        "the paper's rows is +1.00 (+1: the same order); of all orders of 7 rows, less than 1 % "
        "agree at least as well."
    )
    assert ", 4 % agree" in agreement(names[:4], printed[:4], printed[:4])


def test_equal_rows_share_their_place():
    assert "best row, c, is number 1.5 of 3" in agreement(list("abc"), [1, 2, 3], [5, 9, 9])
