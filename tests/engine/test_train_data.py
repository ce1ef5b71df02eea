"""Data that do not fit, are broken or slow, and numbers that are not finite."""

import dataclasses
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stsm_cli.config.schema import Recipe
from stsm_cli.data.flow import Flow
from stsm_cli.data.mirror import Mirror
from stsm_cli.engine import trainer
from stsm_cli.engine.checkpoint import Saver, load_checkpoint
from stsm_cli.engine.runlog import RunFolder, write_json
from stsm_cli.engine.step import Stepper
from stsm_cli.engine.trained import trained
from stsm_cli.errors import (
    DataError,
    DivergedError,
    InterruptedRunError,
    RecipeError,
    UsageError,
)
from stsm_cli.models.network import Network


def test_class_counts_must_agree(recipe, train_videos, val_videos, tmp_path, run):
    model = recipe.model.model_copy(update={"num_classes": 5})
    message = r"holds 16 classes, the recipe's model\.num_classes is 5"
    with pytest.raises(DataError, match=message) as caught:
        run(recipe.model_copy(update={"model": model}), train_videos, val_videos, tmp_path / "a")
    assert "`--set model.num_classes=16`" in caught.value.hint
    assert not (tmp_path / "a").exists()  # the corrected command may use it


def test_a_set_whose_parts_show_batch_norms_one_value_is_refused(
    recipe, make_split, val_videos, tmp_path, run, optim_edited
):
    model = recipe.model.model_copy(update={"num_frames": 1, "shift": None})
    wanted = optim_edited(recipe.model_copy(update={"model": model}), batch_size=8, accumulate=4)
    with pytest.raises(RecipeError, match=r"^data\.crop_px \(16\) must be more than 16 with one "):
        run(wanted, make_split("train", 5), val_videos, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_videos_whose_folder_no_record_can_name_are_not_trained_on(
    recipe, make_split, val_videos, tmp_path, run
):
    videos = make_split("train", 20, root=Path("d\udcff"))
    with pytest.raises(UsageError, match=f"^--data {tmp_path}/d\udcff: is not UTF-8"):
        run(recipe, videos, val_videos, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_loss_that_is_not_finite_stops_the_run(recipe, train_videos, val_videos, tmp_path, run):
    class Broken(Network):
        def __init__(self):
            super().__init__(recipe.model.view, 16)
            self.fc = torch.nn.Linear(3, 16)

        def logits(self, videos):
            return self.fc(videos.mean((1, 3, 4))) * float("nan")

    videos = ", ".join(rf"train/{index}\.mp4" for index in (4, 19, 6, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "build_model", lambda config, progress: Broken())
        message = rf"loss is nan at step 0 \(epoch 1, lr 8\.33e-05, videos {videos}\)"
        with pytest.raises(DivergedError, match=message) as error:
            run(recipe, train_videos, val_videos, tmp_path / "a")
    assert error.value.hint == "lower optim.lr or set optim.clip_grad_norm"
    assert not RunFolder(tmp_path / "a").checkpoint.exists()


def test_a_gradient_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run
):
    steps, real = [], nn.utils.clip_grad_norm_

    def clip(parameters, limit):
        assert limit == math.inf  # the recipe does not clip
        steps.append(1)
        return torch.tensor(math.inf) if len(steps) == 8 else real(parameters, limit)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clip)
    message = r"the gradient's norm is inf at step 7 \(epoch 2, lr 8\.33e-05, videos train/"
    with pytest.raises(DivergedError, match=message) as error:
        run(recipe, train_videos, val_videos, tmp_path / "a")
    folder = RunFolder(tmp_path / "a")
    assert error.value.hint.endswith(f"; {folder.checkpoint} is from before")
    state = load_checkpoint(folder.checkpoint)
    assert (state["position"]["epoch"], state["position"]["batches"]) == (0, 5)


def small_steps(recipe, optim_edited, **changes):
    """One step an epoch."""
    return optim_edited(recipe, batch_size=20, lr_batch_size=20, clip_grad_norm=1.0, **changes)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_learning_rate_that_leaves_no_numbers_is_a_divergence(
    recipe, train_videos, val_videos, tmp_path, optim_edited, run, optimizer
):
    wild = small_steps(recipe, optim_edited, lr=1e30, optimizer=optimizer)
    message = (
        r"^the (weights are not finite after step 0 \(epoch 1, lr 1e\+30\)|network's scores of 11 "
        "of 11 videos are not finite)$"
    )
    with pytest.raises(DivergedError, match=message) as error:
        run(wild, train_videos, val_videos, tmp_path / "a")
    assert error.value.hint.startswith(
        ("lower optim.lr or lower optim.clip_grad_norm", "its weights have diverged: ")
    )
    assert RunFolder(tmp_path / "a").metrics() == []


def test_weights_that_are_not_finite_never_replace_the_checkpoint(
    recipe, train_videos, val_videos, tmp_path, optim_edited, monkeypatch, run
):
    steps, real = [], Stepper.apply

    def apply(self, lr):
        real(self, lr)
        steps.append(lr)
        if len(steps) == 2:
            self.model.fc.bias.data[3] = math.inf

    monkeypatch.setattr(Stepper, "apply", apply)
    message = r"^the weights are not finite after step 1 \(epoch 2, lr 0\.001\)$"
    with pytest.raises(DivergedError, match=message) as error:
        run(small_steps(recipe, optim_edited), train_videos, val_videos, tmp_path / "a")
    folder = RunFolder(tmp_path / "a")
    assert error.value.hint.endswith(f"; {folder.checkpoint} is from before")
    kept = load_checkpoint(folder.checkpoint)
    assert all(tensor.isfinite().all() for tensor in kept["model"].values())
    assert len(folder.metrics()) == 1


def test_saving_is_no_waiting_for_data(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run
):
    clock, save = [0.0], Saver.save

    def slow(self, position):
        clock[0] += 100
        save(self, position)

    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(Saver, "is_due", property(lambda self: True))
    monkeypatch.setattr(Saver, "save", slow)
    run(recipe, train_videos, val_videos, tmp_path / "a")
    lines = RunFolder(tmp_path / "a").metrics()
    assert [(line["seconds"] >= 500, line["data_share"]) for line in lines] == [(True, 0.0)] * 2


def break_videos(videos, count):
    """The videos, the first `count` of which are neither in memory nor in a file."""
    return dataclasses.replace(videos, cache=(None,) * count + videos.cache[count:])


def test_too_many_broken_training_videos_stop_the_run(
    recipe, train_videos, val_videos, tmp_path, run
):
    with pytest.raises(
        DataError, match=r"training videos that do not decode: 1, more than 0\.5%: nowhere"
    ):
        run(recipe, break_videos(train_videos, 1), val_videos, tmp_path / "a")
    resumed = run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)  # the disk is back
    assert resumed.num_videos == 11
    assert [m["broken"] for m in RunFolder(tmp_path / "a").metrics()] == [0, 0]
    flow = dataclasses.replace(break_videos(train_videos, 20), flow=Flow("dis"))
    with pytest.raises(DataError, match="training videos that do not decode: 4") as caught:
        run(recipe, flow, val_videos, tmp_path / "b")
    command = f"`stsm prepare flow {flow.manifest.root}`"
    assert caught.value.hint == f"{command} makes what is missing, or lists it"


def test_a_few_broken_training_videos_are_skipped_and_counted(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run
):
    monkeypatch.setattr(trainer, "MAX_BROKEN_SHARE", 0.5)
    run(recipe, break_videos(train_videos, 3), val_videos, tmp_path / "a")
    assert [m["broken"] for m in RunFolder(tmp_path / "a").metrics()] == [3, 3]


def test_broken_test_videos_count_as_wrong_and_are_listed(
    recipe, train_videos, val_videos, tmp_path, said, run
):
    broken = break_videos(val_videos, 2)
    result = run(recipe, train_videos, broken, tmp_path / "a", progress=said)
    assert (result.num_videos, result.num_listed) == (9, 11)
    assert result.broken == ("val/0.mp4", "val/1.mp4")
    why = "2 videos did not decode and count as wrong, the first: nowhere/val/0.mp4: no such file"
    told = [line for line in said.lines if why in line]
    assert told == [f"warning: validating epoch {epoch}: {why}" for epoch in (1, 2)]


@pytest.mark.parametrize(
    ("cores", "more"), [(2, "raise --workers (now 0, of 2 cores), or "), (0, "")]
)
def test_waiting_for_data_is_told_once_with_the_cure(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, cores, more, said, run
):
    cached = train_videos.read
    monkeypatch.setattr(trainer, "WAITING_SHARE", -1.0)
    monkeypatch.setattr(trainer, "num_cores", lambda: cores)
    monkeypatch.setattr(type(train_videos), "read", lambda self, *at: cached(*at))
    from_files = dataclasses.replace(train_videos, cache=None)
    run(recipe, from_files, val_videos, tmp_path / "a", progress=said)
    (hint,) = said.lines[2:]  # after device and batch
    assert re.fullmatch(
        rf"hint: \d+% of the time was spent waiting for data: {re.escape(more)}re-encode "
        r"the videos for fast access: `stsm prepare \.\.\. --short-side 256 --gop 16`",
        hint,
    )


def test_the_data_set_gives_the_number_of_classes_where_the_recipe_leaves_it_open(
    recipe, train_videos, val_videos, tmp_path, stop_after, run
):
    tree = recipe.model_dump(mode="json")
    tree["model"]["num_classes"] = None
    tree["data"] |= {"dataset": "folder", "synth": None, "flip": "none"}
    wanted = Recipe.model_validate_json(json.dumps(tree))
    stop = stop_after("epoch 2", 1)
    with pytest.raises(InterruptedRunError):
        run(wanted, train_videos, val_videos, tmp_path / "a", progress=stop)
    assert RunFolder(tmp_path / "a").recipe().model.num_classes == 16
    result = run(wanted, train_videos, val_videos, tmp_path / "a", resume=True)
    assert result.num_videos == 11


def test_a_folder_s_mirroring_is_filled_in_recorded_and_tested_with(
    recipe, train_videos, val_videos, tmp_path, stop_after, said, run
):
    tree = recipe.model_dump(mode="json")
    tree["data"] |= {"dataset": "folder", "synth": None}
    del tree["data"]["flip"]
    wanted = Recipe.model_validate_json(json.dumps(tree))
    with pytest.raises(InterruptedRunError):
        run(wanted, train_videos, val_videos, tmp_path / "a", progress=stop_after("epoch 2", 1))
    folder = RunFolder(tmp_path / "a")
    assert folder.recipe().data.flip == "label_aware"
    swapped = trained(str(tmp_path / "a"), None).mirror
    assert swapped == Mirror(
        (
            ("left_to_right", "right_to_left"),
            ("rotate_ccw", "rotate_cw"),
            ("left_first", "right_first"),
        ),
        "their names",
    )
    about = folder.environment()
    write_json(folder.environment_file, about | {"mirror": about["mirror"] | {"pairs": []}})
    with pytest.raises(DataError, match="a: was begun with mirror images that swap "):
        run(wanted, train_videos, val_videos, tmp_path / "a", resume=True)
    write_json(folder.environment_file, about)
    run(wanted, train_videos, val_videos, tmp_path / "a", resume=True, progress=said)
    assert "a mirror swaps classes: left_to_right and right_to_left, " in said.lines[1]
    assert "; about 0:00:" in said.lines[0]  # the first epoch was measured


def test_label_aware_without_pairs_stops_before_anything_is_written(
    recipe, train_videos, val_videos, tmp_path, run
):
    manifest = dataclasses.replace(
        train_videos.manifest, classes=tuple(f"class {i}" for i in range(16))
    )
    data = recipe.data.model_copy(update={"dataset": "folder", "synth": None})
    with pytest.raises(DataError, match=r"data\.flip is label_aware, and no two of its 16 classes"):
        run(
            recipe.model_copy(update={"data": data}),
            dataclasses.replace(train_videos, manifest=manifest),
            val_videos,
            tmp_path / "a",
        )
    assert not (tmp_path / "a").exists()
