"""Checkpoints of what other papers put into 2D backbones: no tensor too many, none of another form.

Their names are in `test_weights_names.py`.
"""

import re

import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.models.build import build_model

ACTION = [
    (r"\.shift\.conv\.", ".action_shift."),
    (r"\.spatiotemporal\.conv\.", ".action_p1_conv1."),
    (r"\.channel\.reduce\.", ".action_p2_squeeze."),
    (r"\.channel\.conv\.", ".action_p2_conv1."),
    (r"\.channel\.expand\.", ".action_p2_expand."),
    (r"\.motion\.motion\.reduce\.", ".action_p3_squeeze."),
    (r"\.motion\.motion\.bn\.", ".action_p3_bn1."),
    (r"\.motion\.motion\.transform\.", ".action_p3_conv1."),
    (r"\.motion\.expand\.", ".action_p3_expand."),
    (r"\.conv1\.conv\.", ".conv1.net."),
]
TEA = [
    (r"\.me\.motion\.reduce\.", ".me.conv1."),
    (r"\.me\.motion\.bn\.", ".me.bn1."),
    (r"\.me\.motion\.transform\.", ".me.conv2."),
    (r"\.me\.expand\.", ".me.conv3."),
    (r"\.me\.bn\.", ".me.bn3."),
]
TDN = [
    (r"\.stem_difference\.", ".conv1_5."),
    (r"\.layer1_difference\.", ".resnext_layer1."),
    (r"\.layer(\d)\.", r".layer\1_bak."),
    (r"\.conv2\.shift\.", ".shift."),
    (r"\.conv2\.conv\.", ".conv2."),
    (r"\.conv2\.difference\.motion\.reduce\.", ".mse.conv1."),
    (r"\.conv2\.difference\.motion\.bn\.", ".mse.bn1."),
    (r"\.conv2\.difference\.motion\.transform\.", ".mse.conv2."),
    (r"\.conv2\.difference\.(conv|bn)_half\.", r".mse.\g<1>3_smallscale2."),
    (r"\.conv2\.difference\.(conv|bn)_full\.", r".mse.\g<1>3_smallscale4."),
    (r"\.conv2\.difference\.expand\.", ".mse.conv3."),
    (r"\.conv2\.difference\.bn\.", ".mse.bn3."),
]


def ours(recipe):
    """The network's tensors, on meta."""
    config = load_recipe(recipe).recipe.model.model_copy(update={"weights": None})
    with torch.device("meta"):
        return build_model(config).state_dict()


def theirs(recipe, rules):
    """What their program writes of the network; a convolution along time is 1D there."""
    state = {}
    for name, tensor in ours(recipe).items():
        along_time = re.search(r"\.shift(s\.\d)?\.conv\.", name)
        name = name.replace("fc.", "new_fc.").replace("backbone.", "base_model.")
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        state[f"module.{name}"] = tensor[..., 0] if along_time else tensor
    return state


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("recipe", "rules", "source", "num_parameters"),
    [
        ("sthv2/action_r50_8f", ACTION, "action", 28_082_378),
        ("sthv2/tea_r50_8f", TEA, "tea", 24_456_280),
    ],
)
def test_every_tensor_finds_its_place(recipe, rules, source, num_parameters, read):
    converted = read(theirs(recipe, rules))
    assert (converted.source, converted.system, converted.recipe) == (source, source, recipe)
    assert (converted.shifted, converted.tells_frames) == (False, False)
    assert (converted.num_parameters, converted.dropped, converted.folded) == (
        num_parameters,
        {},
        {},
    )
    assert shapes(converted.weights) == shapes(ours(recipe))


def biased(state):
    """TDN's ResNets have biases before their batch norms."""
    biases = {}
    for name, tensor in state.items():
        if re.search(r"(base_model|\d)\.(conv\d|downsample\.0)\.weight$", name):
            biases[name.replace("weight", "bias")] = tensor[:, 0, 0, 0]
    return state | biases


@pytest.mark.parametrize(
    ("recipe", "num_parameters"),
    [("sthv2/tdn_r50_8f", 24_420_046), ("k400/tdn_r50_8f", 24_883_120)],
)
def test_parameters_of_tdn_that_no_test_reads_are_accounted_for(recipe, num_parameters, read):
    temp = {"weight": torch.empty(64, 3, 7, 7), "bias": torch.empty(64)}
    state = biased(theirs(recipe, TDN))
    state |= {f"module.base_model.conv1_temp.{name}": value for name, value in temp.items()}
    converted = read(state)
    assert (converted.source, converted.system, converted.recipe) == ("tdn", "tdn", recipe)
    assert converted.dropped == {
        "module.base_model.conv1_temp.weight": 9_408,
        "module.base_model.conv1_temp.bias": 64,
    }
    assert (len(converted.folded), sum(converted.folded.values())) == (63, 27_968)
    assert converted.num_parameters + 9_472 + 27_968 == num_parameters
    assert shapes(converted.weights) == shapes(ours(recipe))
