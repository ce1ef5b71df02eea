"""The shipped recipe that a checkpoint's tensors belong to."""

import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.models.build import build_model
from stsm_cli.models.weights_layouts_2d import MIT, MMACTION2, TORCHVISION
from stsm_cli.models.weights_layouts_3d import (
    I3D,
    MMACTION2_SLOWFAST,
    PYSLOWFAST_ATFR,
    PYSLOWFAST_SLOWFAST,
    PYSLOWFAST_SLOWONLY,
    SMALLBIG,
    VMZ,
)
from stsm_cli.models.weights_layouts_systems import ACTION, TDN, TEA
from stsm_cli.models.weights_match import nearest


def tensors(recipe, **changes):
    """Those of the recipe's network without its shift, on meta."""
    changes = {"shift": None, "weights": None, **changes}
    with torch.device("meta"):
        return build_model(load_recipe(recipe).recipe.model.model_copy(update=changes)).state_dict()


@pytest.mark.parametrize(
    ("layout", "recipe", "also"),
    [
        (MIT, "k400/tsm_r50_8f", ()),
        (MIT, "sthv2/tsm_r50_8f", ("sthv2/tsm_r50_16f",)),
        (MIT, "ucf101/tsm_r50_8f", ()),
        (MIT, "hmdb51/tsm_r50_8f", ()),
        (MMACTION2, "ucf101/tsm_r50_8f", ()),
        (MIT, "k400/tsn_r50_nl_8f", ()),
        (MIT, "sthv2/tsm_mobilenet_v2_8f", ()),
        (PYSLOWFAST_ATFR, "k400/slowfast_atfr_r50_4x16", ()),
        (PYSLOWFAST_ATFR, "k400/slowfast_atfr_r50_8x8", ()),
        (PYSLOWFAST_ATFR, "sthv2/slowfast_atfr_r50_16x8", ()),
        (PYSLOWFAST_SLOWFAST, "k400/slowfast_r50_4x16", ()),
        (PYSLOWFAST_SLOWFAST, "sthv2/slowfast_r50_16x8", ()),
        (PYSLOWFAST_SLOWFAST, "k400/slowfast_r50_8x8", ()),
        (PYSLOWFAST_SLOWONLY, "k400/slowonly_r50_4x16", ("k400/slowonly_r50_8x8",)),
        (
            MMACTION2,
            "k400/mmaction2_v1_slowonly_r50_4x16",
            ("k400/mmaction2_v1_slowonly_r50_8x8",),
        ),
        (MMACTION2_SLOWFAST, "k400/mmaction2_v1_slowfast_r50_4x16", ()),
        (MMACTION2_SLOWFAST, "k400/mmaction2_v1_slowfast_r50_8x8", ()),
        (ACTION, "sthv2/action_r50_8f", ("sthv2/action_r50_16f",)),
        (ACTION, "sthv2/action_mobilenet_v2_8f", ()),
        (TEA, "k400/tea_r50_8f", ()),
        (TEA, "sthv2/tea_r50_8f", ("sthv2/mg_tea_r50_8f",)),
        (TDN, "k400/tdn_r50_8f", ()),
        (TDN, "sthv2/tdn_r50_8f", ()),
        (VMZ, "k400/r2plus1d_34_32f", ()),
        (I3D, "k400/i3d_64f", ()),
        (I3D, "k400/i3d_flow_64f", ()),
        (SMALLBIG, "k400/smallbig_r50_8f", ()),
        (SMALLBIG, "k400/smallbig_extra_r50_8f", ()),
        (SMALLBIG, "sthv2/smallbig_r50_8f", ("sthv2/smallbig_r50_16f",)),
    ],
)
def test_shapes_shift_and_number_of_classes_tell_the_recipe(layout, recipe, also):
    shifted = load_recipe(recipe).recipe.model.shift is not None
    weights = tensors(recipe)
    biases = layout.biases(weights)  # which go away
    weights |= {bias: weights[mean] for bias, mean in biases.items()}
    match = nearest(weights, layout, shifted=shifted)
    assert (match.recipe, match.also) == (recipe, also)
    assert not match.tells_frames


def test_other_classes_have_no_recipe():
    match = nearest(tensors("k400/tsm_r50_8f", num_classes=5), MIT, shifted=True)
    assert (match.config.backbone, match.recipe, match.also) == ("resnet50", None, ())
    assert match.network.num_classes == 5
    assert match.relatives == (
        "k400/tsm_r50_8f",
        "sthv2/tsm_r50_8f",
        "sthv2/tsm_r50_16f",
        "ucf101/tsm_r50_8f",
        "hmdb51/tsm_r50_8f",
    )
    wide = nearest(
        tensors("sthv2/slowfast_r50_16x8", num_classes=5), PYSLOWFAST_SLOWFAST, shifted=False
    )
    assert (wide.config.slowfast.lateral_kernel, wide.recipe) == (7, None)
    assert wide.relatives == ("k400/slowfast_r50_8x8", "sthv2/slowfast_r50_16x8")


@pytest.mark.parametrize(
    ("of", "sampling", "recipe", "for_frames"),
    [
        ("k400/tsm_r50_8f", "uniform", "k400/mmaction2_v1_tsm_r50_8f", None),
        ("k400/tsm_r50_8f", "dense", "k400/mmaction2_v0_tsm_r50_8f", None),
        ("k400/tsm_r50_nl_8f", "dense", "k400/tsm_r50_nl_8f", None),
        ("k400/tsm_r50_nl_8f", "uniform", None, "k400/tsm_r50_nl_8f"),
    ],
)
def test_sampling_that_is_stated_chooses_among_equals(of, sampling, recipe, for_frames):
    match = nearest(tensors(of), MMACTION2, shifted=True, frames=8, sampling=sampling)
    assert (match.recipe, match.for_frames) == (recipe, for_frames)


def test_pictures_have_no_recipe():
    match = nearest(tensors("k400/tsn_r50_8f"), TORCHVISION, shifted=False)
    assert (match.config.backbone, match.recipe, match.relatives) == ("resnet50", None, ())
