from dataclasses import replace

import pytest

from stsm_cli.analysis.figure_curves import _apart, curves_figure


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_curves_are_means_over_seeds_and_differ_without_colour(prepared):
    rows, group = prepared("alpha", lambda run: 50, seeds=2)
    (axes,) = curves_figure(rows, group).axes
    assert len({(line.get_marker(), line.get_linestyle()) for line in axes.lines[:7]}) == 7
    assert list(axes.lines[0].get_ydata()) == list(range(30, 40))
    assert list(axes.lines[0].get_xdata()) == list(range(1, 11))
    names = [text.split()[0] for text in texts(axes) if "epochs" not in text]
    assert names == ["0", "1/8", "1/4", "3/8", "1/2", "3/4", "1"]


def test_seeds_of_unequal_length_have_the_mean_of_what_all_have(prepared):
    rows, group = prepared("alpha", lambda run: 50, seeds=2)
    long, short = rows[0].records
    top1 = short.curve.val_top1[:4]
    short = replace(short, curve=replace(short.curve, val_top1=top1))
    rows = [replace(rows[0], records=(long, short)), *rows[1:]]
    (axes,) = curves_figure(rows, group).axes
    assert list(axes.lines[0].get_ydata()) == [30, 31, 32, 33]


def test_several_networks_have_a_panel_each(prepared):
    def correct(run):
        return None if run.row.name == "TSN MobileNetV2" else 50

    rows, group = prepared("sota-k400", correct, seeds=2)
    figure = curves_figure(rows, group)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "R-50\n",
        "MobileNetV2\n",
        "R-50+NL\n",
    ]
    names = [[text.split("  ")[0] for text in texts(axes)] for axes in figure.axes]
    assert names == [
        ["bottleneck_small, 8 frames", "TSN", "TSM", "STSM"],
        ["inverted_small, 8 frames", "TSM", "STSM"],
        ["bottleneck_small with non-local blocks, 8 frames", "TSM", "STSM"],
    ]
    styles = {(line.get_marker(), line.get_linestyle()) for line in figure.axes[0].lines[:3]}
    assert len(styles) == 3
    assert figure.get_suptitle() == "Measured: set of scenes, epoch by epoch; 12 epochs, 2 seeds"


def test_a_network_that_nobody_ran_has_no_panel(prepared):
    rows, group = prepared("sota-sthv2", lambda run: 50 if "R-50" in run.row.name else None)
    figure = curves_figure(rows, group)
    assert [axes.get_title("left") for axes in figure.axes] == ["R-50 8f\n", "R-50 16f\n"]


def test_four_panels_stand_in_a_square(prepared):
    rows, group = prepared("sota-sthv2", lambda run: 50)
    places = [axes.get_subplotspec() for axes in curves_figure(rows, group).axes]
    assert {(place.rowspan.start, place.colspan.start) for place in places} == {
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    }


def test_without_a_row_that_ran_the_chart_is_empty(prepared):
    _, group = prepared("alpha", lambda run: 50)
    assert curves_figure([], group).axes[0].get_xlabel() == "epoch"


def test_labels_are_pushed_apart_in_their_order():
    places = _apart([50, 10, 50.5, 51], 2)
    assert places[1] == 10
    assert places[0] < places[2] < places[3]
    assert min(places[2] - places[0], places[3] - places[2]) == pytest.approx(2, abs=0.01)
    assert _apart([1, 5, 9], 2) == [1, 5, 9]
