import multiprocessing
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.config.regularisation import LossConfig, RandAugmentConfig
from stsm_cli.config.schema import Recipe
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos
from stsm_cli.engine import distributed
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.train import train

TIMES = ("seconds", "seconds_val", "data_share")


@pytest.fixture
def recipe():
    return Recipe.model_validate(
        {
            "model": {
                "backbone": "resnet_small",
                "num_classes": len(CLASSES),
                "num_frames": 4,
                "shift": {"dims": "T+H+W", "alpha": "3/8"},
                "dropout": 0.2,
            },
            "data": {
                "dataset": "synth",
                "sampling": "uniform",
                "short_side_px": 18,
                "crop_px": 16,
                "flip": "label_aware",
                "synth": {"train": 20, "val": 11, "frames": 6, "short_side_px": 18},
            },
            "test": {"crop_px": 16},
            "optim": {"optimizer": "adamw", "lr": 1e-3, "batch_size": 4, "epochs": 2},
        }
    )


def make_videos(split, count, root=Path("nowhere"), seed=0):
    """A split in memory: noise, 6 frames of 18×22."""
    rng = np.random.default_rng(seed)
    records = tuple(
        VideoRecord(f"{split}/{i}.mp4", i % len(CLASSES), 6, 8.0, 22, 18) for i in range(count)
    )
    frames = tuple(rng.integers(0, 256, (6, 18, 22, 3), dtype=np.uint8) for _ in records)
    return Videos(Manifest(root, split, CLASSES, records), 18, "pyav", cache=frames)


@pytest.fixture
def regularised(recipe):
    """The recipe with all that keeps a network from learning its videos by heart."""
    optim = recipe.optim.model_copy(update={"ema_decay": 0.8, "frozen": ("stem",)})
    augment = RandAugmentConfig(ops=1, magnitude=9)
    loss = LossConfig(
        label_smoothing=0.1, class_weights="balanced", mixup_alpha=0.4, cutmix_alpha=1.0
    )
    data = recipe.data.model_copy(update={"rand_augment": augment})
    return recipe.model_copy(update={"optim": optim, "data": data, "loss": loss})


@pytest.fixture
def train_videos():
    return make_videos("train", 20)


@pytest.fixture
def val_videos():
    return make_videos("val", 11, seed=1)


@pytest.fixture
def make_split():
    return make_videos


@pytest.fixture
def optim_edited():
    """optim_edited(recipe, **changes of its section `optim`)."""

    def optim_edited(recipe, **changes):
        return recipe.model_copy(update={"optim": recipe.optim.model_copy(update=changes)})

    return optim_edited


@pytest.fixture
def with_another_test():
    """The recipe with another test than the validation, which is then done after the last epoch."""
    return lambda recipe: recipe.model_copy(
        update={"test": recipe.test.model_copy(update={"crops": 3})}
    )


@pytest.fixture
def run():
    """`train` on the CPU."""

    def run(recipe, train_videos, val_videos, out, **options):
        options = {"name": "tiny", "device": torch.device("cpu")} | options
        return train(recipe, train_videos, val_videos, out, **options)

    return run


@pytest.fixture
def comparable():
    """Everything a run leaves in its folder, less the clock."""

    def comparable(folder):
        metrics = [{k: v for k, v in m.items() if k not in TIMES} for m in folder.metrics()]
        result = {k: v for k, v in folder.result().items() if not k.startswith("seconds")}
        return metrics, result, load_checkpoint(folder.checkpoint)["model"]

    return comparable


@pytest.fixture
def assert_same():
    """That two runs left the same, to the bit."""

    def assert_same(one, other):
        assert one[:2] == other[:2]
        assert one[2].keys() == other[2].keys()
        assert all(torch.equal(one[2][key], other[2][key]) for key in one[2])

    return assert_same


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


@pytest.fixture
def stop_after():
    """stop_after(label, steps, act): a progress that presses Ctrl-C, or does `act`, there."""
    return StopAfter


@pytest.fixture
def said():
    """A progress that notes `lines` and `bars`."""
    return Saying()


def _member(rank, port, work, connection):
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        with distributed.joined():
            told = work(rank)
    except BaseException as error:
        told = error
    connection.send(told)


@pytest.fixture
def in_two_processes():
    """Calls `work(rank)` in two joined processes: what they return or raise, or their exit code."""
    return _in_two_processes


def _in_two_processes(work):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context, members = multiprocessing.get_context("fork"), []
    for rank in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_member, args=(rank, port, work, theirs))
        process.start()
        theirs.close()
        members.append((process, ours))
    told = []
    for process, ours in members:
        try:
            told.append(ours.recv())
        except EOFError:
            process.join()
            told.append(process.exitcode)
    for process, _ in members:
        process.join()
    return told
