import doctest
import re
from fractions import Fraction

import numpy as np
import pytest

from stsm_cli.config import notation
from stsm_cli.config.notation import parse_alpha, parse_dims


def test_examples_of_the_docstrings_hold():
    result = doctest.testmod(notation)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("dims", "groups"),
    [
        ("T", ((0,),)),
        ("T+H+W", ((0,), (1,), (2,))),
        ("W+T", ((2,), (0,))),
        ("T+H+W+TH+TW+HW", ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))),
        ("THW", ((0, 1, 2),)),
        ("WHT", ((0, 1, 2),)),
    ],
)
def test_dims(dims, groups):
    assert parse_dims(dims) == tuple((axes, (1, -1), ()) for axes in groups)


def test_dims_from_the_past_alone():
    assert parse_dims("T-") == (((0,), (-1,), ()),)
    assert parse_dims("W+HT-") == (((2,), (1, -1), ()), ((0, 1), (-1,), ()))


@pytest.mark.parametrize(
    ("group", "axes", "against"),
    [
        ("Hw", (1, 2), (2,)),
        ("wH", (1, 2), (2,)),
        ("Th", (0, 1), (1,)),
        ("wTh", (0, 1, 2), (1, 2)),
        ("ThW", (0, 1, 2), (1,)),
    ],
)
def test_a_lower_case_axis_moves_against_the_first(group, axes, against):
    assert parse_dims(group) == ((axes, (1, -1), against),)
    assert parse_dims(f"{group}-") == ((axes, (-1,), against),)


def test_all_diagonals_are_groups_of_their_own():
    assert [against for _, _, against in parse_dims("HW+Hw+THW+THw+ThW+Thw")] == [
        *((), (2,)),
        *((), (2,), (1,), (1, 2)),
    ]


@pytest.mark.parametrize(
    ("dims", "says"),
    [
        ("T+X", "dims 'T+X': unknown axis 'X'"),
        ("t", "dims 't': unknown axis 't'"),
        ("T + H", "dims 'T + H': unknown axis ' '"),
        ("TT", "dims 'TT': an axis is repeated in group 'TT'"),
        ("T+T", "dims 'T+T': group 'T' is repeated"),
        ("HW+WH", "dims 'HW+WH': group 'WH' is repeated"),
        ("", "dims '': a group is empty"),
        ("T+", "dims 'T+': a group is empty"),
        ("-", "dims '-': a group is empty"),
        ("T--", "dims 'T--': unknown axis '-'"),
        ("-T", "dims '-T': unknown axis '-'"),
        ("T-T", "dims 'T-T': unknown axis '-'"),
        ("T+T-", "dims 'T+T-': group 'T-' is repeated"),
        ("+", "dims '+': a group is empty"),
        ("hW", "dims 'hW': unknown axis 'h'; the axes are T, H and W, the first of a group in"),
        ("Wh", "dims 'Wh': unknown axis 'h'"),
        ("tH-", "dims 'tH-': unknown axis 't'"),
        ("hw", "dims 'hw': unknown axis 'h'"),
        ("Hx", "dims 'Hx': unknown axis 'x'; the axes are T, H and W"),
        (None, "dims None is not a text such as T+H+W"),
        (["T"], "dims ['T'] is not a text such as T+H+W"),
        ("Hh", "dims 'Hh': an axis is repeated in group 'Hh'"),
        ("Hw+wH", "dims 'Hw+wH': group 'wH' is repeated"),
        ("Th+Th-", "dims 'Th+Th-': group 'Th-' is repeated"),
    ],
)
def test_wrong_dims_are_named(dims, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_dims(dims)


@pytest.mark.parametrize(
    ("value", "alpha"),
    [
        ("3/8", Fraction(3, 8)),
        ("6/16", Fraction(3, 8)),
        ("0.375", Fraction(3, 8)),
        (0.375, Fraction(3, 8)),
        (0.1, Fraction(1, 10)),
        (1 / 3, Fraction(1, 3)),
        (Fraction(1, 7), Fraction(1, 7)),
        (0, Fraction(0)),
        (1, Fraction(1)),
        ("1", Fraction(1)),
        (np.float32(0.375), Fraction(3, 8)),
        (np.int64(1), Fraction(1)),
        (1e-7, Fraction(1, 10**6)),
        (1e-300, Fraction(1, 10**6)),
    ],
)
def test_alpha_is_exact(value, alpha):
    assert parse_alpha(value) == alpha
    assert isinstance(parse_alpha(value), Fraction)
    assert parse_alpha(str(parse_alpha(value))) == alpha


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("5/4", "alpha 5/4 is outside"),
        ("-1/8", "alpha -1/8 is outside"),
        (2, "alpha 2 is outside"),
        (-0.5, "alpha -0.5 is outside"),
        (1.0000001, "alpha 1.0000001 is outside"),
        (-1e-9, "alpha -1e-09 is outside"),
    ],
)
def test_alpha_outside_0_to_1_is_named(value, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_alpha(value)


@pytest.mark.parametrize(
    "value",
    ["x", "", "3/0", True, None, [0.5], float("nan"), float("inf"), "1e10000000", "1e-99999999"],
    ids=repr,
)
def test_alpha_that_is_no_number_is_named(value):
    with pytest.raises(ValueError, match="is not a number or a fraction such as 3/8") as raised:
        parse_alpha(value)
    assert repr(value) in str(raised.value)


def test_a_long_text_is_cut_in_the_message():
    for parse in (parse_alpha, parse_dims):
        with pytest.raises(ValueError, match=r"(alpha|dims) '9+\.\.\.9+'") as raised:
            parse("9" * 5000)
        assert len(str(raised.value)) < 150
