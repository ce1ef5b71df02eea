"""Each kind of shipped recipe trains, in its small counterpart: two steps on six tiny videos.

These counterparts are all the small networks that there are.
"""

import re
from math import isfinite
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from stsm_cli.config.generated_sets import GeneratedName
from stsm_cli.config.load import load_recipe, recipe_names
from stsm_cli.config.schema import BODIES, FOR_SMALL_FRAMES, Recipe
from stsm_cli.data.flow import Flow
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.motion import MotionCurves
from stsm_cli.data.synth import CLASSES
from stsm_cli.data.videos import Videos
from stsm_cli.engine.checkpoint import load_checkpoint
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import load_weights

NETWORKS = {(name, None) for name in FOR_SMALL_FRAMES}
NETWORKS |= {
    (body, system)
    for system, bodies in BODIES.items()
    for body in bodies
    if body in FOR_SMALL_FRAMES
}
WITHOUT_RECIPE = ("bottleneck_small", "bottleneck_dilated_small", "inverted_small")
"""Bodies that no recipe has, for networks that are named by `--set`."""
OTHERS = {("res2net_small", None), ("bninception_small", None), ("resnet_small", "trn")}
ALONE = {
    f"{body}, {system}": (body, system)
    for body, system in sorted(NETWORKS, key=str)
    if body in WITHOUT_RECIPE or (body, system) in OTHERS
}
"""Networks that stand in no recipe, by a name for them."""
CROP_PX, SHORT_SIDE_PX = 32, 36
MOST_FRAMES = 8


def small_backbone(backbone):
    """What stands for a backbone on the embedded set: `resnet_small` for `resnet50`."""
    bare = re.sub(r"_?\d+$", "", backbone)
    names = (backbone, f"{backbone}_small", f"{bare}_small")
    found = [name for name in names if name in FOR_SMALL_FRAMES]
    assert found, f"{backbone} has no small counterpart"
    return found[0]


def tiny(name):
    """A recipe for six tiny videos of the embedded set's classes; all it can keep is its own.

    The name is a recipe's, or one of `ALONE`.
    """
    edits = []
    if name in ALONE:
        body, system = ALONE[name]
        name, edits = "synth/tsn", [f"model.backbone={body}", f"model.system={system or 'null'}"]
    recipe = load_recipe(name, edits).recipe
    model = recipe.model.model_dump()
    model |= {"backbone": small_backbone(model["backbone"]), "num_classes": len(CLASSES)}
    model |= {"num_frames": min(model["num_frames"], MOST_FRAMES), "weights": None, "init": None}
    data = recipe.data.model_dump()
    data |= dict.fromkeys(get_args(GeneratedName))
    data |= {"dataset": "synth", "synth": {"train": 6, "val": 2, "frames": 12}}
    data |= {"crop_px": CROP_PX, "short_side_px": SHORT_SIDE_PX}
    if data["jitter_px"]:
        share = CROP_PX / recipe.data.crop_px
        data["jitter_px"] = tuple(round(px * share) for px in data["jitter_px"])
    test = recipe.test.model_dump() | {"crops": 1, "crop_px": CROP_PX, "split": "val"}
    optim = recipe.optim.model_dump() | {"epochs": 1, "batch_size": 3, "accumulate": 1}
    optim |= {"milestones_epochs": (), "warmup_epochs": 0.0}
    precision = "fp32" if recipe.precision == "fp16" else recipe.precision  # for a CPU
    sections = {"model": model, "data": data, "test": test, "optim": optim}
    return Recipe.model_validate(recipe.model_dump() | sections | {"precision": precision})


def noise(recipe, split, count, seed):
    """A split in memory: noise, 12 frames of 36×44 pixels, or as much flow; all moves alike."""
    rng = np.random.default_rng(seed)
    size = (12, SHORT_SIDE_PX, SHORT_SIDE_PX + 8)
    fields = recipe.model.view.flow_fields
    flow, channels = (Flow(recipe.data.flow, fields), 2) if fields else (None, 3)
    frames = tuple(rng.integers(0, 256, (*size, channels), dtype=np.uint8) for _ in range(count))
    motion = None
    if recipe.data.sampling == "motion":
        motion = MotionCurves.of([np.ones(size[0] - 1)] * count)
    records = tuple(
        VideoRecord(f"{split}/{i}.mp4", i, size[0], 8.0, size[2], size[1]) for i in range(count)
    )
    manifest = Manifest(Path("nowhere"), split, CLASSES, records)
    return Videos(manifest, SHORT_SIDE_PX, "pyav", cache=frames, flow=flow, motion=motion)


def test_every_small_network_is_some_recipe_s():
    models = [tiny(name).model for name in (*recipe_names(), *ALONE)]
    assert {(model.backbone, model.system) for model in models} == NETWORKS


def of_a_kind():
    """Recipes of which each has a network, a loss or an optimiser that none before it has."""
    seen, names = set(), []
    for name in (*recipe_names(), *ALONE):
        recipe = tiny(name)
        network = recipe.model.model_copy(update={"dropout": 0.0, "num_frames": MOST_FRAMES})
        optimizer = recipe.optim.optimizer, recipe.optim.policy
        parts = {repr(part) for part in (network, recipe.loss, optimizer)}
        if not parts <= seen:
            seen |= parts
            names.append(name)
    return names


@pytest.mark.parametrize("name", of_a_kind())
def test_two_steps_on_six_videos(name, tmp_path, run):
    recipe = tiny(name)
    splits = (noise(recipe, split, count, count) for split, count in (("train", 6), ("val", 2)))
    result = run(recipe, *splits, tmp_path / "a")
    folder = RunFolder(tmp_path / "a")
    (epoch,) = folder.metrics()
    assert isfinite(epoch["train_loss"])
    assert (result.num_videos, result.num_listed) == (2, 2)
    state = load_checkpoint(folder.checkpoint)
    assert state["position"]["batches"] == 2
    assert all(value.isfinite().all() for value in state["model"].values())
    heads = [name for name in state["model"] if name.endswith("fc.bias")]  # that begin at 0
    assert ("auxiliary.fc.bias" in heads) == (recipe.model.system == "tpn")
    assert all(state["model"][name].all() for name in heads)
    load_weights(build_model(recipe.model), folder.checkpoint)
