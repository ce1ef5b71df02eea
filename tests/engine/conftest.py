import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.config.schema import Recipe
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos
from stsm_cli.engine import distributed


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
    return Videos(Manifest(root, split, CLASSES, records), 18, "pyav", frames)


@pytest.fixture
def train_videos():
    return make_videos("train", 20)


@pytest.fixture
def val_videos():
    return make_videos("val", 11, seed=1)


@pytest.fixture
def make_split():
    return make_videos


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
