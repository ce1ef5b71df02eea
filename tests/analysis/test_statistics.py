import math
from itertools import permutations
from statistics import correlation

import pytest

from stsm_cli.analysis.statistics import (
    Spread,
    agreement,
    holm,
    mean_interval,
    mean_test,
    share_as_close,
    welch,
)


def test_mean_and_sample_standard_deviation():
    spread = Spread((74.4, 77.6, 73.8))
    assert spread.mean == pytest.approx(75.266667)
    assert spread.sd == pytest.approx(2.042874)  # divided by n − 1
    assert (spread.low, spread.high) == (73.8, 77.6)


def test_one_value_has_no_standard_deviation():
    assert Spread((66.4,)).sd is None
    assert Spread((66.4,)).mean == 66.4


def test_equal_values():
    assert Spread((5.0, 5.0)).sd == 0
    assert Spread((100 * 3121 / 24_777,) * 6).sd == 0  # their mean has another last bit


def test_equal_sums_have_equal_means():
    one, other = ([100 * n / 960 for n in found] for found in ((895, 895, 897), (895, 896, 896)))
    assert Spread(tuple(one)).mean == Spread(tuple(other)).mean


def test_welch_against_tabled_values():
    # t = 2 / √(1/3 + 1/3) = √6 at 4 degrees of freedom
    assert welch(Spread((4, 5, 6)), Spread((2, 3, 4))) == pytest.approx(0.070484, abs=1e-6)
    # equal means; spreads that differ do not matter then
    assert welch(Spread((1, 5)), Spread((3, 3))) == 1
    # t = 6 at 1 degree of freedom, where p = 1 − 2/π · atan(t)
    p = 1 - 2 / math.pi * math.atan(6)
    assert welch(Spread((2, 4)), Spread((9, 9))) == pytest.approx(p)
    # as scipy.stats.ttest_ind has it: 3.2468 degrees of freedom
    p = 0.8322484136786047
    assert welch(Spread((1, 2, 4, 9)), Spread((3, 3.5, 4.25))) == pytest.approx(p)
    assert welch(Spread((3, 3.5, 4.25)), Spread((1, 2, 4, 9))) == pytest.approx(p)


def test_seeds_that_never_vary_give_nothing_to_judge_by():
    assert welch(Spread((1, 1, 1)), Spread((9, 9, 9))) == 1


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == [0.06, 0.03, 0.06]  # 3·.01, 2·.03, and no less after it
    assert holm([0.5, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


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


def test_an_order_in_words():
    names, printed = list("abcdefg"), [1, 2, 3, 4, 5, 6, 7]
    assert agreement(names, printed, printed) == (
        "The paper's best row, g, is number 1 of 7 as measured. Spearman's rank correlation with "
        "the paper's rows is +1.00 (+1: the same order); of all orders of 7 rows, less than 1 % "
        "agree at least as well."
    )
    assert ", 4 % agree" in agreement(names[:4], printed[:4], printed[:4])


def test_equal_rows_share_their_place():
    assert "paper's rows is +0.87 (" in agreement(list("abc"), [1, 2, 3], [5, 9, 9])  # ½·√3
    assert "best row, c, is number 1.5 of 3" in agreement(list("abc"), [1, 2, 3], [5, 9, 9])


def test_a_mean_is_tested_by_its_values_alone():
    assert mean_test((1.0, 2.0, 3.0)) == pytest.approx(0.0742, abs=1e-4)  # t = 2 √3, 2 degrees
    assert mean_test((-1.0, 1.0)) == 1
    assert mean_test((2.0, 2.0)) == 1  # they do not vary
    assert mean_test((0.3, 0.1 + 0.2)) == 1  # nor do these, but for the last bit
    assert mean_test((2.0,)) is None


def test_the_interval_of_a_mean():
    low, high = mean_interval((1.0, 2.0, 3.0))  # 4.303 / √3 on either side
    assert (low, high) == (pytest.approx(2 - 2.4841, abs=1e-4), pytest.approx(2 + 2.4841, abs=1e-4))
