import json
from contextlib import contextmanager
from fractions import Fraction

import pytest

from stsm_cli.analysis import plan as module
from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.plan import (
    Moved,
    describe_sweeps,
    moved_channels,
    num_train_videos,
    total_work,
)
from stsm_cli.analysis.records import record_path
from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ShiftConfig


def test_moved_channels():
    stsm = ShiftConfig(dims="T+H+W", alpha=Fraction(3, 8))
    assert moved_channels(stsm, 16, 1) == Moved(16, 1, 6, "T 1+1, H 1+1, W 1+1")
    tsm = ShiftConfig(dims="T", alpha=Fraction(1, 4))
    assert moved_channels(tsm, 64, 3) == Moved(64, 3, 16, "T 8+8")
    # slices at 0, 4/3, 8/3, 4, 16/3, 20/3, 8 of 64·1/8, rounded
    eighth = ShiftConfig(dims="T+H+W", alpha=Fraction(1, 8))
    assert moved_channels(eighth, 64, 1) == Moved(64, 1, 8, "T 1+2, H 1+1, W 2+1")


def test_nothing_moves_in_tsn_nor_at_alpha_0():
    assert moved_channels(None, 64, 1) == Moved(64, 1, 0, "")
    assert moved_channels(ShiftConfig(alpha=Fraction(0)), 64, 1) == Moved(64, 1, 0, "")


def test_training_videos():
    order = load_recipe("order/stsm", ["data.order.train=123"]).recipe
    assert num_train_videos(order) == 123
    assert num_train_videos(load_recipe("k400/stsm_r50_8f").recipe) == 240_258
    assert num_train_videos(load_recipe("sthv2/stsm_r50_8f").recipe) == 168_913


def describe(sweep, out):
    return describe_sweeps([sweep], out)[0]


def test_a_plan_before_anything_ran(tmp_path):
    plan = describe(plan_sweep("alpha", seeds=2, overrides=["optim.epochs=3"]), tmp_path)
    assert [row.row.name for row in plan.rows] == ["0", "1/8", "1/4", "3/8", "1/2", "1"]
    assert {(len(row.finished), len(row.missing)) for row in plan.rows} == {(0, 2)}
    first, *_, last = plan.rows
    assert sum(moved.num_sites for moved in first.moved) == 3  # blocks of bottleneck_small
    assert {moved.moved for moved in first.moved} == {0}
    assert all(moved.moved == moved.channels for moved in last.moved)
    assert first.macs_run == first.macs * first.num_videos * 3 > 0
    assert first.seconds is None


def test_each_row_costs_what_its_own_network_does(tmp_path):
    rows = {row.row.name: row for row in describe(plan_sweep("sota-sthv2"), tmp_path).rows}
    short, long = rows["STSM R-50 8f"], rows["STSM R-50 16f"]
    assert long.macs == 2 * short.macs
    assert (long.params, long.moved) == (short.params, short.moved)
    mobile = rows["STSM MobileNetV2 8f"]
    assert (mobile.macs, short.macs) == (65_550_336, 34_136_064)
    assert mobile.params == 62_464
    assert [moved.num_sites for moved in mobile.moved] == [3]  # blocks of one width


def test_records_tell_what_is_finished_and_how_long_the_rest_takes(measure, tmp_path):
    measure("alpha", lambda run: 50 if run.row.name == "0" else None)
    longer = describe(plan_sweep("alpha", overrides=["optim.epochs=8"]), tmp_path)
    seconds, epochs = [row.seconds for row in longer.rows], load_recipe("order/stsm").recipe.optim
    assert seconds == pytest.approx([57.8 / epochs.epochs * 8] * 6)  # the record's took 57.8
    plan = describe(plan_sweep("alpha"), tmp_path)
    assert [len(row.finished) for row in plan.rows] == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "other",
    [
        "data.order.train=9",
        "data.order.val=9",
        "data.flip=none",
        "optim.batch_size=8",
        "optim.accumulate=2",
        "precision=fp32",
        "test.crops=1",
        "model.num_frames=4",
    ],
)
def test_records_of_other_work_tell_no_time(measure, tmp_path, other):
    measure("alpha", lambda run: 50 if run.row.name == "0" else None)
    plan = describe(plan_sweep("alpha", overrides=[other]), tmp_path)
    assert {row.seconds for row in plan.rows} == {None}


@pytest.mark.parametrize(
    "other", ["seed=5", "optim.lr=1", "optim.clip_grad_norm=null", "model.dropout=0.5"]
)
def test_records_of_other_numbers_tell_the_time(measure, tmp_path, other):
    measure("alpha", lambda run: 50 if run.row.name == "0" else None)
    plan = describe(plan_sweep("alpha", overrides=[other]), tmp_path)
    assert None not in {row.seconds for row in plan.rows}


def test_records_of_older_versions_tell_the_time(measure, tmp_path):
    sweep = measure("alpha", lambda run: 50 if run.row.name == "0" else None)
    path = record_path(tmp_path, sweep, sweep.runs[0])
    content = json.loads(path.read_text())
    del content["recipe"]["optim"]["policy"]
    path.write_text(json.dumps(content))
    assert describe(sweep, tmp_path).rows[1].seconds is not None
    assert describe(sweep, tmp_path).rows[0].finished == (sweep.runs[0].recipe_hash,)


def test_a_record_tells_the_time_of_its_own_network_alone(measure, tmp_path):
    measure("alpha", lambda run: 50 if run.row.name == "0" else None, dataset="scenes")
    plan = describe(plan_sweep("backbones-k400"), tmp_path)
    known = [row.row.name for row in plan.rows if row.seconds is not None]
    assert known == ["TSN R-50", "TSM R-50", "STSM R-50"]
    work = total_work([plan])
    assert (work.num_finished, work.num_missing, work.num_timed) == (1, 8, 2)
    assert work.seconds == pytest.approx(2 * plan.rows[1].seconds)
    assert work.macs == sum(row.macs_run for row in plan.rows[1:])


def test_a_run_that_tables_share_counts_once(measure, tmp_path):
    measure("spatial", lambda run: 50 if run.row.name == "TSN" else None)
    plans = describe_sweeps([plan_sweep(n, seeds=2) for n in ("alpha", "spatial")], tmp_path)
    assert [len(plan.rows[0].finished) for plan in plans] == [1, 1]
    work = total_work(plans)
    assert (work.num_finished, work.num_missing) == (1, 2 * (6 + 8 - 1) - 1)
    assert work.num_timed == work.num_missing - 2  # TSN dilated is another network


def test_the_papers_networks_need_no_data_and_no_weights_and_are_counted_once(
    monkeypatch, tmp_path
):
    seen, real = [], module.model_cost

    def small(config, *, size_px):
        seen.append((config, size_px))
        return real(config, size_px=32)

    monkeypatch.setattr(module, "model_cost", small)
    plans = describe_sweeps(
        [plan_sweep(name, "k400") for name in ("spatial", "spatiotemporal")], tmp_path
    )
    assert len(set(seen)) == 1  # the second sweep's rows have other initial weights
    config, size_px = seen[0]
    assert (config.backbone, config.weights, config.init, size_px) == ("resnet50", None, None, 224)
    widths = [(moved.channels, moved.num_sites, moved.parts) for moved in plans[0].rows[1].moved]
    assert widths == [
        (64, 1, "T 8+8"),
        (256, 3, "T 32+32"),
        (512, 4, "T 64+64"),
        (1024, 6, "T 128+128"),
        (2048, 2, "T 256+256"),
    ]


def test_a_long_count_shows_how_it_gets_on(tmp_path):
    told = []

    class Told:
        @contextmanager
        def bar(self, label, total):
            told.append((label, total))
            yield self

        def advance(self, steps, status):
            told.append((steps, status))

    describe_sweeps([plan_sweep("spatial"), plan_sweep("alpha")], tmp_path, Told())
    assert told[0] == ("counting multiply-adds", 14)
    assert told[1:] == [(1, "spatial")] * 8 + [(1, "alpha")] * 6


def test_two_streams_cost_what_both_do(tmp_path):
    (plan,) = describe_sweeps([plan_sweep("sota-k400", systems=True)], tmp_path)
    rows = {row.row.name: row for row in plan.rows}
    alone, both = rows["R(2+1)D"], rows["R(2+1)D RGB+flow"]
    assert alone.params < both.params < 2 * alone.params  # two channels of flow, three of RGB
    assert alone.macs < both.macs < 2 * alone.macs
    assert len(both.missing) == 1
    work = total_work([plan])
    assert work.num_missing == len(plan.rows)  # of two rows of two streams flow alone
    shared = alone.macs_run + rows["I3D"].macs_run
    assert work.macs == sum(row.macs_run for row in plan.rows) - shared


def test_streams_are_trained_again_where_their_folders_are_gone(tmp_path, monkeypatch):
    """A record holds no scores that could be fused."""
    sweep = plan_sweep("sota-k400", systems=True)
    (both,) = [run for run in sweep.runs if run.row.name == "I3D RGB+flow"]
    monkeypatch.setattr(module, "finished_among", lambda records, sweep: {both.recipe_hash})
    (plan,) = describe_sweeps([sweep], tmp_path)
    work = total_work([plan])
    assert (work.num_finished, work.num_missing) == (1, len(plan.rows) - 1)  # I3D alone, too
    (stream, _) = both.streams
    monkeypatch.setattr(module, "is_trained", lambda out, sweep, run: run.recipe == stream.recipe)
    work = total_work(describe_sweeps([sweep], tmp_path))
    assert (work.num_finished, work.num_missing) == (2, len(plan.rows) - 2)
