"""Residual blocks are found by what they compute: in torchvision, in timm, in networks of users."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision import models

from stsm_cli.models.shift import ShiftedConv, insert_shift, plain_state_dict
from stsm_cli.models.shift_sites import shift_sites

STSM = {"num_frames": 2, "dims": "T+H+W", "alpha": "3/8"}


def timm_model(name, **options):
    return pytest.importorskip("timm").create_model(name, **options)


# Networks of others


@pytest.mark.parametrize(
    ("name", "num_sites", "first", "last"),
    [
        ("mobilenet_v3_small", 6, "features.3.block.0.0", "features.11.block.0.0"),
        ("mobilenet_v3_large", 10, "features.1.block.0.0", "features.15.block.0.0"),
        ("efficientnet_b0", 9, "features.2.1.block.0.0", "features.6.3.block.0.0"),
        ("efficientnet_v2_s", 35, "features.1.0.block.0.0", "features.6.14.block.0.0"),
        ("convnext_tiny", 18, "features.1.0.block.0", "features.7.2.block.0"),
        ("convnext_small", 20, "features.1.0.block.0", "features.7.2.block.0"),  # 3, 3, 27, 3
        ("mnasnet0_5", 10, "layers.8.1.layers.0", "layers.12.3.layers.0"),
    ],
)
def test_sites_in_torchvision(name, num_sites, first, last):
    with torch.device("meta"):
        sites = shift_sites(models.get_model(name))
    assert (len(sites), sites[0], sites[-1]) == (num_sites, first, last)


@pytest.mark.parametrize(
    ("name", "blocks"), [("regnet_y_400mf", [1, 3, 6, 6]), ("regnet_x_400mf", [1, 2, 7, 12])]
)
def test_regnets_shift_in_every_block(name, blocks):
    expected = [
        f"trunk_output.block{i}.block{i}-{j}.f.a.0"
        for i, n in enumerate(blocks, 1)
        for j in range(n)
    ]
    assert shift_sites(models.get_model(name)) == expected


@pytest.mark.parametrize(
    ("name", "num_sites", "first"),
    [
        ("resnet18", 8, "layer1.0.conv1"),
        ("resnet50", 16, "layer1.0.conv1"),
        ("resnet50d", 16, "layer1.0.conv1"),
        ("resnet101", 18, "layer1.0.conv1"),
        ("resnext50_32x4d", 16, "layer1.0.conv1"),
        ("seresnet50", 16, "layer1.0.conv1"),
        ("resnetv2_50", 16, "stages.0.blocks.0.conv1"),  # norm and activation before it
        ("mobilenetv2_100", 10, "blocks.1.1.conv_pw"),
        ("mobilenetv3_large_100", 10, "blocks.0.0.conv_dw"),
        ("efficientnet_b0", 9, "blocks.1.1.conv_pw"),
        ("tf_efficientnetv2_s", 35, "blocks.0.0.conv"),
        ("convnext_atto", 12, "stages.0.blocks.0.conv_dw"),
        ("convnextv2_atto", 12, "stages.0.blocks.0.conv_dw"),
        ("regnetx_002", 13, "s1.b1.conv1.conv"),
        ("regnety_002", 13, "s1.b1.conv1.conv"),
    ],
)
def test_sites_in_timm(name, num_sites, first):
    with torch.device("meta"):
        sites = shift_sites(timm_model(name))
    assert (len(sites), sites[0]) == (num_sites, first)


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_networks_without_residual_blocks_ask_for_targets(name):
    with torch.device("meta"):
        network = models.get_model(name)
    first = next(name for name, part in network.named_modules() if isinstance(part, nn.Conv2d))
    with pytest.raises(ValueError, match=r"has no residual block .* name the convolutions") as told:
        shift_sites(network)
    assert f"as in targets=['{first}']; there are {first}, " in str(told.value)
    assert str(told.value).endswith(", ...")


def networks():
    yield models.mobilenet_v3_small(num_classes=3)
    yield models.regnet_y_400mf(num_classes=3)
    yield timm_model("resnet10t", num_classes=3)
    yield timm_model("convnext_atto", num_classes=3)


def test_at_alpha_0_networks_are_what_they_were_to_the_bit():
    frames = torch.randn(4, 3, 32, 32)
    for network in networks():
        with torch.no_grad():
            plain = network.eval()(frames)
            assert torch.equal(insert_shift(network, **STSM | {"alpha": 0})(frames), plain)


def test_networks_of_others_run_with_a_shift_and_keep_their_weights():
    for network in networks():
        state = {key: value.clone() for key, value in network.state_dict().items()}
        shifted = insert_shift(network, **STSM).eval()
        frames = torch.randn(4, 3, 32, 32)
        assert shifted(frames).shape == (4, 3)
        assert plain_state_dict(shifted).keys() == state.keys()
        assert shifted.load_state_dict(state) == ([], [])


def test_the_identity_branch_is_not_shifted():
    block = models.convnext_tiny().features[1][0].eval()
    nn.init.zeros_(block.layer_scale)
    insert_shift(block, **STSM)
    assert isinstance(block.block[0], ShiftedConv)
    x = torch.randn(4, 96, 5, 5)
    assert torch.equal(block(x), x)


# The rule


def conv(num_in=8, num_out=8):
    return nn.Conv2d(num_in, num_out, 3, padding=1)


class Block(nn.Module):
    """`forward` of the parts given."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.compute = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x, skip=None):
        return self.compute(self, x if skip is None else skip, x)


BLOCKS = {
    "b": Block(lambda m, skip, x: m.b(m.a(x)) + skip, a=nn.BatchNorm2d(8), b=conv()),
    "deep.1.0": Block(
        lambda m, skip, x: torch.add(skip, m.deep(x)),
        deep=nn.Sequential(nn.ReLU(), nn.Sequential(conv(), nn.ReLU()), conv()),
    ),
    "branch.0": Block(
        lambda m, skip, x: m.project(skip).add(m.branch(x)),
        project=conv(),
        branch=nn.Sequential(conv(), conv()),
    ),
    "gated": Block(
        lambda m, skip, x: skip + m.gated(x) * m.gate(m.gated(x)), gated=conv(), gate=conv()
    ),
    "normed": Block(lambda m, skip, x: skip + m.normed(x), normed=weight_norm(conv())),
}


@pytest.mark.parametrize("site", BLOCKS)
def test_a_branch_begins_with_its_first_convolution(site):
    assert shift_sites(BLOCKS[site]) == [site]
    assert shift_sites(nn.Sequential(conv(), BLOCKS[site])) == [f"1.{site}"]


NO_BLOCKS = {
    "no addition": Block(lambda m, skip, x: skip * m.a(x), a=conv()),
    "no branch": Block(lambda m, skip, x: m.a(x) + 1, a=conv()),
    "another input": Block(lambda m, skip, x: m.a(x) + torch.ones(1), a=conv()),
    "branches of one size": Block(lambda m, skip, x: m.a(x) + m.b(x), a=conv(), b=conv()),
    "two layers first": Block(lambda m, skip, x: skip + m.a(x) * m.b(x), a=conv(), b=conv()),
    "a linear layer first": Block(
        lambda m, skip, x: skip + m.b(m.a(x)), a=nn.Linear(4, 4), b=conv()
    ),
    "a 1D convolution": Block(lambda m, skip, x: skip + m.a(x), a=nn.Conv1d(8, 8, 1)),
    "behind the fork": Block(lambda m, skip, x: (y := m.a(x)) + m.b(y), a=conv(), b=conv()),
    "depends on values": Block(lambda m, skip, x: skip + m.a(x) if x.sum() else x, a=conv()),
}


@pytest.mark.parametrize("kind", NO_BLOCKS)
def test_what_is_no_such_block(kind):
    with pytest.raises(ValueError, match="Block has no residual block that is known here"):
        shift_sites(NO_BLOCKS[kind])


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv(), conv(), conv()

    def forward(self, fine, coarse):
        return self.b(self.a(fine)) + self.c(coarse)


def test_what_is_made_of_another_input_is_no_identity():
    with pytest.raises(ValueError, match="TwoInputs has no residual block that is known here"):
        shift_sites(TwoInputs())


def test_a_long_residual_around_blocks_adds_no_site_of_its_own():
    body = nn.Sequential(BLOCKS["b"], BLOCKS["gated"])
    around = Block(lambda m, skip, x: skip + m.body(x), body=body)
    assert shift_sites(around) == ["body.0.b", "body.1.gated"]


def test_nothing_is_left_behind_in_the_network():
    network = models.resnet18()
    state = {name: dict(vars(module)) for name, module in network.named_modules()}
    shift_sites(network)
    assert all(vars(network.get_submodule(name)) == before for name, before in state.items())
