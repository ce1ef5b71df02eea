from fractions import Fraction

import pytest

from stsm_cli.analysis import plan as module
from stsm_cli.analysis.ablation import plan_sweep
from stsm_cli.analysis.plan import Moved, describe_sweep, moved_channels, num_train_videos
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
    synth = load_recipe("synth/stsm", ["data.synth.train=123"]).recipe
    assert num_train_videos(synth) == 123
    assert num_train_videos(load_recipe("k400/stsm_r50_8f").recipe) == 240_258
    assert num_train_videos(load_recipe("sthv2/stsm_r50_8f").recipe) == 168_913


def test_a_plan_before_anything_ran(tmp_path):
    plan = describe_sweep(plan_sweep("alpha", seeds=2, overrides=["optim.epochs=3"]), tmp_path)
    assert [row.row.name for row in plan.rows] == ["0", "1/8", "1/4", "3/8", "1/2", "3/4", "1"]
    assert {(row.num_finished, row.num_seeds) for row in plan.rows} == {(0, 2)}
    assert sum(moved.num_sites for moved in plan.rows[0].moved) == 4  # blocks of resnet_small
    assert {moved.moved for moved in plan.rows[0].moved} == {0}
    assert all(moved.moved == moved.channels for moved in plan.rows[-1].moved)
    assert plan.macs_run == plan.macs * plan.num_videos * 3 > 0
    assert plan.seconds is None


def test_records_tell_what_is_finished_and_how_long_the_rest_takes(measure, tmp_path):
    measure("alpha", lambda run: 50 if run.row.name == "0" else None)
    plan = describe_sweep(plan_sweep("alpha", overrides=["optim.epochs=8"]), tmp_path)
    assert plan.seconds == pytest.approx(57.8 / 4 * 8)  # a record of 4 epochs
    plan = describe_sweep(plan_sweep("alpha"), tmp_path)
    assert [row.num_finished for row in plan.rows] == [1, 0, 0, 0, 0, 0, 0]
    other = describe_sweep(plan_sweep("alpha", overrides=["data.synth.train=9"]), tmp_path)
    assert other.seconds is None  # other data tell nothing


def test_the_papers_network_needs_no_data_and_no_weights(monkeypatch, tmp_path):
    seen = []
    real = module.model_cost

    def small(config, *, size_px):
        seen.append((config.backbone, size_px))
        return real(config, size_px=32)

    monkeypatch.setattr(module, "model_cost", small)
    plan = describe_sweep(plan_sweep("spatial", "k400"), tmp_path)
    assert seen == [("resnet50", 224)]
    widths = [(moved.channels, moved.num_sites, moved.parts) for moved in plan.rows[1].moved]
    assert widths == [
        (64, 1, "T 8+8"),
        (256, 3, "T 32+32"),
        (512, 4, "T 64+64"),
        (1024, 6, "T 128+128"),
        (2048, 2, "T 256+256"),
    ]
