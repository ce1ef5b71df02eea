"""Every tensor of a released TPN finds its place, and the file its recipe."""

import re

import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.models.build import build_model
from stsm_cli.models.weights_layouts_tpn import MMACTION2_TPN, TPN

PARTS = {"0": "conv", "1": "bn"}


def authors_name(name):
    """Their name of ours."""
    name = re.sub(r"^fc\.", "cls_head.fc_cls.", name)
    name = re.sub(r"^auxiliary\.fc\.", "necks.aux_head.fc.", name)
    name = re.sub(
        r"^auxiliary\.conv\.([01])\.", lambda m: f"necks.aux_head.convs.{PARTS[m[1]]}.", name
    )
    name = name.replace("backbone.pyramid.", "necks.")
    name = re.sub(
        r"^necks\.spatial\.([01])\.",
        lambda m: f"necks.spatial_modulation.spatial_modulation.0.0.{PARTS[m[1]]}.",
        name,
    )
    name = re.sub(r"^necks\.temporal\.(\d)\.", r"necks.temporal_modulation_ops.\1.conv.", name)
    name = name.replace("necks.rise.", "necks.downsampling_ops.0.conv.")
    name = name.replace("necks.down.", "necks.level_fusion_op2.")
    name = name.replace("necks.up.", "necks.level_fusion_op.")
    name = name.replace("necks.fuse.", "necks.pyramid_fusion_op.").replace(
        ".fuse.", ".fusion_conv."
    )
    return re.sub(
        r"\.levels\.(\d)\.([01])\.",
        lambda m: f".ops.{m[1]}.{'norm' if m[2] == '1' else 'conv'}.",
        name,
    )


def mmaction2_name(name):
    """MMAction2's name of theirs."""
    name = re.sub(r"(level_fusion_op2?\.)ops\.(\d)\.conv\.", r"\1downsamples.\2.conv.conv.", name)
    name = re.sub(r"(level_fusion_op2?\.)ops\.(\d)\.norm\.", r"\1downsamples.\2.conv.bn.", name)
    name = re.sub(
        r"(fusion_conv|pyramid_fusion_op)\.([01])\.", lambda m: f"{m[1]}.{PARTS[m[2]]}.", name
    )
    for before, after in {
        "level_fusion_op2.": "level_fusion_1.",
        "level_fusion_op.": "level_fusion_2.",
        "pyramid_fusion_op.": "pyramid_fusion.",
        "aux_head.convs.": "aux_head.conv.",
        "downsampling_ops.0.conv.": "downsample_ops.0.conv.conv.",
        "necks.": "neck.",
        "downsample.0.": "downsample.conv.",
        "downsample.1.": "downsample.bn.",
    }.items():
        name = name.replace(before, after)
    name = re.sub(r"(temporal_modulation_ops\.\d\.)conv\.", r"\1conv.conv.", name)
    return re.sub(r"^(backbone\.(?:layer\d\.\d+\.)?)(conv|bn)(\d)\.", r"\1conv\3.\2.", name)


def on_tsm(name):
    return re.sub(r"^(backbone\.layer\d\.\d+\.conv1\.conv\.)", r"\1net.", name)


NAMES = {
    "sthv2/tsm_tpn_r50_8f": (TPN, authors_name),
    "k400/tpn_slowonly_r50_8f": (TPN, authors_name),
    "k400/mmaction2_v1_tpn_slowonly_r50_8f": (
        MMACTION2_TPN,
        lambda name: mmaction2_name(authors_name(name)),
    ),
    "sthv2/mmaction2_v1_tsm_tpn_r50_8f": (
        MMACTION2_TPN,
        lambda name: on_tsm(mmaction2_name(authors_name(name))),
    ),
}
SPELLED = {
    "sthv2/tsm_tpn_r50_8f": {
        "backbone.layer1.0.conv1.weight",
        "necks.level_fusion_op2.ops.1.norm.running_var",
        "necks.pyramid_fusion_op.1.weight",
        "necks.spatial_modulation.spatial_modulation.0.0.conv.weight",
        "necks.aux_head.convs.bn.bias",
        "cls_head.fc_cls.bias",
    },
    "sthv2/mmaction2_v1_tsm_tpn_r50_8f": {
        "backbone.conv1.bn.weight",
        "backbone.layer1.0.conv1.conv.net.weight",
        "backbone.layer4.0.downsample.conv.weight",
        "neck.level_fusion_1.downsamples.0.conv.conv.weight",
        "neck.level_fusion_2.fusion_conv.bn.bias",
        "neck.temporal_modulation_ops.1.conv.conv.weight",
        "neck.downsample_ops.0.conv.conv.weight",
        "neck.aux_head.conv.bn.running_mean",
    },
}


def ours(recipe):
    model = load_recipe(recipe).recipe.model
    with torch.device("meta"):
        network = build_model(model.model_copy(update={"weights": None, "shift": None}))
    return model, network.state_dict()


@pytest.mark.parametrize("recipe", NAMES)
def test_every_tensor_has_its_place_and_the_file_its_recipe(recipe, read):
    layout, name_of = NAMES[recipe]
    model, tensors = ours(recipe)
    state = {name_of(name): tensor for name, tensor in tensors.items()}
    assert SPELLED.get(recipe, set()) <= state.keys()
    assert layout.our_names(state) == {name_of(name): name for name in tensors}
    converted = read(state, None, epoch=150)
    assert (converted.source, converted.recipe, converted.also) == (layout.source, recipe, ())
    assert converted.shifted == (model.shift is not None)
    assert converted.weights.keys() == tensors.keys()
    assert converted.dropped == {}


def test_what_training_alone_uses_is_counted_apart(read):
    state = {authors_name(name): tensor for name, tensor in ours("sthv2/tsm_tpn_r50_8f")[1].items()}
    converted = read(state, "tpn")
    assert converted.num_parameters == 63_210_734
    assert sum(converted.training.values()) == 19_234_990
    assert all(name.startswith("auxiliary.") for name in converted.training)
    assert "auxiliary.fc.bias" in converted.training
