import pytest

from stsm_cli.analysis.figure_pairs import pair_text, pairs_figure
from stsm_cli.analysis.figures import encode
from stsm_cli.analysis.summary import pair_group
from stsm_cli.stored import Pair

ON = "order"


def marks(axes, marker):
    """Places of one method's marks."""
    return [
        (line.get_xdata()[0], round(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker and len(line.get_xdata()) == 1
    ]


def test_each_pair_has_its_mean_and_spread(measure, records):
    measure("backbones-sthv2", lambda run: 50, seeds=2)
    left, right = pairs_figure(pair_group(records(), ON)).axes
    assert marks(left, "v") == [(25, 0), (50, 1)]
    assert marks(left, "s") == marks(left, "o") == [(pytest.approx(92.5), 0), (75, 1)]
    assert marks(right, "v") == [(50, 0), (50, 1)]
    assert marks(right, "o") == [(100, 0), (97.5, 1)]
    bars = [tuple(bar.get_segments()[0][:, 0]) for bar in left.collections]
    assert bars[2] == pytest.approx((92.5 - 3.5355, 92.5 + 3.5355), abs=1e-3)  # 95 and 90
    assert right.texts[0].get_text() == "40 videos a pair; bars: ± sample standard deviation"
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [
        "left to right /\nright to left",
        "rotate clockwise /\nrotate anticlockwise",
    ]


def test_the_figure_says_what_it_is_of(measure, records):
    measure("spatial", lambda run: 50, seeds=3)
    measure("alpha", lambda run: 50)
    figure = pairs_figure(pair_group(records(), ON))
    left, right = figure.axes
    assert left.get_title("left") == "Measured: set of order, pair by pair\n"
    texts = [axes.texts[0].get_text() for axes in (left, right)]
    assert texts == [
        "bottleneck_small, 8 frames; short budget, 10 epochs",
        "40 videos a pair",
    ]
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels[1:] == ["TSN (1 seed)", "TSM (1 seed)", "STSM (1 seed)"]


def test_a_method_that_nobody_ran_is_left_out(measure, records):
    measure("alpha", lambda run: 50)
    figure = pairs_figure(pair_group(records(), ON))
    assert [text.get_text() for text in figure.legends[0].texts][1:] == [
        "TSN (1 seed)",
        "STSM (1 seed)",
    ]


def test_names_are_words():
    assert pair_text(Pair(("left_first", "right_first"), 1, 1, 1)) == "left first /\nright first"


def test_the_same_records_give_the_same_bytes(measure, records):
    measure("spatial", lambda run: 50)
    first, second = (encode(pairs_figure(pair_group(records(), ON)), "svg") for _ in range(2))
    assert first == second
