from pathlib import Path

import numpy as np
import pytest

from stsm_cli.config.schema import Recipe
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos


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
