"""Sampling by motion, from videos on the disk to the test; the other samplers: test_train.py."""

import json
from pathlib import Path

import pytest

from stsm_cli.cli.app import run
from stsm_cli.data.motion import motion_path

SET = "data.synth={train: 6, val: 6, frames: 8, short_side_px: 36}"
SHORT = ["optim.epochs=1", "optim.warmup_epochs=0", "optim.batch_size=3", "model.num_frames=4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("small")


def train(root, *edits):
    words = [word for edit in (SET, *SHORT, *edits) for word in ("--set", edit)]
    return run(["train", "synth/tsn", *words, "--data", str(root / "set"), "--out", "run", "-q"])


@pytest.mark.parametrize("edits", [["model.shift={dims: T, alpha: 1/4}"], ["model.system=tea"]])
def test_motion_sampling_trains_and_is_tested(root, edits):
    backbone = "resnet_small" if "shift" in edits[0] else "res2net_small"
    assert train(root, "data.sampling=motion", f"model.backbone={backbone}", *edits) == 0
    assert json.loads(Path("run/result.json").read_text())["num_videos"] == 6
    assert len(motion_path(root / "set").read_text().split()) > 0
    assert run(["eval", "run", "--protocol", "2x1@32", "-q"]) == 0
