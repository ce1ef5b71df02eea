"""Checkpoints of TRN's authors, and of the port of BN-Inception from Caffe."""

import pytest
import torch
from torch import nn

from stsm_cli.errors import CheckpointError
from stsm_cli.models.bninception import BLOCKS

CONVS = {
    "1x1": "branch1",
    "3x3_reduce": "branch2.0",
    "3x3": "branch2.1",
    "double_3x3_reduce": "branch3.0",
    "double_3x3_1": "branch3.1",
    "double_3x3_2": "branch3.2",
    "pool_proj": "branch4",
}


def blocks():
    """(name, channels in, channels out, side) of every convolution, in order."""
    yield from (("conv2_3x3_reduce", 64, 64, 1), ("conv2_3x3", 64, 192, 3))
    width = 192
    for name, of in BLOCKS.items():
        three, double = of.three, of.double
        sizes = {
            "1x1": (width, of.one, 1),
            "3x3_reduce": (width, three[0], 1),
            "3x3": (three[0], three[1], 3),
            "double_3x3_reduce": (width, double[0], 1),
            "double_3x3_1": (double[0], double[1], 3),
            "double_3x3_2": (double[1], double[2], 3),
            "pool_proj": (width, of.project, 1),
        }
        for branch, (num_in, num_out, side) in sizes.items():
            if num_out:
                yield f"inception_{name}_{branch}", num_in, num_out, side
        width = of.one + three[1] + double[2] + (of.project or width)


def body(channels=3):
    network = nn.Module()
    for name, num_in, num_out, side in [("conv1_7x7_s2", channels, 64, 7), *blocks()]:
        network.add_module(name, nn.Conv2d(num_in, num_out, side))
        network.add_module(f"{name}_bn", nn.BatchNorm2d(num_out))
    return network


def theirs(channels=3, num_frames=8, num_classes=174):
    network = nn.Module()
    network.base_model, network.new_fc = body(channels), nn.Linear(1024, 256)
    network.consensus = nn.Module()
    network.consensus.fc_fusion_scales = nn.ModuleList(
        nn.Sequential(nn.ReLU(), nn.Linear(256 * size, 256), nn.ReLU(), nn.Linear(256, num_classes))
        for size in range(num_frames, 1, -1)
    )
    return {f"module.{name}": tensor for name, tensor in network.state_dict().items()}


@pytest.fixture(autouse=True)
def on_meta():
    """Only what is compared has values."""
    with torch.device("meta"):
        yield


def test_every_tensor_has_its_place_and_the_file_its_recipe(read):
    for channels, recipe, params in (
        (3, "sthv2/trn_bninception_8f", 13_141_218),
        (10, "sthv2/trn_flow_bninception_8f", 13_163_170),
    ):
        found = read(theirs(channels))
        assert (found.source, found.recipe, found.also) == ("trn", recipe, ())
        assert (found.backbone, found.system) == ("bninception", "trn")
        assert (found.num_parameters, found.num_classes) == (params, 174)
        assert not found.dropped
        assert found.tells_frames


def test_colours_are_in_reverse_and_scales_together(read):
    with torch.device("cpu"):
        state = theirs(num_classes=7)
    found = read(state)
    assert found.recipe is None
    first = state["module.base_model.conv1_7x7_s2.weight"]
    assert torch.equal(found.weights["backbone.stem.conv1.conv.weight"], first[:, [2, 1, 0]])
    for i in range(7):
        last = f"module.consensus.fc_fusion_scales.{i}.3"
        assert torch.equal(found.weights["fc.weight"][:, i], state[f"{last}.weight"])
        assert torch.equal(found.weights["fc.bias"][:, i], state[f"{last}.bias"])
        between = found.weights[f"relations.between.{i}.weight"]
        assert torch.equal(between, state[f"module.consensus.fc_fusion_scales.{i}.1.weight"])
    for name, place in CONVS.items():
        ours = found.weights[f"backbone.blocks.4a.{place}.conv.bias"]
        assert torch.equal(ours, state[f"module.base_model.inception_4a_{name}.bias"])
    projection = found.weights["relations.project.weight"]
    assert torch.equal(projection, state["module.new_fc.weight"])


def test_flow_s_channels_stay(read):
    with torch.device("cpu"):
        state = theirs(10, num_classes=7)
    first = read(state).weights["backbone.stem.conv1.conv.weight"]
    assert torch.equal(first, state["module.base_model.conv1_7x7_s2.weight"])


def test_other_numbers_of_frames_have_their_network_and_no_recipe(read):
    found = read(theirs(num_frames=16))
    assert (found.num_parameters, found.recipe, found.frames) == (20_054_610, None, 16)
    assert found.for_frames == "sthv2/trn_bninception_8f"
    other = read(theirs(num_frames=16, num_classes=7))
    assert (other.recipe, other.frames, other.for_frames) == (None, 16, None)
    ours = read(theirs())
    assert (ours.frames, ours.for_frames) == (8, None)


def test_a_scale_that_is_missing_is_named(read):
    state = theirs()
    del state["module.consensus.fc_fusion_scales.3.3.weight"]
    text = r"missing \(fc.weight\), 6 unexpected \(module.consensus.fc_fusion_scales.0.3.weight"
    with pytest.raises(CheckpointError, match=text):
        read(state)


def test_a_scale_of_other_classes_is_named(read):
    state = theirs()
    state["module.consensus.fc_fusion_scales.3.3.bias"] = torch.zeros(7)
    with pytest.raises(CheckpointError, match=r"1 missing \(fc.bias\), 7 unexpected"):
        read(state)


def test_the_port_from_caffe_is_a_classifier_of_pictures_with_flat_norms(read):
    network = body()
    network.fc = nn.Linear(1024, 1000)
    state = {
        name: tensor[None] if "_bn." in name and tensor.ndim else tensor
        for name, tensor in network.state_dict().items()
    }
    found = read(state)
    assert (found.source, found.recipe, found.system) == ("bninception", None, None)
    assert (found.backbone, found.num_classes) == ("bninception", 1000)
    assert found.num_parameters == 10_270_240 + 1_025_000
