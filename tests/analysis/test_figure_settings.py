import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stsm_cli.analysis.figure_settings import Reference, networks_figure, settings_figure
from stsm_cli.analysis.paper import load_paper_table

CORRECT = {"0": 25, "1/8": 60, "1/4": 80, "3/8": 88, "1/2": 90, "3/4": 91, "1": 89}
REFERENCE = Reference("TSM", "74.43", "92.0")


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_the_alpha_curve_has_the_paper_and_the_measurement_on_axes_of_their_own(prepared):
    rows, group = prepared("alpha", lambda run: CORRECT[run.row.name] + 2 * run.seed, seeds=3)
    paper, measured = settings_figure(rows, group, REFERENCE).axes
    alphas = [0, 0.125, 0.25, 0.375, 0.5, 0.75, 1]
    assert list(paper.lines[0].get_xdata()) == list(measured.lines[0].get_xdata()) == alphas
    assert list(paper.lines[0].get_ydata()) == [72.16, 74.62, 74.77, 75.04, 74.81, 74.49, 73.83]
    assert list(measured.lines[0].get_ydata()) == [27, 62, 82, 90, 92, 93, 91]
    assert paper.get_ylim() != measured.get_ylim()
    assert texts(paper)[1:] == ["72.16", "74.62", "74.77", "75.04", "74.81", "74.49", "73.83"]
    assert (paper.get_title("left"), measured.get_title("left")) == (
        "Paper: Kinetics-400\n",
        "Measured: set of order\n",
    )


def test_error_bars_are_one_standard_deviation_and_each_seed_is_shown(prepared):
    rows, group = prepared("alpha", lambda run: CORRECT[run.row.name] + 2 * run.seed, seeds=3)
    measured = settings_figure(rows, group).axes[1]
    ends = tuple(measured.collections[0].get_segments()[0][:, 1])
    assert ends == pytest.approx((25, 29))  # 25, 27, 29: sd 2
    seeds = [line for line in measured.lines if line.get_markerfacecolor() == "white"]
    assert list(seeds[0].get_ydata()) == [25, 27, 29]


def test_a_single_seed_has_its_wilson_interval(prepared):
    rows, group = prepared("alpha", lambda run: CORRECT[run.row.name])
    measured = settings_figure(rows, group).axes[1]
    ends = tuple(measured.collections[0].get_segments()[0][:, 1])
    assert ends == pytest.approx((17.545211, 34.304464))
    assert texts(measured)[0].endswith("1 seed")


def test_no_number_stands_on_the_curve(prepared):
    rows, group = prepared("alpha", lambda run: CORRECT[run.row.name] - 9 * (run.row.name == "1/2"))
    figure = settings_figure(rows, group)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for axes in figure.axes:
        curve = axes.transData.transform_path(axes.lines[0].get_path())
        numbers = [text for text in axes.texts if re.fullmatch(r"\d+\.\d+", text.get_text())]
        assert len(numbers) == 7
        for number in numbers:
            box = number.get_window_extent(renderer)
            assert not curve.intersects_bbox(box, filled=False), number.get_text()
            assert axes.get_window_extent().containsy(box.y0)


def test_tsm_is_a_line_in_both_panels(prepared):
    rows, group = prepared("alpha", lambda run: CORRECT[run.row.name])
    panels = settings_figure(rows, group, REFERENCE).axes
    legends = [[text.get_text() for text in axes.get_legend().texts] for axes in panels]
    assert [legend[0] for legend in legends] == ["TSM: 74.43", "TSM: 92.0"]


def test_named_settings_are_a_dot_chart_and_cited_numbers_are_hollow(prepared):
    rows, group = prepared("spatial", lambda run: None if run.row.name == "HW" else 50)
    paper, measured = settings_figure(rows, group).axes
    names = [label.get_text() for label in paper.get_yticklabels()]
    assert names == ["TSN", "T", "H", "W", "H+W", "HW"]
    assert texts(paper)[1:] == ["70.6", "74.43", "72.25", "72.56", "72.53", "72.36"]
    assert len(texts(measured)) == 1 + 5  # the row that is not run has no mark
    marks = [line for line in paper.lines if line.get_marker() == "o" and len(line.get_xdata())]
    hollow = [line.get_markerfacecolor() == "white" for line in marks]
    assert hollow == [True, True, False, False, False, False]


def marks(axes):
    return [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor() == "white")
        for line in axes.lines
        if line.get_marker() == "o" and line.get_markersize() == 6 and len(line.get_xdata()) == 1
    ]


def test_rows_stand_by_network_with_the_methods_below_each_other(prepared):
    rows, group = prepared("sota-k400", lambda run: 50 + len(run.row.name))
    paper, measured = networks_figure(rows, group, load_paper_table(4)).axes
    assert [label.get_text() for label in paper.get_yticklabels()] == [
        *("R-50", "TSN", "TSM", "STSM"),
        *("MobileNetV2", "TSN", "TSM", "STSM"),
        *("R-50+NL", "TSM", "STSM"),
    ]
    bold = [label.get_fontweight() == "bold" for label in paper.get_yticklabels()]
    assert bold == [y in (0, 4, 8) for y in range(11)]
    assert marks(paper) == [
        *((70.6, 1, True), (74.1, 2, True), (75.0, 3, False)),
        *((66.5, 5, True), (69.5, 6, True), (69.9, 7, False)),
        *((75.7, 9, True), (75.9, 10, False)),
    ]
    assert marks(measured) == [
        *((58, 1, False), (58, 2, False), (59, 3, False)),
        *((65, 5, False), (65, 6, False), (66, 7, False)),
        *((61, 9, False), (62, 10, False)),
    ]


def test_the_panels_say_what_they_are_of(prepared):
    rows, group = prepared("backbones-sthv2", lambda run: 50, seeds=2)
    paper, measured = networks_figure(rows, group, load_paper_table(7)).axes
    assert paper.get_title("left") == "Paper: Something-Something V2\n"
    assert texts(paper)[0] == "Table 7, as printed"
    assert measured.get_title("left") == "Measured: set of order\n"
    assert texts(measured)[0] == "10 epochs, 2 seeds"
    assert texts(measured)[-3:] == [
        "bottleneck_small, 8 frames",
        "bottleneck_small, 16 frames",
        "inverted_small, 8 frames",
    ]


def test_two_printed_baselines_have_a_mark_each_and_their_numbers_do_not_meet(prepared):
    rows, group = prepared("backbones-sthv2", lambda run: 50)
    paper = networks_figure(rows, group, load_paper_table(7)).axes[0]
    sides = {text.get_text(): text.get_ha() for text in paper.texts}
    assert (sides["57.8"], sides["59.1"], sides["61.3"]) == ("right", "left", "center")
    assert {(59.1, 2, True), (57.8, 2, True)} < set(marks(paper))


def test_error_bars_and_seeds_of_several_networks(prepared):
    rows, group = prepared("backbones-k400", lambda run: 50 + 2 * run.seed, seeds=3)
    measured = networks_figure(rows, group, load_paper_table(6)).axes[1]
    ends = tuple(measured.collections[0].get_segments()[0][:, 0])
    assert ends == pytest.approx((50, 54))
    seeds = [line for line in measured.lines if line.get_markerfacecolor() == "white"]
    assert list(seeds[0].get_xdata()) == [50, 52, 54]


def test_rows_and_networks_that_nobody_ran_have_no_mark(prepared):
    ran = {"TSN R-50": 30, "STSM R-50+NL": 90}
    rows, group = prepared("backbones-k400", lambda run: ran.get(run.row.name))
    paper, measured = networks_figure(rows, group, load_paper_table(6)).axes
    assert len(marks(paper)) == 9
    assert marks(measured) == [(30, 1, False), (90, 7, False)]
    assert texts(measured)[-3:] == [
        "bottleneck_small, 8 frames",
        "bottleneck_small with non-local blocks, 8 frames",
        "not run",
    ]
