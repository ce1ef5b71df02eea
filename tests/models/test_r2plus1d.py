import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models.build import build_model
from stsm_cli.models.r2plus1d import Factored, FactoredBlock, channels_between, r2plus1d_backbone
from stsm_cli.models.shift import shift


def small(**changes):
    torch.manual_seed(0)
    options = {"backbone": "r2plus1d_small", "num_classes": 5, "num_frames": 8}
    return build_model(ModelConfig(**options | changes)).double()


@pytest.mark.parametrize(
    ("num_in", "num_out", "expected"),
    [(64, 64, 144), (64, 128, 230), (128, 128, 288), (256, 512, 921), (512, 512, 1152)],
)
def test_the_pair_has_the_parameters_of_the_convolution_that_it_stands_for(
    num_in, num_out, expected
):
    between = channels_between(num_in, num_out)
    assert between == expected
    cost = 9 * num_in + 3 * num_out
    assert between * cost <= 27 * num_in * num_out < (between + 1) * cost


@pytest.mark.parametrize(("side", "stride"), [(3, (1, 1)), (3, (2, 2)), (7, (2, 1))])
def test_a_factored_convolution_is_one_in_space_of_each_frame_and_a_sum_over_three(side, stride):
    torch.manual_seed(0)
    layer = Factored(2, 3, 5, side=side, stride=stride).double().eval()
    x = torch.randn(1, 2, 5, 8, 8, dtype=torch.float64)
    weight = layer.space.weight[:, :, 0]
    frames = [F.conv2d(x[:, :, t], weight, stride=stride[0], padding=side // 2) for t in range(5)]
    between = [(frame / (1 + layer.bn.eps) ** 0.5).clamp(min=0) for frame in frames]
    expected = [
        sum(
            torch.einsum("om,nmhw->nohw", layer.time.weight[:, :, k, 0, 0], between[t + k - 1])
            for k in range(3)
            if 0 <= t + k - 1 < 5
        )
        for t in range(0, 5, stride[1])
    ]
    torch.testing.assert_close(layer(x), torch.stack(expected, 2), rtol=1e-10, atol=1e-12)


def test_a_block_adds_two_factored_convolutions_to_its_shortcut():
    torch.manual_seed(0)
    block = FactoredBlock(4, 6, 2).double().eval()
    x = torch.randn(2, 4, 6, 8, 8, dtype=torch.float64)
    branch = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    shortcut = block.downsample[1](F.conv3d(x, block.downsample[0].weight, stride=2))
    torch.testing.assert_close(block(x), (branch + shortcut).relu(), rtol=1e-12, atol=1e-12)
    assert block(x).shape == (2, 6, 3, 4, 4)


def test_the_34_layers_halve_time_in_three_stages_and_never_pool():
    with torch.device("meta"):
        network = r2plus1d_backbone("r2plus1d_34").eval()
        x = network.stem(torch.empty(1, 3, 32, 112, 112))
        shapes = [tuple(x.shape[1:])]
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (64, 32, 56, 56),
        (64, 32, 56, 56),
        (128, 16, 28, 28),
        (256, 8, 14, 14),
        (512, 4, 7, 7),
    ]
    assert network.stem[0].space.out_channels == 45
    assert [len(stage) for stage in (network.layer1, network.layer4)] == [3, 3]
    second = [stage[0].conv2.space.out_channels for stage in (network.layer2, network.layer4)]
    assert second == [288, 1152]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {norm.eps for norm in norms} == {1e-3}


def test_everything_learns():
    network = small().train()
    network(torch.randn(2, 8, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_the_shift_stands_before_the_convolution_in_space_that_begins_a_block():
    config = ShiftConfig(dims="T+H+W", alpha="1/2")
    plain, shifted = small().eval(), small(shift=config).eval()
    sites = [name for name, _ in shifted.named_modules() if name.endswith(".net")]
    assert sites == [f"backbone.layer{n}.0.conv1.space.net" for n in (1, 2, 3, 4)]
    one, other = plain.backbone.layer2[0], shifted.backbone.layer2[0]
    x = torch.randn(1, 32, 4, 8, 8, dtype=torch.float64)
    branch = one.bn1(one.conv1(shift(x, dims="T+H+W", alpha="1/2"))).relu()
    expected = (one.bn2(one.conv2(branch)) + one.downsample(x)).relu()
    torch.testing.assert_close(other(x), expected, rtol=1e-12, atol=1e-12)


def test_the_flow_network_has_two_channels_and_the_same_rest():
    config = ModelConfig(
        backbone="r2plus1d_34", num_classes=400, num_frames=32, dropout=0.0, stream="flow"
    )
    with torch.device("meta"):
        network = build_model(config)
    assert network.view.shape(112) == (32, 2, 112, 112)
    assert sum(p.numel() for p in network.parameters()) == 63_694_970
