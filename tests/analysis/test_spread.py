import pytest

from stsm_cli.analysis.spread import Spread, chance, rank_correlation, ranks


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


def test_ranks_share_ties():
    assert ranks([10, 30, 20, 30]) == [4, 1.5, 3, 1.5]


def test_rank_correlation():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 90]) == 1
    assert rank_correlation([1, 2, 3, 4], [9, 8, 7, 6]) == -1
    # ranks 1 2 3 4 5 against 2 1 4 3 5: ρ = 1 − 6·4 / (5·24)
    assert rank_correlation([5, 4, 3, 2, 1], [4, 5, 2, 3, 1]) == pytest.approx(0.8)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)


def test_without_an_order_there_is_no_correlation():
    assert rank_correlation([1, 2, 3], [5, 5, 5]) is None
    assert rank_correlation([1], [2]) is None


def test_chance_by_dealing_out_anew():
    assert chance((4, 5, 6), (1, 2, 3)) == 1 / 20  # one deal of C(6, 3)
    assert chance((3, 5, 6), (1, 2, 4)) == 2 / 20  # 6 + 5 + 4 too
    assert chance((1, 2), (3, 4)) == 1.0
    assert chance((5, 5), (5, 5)) == 1.0
