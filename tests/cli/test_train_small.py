"""Every small network and sampler learns for two steps, on six videos."""

import json
from pathlib import Path

import pytest

from stsm_cli.cli.app import run
from stsm_cli.config.schema import BODIES, FOR_SMALL_FRAMES
from stsm_cli.data.motion import motion_path

SYSTEMS = [(name, None) for name in FOR_SMALL_FRAMES] + [
    (body, system)
    for system, bodies in BODIES.items()
    for body in bodies
    if body in FOR_SMALL_FRAMES
]
SET = "data.synth={train: 6, val: 6, frames: 8, short_side_px: 36}"
SHORT = ["optim.epochs=1", "optim.warmup_epochs=0", "optim.batch_size=3", "model.num_frames=4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("small")


def train(root, *edits):
    words = [word for edit in (SET, *SHORT, *edits) for word in ("--set", edit)]
    return run(["train", "synth/tsn", *words, "--data", str(root / "set"), "--out", "run", "-q"])


@pytest.mark.parametrize(("backbone", "system"), SYSTEMS)
def test_a_small_network_trains_and_is_tested(root, backbone, system):
    edits = [f"model.backbone={backbone}", f"model.system={system or 'null'}"]
    assert train(root, *edits) == 0
    assert json.loads(Path("run/result.json").read_text())["num_videos"] == 6


@pytest.mark.parametrize("edits", [["model.shift={dims: T, alpha: 1/4}"], ["model.system=tea"]])
def test_motion_sampling_trains_and_is_tested(root, edits):
    backbone = "resnet_small" if "shift" in edits[0] else "res2net_small"
    assert train(root, "data.sampling=motion", f"model.backbone={backbone}", *edits) == 0
    assert json.loads(Path("run/result.json").read_text())["num_videos"] == 6
    assert len(motion_path(root / "set").read_text().split()) > 0
    assert run(["eval", "run", "--protocol", "2x1@32", "-q"]) == 0
