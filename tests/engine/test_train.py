import dataclasses
import json
import signal

import pytest
import torch

from stsm_cli.engine import train as engine
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.train import train
from stsm_cli.errors import (
    CheckpointError,
    DataError,
    DivergedError,
    InterruptedRunError,
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


class StopAfter:
    """A progress that presses Ctrl-C after so many steps of bars labelled `label`..."""

    def __init__(self, label, steps):
        self.label, self.left = label, steps

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
                        signal.raise_signal(signal.SIGINT)

        return Bar()


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
    ("label", "steps"),
    [("epoch 1", 2), ("epoch 1", 5), ("validating epoch 1", 1), ("epoch 2", 3), ("testing", 1)],
)
def test_ctrl_c_and_resume_is_exact_to_the_bit(
    recipe, train_videos, val_videos, tmp_path, label, steps
):
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    with pytest.raises(InterruptedRunError, match=r"interrupted at epoch \d, batch \d; saved") as e:
        run(recipe, train_videos, val_videos, tmp_path / "cut", progress=StopAfter(label, steps))
    assert f"--resume --out {tmp_path / 'cut'}" in e.value.hint
    assert RunFolder(tmp_path / "cut").result() is None
    torch.manual_seed(99)
    run(recipe, train_videos, val_videos, tmp_path / "cut", resume=True)
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    assert_same(comparable(whole), comparable(cut))


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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "build_model", lambda config: Broken())
        message = r"loss is nan at step 0 \(epoch 1, lr 8\.33e-05, videos 4, 19, 6, 2\)"
        with pytest.raises(DivergedError, match=message):
            run(recipe, train_videos, val_videos, tmp_path / "a")


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
    monkeypatch.setattr(engine, "MAX_BROKEN_SHARE", 0.5)
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
