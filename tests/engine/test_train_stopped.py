"""Runs that are stopped, killed or short of disk, and go on to the same numbers."""

import dataclasses
import errno
import multiprocessing
import os
import signal
import threading

import pytest
import torch

from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.dataset import open_splits
from stsm_cli.engine import checkpoint, stop, trainer
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import CheckpointError, DataError, InterruptedRunError, PreemptedError


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
    recipe,
    train_videos,
    val_videos,
    tmp_path,
    label,
    steps,
    where,
    comparable,
    assert_same,
    with_another_test,
    stop_after,
    run,
):
    recipe, cut = with_another_test(recipe), tmp_path / "cut"
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    message = rf"interrupted {where}; saved .*cut/checkpoints/last\.pt"
    with pytest.raises(InterruptedRunError, match=message) as error:
        run(recipe, train_videos, val_videos, cut, progress=stop_after(label, steps))
    assert error.value.hint == f"continue with `stsm train --resume --out {cut}`"
    assert RunFolder(cut).result() is None
    torch.manual_seed(99)
    run(recipe, train_videos, val_videos, cut, resume=True)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))


def test_a_regularised_run_that_was_stopped_goes_on_exactly(
    regularised, train_videos, val_videos, tmp_path, comparable, assert_same, stop_after, run
):
    run(regularised, train_videos, val_videos, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        run(
            regularised,
            train_videos,
            val_videos,
            tmp_path / "cut",
            progress=stop_after("epoch 2", 3),
        )
    torch.manual_seed(99)
    run(regularised, train_videos, val_videos, tmp_path / "cut", resume=True)
    whole, cut = (RunFolder(tmp_path / name) for name in ("whole", "cut"))
    assert_same(comparable(whole), comparable(cut))
    ends = [load_checkpoint(folder.checkpoint)["trained"] for folder in (whole, cut)]
    assert all(torch.equal(ends[1][name], tensor) for name, tensor in ends[0].items())


@pytest.mark.parametrize("label", ["epoch 1", "validating", "testing"])
def test_sigterm_stops_with_its_own_exit_code(
    recipe, train_videos, val_videos, tmp_path, label, with_another_test, stop_after, run
):
    stop = stop_after(label, 1, lambda: signal.raise_signal(signal.SIGTERM))
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
    recipe,
    train_videos,
    val_videos,
    tmp_path,
    monkeypatch,
    label,
    steps,
    save_seconds,
    comparable,
    assert_same,
    with_another_test,
    stop_after,
    said,
    run,
):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", save_seconds)
    recipe, cut = with_another_test(recipe), tmp_path / "cut"
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    stop = stop_after(label, steps, kill)
    killed(lambda: run(recipe, train_videos, val_videos, cut, progress=stop))
    run(recipe, train_videos, val_videos, cut, resume=True, progress=said)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))
    assert said.bars[0] == {"epoch 1": "epoch 1/2", "validating epoch 1": "epoch 1/2"}.get(
        label, "epoch 2/2" if save_seconds == 0 or label == "testing" else "epoch 1/2"
    )


def test_sigkill_while_saving_leaves_the_checkpoint_before(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, comparable, assert_same, run
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
    recipe, train_videos, val_videos, tmp_path, monkeypatch, comparable, assert_same, run
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


def test_a_killed_run_goes_on_from_its_last_epoch(
    recipe, train_videos, val_videos, tmp_path, comparable, assert_same, run
):
    def die(metrics):
        raise SystemExit  # as a kill would: nothing is saved from here on

    run(recipe, train_videos, val_videos, tmp_path / "whole")
    with pytest.raises(SystemExit):
        run(recipe, train_videos, val_videos, tmp_path / "cut", on_epoch=die)
    run(recipe, train_videos, val_videos, tmp_path / "cut", resume=True)
    whole, cut = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    assert_same(comparable(whole), comparable(cut))


def test_the_handler_of_ctrl_c_is_put_back(recipe, train_videos, val_videos, tmp_path, run):
    before = signal.getsignal(signal.SIGINT)
    run(recipe, train_videos, val_videos, tmp_path / "a")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_number_of_readers_does_not_show_even_after_a_kill(
    recipe, tmp_path, comparable, assert_same, optim_edited, stop_after, run
):
    synth = SynthConfig(train=12, val=4, frames=6, short_side_px=18)
    data = recipe.data.model_copy(update={"synth": synth})
    recipe = optim_edited(recipe.model_copy(update={"data": data}), epochs=2)
    train_videos, val_videos = (
        dataclasses.replace(videos, cache=None)
        for videos in open_splits(data, tmp_path / "data", decoder="pyav")[:2]
    )
    run(recipe, train_videos, val_videos, tmp_path / "whole")
    cut, stop = tmp_path / "cut", stop_after("epoch 2", 2, kill)
    killed(lambda: run(recipe, train_videos, val_videos, cut, progress=stop))
    run(recipe, train_videos, val_videos, cut, resume=True, workers=2)
    assert_same(comparable(RunFolder(tmp_path / "whole")), comparable(RunFolder(cut)))


@pytest.mark.parametrize("phase", ["epoch 1", "validating"])
def test_a_sigterm_that_ends_the_readers_too_is_a_sigterm(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, phase, run
):
    def broken(*arguments, **options):
        # the readers are told a moment before this process is
        later = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        later.start()
        raise DataError("a process that reads videos died")
        yield

    monkeypatch.setattr(stop, "ARRIVAL_SECONDS", 60.0)
    if phase == "validating":
        monkeypatch.setattr("stsm_cli.engine.scores.evaluation_batches", broken)
    else:
        monkeypatch.setattr(trainer.TrainLoader, "epoch", broken)
    with pytest.raises(PreemptedError, match="saved"):
        run(recipe, train_videos, val_videos, tmp_path / "a")
    assert RunFolder(tmp_path / "a").checkpoint.is_file()


def test_a_reader_that_dies_by_itself_is_an_error(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, run
):
    def broken(*arguments, **options):
        raise DataError("a process that reads videos died")
        yield

    monkeypatch.setattr(stop, "ARRIVAL_SECONDS", 0.0)
    monkeypatch.setattr(trainer.TrainLoader, "epoch", broken)
    with pytest.raises(DataError, match="a process that reads videos died"):
        run(recipe, train_videos, val_videos, tmp_path / "a")
