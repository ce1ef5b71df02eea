import dataclasses
import errno
import json
import math
import multiprocessing
import os
import re
import signal
import threading

import pytest
import torch
from torch import nn

from stsm_cli.config.schema import Recipe, SynthConfig
from stsm_cli.data.dataset import open_splits
from stsm_cli.engine import saving, stop, trainer
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.train import train
from stsm_cli.errors import (
    CheckpointError,
    DataError,
    DivergedError,
    InterruptedRunError,
    PreemptedError,
    RecipeError,
    UsageError,
)
from stsm_cli.progress import SILENT

CPU = torch.device("cpu")
TIMES = ("seconds", "seconds_val", "data_share")


def comparable(folder):
    """Everything a run leaves, less the clock."""
    metrics = [{k: v for k, v in m.items() if k not in TIMES} for m in folder.metrics()]
    result = {k: v for k, v in folder.result().items() if not k.startswith("seconds")}
    return metrics, result, load_checkpoint(folder.checkpoint)["model"]


def assert_same(one, other):
    assert one[:2] == other[:2]
    assert one[2].keys() == other[2].keys()
    assert all(torch.equal(one[2][key], other[2][key]) for key in one[2])


def optim_edited(recipe, **changes):
    return recipe.model_copy(update={"optim": recipe.optim.model_copy(update=changes)})


def with_another_test(recipe):
    """The recipe with another test than the validation, which is then done after the last epoch."""
    return recipe.model_copy(update={"test": recipe.test.model_copy(update={"crops": 3})})


class StopAfter:
    """A progress that does `act` after so many steps of bars labelled `label`..."""

    def __init__(self, label, steps, act=lambda: signal.raise_signal(signal.SIGINT)):
        self.label, self.left, self.act = label, steps, act

    def message(self, text):
        pass

    def bar(self, label, total):
        outer = self

        class Bar:
            def __enter__(self):
                return self

            def __exit__(self, *exception):
                pass

            def advance(self, steps=1, status=""):
                if label.startswith(outer.label) and steps:
                    outer.left -= 1
                    if outer.left == 0:
                        outer.act()

        return Bar()


class Saying(StopAfter):
    """A progress that notes messages and bars."""

    def __init__(self):
        super().__init__("", -1)
        self.lines, self.bars = [], []

    def message(self, text):
        self.lines.append(text)

    def bar(self, label, total):
        self.bars.append(label)
        return super().bar(label, total)


def run(recipe, train_videos, val_videos, out, **options):
    return train(recipe, train_videos, val_videos, out, name="tiny", device=CPU, **options)


def test_a_run_folder_holds_the_run(recipe, train_videos, val_videos, tmp_path):
    seen = []
    result = run(recipe, train_videos, val_videos, tmp_path / "a", on_epoch=seen.append)
    folder = RunFolder(tmp_path / "a")
    assert folder.recipe() == recipe
    assert folder.result() == result
    assert folder.metrics() == seen
    assert [m["epoch"] for m in seen] == [1, 2]
    assert result["protocol"] == "synth-1x1@16"
    assert (result["num_videos"], result["num_listed"]) == (11, 11)
    environment = folder.environment()
    assert environment["recipe"] == "tiny"
    assert environment["device"] == "cpu"
    assert torch.__version__.startswith(environment["packages"]["torch"])


def test_the_seed_decides(recipe, train_videos, val_videos, tmp_path):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    run(recipe, train_videos, val_videos, tmp_path / "b")
    other = recipe.model_copy(update={"seed": 1})
    run(other, train_videos, val_videos, tmp_path / "c")
    a, b, c = (comparable(RunFolder(tmp_path / name)) for name in "abc")
    assert_same(a, b)
    assert a[0] != c[0]


@pytest.mark.parametrize(
    ("label", "steps", "where"),
    [
        ("epoch 1", 2, "at epoch 1, batch 2"),
        ("epoch 1", 5, "while validating epoch 1"),
        ("validating epoch 1", 1, "while validating epoch 1"),
        ("epoch 2", 3, "at epoch 2, batch 3"),
        ("testing", 1, "while testing"),
    ],
)
def test_a_run_that_was_stopped_goes_on_exactly(
    recipe, train_videos, val_videos, tmp_path, label, steps, where
):
    recipe, cut = with_another_test(recipe), tmp_path / "cut"
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    message = rf"interrupted {where}; saved .*cut/checkpoints/last\.pt"
    with pytest.raises(InterruptedRunError, match=message) as error:
        run(recipe, train_videos, val_videos, cut, progress=StopAfter(label, steps))
    assert error.value.hint == f"continue with `stsm train --resume --out {cut}`"
    assert RunFolder(cut).result() is None
    torch.manual_seed(99)
    run(recipe, train_videos, val_videos, cut, resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))


@pytest.mark.parametrize("label", ["epoch 1", "validating", "testing"])
def test_sigterm_stops_with_its_own_exit_code(recipe, train_videos, val_videos, tmp_path, label):
    stop = StopAfter(label, 1, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(PreemptedError, match=r"stopped by SIGTERM .*; saved") as error:
        run(with_another_test(recipe), train_videos, val_videos, tmp_path / "a", progress=stop)
    assert error.value.exit_code == 75
    assert RunFolder(tmp_path / "a").checkpoint.is_file()


def killed(work):
    """Do `work` in a process that SIGKILL ends."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("save_seconds", [0.0, 600.0], ids=["each step", "each epoch"])
@pytest.mark.parametrize(
    ("label", "steps"), [("epoch 1", 3), ("validating epoch 1", 1), ("epoch 2", 2), ("testing", 1)]
)
def test_sigkill_and_resume_is_exact_to_the_bit(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, label, steps, save_seconds
):
    monkeypatch.setattr(saving, "SAVE_SECONDS", save_seconds)
    recipe, cut = with_another_test(recipe), tmp_path / "cut"
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    stop = StopAfter(label, steps, kill)
    killed(lambda: run(recipe, train_videos, val_videos, cut, progress=stop))
    said = Saying()
    run(recipe, train_videos, val_videos, cut, resume=True, progress=said)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))
    assert said.bars[0] == {"epoch 1": "epoch 1/2", "validating epoch 1": "epoch 1/2"}.get(
        label, "epoch 2/2" if save_seconds == 0 or label == "testing" else "epoch 1/2"
    )


def test_sigkill_while_saving_leaves_the_checkpoint_before(
    recipe, train_videos, val_videos, tmp_path, monkeypatch
):
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    real = torch.save

    def half(state, file):
        if state["position"]["epoch"] == 1:
            file.write(b"half")
            file.flush()
            kill()
        real(state, file)

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        killed(lambda: run(recipe, train_videos, val_videos, cut))
    assert len(list((cut / "checkpoints").glob("*.tmp"))) == 1
    assert load_checkpoint(RunFolder(cut).checkpoint)["position"]["epoch"] == 0
    run(recipe, train_videos, val_videos, cut, resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))
    assert {path.name for path in (cut / "checkpoints").iterdir()} == {"last.pt", "best.pt"}


def test_a_full_disk_leaves_a_run_that_goes_on(
    recipe, train_videos, val_videos, tmp_path, monkeypatch
):
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    real, cut = torch.save, tmp_path / "cut"

    def full(state, file):
        if state["position"]["epoch"] == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        message = r"cut/checkpoints/last\.pt: cannot be written \(No space left on device\)"
        with pytest.raises(CheckpointError, match=message):
            run(recipe, train_videos, val_videos, cut)
    run(recipe, train_videos, val_videos, cut, resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))


def test_each_epoch_is_saved_once_and_the_best_is_kept(
    recipe, train_videos, val_videos, tmp_path, monkeypatch
):
    saved, real = [], torch.save

    def noting(state, file):
        saved.append((state["position"]["epoch"], state["position"]["batches"]))
        real(state, file)

    scores = iter([50.0, 75.0, 75.0, 60.0])
    summary = trainer.summary
    monkeypatch.setattr(torch, "save", noting)
    monkeypatch.setattr(trainer, "summary", lambda *a: summary(*a) | {"top1": next(scores)})
    run(optim_edited(recipe, epochs=4), train_videos, val_videos, tmp_path / "a")
    assert saved == [(0, 5), (1, 5), (2, 5), (3, 5)]
    folder = RunFolder(tmp_path / "a")
    assert load_checkpoint(folder.best_checkpoint)["position"]["epoch"] == 1


@pytest.mark.parametrize("crops", [1, 3])
def test_the_last_validation_is_the_test_where_both_ask_for_the_same(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, crops
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
        assert (result["top1"], result["seconds_eval"]) == (
            last["val_top1"],
            round(last["seconds_val"], 1),
        )


def test_a_killed_run_goes_on_from_its_last_epoch(recipe, train_videos, val_videos, tmp_path):
    def die(metrics):
        raise SystemExit  # as a kill would: nothing is saved from here on

    run(recipe, train_videos, val_videos, tmp_path / "whole")
    with pytest.raises(SystemExit):
        run(recipe, train_videos, val_videos, tmp_path / "cut", on_epoch=die)
    run(recipe, train_videos, val_videos, tmp_path / "cut", resume=True)
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    assert_same(comparable(whole), comparable(cut))


def test_resuming_a_finished_run_returns_its_result(recipe, train_videos, val_videos, tmp_path):
    result = run(recipe, train_videos, val_videos, tmp_path / "a")
    assert run(recipe, train_videos, val_videos, tmp_path / "a", resume=True) == result


def test_the_handler_of_ctrl_c_is_put_back(recipe, train_videos, val_videos, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    run(recipe, train_videos, val_videos, tmp_path / "a")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_existing_folder_is_not_overwritten(recipe, train_videos, val_videos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        run(recipe, train_videos, val_videos, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_is_under_way_is_not_disturbed(
    recipe, train_videos, val_videos, tmp_path, resume
):
    refused = []

    def meanwhile(metrics):
        message = "--out .* is not empty" if not resume else "another process is training in it"
        with pytest.raises(UsageError, match=message):
            run(recipe, train_videos, val_videos, tmp_path / "run", resume=resume)
        refused.append(metrics["epoch"])

    run(recipe, train_videos, val_videos, tmp_path / "run", on_epoch=meanwhile)
    assert refused == [metrics["epoch"] for metrics in RunFolder(tmp_path / "run").metrics()]
    assert not (tmp_path / "run" / ".lock").exists()


def test_resume_refuses_another_recipe(recipe, train_videos, val_videos, tmp_path):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    other = recipe.model_copy(update={"seed": 7})
    with pytest.raises(CheckpointError, match="another recipe: seed is 0 there, 7 here"):
        run(other, train_videos, val_videos, tmp_path / "a", resume=True)


def test_resume_refuses_a_checkpoint_of_another_recipe(recipe, train_videos, val_videos, tmp_path):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    other = recipe.model_copy(update={"seed": 7})
    run(other, train_videos, val_videos, tmp_path / "b")
    (tmp_path / "a" / "result.json").unlink()
    RunFolder(tmp_path / "b").checkpoint.replace(RunFolder(tmp_path / "a").checkpoint)
    with pytest.raises(CheckpointError, match=r"last\.pt: belongs to another recipe"):
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)


@pytest.mark.parametrize("key", ["position", "model", "optimizer", "scaler", "random"])
def test_resume_names_what_a_checkpoint_lacks(recipe, train_videos, val_videos, tmp_path, key):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=StopAfter("epoch 1", 1))
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    del state[key]
    torch.save(state, path)
    message = rf"last\.pt: does not continue here, another version .* \(holds no '{key}'\)"
    with pytest.raises(CheckpointError, match=message) as caught:
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)
    start = f"`stsm train {tmp_path}/a/recipe.yaml --init {path}` starts from its weights"
    assert caught.value.hint == (f"delete {tmp_path}/a to begin anew" if key == "model" else start)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda state: state["position"].update(extra=1), "unexpected keyword argument 'extra'"),
        (lambda state: state["model"].pop("fc.bias"), r"Error\(s\) in loading state_dict for TSN:"),
        (lambda state: state["optimizer"].update(param_groups=[]), "different number of parameter"),
    ],
)
def test_resume_tells_what_does_not_fit(recipe, train_videos, val_videos, tmp_path, change, what):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=StopAfter("epoch 1", 1))
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    change(state)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"does not continue here, .* \(.*{what}"):
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=True)


def test_a_damaged_checkpoint_hints_at_the_best_one(recipe, train_videos, val_videos, tmp_path):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=StopAfter("epoch 2", 1))
    folder = RunFolder(tmp_path / "a")
    folder.checkpoint.write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"last\.pt: not a readable") as caught:
        run(recipe, train_videos, val_videos, folder.path, resume=True)
    assert caught.value.hint == (
        f"`stsm eval {folder.path} --best` tests the checkpoint of its best epoch, "
        f"`stsm train {folder.recipe_file} --init {folder.best_checkpoint}` starts from it"
    )


def test_resume_refuses_another_class_list(recipe, train_videos, val_videos, tmp_path):
    run(recipe, train_videos, val_videos, tmp_path / "a")
    manifest = train_videos.manifest
    turned = dataclasses.replace(manifest, classes=manifest.classes[::-1])
    other = dataclasses.replace(train_videos, manifest=turned)
    with pytest.raises(DataError, match=r"its class list \(\w+\) is not the one of the training"):
        run(recipe, other, val_videos, tmp_path / "a", resume=True)


def test_class_counts_must_agree(recipe, train_videos, val_videos, tmp_path):
    model = recipe.model.model_copy(update={"num_classes": 5})
    with pytest.raises(DataError, match=r"holds 16 classes, the recipe's model\.num_classes is 5"):
        run(recipe.model_copy(update={"model": model}), train_videos, val_videos, tmp_path / "a")
    assert not (tmp_path / "a").exists()  # the corrected command may use it


def test_a_loss_that_is_not_finite_stops_the_run(recipe, train_videos, val_videos, tmp_path):
    class Broken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3, 16)

        def forward(self, videos):
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
    recipe, train_videos, val_videos, tmp_path, monkeypatch
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


def break_videos(videos, count):
    error = DataError("bad.mp4: does not decode")
    cache = (error,) * count + videos.cache[count:]
    return dataclasses.replace(videos, cache=cache)


def test_too_many_broken_training_videos_stop_the_run(recipe, train_videos, val_videos, tmp_path):
    with pytest.raises(DataError, match=r"1 training videos do not decode, more than 0\.5%: bad"):
        run(recipe, break_videos(train_videos, 1), val_videos, tmp_path / "a")


def test_a_few_broken_training_videos_are_skipped_and_counted(
    recipe, train_videos, val_videos, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "MAX_BROKEN_SHARE", 0.5)
    run(recipe, break_videos(train_videos, 3), val_videos, tmp_path / "a")
    assert [m["broken"] for m in RunFolder(tmp_path / "a").metrics()] == [3, 3]


def test_broken_test_videos_count_as_wrong_and_are_listed(
    recipe, train_videos, val_videos, tmp_path
):
    result = run(recipe, train_videos, break_videos(val_videos, 2), tmp_path / "a")
    assert (result["num_videos"], result["num_listed"]) == (9, 11)
    assert result["broken"] == ["val/0.mp4", "val/1.mp4"]


def test_bf16_and_gradient_clipping_train(recipe, train_videos, val_videos, tmp_path):
    optim = recipe.optim.model_copy(update={"clip_grad_norm": 1e-9, "weight_decay": 0.0})
    clipped = recipe.model_copy(update={"optim": optim, "precision": "bf16"})
    run(clipped, train_videos, val_videos, tmp_path / "a", progress=SILENT)
    losses = [m["train_loss"] for m in RunFolder(tmp_path / "a").metrics()]
    assert all(0 < loss < 10 for loss in losses)
    assert json.loads((tmp_path / "a" / "result.json").read_text())["num_videos"] == 11


def test_the_batch_is_told_and_recorded(recipe, train_videos, val_videos, tmp_path):
    said = Saying()
    edited = optim_edited(recipe, accumulate=2, epochs=1)
    run(edited, train_videos, val_videos, tmp_path / "a", progress=said)
    assert said.lines == ["batch 4 = 1 process x 2 parts x 2 videos, lr 8.333e-05"]
    about = RunFolder(tmp_path / "a").environment()
    assert about["batch"] | {"lr": 0} == {
        "batch_size": 4,
        "num_processes": 1,
        "num_parts": 2,
        "num_videos": 2,
        "lr": 0,
    }
    assert (about["processes"], about["workers"], about["compile"]) == (1, 0, None)
    assert about["tf32"].keys() == {"matmul", "convolution"}


def test_a_batch_that_cannot_be_shared_out_stops_before_anything_is_written(
    recipe, train_videos, val_videos, tmp_path
):
    with pytest.raises(RecipeError, match=r"optim\.batch_size \(4\) cannot be shared equally"):
        run(optim_edited(recipe, accumulate=3), train_videos, val_videos, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("cores", "more"), [(2, "raise --workers (now 0, of 2 cores), or "), (0, "")]
)
def test_waiting_for_data_is_told_once_with_the_cure(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, cores, more
):
    said, cached = Saying(), train_videos.read
    monkeypatch.setattr(trainer, "WAITING_SHARE", -1.0)
    monkeypatch.setattr(trainer, "num_cores", lambda: cores)
    monkeypatch.setattr(type(train_videos), "read", lambda self, *at: cached(*at))
    from_files = dataclasses.replace(train_videos, cache=None)
    run(recipe, from_files, val_videos, tmp_path / "a", progress=said)
    (hint,) = said.lines[1:]
    assert re.fullmatch(
        rf"hint: \d+% of the time was spent waiting for data: {re.escape(more)}re-encode "
        r"the videos for fast access: `stsm prepare \.\.\. --short-side 256 --gop 16`",
        hint,
    )


def test_the_data_set_gives_the_number_of_classes_where_the_recipe_leaves_it_open(
    recipe, train_videos, val_videos, tmp_path
):
    tree = recipe.model_dump(mode="json")
    tree["model"]["num_classes"] = None
    tree["data"] |= {"dataset": "folder", "synth": None, "flip": "none"}
    wanted = Recipe.model_validate_json(json.dumps(tree))
    stop = StopAfter("epoch 2", 1)
    with pytest.raises(InterruptedRunError):
        run(wanted, train_videos, val_videos, tmp_path / "a", progress=stop)
    assert RunFolder(tmp_path / "a").recipe().model.num_classes == 16
    result = run(wanted, train_videos, val_videos, tmp_path / "a", resume=True)
    assert result["num_videos"] == 11


def test_weights_to_start_from_are_not_needed_to_go_on(recipe, train_videos, val_videos, tmp_path):
    run(recipe, train_videos, val_videos, tmp_path / "first")
    init = tmp_path / "init.pt"
    RunFolder(tmp_path / "first").checkpoint.rename(init)
    tuned = recipe.model_copy(update={"model": recipe.model.model_copy(update={"init": str(init)})})
    run(tuned, train_videos, val_videos, tmp_path / "whole")
    assert len(RunFolder(tmp_path / "whole").environment()["init_sha256"]) == 64
    with pytest.raises(InterruptedRunError):
        run(tuned, train_videos, val_videos, tmp_path / "cut", progress=StopAfter("epoch 1", 3))
    init.unlink()
    run(tuned, train_videos, val_videos, tmp_path / "cut", resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(tmp_path / "cut")))


def test_curves_are_written_on_request(recipe, train_videos, val_videos, tmp_path):
    pytest.importorskip("tensorboard")
    run(recipe, train_videos, val_videos, tmp_path / "a", tensorboard=True)
    assert len(list((tmp_path / "a" / "tensorboard").glob("events.*"))) == 1


def test_one_process_may_continue_what_several_began_and_says_so(
    recipe, train_videos, val_videos, tmp_path
):
    with pytest.raises(InterruptedRunError):
        run(recipe, train_videos, val_videos, tmp_path / "a", progress=StopAfter("epoch 1", 3))
    path = RunFolder(tmp_path / "a").checkpoint
    state = load_checkpoint(path)
    torch.save(state | {"random": state["random"] * 2}, path)
    said = Saying()
    run(recipe, train_videos, val_videos, tmp_path / "a", resume=True, progress=said)
    assert "warning: begun with 2 processes, goes on with 1: " in said.lines[1]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_number_of_readers_does_not_show_even_after_a_kill(recipe, tmp_path):
    synth = SynthConfig(train=12, val=4, frames=6, short_side_px=18)
    data = recipe.data.model_copy(update={"synth": synth})
    recipe = optim_edited(recipe.model_copy(update={"data": data}), epochs=2)
    train_videos, val_videos = (
        dataclasses.replace(videos, cache=None)
        for videos in open_splits(data, tmp_path / "data", decoder="pyav")
    )
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    cut, stop = tmp_path / "cut", StopAfter("epoch 2", 2, kill)
    killed(lambda: run(recipe, train_videos, val_videos, cut, progress=stop))
    run(recipe, train_videos, val_videos, cut, resume=True, workers=2)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))


@pytest.mark.parametrize("phase", ["epoch 1", "validating"])
def test_a_sigterm_that_ends_the_readers_too_is_a_sigterm(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, phase
):
    def broken(*arguments, **options):
        # the readers are told a moment before this process is
        later = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        later.start()
        raise DataError("a process that reads videos died")
        yield

    monkeypatch.setattr(stop, "ARRIVAL_SECONDS", 60.0)
    if phase == "validating":
        monkeypatch.setattr("stsm_cli.engine.evaluate.evaluation_batches", broken)
    else:
        monkeypatch.setattr(trainer.TrainLoader, "epoch", broken)
    with pytest.raises(PreemptedError, match="saved"):
        run(recipe, train_videos, val_videos, tmp_path / "a")
    assert RunFolder(tmp_path / "a").checkpoint.is_file()


def test_a_reader_that_dies_by_itself_is_an_error(
    recipe, train_videos, val_videos, tmp_path, monkeypatch
):
    def broken(*arguments, **options):
        raise DataError("a process that reads videos died")
        yield

    monkeypatch.setattr(stop, "ARRIVAL_SECONDS", 0.0)
    monkeypatch.setattr(trainer.TrainLoader, "epoch", broken)
    with pytest.raises(DataError, match="a process that reads videos died"):
        run(recipe, train_videos, val_videos, tmp_path / "a")
