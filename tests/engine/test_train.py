import json
import shutil
from dataclasses import replace

import pytest
import torch

from stsm_cli.config.schema import Recipe
from stsm_cli.data.order import ORDER
from stsm_cli.engine import trainer
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.identity import weights_sha256
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import InterruptedRunError, RecipeError, UsageError
from stsm_cli.models.build import build_model


def test_a_run_folder_holds_the_run(recipe, train_videos, val_videos, tmp_path, run):
    seen = []
    result = run(recipe, train_videos, val_videos, tmp_path / "a", on_epoch=seen.append)
    folder = RunFolder(tmp_path / "a")
    assert folder.recipe() == recipe
    assert folder.outcome() == result
    assert folder.metrics() == seen
    assert [m["epoch"] for m in seen] == [1, 2]
    assert result.protocol == "synth-1x1@16"
    assert (result.num_videos, result.num_listed) == (11, 11)
    environment = folder.environment()
    assert environment["recipe"] == "tiny"
    assert environment["device"] == "cpu"
    assert torch.__version__.startswith(environment["packages"]["torch"])


def test_the_seed_decides(recipe, train_videos, val_videos, tmp_path, comparable, assert_same, run):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    run(recipe, train_videos, val_videos, tmp_path / "b")
    other = recipe.model_copy(update={"seed": 1})
    run(other, train_videos, val_videos, tmp_path / "c")
    a, b, c = (comparable(RunFolder(tmp_path / name)) for name in "abc")
    assert_same(a, b)
    assert a[0] != c[0]


def test_epochs_are_tested_on_val_and_the_result_is_of_the_test_split(
    recipe, train_videos, val_videos, make_split, tmp_path, run, optim_edited
):
    data = recipe.data.model_dump() | {"dataset": "order", "synth": None}
    data["order"] = {"train": 20, "val": 11, "test": 13, "frames": 8, "short_side_px": 18}
    edited = optim_edited(recipe, epochs=1).model_dump(mode="json", exclude={"data"})
    edited |= {"data": data, "test": {"crop_px": 16, "split": "test"}}
    wanted = Recipe.model_validate_json(json.dumps(edited))
    train_split, val_split, test_split = (
        replace(videos, manifest=replace(videos.manifest, classes=ORDER.classes))
        for videos in (train_videos, val_videos, make_split("test", 13, seed=2))
    )
    result = run(wanted, train_split, val_split, tmp_path / "a", test_videos=test_split)
    assert (result.num_listed, result.protocol) == (13, "order-1x1@16-test")
    folder = RunFolder(tmp_path / "a")
    assert folder.metrics()[0]["val_top1"] in {100 * n / 11 for n in range(12)}
    assert folder.outcome() == result


def test_each_epoch_is_saved_once_and_the_best_is_kept(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, optim_edited, run
):
    saved, real = [], torch.save

    def noting(state, file):
        saved.append((state["position"]["epoch"], state["position"]["batches"]))
        real(state, file)

    scores = iter([50.0, 75.0, 75.0, 60.0])
    summary = trainer.summary
    monkeypatch.setattr(torch, "save", noting)
    monkeypatch.setattr(trainer, "summary", lambda *a: replace(summary(*a), top1=next(scores)))
    run(optim_edited(recipe, epochs=4), train_videos, val_videos, tmp_path / "a")
    assert saved == [(0, 5), (1, 5), (2, 5), (3, 5)]
    folder = RunFolder(tmp_path / "a")
    assert load_checkpoint(folder.best_checkpoint)["position"]["epoch"] == 1


@pytest.mark.parametrize("crops", [1, 3])
def test_the_last_validation_is_the_test_where_both_ask_for_the_same(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, crops, with_another_test, run
):
    labels, score_split = [], trainer.score_split

    def noting(*arguments, label, **options):
        labels.append(label)
        return score_split(*arguments, label=label, **options)

    monkeypatch.setattr(trainer, "score_split", noting)
    wanted = recipe if crops == 1 else with_another_test(recipe)
    result = run(wanted, train_videos, val_videos, tmp_path / "a")
    expected = ["validating epoch 1", "validating epoch 2"] + ["testing"] * (crops == 3)
    assert labels == expected
    last = RunFolder(tmp_path / "a").metrics()[-1]
    if crops == 1:
        assert (result.top1, result.seconds_eval) == (
            last["val_top1"],
            round(last["seconds_val"], 1),
        )


@pytest.fixture
def stalling(recipe, optim_edited):
    """A recipe whose validation cannot change: nothing learns."""
    still = {"lr": 1e-12, "frozen_norms": "all", "epochs": 5, "patience_epochs": 2}
    return optim_edited(recipe, **still)


def test_a_run_that_no_longer_improves_ends_early(
    stalling, train_videos, val_videos, tmp_path, said, run
):
    result = run(stalling, train_videos, val_videos, tmp_path / "a", progress=said)
    folder = RunFolder(tmp_path / "a")
    assert [line["epoch"] for line in folder.metrics()] == [1, 2, 3]
    assert result.stopped_epoch == folder.result()["stopped_epoch"] == 3
    top1 = folder.metrics()[0]["val_top1"]
    assert said.lines[-1] == (
        f"stops after epoch 3 of 5: the best validation, {top1:.1f} %, was 2 epochs ago "
        "(optim.patience_epochs)"
    )


@pytest.mark.parametrize(("label", "steps"), [("epoch 3", 2), ("validating epoch 3", 1)])
def test_one_that_was_stopped_before_ends_at_the_same_epoch(
    stalling,
    train_videos,
    val_videos,
    tmp_path,
    label,
    steps,
    with_another_test,
    comparable,
    assert_same,
    stop_after,
    run,
):
    stalling = with_another_test(stalling)
    run(stalling, train_videos, val_videos, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        run(
            stalling,
            train_videos,
            val_videos,
            tmp_path / "cut",
            progress=stop_after(label, steps),
        )
    run(stalling, train_videos, val_videos, tmp_path / "cut", resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(tmp_path / "cut")))


def test_the_average_of_the_weights_is_the_run_s_result(
    recipe, train_videos, val_videos, tmp_path, optim_edited, comparable, run
):
    averaging = optim_edited(recipe, ema_decay=0.5)
    result = run(averaging, train_videos, val_videos, tmp_path / "a")
    state = load_checkpoint(RunFolder(tmp_path / "a").checkpoint)
    assert state["num_averaged"] == 10
    assert not torch.equal(state["model"]["fc.weight"], state["trained"]["fc.weight"])
    model = build_model(recipe.model)
    model.load_state_dict(state["model"])
    assert result.weights_sha256 == weights_sha256(model)
    run(recipe, train_videos, val_videos, tmp_path / "plain")
    plain = load_checkpoint(RunFolder(tmp_path / "plain").checkpoint)["model"]
    assert all(torch.equal(plain[name], tensor) for name, tensor in state["trained"].items())
    losses = [
        [line["train_loss"] for line in RunFolder(tmp_path / name).metrics()]
        for name in ("a", "plain")
    ]
    assert losses[0] == losses[1]


def test_an_existing_folder_is_not_overwritten(recipe, train_videos, val_videos, tmp_path, run):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        run(recipe, train_videos, val_videos, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_is_under_way_is_not_disturbed(
    recipe, train_videos, val_videos, tmp_path, resume, run
):
    refused = []

    def meanwhile(metrics):
        with pytest.raises(UsageError, match="run: another process is training in it"):
            run(recipe, train_videos, val_videos, tmp_path / "run", resume=resume)
        refused.append(metrics["epoch"])

    run(recipe, train_videos, val_videos, tmp_path / "run", on_epoch=meanwhile)
    assert refused == [metrics["epoch"] for metrics in RunFolder(tmp_path / "run").metrics()]
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_clipped_gradient_is_a_short_step(
    recipe, train_videos, val_videos, tmp_path, optim_edited, run, precision
):
    def moved_by(clip_grad_norm):
        """How far the classifier's weights are from where they started."""
        plain = optim_edited(recipe, optimizer="sgd", momentum=0.0, weight_decay=0.0, epochs=1)
        plain = optim_edited(plain, clip_grad_norm=clip_grad_norm, lr=0.1)
        run(plain.model_copy(update={"precision": precision}), train_videos, val_videos, out)
        torch.manual_seed(recipe.seed)
        start = build_model(recipe.model).fc.weight
        weight = torch.load(RunFolder(out).checkpoint, weights_only=True)["model"]["fc.weight"]
        shutil.rmtree(out)
        return (weight - start).abs().max()

    out = tmp_path / "run"
    assert moved_by(None) > 1e-3
    assert 0 < moved_by(1e-5) < 1e-5  # five steps of 0.1 at most


def test_a_step_in_bf16_computes_in_it(recipe, train_videos, val_videos, tmp_path, run):
    def losses(precision):
        edited = recipe.model_copy(update={"precision": precision})
        run(edited, train_videos, val_videos, tmp_path / precision)
        return [m["train_loss"] for m in RunFolder(tmp_path / precision).metrics()]

    half, whole = losses("bf16"), losses("fp32")
    assert half != whole
    assert half == pytest.approx(whole, rel=0.1)


def test_the_batch_is_told_and_recorded(
    recipe, train_videos, val_videos, tmp_path, optim_edited, said, run
):
    edited = optim_edited(recipe, accumulate=2, epochs=1)
    run(edited, train_videos, val_videos, tmp_path / "a", progress=said)
    assert said.lines == [
        "CPU, 1 thread: resnet_small of 0.27 M parameters in fp32, 20 training and 11 validation "
        "videos of 16 classes; the time left follows the first epoch",
        "batch 4 = 1 process x 2 parts x 2 videos, lr 8.333e-05; 5 steps an epoch",
    ]
    about = RunFolder(tmp_path / "a").environment()
    assert about["batch"] | {"lr": 0} == {
        "batch_size": 4,
        "num_processes": 1,
        "num_parts": 2,
        "num_videos": 2,
        "lr": 0,
        "steps_per_epoch": 5,
        "num_left_out": 0,
        "wanted": 4,
    }
    assert (about["processes"], about["workers"], about["compile"]) == (1, 0, None)
    assert about["tf32"].keys() == {"matmul", "convolution"}


def test_a_batch_that_cannot_be_shared_out_stops_before_anything_is_written(
    recipe, train_videos, val_videos, tmp_path, optim_edited, run
):
    with pytest.raises(RecipeError, match=r"optim\.batch_size \(4\) cannot be shared equally"):
        run(optim_edited(recipe, accumulate=3), train_videos, val_videos, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_curves_are_written_on_request(recipe, train_videos, val_videos, tmp_path, run):
    pytest.importorskip("tensorboard")
    run(recipe, train_videos, val_videos, tmp_path / "a", tensorboard=True)
    assert len(list((tmp_path / "a" / "tensorboard").glob("events.*"))) == 1
