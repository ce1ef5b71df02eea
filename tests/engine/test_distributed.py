"""Two processes on this machine, connected by gloo."""

import dataclasses
import math
import os
import signal
import socket
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch._dynamo  # DistributedDataParallel imports it, slowly: once, not per fork
from torch import nn

from stsm_cli.config.regularisation import LossConfig
from stsm_cli.engine import distributed, trainer
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.distributed import (
    LOST,
    current_world,
    first_alone,
    gather_objects,
    joined,
    sum_over_processes,
    together,
    told_once,
)
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.engine.train import train
from stsm_cli.errors import (
    CheckpointError,
    DataError,
    DivergedError,
    PreemptedError,
    RecipeError,
    StsmError,
    UsageError,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
CPU = torch.device("cpu")
TIMES = ("seconds", "seconds_val", "data_share")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(distributed, "TELLING_SECONDS", 0.0)


def edited(recipe, dropout=0.0, **optim):
    optim = recipe.optim.model_copy(update=optim)
    model = recipe.model.model_copy(update={"dropout": dropout})
    return recipe.model_copy(update={"optim": optim, "model": model})


def run(recipe, train_videos, val_videos, out, **options):
    return train(recipe, train_videos, val_videos, out, name="tiny", device=CPU, **options)


def comparable(out):
    """Metrics less the clock, and weights."""
    folder = RunFolder(out)
    metrics = [{k: v for k, v in m.items() if k not in TIMES} for m in folder.metrics()]
    return metrics, load_checkpoint(folder.checkpoint)["model"]


def at_step(monkeypatch, number, act):
    """Do `act` in optimiser step `number`, from 0."""
    real, steps = trainer.Stepper.gradient, []

    def gradient(self, parts, num_videos):
        steps.append(1)
        if len(steps) == number + 1:
            act()
        return real(self, parts, num_videos)

    monkeypatch.setattr(trainer.Stepper, "gradient", gradient)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_step_as_one_does_and_count_together(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, in_two_processes, accumulate
):
    monkeypatch.setattr(
        nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False)
    )
    sgd = {"optimizer": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    whole = edited(recipe, **sgd, batch_size=20, lr_batch_size=20, epochs=1)
    alone = run(whole, train_videos, val_videos, tmp_path / "one")
    split = edited(whole, accumulate=accumulate)

    def work(rank):
        return run(split, train_videos, val_videos, tmp_path / "two")

    told = in_two_processes(work)
    assert told[0] == told[1]
    assert (told[0].num_videos, told[0].num_listed) == (11, 11)
    assert told[0].top1 == alone.top1
    (one, weights), (two, others) = comparable(tmp_path / "one"), comparable(tmp_path / "two")
    assert one[0].pop("train_loss") == pytest.approx(two[0].pop("train_loss"), rel=1e-6)
    assert one == two
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_run_of_two_that_is_stopped_in_one_goes_on_exactly(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, in_two_processes, ema_decay
):
    dropping = edited(recipe, dropout=0.5, ema_decay=ema_decay)
    if ema_decay is not None:
        mixing = LossConfig(mixup_alpha=0.4, class_weights="balanced")
        dropping = dropping.model_copy(update={"loss": mixing})
    in_two_processes(lambda rank: run(dropping, train_videos, val_videos, tmp_path / "whole"))

    def work(rank):
        def preempt():
            if rank == 1:
                signal.raise_signal(signal.SIGTERM)

        at_step(monkeypatch, 6, preempt)
        return run(dropping, train_videos, val_videos, tmp_path / "cut")

    first, second = in_two_processes(work)
    assert isinstance(first, PreemptedError)
    assert "at epoch 2, batch 2; saved" in str(first)
    assert first.hint.endswith("--nproc 2`")
    assert (type(second), second.code) == (SystemExit, 75)
    in_two_processes(
        lambda rank: run(dropping, train_videos, val_videos, tmp_path / "cut", resume=True)
    )
    (whole, weights), (cut, others) = comparable(tmp_path / "whole"), comparable(tmp_path / "cut")
    assert whole == cut
    assert all(torch.equal(others[name], tensor) for name, tensor in weights.items())


def test_a_process_that_dies_takes_the_other_along(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, in_two_processes
):
    def work(rank):
        at_step(monkeypatch, 2, lambda: rank and os.kill(os.getpid(), signal.SIGKILL))
        return run(recipe, train_videos, val_videos, tmp_path / "a")

    first, second = in_two_processes(work)
    assert (type(first), first.code) == (SystemExit, LOST)
    assert second == -signal.SIGKILL


def test_a_loss_that_is_not_finite_in_one_stops_both_and_names_its_videos(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, in_two_processes
):
    def work(rank):
        spoilt, steps = trainer.Stepper._logits, []

        def logits(self, videos):
            steps.append(1)
            factor = math.nan if rank and len(steps) == 2 else 1.0
            return tuple(head * factor for head in spoilt(self, videos))

        monkeypatch.setattr(trainer.Stepper, "_logits", logits)
        return run(edited(recipe), train_videos, val_videos, tmp_path / "a")

    first, second = in_two_processes(work)
    assert isinstance(first, DivergedError)
    assert "the loss is nan at step 1 (epoch 1, lr" in str(first)
    assert str(first).count("train/") == 2  # of four videos, those of the second process
    assert (type(second), second.code) == (SystemExit, 1)


def test_a_process_whose_videos_do_not_decode_keeps_step(
    recipe, train_videos, val_videos, tmp_path, monkeypatch, in_two_processes
):
    monkeypatch.setattr(
        nn.BatchNorm2d, "train", lambda self, mode=True: nn.Module.train(self, False)
    )
    monkeypatch.setattr(trainer, "MAX_BROKEN_SHARE", 1.0)
    cache = tuple(None if index % 2 else frames for index, frames in enumerate(train_videos.cache))
    broken = dataclasses.replace(train_videos, cache=cache)
    sgd = {"optimizer": "sgd", "lr": 0.01, "batch_size": 2, "epochs": 1}
    run(edited(recipe, **sgd), broken, val_videos, tmp_path / "one")
    in_two_processes(lambda rank: run(edited(recipe, **sgd), broken, val_videos, tmp_path / "two"))
    (one, weights), (two, others) = comparable(tmp_path / "one"), comparable(tmp_path / "two")
    assert one[0]["broken"] == two[0]["broken"] == 10
    assert one[0]["train_loss"] == pytest.approx(two[0]["train_loss"], rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, rtol=1e-3, atol=1e-5)


def test_too_many_broken_videos_stop_all_with_one_message(
    recipe, train_videos, val_videos, tmp_path, in_two_processes
):
    cache = (None, *train_videos.cache[1:])
    broken = dataclasses.replace(train_videos, cache=cache)
    first, second = in_two_processes(lambda rank: run(recipe, broken, val_videos, tmp_path / "a"))
    assert "training videos that do not decode: 1, more than 0.5%: nowhere/train/0.mp4" in str(
        first
    )
    assert (type(second), second.code) == (SystemExit, 1)


def spoil(recipe, out):
    folder = RunFolder(out)
    folder.create(recipe, {"recipe": "a", "data": "b", "decoder": "pyav"}, ())
    folder.checkpoint.write_bytes(b"")


@pytest.mark.parametrize(
    ("error", "message", "changes", "resume"),
    [
        (DataError, "holds 16 classes", {"num_classes": 5}, False),
        (RecipeError, "20 training videos are too few for 2 ", {"accumulate": 16}, False),
        (CheckpointError, "last.pt: not a readable checkpoint", {}, True),
    ],
)
def test_what_is_wrong_for_all_is_told_once(
    recipe, train_videos, val_videos, tmp_path, in_two_processes, error, message, changes, resume
):
    if "num_classes" in changes:
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update=changes)})
    elif changes:
        recipe = edited(recipe, batch_size=32, **changes)
    if resume:
        spoil(recipe, tmp_path / "a")

    def work(rank):
        run(recipe, train_videos, val_videos, tmp_path / "a", resume=resume)

    first, second = in_two_processes(work)
    assert isinstance(first, error)
    assert message in str(first)
    assert (type(second), second.code) == (SystemExit, error.exit_code)


def test_numbers_and_objects_travel(in_two_processes):
    def work(rank):
        return sum_over_processes([1, rank / 2]), gather_objects(f"from {rank}")

    first, second = in_two_processes(work)
    assert first == second == ([2.0, 0.5], ["from 0", "from 1"])


def test_the_first_process_works_before_the_other(tmp_path, in_two_processes):
    def work(rank):
        def look_and_leave():
            seen = sorted(path.name for path in tmp_path.iterdir())
            (tmp_path / str(rank)).touch()
            return seen

        return first_alone(look_and_leave)

    assert in_two_processes(work) == [[], ["0"]]


def test_an_error_of_one_is_an_error_of_all(in_two_processes):
    def work(rank):
        with together():
            if rank == 1:
                raise CheckpointError("last.pt: is gone", hint="look")

    first, second = in_two_processes(work)
    assert (type(first), str(first)) == (CheckpointError, "process 1 of 2: last.pt: is gone")
    assert first.hint == "look"
    assert (type(second), second.code) == (SystemExit, 1)


def test_the_same_error_in_all_is_told_once(in_two_processes):
    def work(rank):
        with together():
            raise UsageError("--out x: is a file")

    first, second = in_two_processes(work)
    assert (type(first), str(first)) == (UsageError, "--out x: is a file")
    assert (type(second), second.code) == (SystemExit, 2)


def test_a_process_that_gives_no_answer_is_not_waited_for_forever(
    tmp_path, monkeypatch, in_two_processes
):
    monkeypatch.setattr(distributed, "TIMEOUT", timedelta(seconds=1))
    os.mkfifo(tmp_path / "pipe")

    def work(rank):
        if rank == 1:
            return Path(tmp_path / "pipe").read_text()  # until the other has given up
        try:
            with together():
                pass
        except RuntimeError as error:
            (tmp_path / "pipe").write_text("done")
            raise error

    first, second = in_two_processes(work)
    assert isinstance(first, StsmError)
    assert "another process of the run gave no answer for 0:00:01" in str(first)
    assert second == "done"


def test_the_first_process_s_work_is_waited_for_by_a_limit_of_its_own(
    tmp_path, monkeypatch, in_two_processes
):
    monkeypatch.setattr(distributed, "PATIENCE", timedelta(seconds=1))
    os.mkfifo(tmp_path / "pipe")

    def work(rank):
        try:
            first_alone(lambda: Path(tmp_path / "pipe").read_text())
        except RuntimeError as error:
            if rank == 1:
                (tmp_path / "pipe").write_text("given up")
            raise error

    first, second = in_two_processes(work)
    assert (type(first), first.code) == (SystemExit, LOST)
    assert (type(second), second.code) == (SystemExit, 1)  # the first one would say why


def test_another_error_of_torch_stays_what_it_is(in_two_processes):
    def work(rank):
        raise RuntimeError("shapes differ")

    first, second = in_two_processes(work)
    assert str(first) == str(second) == "shapes differ"


def test_alone_nothing_travels():
    with joined() as world, together():
        assert (world.rank, world.size, world.is_main) == (0, 1, True)
    assert gather_objects("a") == ["a"]
    assert sum_over_processes([1, 2.5]) == [1, 2.5]
    assert first_alone(lambda: "b") == "b"
    error = DataError("c")
    assert told_once(error) is error
    with pytest.raises(DataError, match="c"), together():
        raise error


def test_the_environment_says_who_a_process_is(monkeypatch):
    for name, value in {"RANK": 3, "WORLD_SIZE": 8, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    world = current_world()
    assert dataclasses.astuple(world) == (3, 8, 1, 2)
    assert not world.is_main


def test_a_world_without_a_meeting_place_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(UsageError, match="WORLD_SIZE is 2, but MASTER_ADDR is not set"), joined():
        pass
    monkeypatch.delenv("MASTER_PORT")
    with pytest.raises(UsageError, match="MASTER_ADDR and MASTER_PORT are not set"), joined():
        pass


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5"])
def test_a_rank_that_is_no_number_is_refused(value, monkeypatch):
    monkeypatch.setenv("RANK", value)
    with pytest.raises(UsageError, match=f"^RANK={value}: must be a whole number$") as caught:
        current_world()
    assert "torchrun" in caught.value.hint


def test_a_port_that_is_taken_is_named(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in (place | {"WORLD_SIZE": "2", "RANK": "0"}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StsmError, match=rf"^port {port}, .* is taken$") as caught, joined():
            pass
    assert "another MASTER_PORT" in caught.value.hint
    assert signal.getsignal(signal.SIGTERM) is before
