from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.config.schema import DataConfig
from stsm_cli.data import dataset, motion
from stsm_cli.data.dataset import check_split, open_split, open_splits
from stsm_cli.data.flow import Flow
from stsm_cli.data.motion import motion_path
from stsm_cli.data.rendered_set import RenderedSet
from stsm_cli.errors import DataError


def config(**changes):
    values = {"dataset": "synth", "sampling": "uniform", "short_side_px": 16, "crop_px": 16}
    return DataConfig(**values | changes)


def test_the_embedded_set_is_made_where_it_is_absent_and_lies_below_data(monkeypatch):
    made = []
    monkeypatch.setattr(
        RenderedSet, "make", lambda _, root, synth, *, progress: made.append((root, synth))
    )
    with pytest.raises(DataError, match=r"data.synth"):
        open_split(config(synth=SynthConfig(train=8)), None, "val", decoder="pyav")
    assert made == [(Path("data/synth"), SynthConfig(train=8))]


def test_other_sets_are_not_made(monkeypatch):
    monkeypatch.delattr(RenderedSet, "make")
    with pytest.raises(DataError, match=r"mine"):
        open_split(config(dataset="k400"), Path("mine"), "val", decoder="pyav")


def test_a_set_prepared_as_another_is_refused(tmp_path):
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "report.json").write_text('{"dataset": "sthv2"}')
    says = r"was prepared as sthv2, the recipe's data\.dataset is k400"
    with pytest.raises(DataError, match=says) as caught:
        open_split(config(dataset="k400"), tmp_path, "val", decoder="pyav")
    assert caught.value.hint.startswith("choose a recipe of sthv2")


def test_a_recipe_of_the_embedded_set_says_what_another_was_prepared_as(tmp_path):
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "report.json").write_text('{"dataset": "folder"}')
    says = r"was prepared as folder, the recipe's data\.dataset is synth"
    with pytest.raises(DataError, match=says) as caught:
        dataset.check_place(config(dataset="synth", synth=SynthConfig()), tmp_path)
    assert caught.value.hint.endswith("; `--set data.dataset=folder` has this one train on it")


def test_the_embedded_set_is_no_other(tmp_path):
    (tmp_path / "synth.json").write_text("{}")
    with pytest.raises(
        DataError, match=r"was prepared as synth, the recipe's data\.dataset is k400"
    ):
        open_split(config(dataset="k400"), tmp_path, "val", decoder="pyav")


def test_both_splits_share_one_budget_and_all_processes_the_cores(monkeypatch):
    opened = []

    def open_videos(root, split, short_side_px, *, decoder, budget_bytes, threads, flow, progress):
        opened.append((split, budget_bytes, threads))
        assert flow is None
        return split

    monkeypatch.setattr(dataset, "open_videos", open_videos)
    monkeypatch.setattr(dataset, "cache_budget", lambda processes: 1000 // processes)
    monkeypatch.setattr(dataset, "held_bytes", {"train": 300}.__getitem__)
    monkeypatch.setattr(dataset, "num_cores", lambda: 6)
    k400 = config(dataset="k400")
    open_splits(k400, Path("mine"), decoder="pyav", processes=2)
    open_split(k400, Path("mine"), "val", decoder="pyav", processes=8)
    assert opened == [("train", 500, 3), ("val", 200, 3), ("val", 125, 1)]


def test_the_split_that_is_tested_is_opened_too(monkeypatch):
    budgets = {}

    def open_split(config, root, split, *, budget_bytes, **options):
        budgets[split] = budget_bytes
        return split

    monkeypatch.setattr(dataset, "open_split", open_split)
    monkeypatch.setattr(dataset, "cache_budget", lambda processes: 1000)
    monkeypatch.setattr(dataset, "held_bytes", {"train": 300, "val": 200}.__getitem__)
    opened = open_splits(config(dataset="k400"), None, decoder="pyav", test_split="test")
    assert opened == ("train", "val", "test")
    assert budgets == {"train": 1000, "val": 700, "test": 500}
    assert open_splits(config(dataset="k400"), None, decoder="pyav").test is None


def test_motion_is_measured_where_the_sampler_follows_it_and_once(monkeypatch, tmp_path):
    settings = SynthConfig(train=2, val=2, frames=8, short_side_px=16)
    opened = partial(open_split, root=tmp_path / "set", split="val", decoder="pyav")
    plain = opened(config(synth=settings))
    assert plain.curve(0) is None
    assert not motion_path(tmp_path / "set").exists()
    moving = config(synth=settings, sampling="motion")
    first = opened(moving)
    assert [len(first.curve(i)) for i in (0, 1)] == [7, 7]
    assert first.curve(0).any()
    monkeypatch.delattr(motion, "measure")
    assert (opened(moving).motion.values == first.motion.values).all()


def test_flow_is_opened_by_the_recipe_s_method(monkeypatch, tmp_path):
    (tmp_path / "manifest").mkdir()
    report = tmp_path / "manifest" / "flow_farneback.json"
    report.write_text('{"method": "farneback", "short_side_px": 256, "version": 1}')
    monkeypatch.setattr(
        dataset, "open_videos", lambda *_, flow, **__: SimpleNamespace(flow=flow, manifest="its")
    )
    checked = []
    monkeypatch.setattr(dataset, "check_flow_files", lambda *of: checked.append(of))
    k400 = config(dataset="k400", flow="farneback")
    opened = open_split(k400, tmp_path, "val", decoder="pyav", flow_fields=5)
    assert opened.flow == Flow("farneback", 5)
    assert checked == [("its", "farneback")]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_set_without_flow_is_told_before_its_lists_are_read(tmp_path, split):
    with pytest.raises(DataError, match="has no optical flow by dis, which the recipe reads"):
        check_split(config(dataset="k400"), tmp_path, split, flow_fields=1)
    synth = config(dataset="synth", synth=SynthConfig())
    with pytest.raises(DataError, match="new: has no optical flow by dis") as caught:
        open_split(synth, tmp_path / "new", split, decoder="pyav", flow_fields=1)
    assert f"`stsm prepare synth {tmp_path}/new`, then `stsm prepare flow" in caught.value.hint
    assert not (tmp_path / "new").exists()
