from dataclasses import replace
from fractions import Fraction

import pytest

from stsm_cli.analysis.figure_pairs import pair_group, pair_text, pairs_figure
from stsm_cli.analysis.figures import encode
from stsm_cli.analysis.records import read_records
from stsm_cli.config.schema import ShiftConfig
from stsm_cli.stored import Pair

CLASSES = (("left_to_right", "right_to_left"), ("rotate_cw", "rotate_ccw"))


def with_pairs(record):
    """TSN 10 and 20 of 40 right and 20 in order; the others 38 - seed and 30, 40 and 39."""
    blind = record.recipe.model.shift is None
    counts = ((10, 20), (20, 20)) if blind else ((38 - 2 * record.seed, 40), (30, 39))
    pairs = tuple(
        Pair(classes, 40, correct, ordered)
        for classes, (correct, ordered) in zip(CLASSES, counts, strict=True)
    )
    return replace(record, score=replace(record.score, pairs=pairs))


@pytest.fixture
def records(tmp_path, measure):
    """Of everything that was measured, with counts of pairs."""

    def do():
        return [with_pairs(record) for record in read_records(tmp_path)]

    return do


def marks(axes, marker):
    """Places of one method's marks."""
    return [
        (line.get_xdata()[0], round(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker and len(line.get_xdata()) == 1
    ]


def test_runs_of_the_three_methods_are_taken_from_all_tables_once(measure, records):
    measure("spatial", lambda run: 50)
    measure("alpha", lambda run: 50, seeds=2)
    measure("backbones-sthv2", lambda run: 50)
    group = pair_group(records())
    runs = [(run.recipe.model.shift, run.seed) for run in group.records]
    tsm = ShiftConfig(dims="T", alpha=Fraction(1, 4))
    stsm = ShiftConfig(dims="T+H+W", alpha=Fraction(3, 8))
    assert len(runs) == 3  # seed 1 has no run of TSM
    assert all(run in runs for run in [(None, 0), (tsm, 0), (stsm, 0)])
    assert all(run.recipe.model.num_frames == 8 for run in group.records)


def test_other_networks_do_not_count(measure, records):
    measure("backbones-k400", lambda run: None if run.row.name.endswith(" R-50") else 50)
    assert pair_group(records()) is None


def test_runs_without_counts_and_overridden_runs_do_not_count(measure, records, tmp_path):
    measure("spatial", lambda run: 50)
    assert pair_group(read_records(tmp_path)) is None
    custom = [replace(record, budget="custom") for record in records()]
    assert pair_group(custom) is None


def test_the_longest_budget_is_shown(measure, records):
    measure("spatial", lambda run: 50, seeds=2)
    measure("spatial", lambda run: 50, full=True)
    group = pair_group(records())
    assert group.first.budget == "full"
    assert len(group.records) == 2  # TSN and T


def test_each_pair_has_its_mean_and_spread(measure, records):
    measure("backbones-k400", lambda run: 50, seeds=2)
    left, right = pairs_figure(pair_group(records())).axes
    assert marks(left, "v") == [(25, 0), (50, 1)]
    assert marks(left, "s") == marks(left, "o") == [(pytest.approx(92.5), 0), (75, 1)]
    assert marks(right, "v") == [(50, 0), (50, 1)]
    assert marks(right, "o") == [(100, 0), (97.5, 1)]
    bars = [tuple(bar.get_segments()[0][:, 0]) for bar in left.collections]
    assert bars[2] == pytest.approx((92.5 - 3.5355, 92.5 + 3.5355), abs=1e-3)  # 95 and 90
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [
        "left to right /\nright to left",
        "rotate clockwise /\nrotate anticlockwise",
    ]


def test_the_figure_says_what_it_is_of(measure, records):
    measure("spatial", lambda run: 50, seeds=3)
    measure("alpha", lambda run: 50)
    figure = pairs_figure(pair_group(records()))
    left, right = figure.axes
    assert left.get_title("left") == "Measured: embedded set, pair by pair\n"
    texts = [axes.texts[0].get_text() for axes in (left, right)]
    assert texts == [
        "resnet_small, 8 frames; short budget, 11 epochs",
        "40 videos a pair; bars: ± sample standard deviation",
    ]
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels[1:] == ["TSN (1 seed)", "TSM (1 seed)", "STSM (1 seed)"]


def test_a_method_that_nobody_ran_is_left_out(measure, records):
    measure("alpha", lambda run: 50)
    figure = pairs_figure(pair_group(records()))
    assert [text.get_text() for text in figure.legends[0].texts][1:] == [
        "TSN (1 seed)",
        "STSM (1 seed)",
    ]


def test_names_are_words():
    assert pair_text(Pair(("left_first", "right_first"), 1, 1, 1)) == "left first /\nright first"


def test_the_same_records_give_the_same_bytes(measure, records):
    measure("spatial", lambda run: 50)
    first, second = (encode(pairs_figure(pair_group(records())), "svg") for _ in range(2))
    assert first == second
