"""Every file under recipes/: it loads, reads back, says what it is, and runs as its card says."""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from stsm_cli.config.load import (
    NOT_RECIPES,
    describe,
    dump_recipe,
    load_recipe,
    load_yaml,
    read_recipe,
    recipe_names,
)
from stsm_cli.config.validate import recipe_keys
from stsm_cli.resources import resource_dir

FILES = sorted(resource_dir("recipes").rglob("*.yaml"))
NAMES = recipe_names()


def card(path):
    """The comment that a file opens with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:end])


def test_recipes_are_shipped():
    expected = {f"{data}/{m}_r50_8f" for data in ("k400", "sthv2") for m in ("tsn", "tsm", "stsm")}
    assert {"synth/tsn", "synth/tsm", "synth/stsm"} | expected <= set(NAMES)
    assert len(FILES) == len(NAMES) + sum(path.parent.name in NOT_RECIPES for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_reads_strictly_and_its_card_names_a_table(path):
    assert isinstance(load_yaml(path), dict)
    assert re.search(r"\bTables? [1-7]\b", card(path))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_reads_back_equal(name):
    recipe = load_recipe(name).recipe
    Path("recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    assert read_recipe(Path("recipe.yaml")) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_every_card_tells_the_command_and_the_cost(name):
    text = card(resource_dir("recipes") / f"{name}.yaml")
    assert re.search(rf"Run: stsm train {name}\b", text)
    assert "Cost: " in text


@pytest.mark.parametrize("name", NAMES)
def test_describe_covers_every_recipe(name):
    assert {key for key, _, _ in describe(load_recipe(name))} <= set(recipe_keys())


def test_recipes_are_all_different():
    assert len({dump_recipe(load_recipe(name).recipe) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("model", "dims", "alpha"), [("tsm", "T", Fraction(1, 4)), ("stsm", "T+H+W", Fraction(3, 8))]
)
@pytest.mark.parametrize("where", ["k400/{}_r50_8f", "sthv2/{}_r50_8f", "synth/{}"])
def test_a_name_means_the_paper_s_shift(where, model, dims, alpha):
    shift = load_recipe(where.format(model)).recipe.model.shift
    assert (shift.dims, shift.alpha) == (dims, alpha)
    assert load_recipe(where.format("tsn")).recipe.model.shift is None


@pytest.mark.parametrize(
    ("dataset", "num_classes", "epochs", "milestones", "sampling", "flip", "protocol"),
    [
        ("k400", 400, 100, (40, 80), "dense", "plain", "k400-10x3@256"),
        ("sthv2", 174, 50, (20, 40), "uniform", "label_aware", "sthv2-2x3@256"),
    ],
)
def test_the_paper_s_recipes_hold_the_paper_s_values(
    dataset, num_classes, epochs, milestones, sampling, flip, protocol
):
    recipe = load_recipe(f"{dataset}/stsm_r50_8f").recipe
    model, data, optim = recipe.model, recipe.data, recipe.optim
    assert (model.backbone, model.num_classes, model.num_frames) == ("resnet50", num_classes, 8)
    assert (model.dropout, model.weights, model.non_local) == (0.5, "imagenet", False)
    assert (data.dataset, data.sampling, data.flip) == (dataset, sampling, flip)
    assert (data.short_side_px, data.crop_px, recipe.protocol) == (256, 224, protocol)
    assert (optim.optimizer, optim.momentum, optim.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (optim.lr, optim.lr_batch_size, optim.batch_size) == (7.5e-3, 48, 48)
    assert (optim.epochs, optim.milestones_epochs, optim.warmup_epochs) == (epochs, milestones, 0)
    assert optim.clip_grad_norm == 20
