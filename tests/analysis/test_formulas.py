from decimal import Decimal

import pytest

from stsm_cli.analysis.formulas import (
    above,
    cost,
    elementwise,
    listed,
    moved,
    number,
    numbers,
    r2plus1d,
    reached,
    rounds_to,
    row,
    rows,
    slices,
    system,
    top1,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("33×3×10", ["33", "3", "10"]),
        ("28.08M", ["28.08"]),
        ("initial learning rate 7.5×10^{-3}", ["0.0075"]),
        ("0.0075 at 48", ["0.0075", "48"]),
        ("5e-4", ["0.0005"]),
        ("8x1x1", ["8", "1", "1"]),
        ("the 1st to 16th channels", ["1", "16"]),
        ("-", []),
    ],
)
def test_numbers_of_a_text(text, expected):
    assert numbers(text) == [Decimal(each) for each in expected]


def test_a_text_without_a_number():
    with pytest.raises(IndexError, match="out of range"):
        number("N/A")


def test_rows_by_their_cells():
    assert [each.top1 for each in rows(5, cited=False, num_frames="16")] == ["63.5", "59.2"]
    assert len(rows(6, 7)) == len(rows(6)) + len(rows(7)) == 9 + 10
    with pytest.raises(AttributeError, match="backbon"):
        rows(5, backbon="2D R-50")


def test_an_unknown_row():
    with pytest.raises(KeyError, match="STSM, 9"):
        row(5, "STSM, 9")
    with pytest.raises(KeyError, match="nothing"):
        top1(1, "nothing")


def test_what_is_above_a_row():
    better = above(row(4, "STSM+TSN, 2D R-50, 8"), rows(4, backbone="2D R-50"))
    assert listed(better) == "TDN [30] 76.6, TSM+NL [17] 75.7"  # not the paper's own 75.9
    assert listed(above(better[0], better)) == "none"


def test_two_tables_label_one_system_differently():
    assert system(row(5, "TSM from [33], 2D R-50, 8")) == system(
        row(7, "TSM+TSN from [33], R-50, 8")
    )
    assert system(row(5, "TSM from [33], 2D R-50, 8")) != system(row(7, "TSM+TSN [17], R-50, 8"))


def test_slices_of_channels():
    assert slices(64, "T", "1/4") == [8, 8]
    assert moved(24, "3/8") == "2+1+2+1+2+1 = 9, floored 6"


def test_the_reach_of_a_block():
    assert reached("", "0") == {(0, y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}
    assert len(reached("T", "1/4")) == 27


def test_a_shift_adds_nothing():
    shifted, plain = cost("r50", size=32, shift=("T+H+W", "3/8")), cost("r50", size=32)
    assert (shifted.macs, shifted.params) == (plain.macs, plain.params)
    assert (len(shifted.sites), plain.sites) == (16, ())


@pytest.mark.parametrize(
    ("value", "printed", "rounds"),
    [
        (32.7, "33", True),
        (33.4, "33", True),
        (33.6, "33", False),
        (2.4, "2.40", True),
        (2.406, "2.40", False),
        (500.0, "33", False),
    ],
)
def test_a_value_rounds_to_the_printed_digits(value, printed, rounds):
    assert rounds_to(value, Decimal(printed)) is rounds


def test_some_counters_add_elementwise_operations():
    assert round(elementwise("mbv2", 4) / 1e9, 3) == 2.552
    assert elementwise("mbv2", 4) > cost("mbv2").macs


def test_twice_the_frames_cost_r2plus1d_twice_as_much():
    params, macs = r2plus1d(34, 16)
    classifier = 512 * 400  # sees each clip once
    assert r2plus1d(34, 32) == (params, 2 * macs - classifier)
    assert r2plus1d(50, 16)[0] < params  # it is narrower inside its blocks
