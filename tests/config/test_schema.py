"""The rules between keys; the kinds of values are tested in test_load.py."""

from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import (
    AVERAGES,
    WRITTEN,
    DataConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    ShiftConfig,
    TestConfig,
    sampling_limits,
)
from stsm_cli.errors import RecipeError

RECIPE = {
    "model": {"backbone": "resnet50", "num_classes": 400},
    "data": {"dataset": "k400", "sampling": "dense"},
    "optim": {"lr": 7.5e-3, "epochs": 100},
}


def edited(section, **values):
    return RECIPE | {section: RECIPE.get(section, {}) | values}


def test_defaults_are_the_paper_s():
    recipe = Recipe.model_validate(RECIPE)
    optim, data = recipe.optim, recipe.data
    assert (optim.optimizer, optim.momentum, optim.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (optim.batch_size, optim.lr_batch_size, recipe.model.dropout) == (48, 48, 0.5)
    assert (data.short_side_px, data.crop_px, recipe.test.crop_px) == (256, 224, 256)
    assert (ShiftConfig().dims, ShiftConfig().alpha) == ("T+H+W", Fraction(3, 8))


def test_a_recipe_is_immutable():
    recipe = Recipe.model_validate(RECIPE)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 1


def test_the_protocol_is_named_after_data_views_and_size():
    recipe = Recipe.model_validate(edited("test", clips=10, crops=3))
    assert recipe.protocol == "k400-10x3@256"


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("data", {"crop_px": 257}, r"crop_px \(257\) must be at most short_side_px \(256\)"),
        (
            "data",
            {"dataset": "synth"},
            "`dataset: synth` needs a section `synth`, `{}` for defaults",
        ),
        ("data", {"synth": {}}, "a `synth` section belongs to `dataset: synth`"),
        ("test", {"crop_px": 288}, r"test.crop_px \(288\) must be at most .* \(256\)"),
        ("test", {"clips": 2}, r"test.clips \(2\) must be 1 or 10 with data.sampling dense"),
        (
            "model",
            {"num_classes": None},
            "model.num_classes: null is for data.dataset folder, not k400",
        ),
        (
            "model",
            {"num_frames": 65},
            r"model.num_frames \(65\) must be at most 64 with data.sampling",
        ),
        (
            "model",
            {"backbone": "resnet18", "non_local": True},
            "non_local .* or bottleneck_small, not resnet18",
        ),
        (
            "model",
            {"slowfast": {"ratio": 4}},
            "slowfast belongs to backbone slowfast_resnet50 or slowfast_resnet_small, not resnet50",
        ),
        (
            "model",
            {"stream": "flow"},
            "stream flow belongs to backbone .*r2plus1d_34.*, not resnet50",
        ),
        ("data", {"flow": "tvl1"}, r"data.flow \(tvl1\) has no effect: model.stream is rgb"),
        ("model", {"slowfast": {"lateral_kernel": 6}}, r"lateral_kernel \(6\) must be odd"),
        (
            "model",
            {"smallbig": {"extra": True}},
            "smallbig belongs to backbone smallbig_resnet50 or smallbig_resnet_small, not resnet50",
        ),
        (
            "model",
            {"backbone": "smallbig_resnet50", "smallbig": {"extra": True}, "shift": {}},
            "smallbig.extra and shift exclude each other",
        ),
        (
            "model",
            {"statistics": "imagenet"},
            "statistics imagenet belongs to backbone slow_resnet50 or .*, not resnet50",
        ),
        (
            "model",
            {"backbone": "slow_resnet50", "system": "tpn", "statistics": "imagenet"},
            "statistics imagenet has no effect: system tpn has them",
        ),
        (
            "model",
            {"backbone": "slowfast_resnet50", "num_frames": 9},
            r"model.num_frames \(9\) must be at most 8 with data.sampling dense",
        ),
        (
            "model",
            {"backbone": "resnet18", "system": "action"},
            "system action belongs to backbone resnet50 or .* or inverted_small, not resnet18",
        ),
        (
            "model",
            {"system": "action", "shift": {}},
            "system action and shift exclude each other",
        ),
        (
            "model",
            {"system": "action", "non_local": True},
            "system action and non_local exclude each other",
        ),
        (
            "model",
            {"system": "action", "num_frames": 1},
            r"num_frames \(1\) must be at least 2 with system action: it compares frames",
        ),
        (
            "model",
            {"backbone": "slowfast_resnet50", "system": "atfr", "num_frames": 2},
            r"num_frames \(2\) must be at least 3 with system atfr: it compares frames",
        ),
        (
            "loss",
            {"label_smoothing": 1.0},
            r"loss\.label_smoothing\n.*less than 1 .*input_value=1\.0",
        ),
        ("loss", {"mixup_alpha": 0.0}, r"loss\.mixup_alpha\n.*greater than or equal to 0\.01"),
        ("loss", {"cutmix_alpha": 200.0}, r"loss\.cutmix_alpha\n.*less than or equal to 100"),
        ("loss", {"class_weights": "rare"}, "loss.class_weights\n.*'none' or 'balanced'"),
        ("optim", {"ema_decay": 1.0}, r"optim\.ema_decay\n.*less than 1"),
        ("data", {"rand_augment": {"ops": 0}}, r"data\.rand_augment\.ops\n.*equal to 1"),
        ("data", {"rand_augment": {"magnitude": 31}}, r"rand_augment\.magnitude\n.*equal to 30"),
        ("optim", {"frozen": ("",)}, r"optim\.frozen\.0\n.*at least 1 character"),
        ("optim", {"milestones_epochs": (80, 40)}, r"milestones_epochs \(80, 40\) must rise"),
        ("optim", {"milestones_epochs": (40, 40)}, r"milestones_epochs \(40, 40\) must rise"),
        (
            "optim",
            {"milestones_epochs": (40,), "schedule": "one_cycle"},
            "milestones_epochs belong to `schedule: step`",
        ),
        (
            "optim",
            {"warmup_epochs": 100.0},
            r"warmup_epochs \(100\.0\) must be less than epochs \(100\)",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(section, values, message):
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(edited(section, **values))


@pytest.mark.parametrize(("system", "may"), [("tpn", True), ("selfy", True), ("tea", False)])
def test_tpn_and_selfy_stand_on_tsm_too(system, may):
    backbone = "res2net50" if system == "tea" else "resnet50"
    values = {"backbone": backbone, "system": system, "shift": {"dims": "T", "alpha": "1/4"}}
    message = "system tea and shift exclude each other"
    with nullcontext() if may else pytest.raises(ValidationError, match=message):
        Recipe.model_validate(edited("model", **values))


@pytest.mark.parametrize("clips", [1, 2, 10])
def test_uniform_sampling_takes_one_two_or_ten_clips(clips):
    data = {"dataset": "sthv2", "sampling": "uniform"}
    recipe = Recipe.model_validate(RECIPE | {"data": data, "test": {"clips": clips}})
    assert recipe.test.clips == clips


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (
            "data",
            {"jitter_px": (256, 320)},
            "jitter_px belongs to `train_crop: random`, not ten_crop",
        ),
        (
            "data",
            {"train_crop": "random", "jitter_px": (223, 320)},
            r"jitter_px \(223, 320\) must rise from at least crop_px \(224\)",
        ),
        (
            "data",
            {"train_crop": "random", "jitter_px": (320, 256)},
            r"jitter_px \(320, 256\) must rise from at least crop_px \(224\)",
        ),
        (
            "optim",
            {"nesterov": True, "optimizer": "adamw"},
            "nesterov belongs to `optimizer: sgd` with momentum above 0",
        ),
        (
            "optim",
            {"nesterov": True, "momentum": 0.0},
            "nesterov belongs to `optimizer: sgd` with momentum above 0",
        ),
    ],
)
def test_what_belongs_to_another_key_is_refused_without_it(section, values, message):
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(edited(section, **values))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"policy": "tsm"}, "policy tsm spares norms by itself"),
        ({"policy": "tsn"}, "policy tsn spares norms by itself"),
        ({"optimizer": "adamw"}, "adamw spares norms by itself"),
        ({"frozen_norms": "all"}, "frozen_norms is all"),
    ],
)
def test_norms_that_are_spared_anyway_need_no_word(values, why):
    recipe = edited("optim", decay_norms=False, **values)
    assert not Recipe.model_validate(recipe).optim.decay_norms  # a finished run's
    said = rf"decay_norms \(false\) has no effect: {why}"
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(recipe, context=WRITTEN)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"optim": {"patience_epochs": 100}},
            r"patience_epochs \(100\) has no effect: epochs is 100",
        ),
        (
            {"optim": {"batch_size": 4, "accumulate": 4}, "loss": {"mixup_alpha": 0.4}},
            r"loss\.mixup_alpha \(0\.4\) has no effect: a part of a batch is one video",
        ),
        (
            {"optim": {"batch_size": 1}, "loss": {"cutmix_alpha": 1.0}},
            r"loss\.cutmix_alpha \(1\.0\) has no effect: a part of a batch is one video",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused_where_it_is_written(changes, said):
    sections = {name: RECIPE.get(name, {}) | values for name, values in changes.items()}
    assert Recipe.model_validate(RECIPE | sections)  # a finished run's
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(RECIPE | sections, context=WRITTEN)


def test_optical_flow_is_no_picture_to_change_the_colours_of():
    flow = edited("model", backbone="r2plus1d_34", stream="flow")
    data = RECIPE["data"] | {"rand_augment": {}}
    with pytest.raises(ValidationError, match=r"data\.rand_augment is of pictures: .* is flow"):
        Recipe.model_validate(flow | {"data": data})


def test_64_frames_fill_a_dense_window_and_uniform_sampling_takes_more():
    assert Recipe.model_validate(edited("model", num_frames=64)).model.num_frames == 64
    data = {"dataset": "sthv2", "sampling": "uniform"}
    assert Recipe.model_validate(edited("model", num_frames=65) | {"data": data})


def test_a_sampling_without_limits_is_refused():
    with pytest.raises(AssertionError, match="'other'"):
        sampling_limits("other")


def test_sections_stand_alone():
    assert OptimConfig(lr=0.1, epochs=1).milestones_epochs == ()
    assert DataConfig(dataset="folder", sampling="uniform").synth is None


def test_no_default_ever_changes():
    """Hashes of recipes leave defaults out: a changed default would pass old runs off as new."""
    least = {
        "model": {"backbone": "resnet18", "num_classes": 3, "shift": {}},
        "data": {"dataset": "synth", "sampling": "uniform", "synth": {}},
        "optim": {"lr": 1.0, "epochs": 1},
    }
    assert Recipe.model_validate(least).model_dump(mode="json") == {
        "model": {
            "backbone": "resnet18",
            "num_classes": 3,
            "num_frames": 8,
            "shift": {"dims": "T+H+W", "alpha": "3/8", "shortcut": False},
            "non_local": False,
            "system": None,
            "slowfast": {
                "ratio": 8,
                "lateral_kernel": 5,
                "lateral_norm": True,
                "slow_frames": "spread",
            },
            "smallbig": {"extra": False},
            "stream": "rgb",
            "statistics": "own",
            "dropout": 0.5,
            "weights": None,
            "init": None,
        },
        "data": {
            "dataset": "synth",
            "sampling": "uniform",
            "short_side_px": 256,
            "crop_px": 224,
            "train_crop": "ten_crop",
            "jitter_px": None,
            "flip": "plain",
            "rand_augment": None,
            "flow": "dis",
            "synth": {
                "train": 2000,
                "val": 960,
                "frames": 32,
                "short_side_px": 96,
                "difficulty": 0.15,
                "seed": 0,
            },
            "scenes": None,
            "order": None,
        },
        "test": {"clips": 1, "crops": 1, "crop_px": 256, "split": "val", "average": "prob"},
        "optim": {
            "optimizer": "sgd",
            "lr": 1.0,
            "policy": "plain",
            "lr_batch_size": 48,
            "batch_size": 48,
            "accumulate": 1,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 1e-4,
            "decay_norms": True,
            "frozen_norms": "none",
            "frozen": [],
            "ema_decay": None,
            "epochs": 1,
            "patience_epochs": None,
            "schedule": "step",
            "milestones_epochs": [],
            "warmup_epochs": 0.0,
            "warmup_from": 0.0,
            "warmup_by": "step",
            "clip_grad_norm": None,
        },
        "loss": {
            "label_smoothing": 0.0,
            "class_weights": "none",
            "mixup_alpha": None,
            "cutmix_alpha": None,
        },
        "precision": "fp32",
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model", {"num_frames": 10**8}, "num_frames\n.*less than or equal to 4096"),
        ("model", {"num_classes": 10**8}, "num_classes\n.*less than or equal to 1000000"),
        ("data", {"short_side_px": 10**8}, "short_side_px\n.*less than or equal to 8192"),
        ("test", {"crop_px": 10**8}, "crop_px\n.*less than or equal to 8192"),
        ("optim", {"lr": 1e38, "clip_grad_norm": 1.0}, "lr\n.*less than or equal to 1000"),
        ("optim", {"clip_grad_norm": 1e38}, "clip_grad_norm\n.*less than or equal to 1000000000"),
        ("optim", {"weight_decay": 1e38}, "weight_decay\n.*less than or equal to 1000"),
        ("optim", {"batch_size": 10**9}, "batch_size\n.*less than or equal to 10000000"),
        ("optim", {"epochs": 10**9}, "epochs\n.*less than or equal to 1000000"),
        ("optim", {"milestones_epochs": (10**400,)}, "0\n.*less than or equal to 1000000"),
    ],
)
def test_absurd_sizes_are_refused(section, values, message):
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(edited(section, **values))


@pytest.mark.parametrize(
    ("backbone", "largest"),
    [
        ("resnet18", 32),
        ("mobilenet_v2", 32),
        ("resnet_small", 16),
        ("bottleneck_small", 14),
        ("bottleneck_dilated_small", 14),
        ("inverted_small", 7),
        ("bninception_small", 8),
        ("res2net_small", 16),
        ("mobilenet_v2_small", 16),
    ],
)
def test_one_small_frame_at_a_time_cannot_be_normalised(backbone, largest):
    import torch

    from stsm_cli.models.build import build_model

    def recipe(crop_px):
        model = {"backbone": backbone, "num_classes": 2, "num_frames": 1}
        optim = RECIPE["optim"] | {"batch_size": 3, "accumulate": 3}
        data = RECIPE["data"] | {"crop_px": crop_px}
        return Recipe.model_validate(RECIPE | {"model": model, "optim": optim, "data": data})

    told = rf"data.crop_px \({largest}\) must be more than {largest} with one video of one frame"
    with pytest.raises(ValidationError, match=told):
        recipe(largest)
    model = build_model(recipe(largest + 1).model)
    assert model(torch.zeros(1, 1, 3, largest + 1, largest + 1)).shape == (1, 2)
    with pytest.raises(ValueError, match="more than 1 value"):
        model(torch.zeros(1, 1, 3, largest, largest))


def test_what_a_recipe_may_choose_from_has_an_entry_in_each_table():
    from stsm_cli.analysis import summary
    from stsm_cli.cli import prepare
    from stsm_cli.data import crops, samples
    from stsm_cli.engine import autocast, scores

    def choices(section, key):
        return set(get_args(section.model_fields[key].annotation))

    assert set(samples.MIRRORS) == choices(DataConfig, "flip")
    assert set(crops.TRAIN_CROPS) == choices(DataConfig, "train_crop")
    assert set(crops.TEST_CROPS) == choices(TestConfig, "crops")
    assert set(autocast.AUTOCAST) == choices(Recipe, "precision")
    assert set(AVERAGES) == choices(TestConfig, "average")
    assert set(scores.KEEPS_LABELS) == choices(DataConfig, "flip")
    assert set(prepare.COMMANDS) == choices(DataConfig, "dataset")
    assert set(summary.LABELS) == choices(DataConfig, "dataset")


def test_the_tsm_policy_and_trn_s_classifier_exclude_each_other():
    says = r"optim.policy \(tsm\) has no rule for the classifier of system trn"
    with pytest.raises(RecipeError, match=says):
        load_recipe("sthv2/trn_bninception_8f", ["optim.policy=tsm", "optim.decay_norms=true"])


@pytest.mark.parametrize("key", ["optimizer", "policy", "schedule", "warmup_by"])
def test_an_unknown_choice_of_the_optimiser_is_never_another_one_in_silence(key):
    from torch import nn

    from stsm_cli.engine.optim import build_optimizer, lr_at

    known = OptimConfig(lr=1.0, epochs=4, warmup_epochs=1.0)
    config = known.model_copy(update={key: "other"})

    def use():
        build_optimizer(nn.Linear(1, 1), config)
        for step in (0, 3):
            lr_at(step, 1, config)

    with pytest.raises((KeyError, AssertionError), match="other"):
        use()


def test_an_unknown_average_is_never_another_one_in_silence():
    import torch

    from stsm_cli.engine.scores import average_views

    with pytest.raises(AssertionError, match="other"):
        average_views(torch.zeros(1, 2, 3), "other")


def test_norms_need_more_than_one_value_where_one_time_step_may_be_left():
    model = {"backbone": "slowfast_resnet50", "system": "atfr", "num_classes": 3, "num_frames": 4}
    recipe = RECIPE | {
        "model": model,
        "data": {"dataset": "sthv2", "sampling": "uniform", "crop_px": 32},
        "optim": {"lr": 1.0, "epochs": 1, "batch_size": 1},
    }
    with pytest.raises(ValidationError, match=r"crop_px \(32\) must be more than 32 with"):
        Recipe.model_validate(recipe)
    assert Recipe.model_validate(recipe | {"model": model | {"system": None}})


@pytest.mark.parametrize(
    ("backbone", "num_frames", "pixels", "count"),
    [
        ("resnet50", 1, 32, "one frame"),
        ("slow_resnet50", 1, 32, "one frame"),
        ("slowfast_resnet_small", 1, 16, "one frame"),
        ("r2plus1d_34", 8, 16, "8 frames"),
        ("r2plus1d_small", 2, 16, "2 frames"),
        ("smallbig_resnet50", 16, 32, "16 frames"),
        ("smallbig_resnet_small", 4, 16, "4 frames"),
        ("resnet_small + tpn", 4, 16, "4 frames"),
    ],
)
def test_norms_need_more_than_one_value(backbone, num_frames, pixels, count):
    backbone, _, system = backbone.partition(" + ")
    model = {"backbone": backbone, "num_classes": 3, "num_frames": num_frames}
    recipe = RECIPE | {
        "model": model | {"system": system or None},
        "data": {"dataset": "sthv2", "sampling": "uniform", "crop_px": pixels},
        "optim": {"lr": 1.0, "epochs": 1, "batch_size": 1},
    }
    message = (
        rf"crop_px \({pixels}\) must be more than {pixels} with one video of {count} at a time"
    )
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(recipe)
    two = recipe | {"optim": recipe["optim"] | {"batch_size": 2}}
    assert Recipe.model_validate(two)
    larger = recipe | {"data": recipe["data"] | {"crop_px": pixels + 1}}
    assert Recipe.model_validate(larger)


@pytest.mark.parametrize("backbone", ["slow_resnet50", "slowfast_resnet50"])
def test_statistics_are_the_view_s(backbone):
    own = ModelConfig(backbone=backbone, num_classes=3)
    other = own.model_copy(update={"statistics": "imagenet"})
    assert (own.view.mean, own.view.std) == ((114.75,) * 3, (57.375,) * 3)
    assert other.view.mean == (123.675, 116.28, 103.53)
    assert other.view.std == (58.395, 57.12, 57.375)
    assert replace(other.view, mean=own.view.mean, std=own.view.std) == own.view


@pytest.mark.parametrize("name", ["scenes", "order"])
def test_no_default_of_a_set_with_a_test_split_ever_changes(name):
    data = {"dataset": name, "sampling": "uniform", name: {}}
    counts = {"train": 1920, "val": 480, "test": 960, "short_side_px": 54, "draw": 0}
    own = {
        "scenes": {"frames": 128, "difficulty": 0.0, "size": 1.25, "motion": 1.0},
        "order": {"frames": 48, "difficulty": 0.1, "motion": 1.0},
    }
    generated = DataConfig.model_validate(data).generated
    assert generated.model_dump() == counts | own[name]
    assert generated.splits == ("train", "val", "test")


def test_each_draw_has_a_folder_beside_the_first():
    draws = [load_recipe("order/tsn", [f"data.order.draw={n}"]).recipe.data for n in (0, 2)]
    assert [draw.place() for draw in draws] == [Path("data/order"), Path("data/order-draw2")]
    assert draws[1].place(Path("videos/set.1")) == Path("videos/set.1-draw2")
    beside = Path.cwd().parent / f"{Path.cwd().name}-draw2"
    assert draws[1].place(Path()) == draws[1].place(Path("inside/..")) == beside
    assert load_recipe("synth/tsn").recipe.data.place() == Path("data/synth")


def test_only_a_generated_set_has_a_test_split():
    message = r"test\.split \(test\): data set sthv2 has the splits train and val"
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(
            edited("test", split="test") | {"data": {"dataset": "sthv2", "sampling": "uniform"}}
        )
