import pytest

from stsm_cli.analysis.figure_networks import networks_figure
from stsm_cli.analysis.paper import load_paper_table


def texts(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


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
    assert measured.get_title("left") == "Measured: embedded set\n"
    assert texts(measured)[0] == "11 epochs, 2 seeds"
    assert texts(measured)[-3:] == [
        "resnet_small, 8 frames",
        "resnet_small, 16 frames",
        "mobilenet_v2_small, 8 frames",
    ]


def test_two_printed_baselines_have_a_mark_each_and_their_numbers_do_not_meet(prepared):
    rows, group = prepared("backbones-sthv2", lambda run: 50)
    paper = networks_figure(rows, group, load_paper_table(7)).axes[0]
    sides = {text.get_text(): text.get_ha() for text in paper.texts}
    assert (sides["57.8"], sides["59.1"], sides["61.3"]) == ("right", "left", "center")
    assert {(59.1, 2, True), (57.8, 2, True)} < set(marks(paper))


def test_error_bars_are_one_standard_deviation_and_each_seed_is_shown(prepared):
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
        "resnet_small, 8 frames",
        "resnet_small with non-local blocks, 8 frames",
        "not run",
    ]
