import pytest

from stsm_cli.analysis.figure_cost import MARKS, shown_rows, trade_off_figure
from stsm_cli.analysis.figures import encode

# GFLOPs of a view and top-1, typed from the paper's Table 5.
POINTS = {
    (16, 48.8), (32, 55.5), (52, 59.7), (105, 62.3), (34.75, 62.5), (2.57, 58.5), (37, 62.7),
    (33, 27.8), (65, 30.0), (33, 58.7), (65, 61.2), (2.55, 54.9), (36, 64.0),
    (33, 61.3), (65, 63.5), (2.55, 56.3), (5.1, 59.2),
}  # fmt: skip


def points(axes, *, filled=None):
    marks = [
        line for line in axes.lines if line.get_marker() in [mark for _, mark in MARKS.values()]
    ]
    if filled is not None:
        marks = [line for line in marks if (line.get_markerfacecolor() != "white") == filled]
    return {pair for line in marks for pair in zip(line.get_xdata(), line.get_ydata(), strict=True)}


def test_the_papers_points_are_table_5s():
    upper, lower = trade_off_figure().axes
    assert points(upper) == points(lower) == POINTS
    assert points(upper, filled=True) == {(33, 61.3), (65, 63.5), (2.55, 56.3), (5.1, 59.2)}
    assert len(shown_rows()) == len(POINTS) == 17


def test_every_point_is_in_one_of_the_two_parts_of_the_axis():
    upper, lower = trade_off_figure().axes
    for _, top1 in POINTS:
        shown = [axes.get_ylim()[0] < top1 < axes.get_ylim()[1] for axes in (upper, lower)]
        assert sum(shown) == 1


def test_systems_differ_without_colour():
    assert len({marker for _, marker in MARKS.values()}) == len(MARKS)
    legend = [text.get_text() for text in trade_off_figure().axes[0].get_legend().texts]
    assert legend == [*MARKS, "8 to 16 frames"]


def test_rows_of_eight_and_sixteen_frames_are_joined():
    joined = [line for line in trade_off_figure().axes[0].lines if line.get_linestyle() == "-"]
    pairs = {tuple(line.get_ydata()) for line in joined if len(line.get_ydata()) == 2}
    assert pairs == {(59.7, 62.3), (27.8, 30.0), (58.7, 61.2), (61.3, 63.5), (56.3, 59.2)}


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_bytes_each_time(kind):
    first, second = (encode(trade_off_figure(), kind) for _ in range(2))
    assert first == second
