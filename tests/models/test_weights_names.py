import re

import pytest

from stsm_cli.config.load import recipe_names
from stsm_cli.models.weights_names import LAYOUTS, SOURCES, known, layout_of, looks_like

# what the projects call a tensor, and its name here
NAMES = {
    "mmaction2": {
        "backbone.conv1.conv.weight": "backbone.conv1.weight",
        "backbone.conv1.bn.running_var": "backbone.bn1.running_var",
        "backbone.layer1.0.conv1.conv.net.weight": "backbone.layer1.0.conv1.weight",
        "backbone.layer4.2.conv3.conv.weight": "backbone.layer4.2.conv3.weight",
        "backbone.layer4.2.conv3.bn.bias": "backbone.layer4.2.bn3.bias",
        "backbone.layer2.0.downsample.conv.weight": "backbone.layer2.0.downsample.0.weight",
        "backbone.layer2.0.downsample.bn.weight": "backbone.layer2.0.downsample.1.weight",
        "backbone.layer2.2.block.conv1.conv.net.weight": "backbone.layer2.2.conv1.weight",
        "backbone.layer2.0.block.downsample.bn.bias": "backbone.layer2.0.downsample.1.bias",
        "backbone.layer3.4.non_local_block.g.0.conv.bias": "backbone.layer3.non_local4.g.bias",
        "backbone.layer3.4.non_local_block.phi.0.conv.weight": (
            "backbone.layer3.non_local4.phi.weight"
        ),
        "backbone.layer3.4.non_local_block.theta.conv.weight": (
            "backbone.layer3.non_local4.theta.weight"
        ),
        "backbone.layer3.4.non_local_block.conv_out.conv.weight": (
            "backbone.layer3.non_local4.conv_out.weight"
        ),
        "backbone.layer3.4.non_local_block.conv_out.bn.bias": "backbone.layer3.non_local4.bn.bias",
        "cls_head.fc_cls.weight": "fc.weight",
    },
    "mit": {
        "module.base_model.conv1.weight": "backbone.conv1.weight",
        "module.base_model.bn1.running_mean": "backbone.bn1.running_mean",
        "base_model.layer1.0.conv1.net.weight": "backbone.layer1.0.conv1.weight",
        "base_model.layer2.0.block.conv1.net.weight": "backbone.layer2.0.conv1.weight",
        "base_model.layer2.0.block.downsample.0.weight": "backbone.layer2.0.downsample.0.weight",
        "base_model.layer2.0.nl.g.0.weight": "backbone.layer2.non_local0.g.weight",
        "base_model.layer2.0.nl.phi.0.bias": "backbone.layer2.non_local0.phi.bias",
        "base_model.layer2.0.nl.theta.weight": "backbone.layer2.non_local0.theta.weight",
        "base_model.layer2.0.nl.W.0.bias": "backbone.layer2.non_local0.conv_out.bias",
        "base_model.layer2.0.nl.W.1.weight": "backbone.layer2.non_local0.bn.weight",
        "base_model.features.0.1.weight": "backbone.features.0.1.weight",
        "base_model.features.1.conv.0.weight": "backbone.features.1.conv.0.0.weight",
        "base_model.features.1.conv.1.bias": "backbone.features.1.conv.0.1.bias",
        "base_model.features.1.conv.3.weight": "backbone.features.1.conv.1.weight",
        "base_model.features.1.conv.4.bias": "backbone.features.1.conv.2.bias",
        "base_model.features.3.conv.0.net.weight": "backbone.features.3.conv.0.0.weight",
        "base_model.features.17.conv.4.weight": "backbone.features.17.conv.1.1.weight",
        "base_model.features.17.conv.6.weight": "backbone.features.17.conv.2.weight",
        "base_model.features.17.conv.7.bias": "backbone.features.17.conv.3.bias",
        "base_model.features.18.0.weight": "backbone.features.18.0.weight",
        "module.new_fc.bias": "fc.bias",
        "module.base_model.classifier.weight": "fc.weight",
        "base_model.fc.weight": "fc.weight",
    },
    "torchvision": {
        "conv1.weight": "backbone.conv1.weight",
        "features.1.conv.0.0.weight": "backbone.features.1.conv.0.0.weight",
        "layer1.0.bn1.bias": "backbone.layer1.0.bn1.bias",
        "fc.weight": "fc.weight",
        "classifier.1.bias": "fc.bias",
    },
    "pyslowfast": {
        "s1.pathway0_stem.conv.weight": "backbone.slow.conv1.weight",
        "s1.pathway1_stem.bn.running_var": "backbone.fast.bn1.running_var",
        "s1_fuse.conv_f2s.weight": "backbone.laterals.0.conv.weight",
        "s4_fuse.bn.bias": "backbone.laterals.3.bn.bias",
        "s2.pathway0_res0.branch1.weight": "backbone.slow.layer1.0.downsample.0.weight",
        "s3.pathway1_res0.branch1_bn.weight": "backbone.fast.layer2.0.downsample.1.weight",
        "s4.pathway0_res5.branch2.a.weight": "backbone.slow.layer3.5.conv1.weight",
        "s5.pathway1_res2.branch2.b_bn.bias": "backbone.fast.layer4.2.bn2.bias",
        "s5.pathway0_res2.branch2.c.weight": "backbone.slow.layer4.2.conv3.weight",
        "head.projection.weight": "fc.weight",
    },
    "vmz": {
        "stem.0.weight": "backbone.stem.0.space.weight",
        "stem.1.running_mean": "backbone.stem.0.bn.running_mean",
        "stem.3.weight": "backbone.stem.0.time.weight",
        "stem.4.bias": "backbone.stem.1.bias",
        "layer1.0.conv1.0.0.weight": "backbone.layer1.0.conv1.space.weight",
        "layer1.0.conv1.0.1.bias": "backbone.layer1.0.conv1.bn.bias",
        "layer4.2.conv2.0.3.weight": "backbone.layer4.2.conv2.time.weight",
        "layer4.2.conv2.1.weight": "backbone.layer4.2.bn2.weight",
        "layer2.0.downsample.1.weight": "backbone.layer2.0.downsample.1.weight",
        "fc.bias": "fc.bias",
    },
    "trn": {
        "module.base_model.conv1_7x7_s2.weight": "backbone.stem.conv1.conv.weight",
        "base_model.conv2_3x3_reduce_bn.bias": "backbone.stem.conv2.bn.bias",
        "base_model.conv2_3x3.bias": "backbone.stem.conv3.conv.bias",
        "base_model.inception_3a_1x1_bn.running_var": "backbone.blocks.3a.branch1.bn.running_var",
        "base_model.inception_3c_3x3.weight": "backbone.blocks.3c.branch2.1.conv.weight",
        "base_model.inception_4e_double_3x3_2.bias": "backbone.blocks.4e.branch3.2.conv.bias",
        "base_model.inception_5b_pool_proj_bn.weight": "backbone.blocks.5b.branch4.bn.weight",
        "new_fc.weight": "relations.project.weight",
        "consensus.fc_fusion_scales.0.1.bias": "relations.between.0.bias",
        "consensus.fc_fusion_scales.6.3.weight": "fc.weight.6",
    },
    "bninception": {
        "conv1_7x7_s2.weight": "backbone.stem.conv1.conv.weight",
        "conv1_7x7_s2_bn.weight": "backbone.stem.conv1.bn.weight",
        "inception_3a_1x1.weight": "backbone.blocks.3a.branch1.conv.weight",
        "fc.bias": "fc.bias",
    },
    "smallbig": {
        "module.conv1.weight": "backbone.conv1.weight",
        "layer1.0.bn1.weight": "backbone.layer1.0.bn1.weight",
        "layer2.0.conv1.weight": "backbone.layer2.0.conv1.weight",
        "layer4.2.big3.1.running_var": "backbone.layer4.2.big3.running_var",
        "layer3.0.downsample.0.weight": "backbone.layer3.0.downsample.0.weight",
        "layer2.0.big4_1.weight": "backbone.layer2.extra0.reduce.weight",
        "layer3.5.big4_2.0.weight": "backbone.layer3.extra5.widen.weight",
        "module.layer4.2.big4_2.1.running_mean": "backbone.layer4.extra2.bn.running_mean",
        "fc.weight": "fc.weight",
    },
    "i3d": {  # the first five in one port, the others in another
        "Conv3d_1a_7x7.conv3d.weight": "backbone.conv1.conv.weight",
        "Conv3d_2c_3x3.bn.running_var": "backbone.conv3.bn.running_var",
        "Mixed_3b.b0.conv3d.weight": "backbone.inception3a.branch1.conv.weight",
        "Mixed_4f.b2b.bn.bias": "backbone.inception4e.branch3.1.bn.bias",
        "logits.conv3d.bias": "fc.bias",
        "conv3d_2b_1x1.batch3d.weight": "backbone.conv2.bn.weight",
        "mixed_5c.branch_0.batch3d.bias": "backbone.inception5b.branch1.bn.bias",
        "mixed_3c.branch_1.0.conv3d.weight": "backbone.inception3b.branch2.0.conv.weight",
        "mixed_5b.branch_3.1.batch3d.running_mean": (
            "backbone.inception5a.branch4.1.bn.running_mean"
        ),
        "conv3d_0c_1x1.conv3d.weight": "fc.weight",
    },
    "action": {
        "module.base_model.conv1.weight": "backbone.conv1.weight",
        "base_model.layer1.0.conv1.net.weight": "backbone.layer1.0.conv1.conv.weight",
        "base_model.layer1.0.conv1.action_shift.weight": (
            "backbone.layer1.0.conv1.shift.conv.weight"
        ),
        "base_model.layer4.2.conv1.action_p1_conv1.weight": (
            "backbone.layer4.2.conv1.spatiotemporal.conv.weight"
        ),
        "base_model.layer1.0.conv1.action_p2_squeeze.weight": (
            "backbone.layer1.0.conv1.channel.reduce.weight"
        ),
        "base_model.layer1.0.conv1.action_p2_conv1.weight": (
            "backbone.layer1.0.conv1.channel.conv.weight"
        ),
        "base_model.layer1.0.conv1.action_p3_bn1.running_var": (
            "backbone.layer1.0.conv1.motion.motion.bn.running_var"
        ),
        "base_model.layer1.0.conv1.action_p3_expand.weight": (
            "backbone.layer1.0.conv1.motion.expand.weight"
        ),
        "base_model.features.3.conv.0.net.weight": "backbone.features.3.conv.0.0.conv.weight",
        "base_model.features.3.conv.0.action_p3_conv1.weight": (
            "backbone.features.3.conv.0.0.motion.motion.transform.weight"
        ),
        "base_model.features.3.conv.7.bias": "backbone.features.3.conv.3.bias",
        "new_fc.weight": "fc.weight",
    },
    "tea": {
        "base_model.layer1.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        "module.base_model.layer1.0.me.conv1.weight": "backbone.layer1.0.me.motion.reduce.weight",
        "base_model.layer1.0.me.bn1.running_mean": "backbone.layer1.0.me.motion.bn.running_mean",
        "base_model.layer1.0.me.conv2.weight": "backbone.layer1.0.me.motion.transform.weight",
        "base_model.layer1.0.me.conv3.weight": "backbone.layer1.0.me.expand.weight",
        "base_model.layer1.0.me.bn3.bias": "backbone.layer1.0.me.bn.bias",
        "base_model.layer1.0.convs.2.weight": "backbone.layer1.0.convs.2.weight",
        "base_model.layer1.0.bn3.bias": "backbone.layer1.0.bn3.bias",
        "base_model.layer1.0.shifts.3.conv.weight": "backbone.layer1.0.shifts.3.conv.weight",
        "new_fc.bias": "fc.bias",
    },
    "tdn": {
        "base_model.conv1.bias": "backbone.conv1.bias",
        "base_model.conv1_5.0.weight": "backbone.stem_difference.0.weight",
        "base_model.resnext_layer1.1.conv2.bias": "backbone.layer1_difference.1.conv2.bias",
        "base_model.layer1_bak.0.conv2.weight": "backbone.layer1.0.conv2.weight",
        "base_model.layer2_bak.0.conv2.weight": "backbone.layer2.0.conv2.conv.weight",
        "base_model.layer2_bak.0.bn2.weight": "backbone.layer2.0.bn2.weight",
        "base_model.layer3_bak.5.shift.conv.weight": "backbone.layer3.5.conv2.shift.conv.weight",
        "base_model.layer2_bak.0.mse.conv1.weight": (
            "backbone.layer2.0.conv2.difference.motion.reduce.weight"
        ),
        "base_model.layer2_bak.0.mse.bn1.bias": (
            "backbone.layer2.0.conv2.difference.motion.bn.bias"
        ),
        "base_model.layer2_bak.0.mse.conv2.weight": (
            "backbone.layer2.0.conv2.difference.motion.transform.weight"
        ),
        "base_model.layer2_bak.0.mse.conv3.weight": (
            "backbone.layer2.0.conv2.difference.expand.weight"
        ),
        "base_model.layer2_bak.0.mse.bn3.weight": "backbone.layer2.0.conv2.difference.bn.weight",
        "base_model.layer2_bak.0.mse.conv3_smallscale2.weight": (
            "backbone.layer2.0.conv2.difference.conv_half.weight"
        ),
        "base_model.layer4_bak.2.mse.bn3_smallscale4.weight": (
            "backbone.layer4.2.conv2.difference.bn_full.weight"
        ),
        "new_fc.weight": "fc.weight",
    },
}
MOBILENET = {  # MMAction2's; its stem is called as that of a ResNet
    "backbone.conv1.conv.weight": "backbone.features.0.0.weight",
    "backbone.conv1.bn.bias": "backbone.features.0.1.bias",
    "backbone.layer1.0.conv.0.conv.weight": "backbone.features.1.conv.0.0.weight",
    "backbone.layer1.0.conv.0.bn.bias": "backbone.features.1.conv.0.1.bias",
    "backbone.layer1.0.conv.1.conv.weight": "backbone.features.1.conv.1.weight",
    "backbone.layer1.0.conv.1.bn.bias": "backbone.features.1.conv.2.bias",
    "backbone.layer2.1.conv.0.net.conv.weight": "backbone.features.3.conv.0.0.weight",
    "backbone.layer2.1.conv.0.net.bn.bias": "backbone.features.3.conv.0.1.bias",
    "backbone.layer5.0.conv.1.bn.weight": "backbone.features.11.conv.1.1.weight",
    "backbone.layer7.0.conv.2.conv.weight": "backbone.features.17.conv.2.weight",
    "backbone.layer7.0.conv.2.bn.weight": "backbone.features.17.conv.3.weight",
    "backbone.conv2.conv.weight": "backbone.features.18.0.weight",
    "backbone.conv2.bn.weight": "backbone.features.18.1.weight",
    "cls_head.fc_cls.bias": "fc.bias",
}


@pytest.mark.parametrize("source", NAMES)
def test_names(source):
    layout = layout_of(NAMES[source])
    assert layout.source == source
    assert layout.our_names(NAMES[source]) == NAMES[source]


def test_names_of_mmaction2_s_mobilenet():
    assert layout_of(MOBILENET).our_names(MOBILENET) == MOBILENET


def test_names_of_mmaction2_s_slowfast():
    names = {
        "backbone.slow_path.conv1.conv.weight": "backbone.slow.conv1.weight",
        "backbone.fast_path.conv1.bn.running_var": "backbone.fast.bn1.running_var",
        "backbone.slow_path.conv1_lateral.conv.weight": "backbone.laterals.0.conv.weight",
        "backbone.slow_path.layer3_lateral.conv.weight": "backbone.laterals.3.conv.weight",
        "backbone.slow_path.layer1.0.downsample.conv.weight": (
            "backbone.slow.layer1.0.downsample.0.weight"
        ),
        "backbone.fast_path.layer4.2.conv3.bn.bias": "backbone.fast.layer4.2.bn3.bias",
        "cls_head.fc_cls.weight": "fc.weight",
    }
    assert layout_of(names).our_names(names) == names


def test_names_of_slowonly():
    """The one pathway of a network of that kind is its backbone."""
    names = {
        "s1.pathway0_stem.conv.weight": "backbone.conv1.weight",
        "s5.pathway0_res2.branch2.a_bn.bias": "backbone.layer4.2.bn1.bias",
        "head.projection.bias": "fc.bias",
    }
    assert layout_of(names).our_names(names) == names


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["backbone.conv1.conv.weight", "cls_head.fc_cls.bias"], "mmaction2"),
        (["base_model.conv1.weight", "new_fc.bias"], "mit"),
        (["conv1.weight", "fc.bias"], "torchvision"),
        (["features.0.0.weight", "classifier.1.bias"], "torchvision"),
        (["backbone.conv1.weight", "fc.bias"], "stsm"),
        (["backbone.layer2.0.big1.weight", "fc.bias"], "stsm"),
        (["s1.pathway0_stem.conv.weight", "head.projection.bias"], "pyslowfast"),
        (["stem.0.weight", "layer1.0.conv1.0.0.weight", "fc.bias"], "vmz"),
        (["conv1.weight", "layer2.0.big1.1.bias", "fc.bias"], "smallbig"),
        (["Conv3d_1a_7x7.conv3d.weight", "logits.conv3d.bias"], "i3d"),
        (["conv3d_1a_7x7.conv3d.weight", "conv3d_0c_1x1.conv3d.bias"], "i3d"),
        (["backbone.slow_path.conv1.conv.weight", "cls_head.fc_cls.bias"], "mmaction2"),
        (["base_model.layer1.0.conv1.action_shift.weight"], "action"),
        (["base_model.layer1.0.me.conv1.weight"], "tea"),
        (["base_model.layer2_bak.0.mse.conv1.weight", "new_fc.bias"], "tdn"),
        (["encoder.weight"], None),
        ([], None),
    ],
)
def test_whose_names_they_are(names, source, prefix):
    assert looks_like(prefix + name for name in names) == source


def test_what_is_known_is_listed_by_project():
    for layout in LAYOUTS:
        assert re.search(rf"(^|; ){layout.source} \([^;]*{re.escape(layout.networks)}", known())
    assert known().count(";") == len(SOURCES) - 1


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.networks)
def test_recipes_of_a_layout_are_shipped(layout):
    assert set(layout.recipes) <= set(recipe_names())
    assert len(set(layout.recipes)) == len(layout.recipes)
