import re
from dataclasses import replace

import pytest

from stsm_cli.analysis.figure_cost import MARKS, shown_rows, trade_off_figure
from stsm_cli.analysis.figures import encode
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import comparable, summarise

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


MACS = {"bottleneck_small": 9_000_000, "inverted_small": 2_500_000}
TOP1 = {"TSN": 30, "TSM": 92, "STSM": 94}


@pytest.fixture
def draw(measure, tmp_path):
    """Figure 1 with runs of its table, each at so many multiply-adds a frame."""

    def do(correct, macs=MACS, **options):
        sweep = measure("sota-sthv2", correct, **options)
        records = []
        for record in read_records(tmp_path):
            model = record.recipe.model
            cost = macs[model.backbone] * model.num_frames
            records.append(replace(record, network=replace(record.network, macs=cost)))
        (group,) = comparable(records)
        rows = summarise(sweep.ablation, load_paper_table(5), group)
        return trade_off_figure(rows, group)

    return do


def lines(axes):
    return [
        list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in axes.lines
        if line.get_linestyle() != "None" and len(line.get_xdata())
    ]


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_each_row_stands_at_its_own_networks_cost(draw):
    upper, lower = draw(lambda run: TOP1[run.row.name.split()[0]]).axes[2:]
    assert lines(upper) == lines(lower)
    assert sorted(lines(upper)) == [
        [(20, 92)],
        [(20, 94), (40, 94)],
        [(72, 30), (144, 30)],
        [(72, 92), (144, 92)],
        [(72, 94), (144, 94)],
    ]
    assert lower.get_xlabel() == "multiply-adds a view (M), counted"
    assert upper.get_title("left") == "Measured: set of order\n"


def test_a_number_stands_right_of_a_mark_where_no_line_goes_on(draw):
    upper = draw(lambda run: TOP1[run.row.name.split()[0]]).axes[2]
    numbers = [text for text in upper.texts if re.search(r"\d\.\d", text.get_text())]
    assert sorted((text.xy[0], text.get_text(), text.get_ha()) for text in numbers) == [
        (20, "94.0", "right"),
        (20, "TSM 92.0", "right"),  # STSM's line goes on
        (40, "STSM 94.0", "left"),
        (72, "92.0", "right"),
        (72, "94.0", "right"),
        (144, "STSM 94.0", "left"),
        (144, "TSM 92.0", "left"),
    ]


def test_marks_have_their_numbers_and_networks_their_names(draw):
    upper, lower = draw(lambda run: TOP1[run.row.name.split()[0]]).axes[2:]
    assert sorted(texts(upper)) == [
        *("10 epochs, 1 seed", "92.0", "94.0", "94.0"),
        *("STSM 94.0", "STSM 94.0", "TSM 92.0", "TSM 92.0"),
        "bottleneck_small\n8 and 16 frames",
        "inverted_small\n8 and 16 frames",
    ]
    assert texts(lower) == ["30.0", "TSN 30.0"]


def test_the_axis_is_cut_where_most_of_it_is_empty(draw):
    upper, lower = draw(lambda run: TOP1[run.row.name.split()[0]]).axes[2:]
    assert lower.get_ylim()[0] < 30 < lower.get_ylim()[1] < upper.get_ylim()[0] < 92


def test_the_axis_is_whole_where_nothing_is_empty(draw):
    (axes,) = draw(lambda run: 60 + len(run.row.name) + run.seed, seeds=2).axes[2:]
    low, high = axes.get_ylim()
    assert all(low < y < high for line in lines(axes) for _, y in line)


def test_a_single_run_is_drawn(draw):
    (axes,) = draw(lambda run: 50 if run.row.name == "STSM R-50 8f" else None).axes[2:]
    assert lines(axes) == [[(72, 50)]]
    assert "bottleneck_small\n8 frames" in texts(axes)


def test_bars_are_one_standard_deviation(draw):
    (axes,) = draw(
        lambda run: 50 + 2 * run.seed if run.row.name == "STSM R-50 8f" else None, seeds=3
    ).axes[2:]
    assert tuple(axes.collections[0].get_segments()[0][:, 1]) == pytest.approx((50, 54))


def test_large_costs_are_in_g(draw):
    macs = {"bottleneck_small": 4_000_000_000, "inverted_small": 300_000_000}
    axes = draw(lambda run: 50 if "8f" in run.row.name else None, macs).axes[2]
    assert axes.get_xlabel() == "multiply-adds a view (G), counted"
    assert sorted(x for line in lines(axes) for x, _ in line) == pytest.approx(
        [2.4, 2.4, 32, 32, 32]
    )


def test_without_a_run_of_its_rows_only_the_paper_is_shown(prepared):
    _, group = prepared("alpha", lambda run: 50)
    assert len(trade_off_figure([], group).axes) == 2


def test_the_same_bytes_each_time_of_measured_rows(draw):
    first, second = (encode(draw(lambda run: 50 + len(run.row.name)), "svg") for _ in range(2))
    assert first == second
