from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stsm_cli.bench import drawn, train
from stsm_cli.bench.train import OURS, THEIRS, contestants, measure_training, training_videos
from stsm_cli.bench.turns import Stopwatch
from stsm_cli.config.load import load_recipe
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError

CPU = torch.device("cpu")
TINY = ["data.synth={train: 16, val: 16, frames: 8, short_side_px: 32}", "model.num_frames=2"]
TINY += ["data.short_side_px=32", "data.crop_px=28", "optim.batch_size=4", "optim.accumulate=2"]


def tiny(*more):
    return load_recipe("synth/stsm", [*TINY, *more]).recipe


def test_a_recipe_is_beside_the_same_network_in_the_other_way():
    with training_videos(tiny(), None, "pyav") as (recipe, videos, text):
        ways = contestants(recipe, videos, None)
        ours, theirs = ways[OURS].stepper(CPU), ways[THEIRS].stepper(CPU)
        part = next(ways[THEIRS].loader(0, CPU).epoch(0))
        assert ways[THEIRS].laid_out(part).pixels.is_contiguous()
        assert not ways[OURS].laid_out(part).pixels.is_contiguous()
    assert text == "16 videos of the embedded set"
    assert (ours.recipe.precision, theirs.recipe.precision) == ("bf16", "fp32")
    for one, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(one, other)
    weight = {name: s.model.backbone.conv1.weight for name, s in (("o", ours), ("t", theirs))}
    assert not weight["o"].is_contiguous()
    assert weight["t"].is_contiguous()


def test_only_the_recipe_is_compiled(tmp_path):
    manifest = Manifest(tmp_path, "train", ("a",), [])
    ways = contestants(tiny(), Videos(manifest, 32, "pyav"), "inductor")
    assert [way.compile_with for way in ways.values()] == ["inductor", None]


def test_speed_memory_and_hours_of_both():
    with training_videos(tiny(), None, "pyav") as (recipe, videos, _):
        table = measure_training(contestants(recipe, videos, None), 2, 0, Stopwatch(CPU))
    assert table.title == "training steps of resnet_small, cpu"
    for row in table.rows.values():
        assert 0 <= row["waiting"] <= 100
        assert row["mb"] > 0
        epochs = 240258 * recipe.optim.epochs / row["clips_per_second"] / 3600
        assert row["hours_k400"] == pytest.approx(epochs)
        assert row["hours_sthv2"] == pytest.approx(epochs * 168913 / 240258)
    assert table.rows[THEIRS]["speedup"] == 1


def test_videos_of_a_folder_are_trained_on(small_run):
    edits = ["data.synth={train: 1, val: 21, frames: 12, short_side_px: 32}"]
    edits += ["data.short_side_px=32", "data.crop_px=28"]
    recipe = load_recipe("synth/stsm", edits).recipe
    with training_videos(recipe, Path("data/synth"), "pyav") as (fitted, videos, text):
        assert fitted.model.num_classes == len(videos.manifest.classes)
        assert text == "1 video of synth"


@pytest.mark.parametrize(
    ("name", "classes"), [("k400/stsm_r50_8f", 400), ("sthv2/tsn_r50_8f", 174)]
)
def test_other_sets_are_stood_for_by_drawn_videos(monkeypatch, name, classes):
    monkeypatch.setattr(drawn, "NUM_FRAMES", 20)
    monkeypatch.setattr(train, "DRAWN", 1)
    recipe = load_recipe(name).recipe
    with training_videos(recipe, None, "pyav") as (filled, videos, text):
        assert len(videos.manifest.classes) == filled.model.num_classes == classes
        ours = contestants(filled, videos, None)[OURS]
        assert len(ours.loader(0, CPU)) >= 200 * recipe.optim.accumulate  # or no worker reads ahead
        assert videos.read(0, torch.tensor([3]).numpy()).shape == (1, 256, 340, 3)
    assert text.startswith("1 drawn videos of ")


def test_videos_that_do_not_decode_are_told(tmp_path):
    recipe = tiny("optim.accumulate=1", "optim.batch_size=1", "data.flip=none")
    model = recipe.model.model_copy(update={"num_classes": 16})
    recipe = recipe.model_copy(update={"model": model})
    record = VideoRecord("no.mp4", 0, 8, 8.0, 32, 32)
    manifest = Manifest(tmp_path, "train", ("a",) * 16, [record])
    ways = contestants(recipe, Videos(manifest, 32, "pyav"), None)
    with pytest.raises(DataError, match=r"no video of a batch decodes: .*no\.mp4"):
        measure_training({OURS: replace(ways[OURS])}, 1, 0, Stopwatch(CPU))


@pytest.mark.parametrize(
    "edits",
    [
        ["model.backbone=r2plus1d_small", "model.shift=null", "model.stream=flow"],
        ["data.sampling=motion"],
    ],
)
def test_flow_and_motion_of_what_is_made_are_computed(monkeypatch, edits):
    monkeypatch.setattr(drawn, "NUM_FRAMES", 6)
    monkeypatch.setattr(train, "DRAWN", 1)
    made = tiny(*edits)
    data = made.data.model_copy(update={"dataset": "folder", "synth": None})
    for recipe in (made, made.model_copy(update={"data": data})):
        with training_videos(recipe, None, "pyav") as (fitted, videos, _):
            ours = contestants(fitted, videos, None)[OURS]
            part = next(ours.loader(0, CPU).epoch(0))
        assert (len(part.indices), part.broken) == (2, {})
        assert part.pixels.shape[2] == len(fitted.model.view.mean)
