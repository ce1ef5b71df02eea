"""Networks of other projects that are called as one of ours: refused by their name, in one line."""

import pytest
import torch

from stsm_cli.config.schema import ModelConfig
from stsm_cli.errors import CheckpointError
from stsm_cli.models.build import build_model

NAMES = {
    "mmaction2": ("backbone.{}.conv.weight", "cls_head.fc_cls.{}"),
    "pyslowfast": ("{}.weight", "head.projection.{}"),
}
STEM = {"mmaction2": "conv1", "pyslowfast": "s1.pathway0_stem.conv"}
BLOCK = {"mmaction2": "layer3.{}.conv1", "pyslowfast": "s4.pathway0_res{}.branch2.a"}


def on_resnet(source, stem, block):
    """Some tensors of a 3D ResNet: its stem and blocks reach over so many frames."""
    name, classifier = NAMES[source]
    state = {name.format(STEM[source]): torch.empty(64, 3, stem, 7, 7)}
    for i in range(6):
        width = 1024 if i else 512
        state[name.format(BLOCK[source].format(i))] = torch.empty(256, width, block, 1, 1)
    sizes = {"weight": (400, 2048), "bias": (400,)}
    return state | {classifier.format(kind): torch.empty(size) for kind, size in sizes.items()}


def refused(read, state):
    with pytest.raises(CheckpointError) as caught:
        read(state)
    return str(caught.value).partition("theirs.pth: ")[2]


@pytest.fixture(autouse=True)
def on_meta():
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("source", NAMES)
def test_i3d_on_a_resnet_is_not_that_on_inception(source, read):
    said = "a checkpoint of I3D on a ResNet, another network than I3D on Inception of the paper's "
    said += "row (k400/i3d_64f); it is unknown here"
    assert refused(read, on_resnet(source, 5, 3)) == said


def test_csn_is_no_i3d(read):
    state = on_resnet("mmaction2", 3, 3)
    state["backbone.layer1.0.conv2.0.conv.weight"] = torch.empty(64, 1, 3, 3, 3)
    said = (
        "a checkpoint of CSN, a ResNet of depthwise convolutions in 3D, which no row of the paper"
    )
    assert refused(read, state) == f"{said} has; it is unknown here"


def test_x3d_is_not_called_csn(read):
    """Its stem is two convolutions."""
    state = on_resnet("mmaction2", 3, 3)
    state["backbone.layer1.0.conv2.0.conv.weight"] = torch.empty(64, 1, 3, 3, 3)
    stem = [name for name in state if name.startswith("backbone.conv1.")]
    for name in stem:
        state[name.replace("conv1.", "conv1_s.", 1)] = state.pop(name)
    assert "CSN" not in refused(read, state)


@pytest.mark.parametrize("source", NAMES)
def test_another_stem_is_no_i3d(source, read):
    assert refused(read, on_resnet(source, 3, 3)).startswith(f"not {source}'s ")


@pytest.mark.parametrize("source", NAMES)
def test_c2d_is_no_slow_pathway(source, read):
    assert refused(read, on_resnet(source, 1, 1)).startswith(
        "a checkpoint of C2D, a ResNet whose c"
    )


@pytest.mark.parametrize("source", NAMES)
def test_what_is_missing_in_a_slow_pathway_is_still_named(source, read):
    said = refused(read, on_resnet(source, 1, 3))
    assert said.startswith(f"not {source}'s ")
    assert ", the nearest network known here: " in said


def test_mmaction2_s_r2plus1d_is_not_its_authors(read):
    state = {
        "backbone.conv1.conv.conv_s.weight": torch.empty(83, 3, 1, 7, 7),
        "backbone.conv1.conv.bn_s.weight": torch.empty(83),
        "backbone.conv1.conv.conv_t.weight": torch.empty(64, 83, 3, 1, 1),
        "cls_head.fc_cls.weight": torch.empty(400, 512),
    }
    said = "a checkpoint of R(2+1)D of MMAction2, another network than its authors' of the paper's "
    said += "row (k400/r2plus1d_34_32f); it is unknown here"
    assert refused(read, state) == said


def test_pictures_networks_are_not_told_by_time(read):
    state = build_model(ModelConfig(backbone="resnet18", num_classes=7)).state_dict()
    theirs = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
    del theirs["layer1.0.conv1.weight"]
    assert refused(read, theirs).startswith("not torchvision's resnet18, the nearest network")
