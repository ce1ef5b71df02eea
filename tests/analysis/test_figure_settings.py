import pytest

from stsm_cli.analysis.figure_settings import Reference, settings_figure

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
        "Measured: embedded set\n",
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
