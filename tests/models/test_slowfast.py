import pytest
import torch

from stsm_cli.config.networks_3d import SlowFastConfig
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import ShiftedConv
from stsm_cli.models.slowfast import Lateral, _joined, slow_positions, slowfast_backbone


def small(**changes):
    torch.manual_seed(0)
    options = {"backbone": "slowfast_resnet_small", "num_classes": 5, "num_frames": 2}
    slowfast = SlowFastConfig(ratio=3, lateral_kernel=5)
    return build_model(ModelConfig(**options | {"slowfast": slowfast} | changes)).double()


@pytest.mark.parametrize(
    ("num_fast", "num_slow", "positions"),
    [
        (32, 4, [0, 10, 20, 31]),
        (64, 16, [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]),
        (32, 8, [0, 4, 8, 13, 17, 22, 26, 31]),
        (4, 4, [0, 1, 2, 3]),
        (8, 1, [0]),
    ],
)
def test_slow_frames_are_spread_from_the_first_to_the_last(num_fast, num_slow, positions):
    config = SlowFastConfig(ratio=num_fast // num_slow)
    assert slow_positions(num_slow, config).tolist() == positions


@pytest.mark.parametrize(
    ("ratio", "num_slow", "positions"),
    [(8, 4, [0, 8, 16, 24]), (4, 8, [0, 4, 8, 12, 16, 20, 24, 28]), (8, 1, [0])],
)
def test_or_every_so_many_fast_frames_a_slow_one(ratio, num_slow, positions):
    config = SlowFastConfig(ratio=ratio, slow_frames="every")
    assert slow_positions(num_slow, config).tolist() == positions
    module = small(num_frames=num_slow, slowfast=config).backbone
    assert module.positions.tolist() == positions


def test_a_lateral_connection_without_a_norm_is_its_convolution():
    torch.manual_seed(0)
    layer = Lateral(3, ratio=4, kernel=5, norm=False).double().eval()
    fast = torch.randn(2, 3, 8, 2, 2, dtype=torch.float64)
    assert torch.equal(layer(fast), layer.conv(fast))
    assert (layer(fast) < 0).any()
    bare = small(slowfast=SlowFastConfig(ratio=3, lateral_norm=False)).state_dict()
    plain = small(slowfast=SlowFastConfig(ratio=3)).state_dict()
    gone = {key for key in plain if ".laterals." in key and ".bn." in key}
    assert bare.keys() == plain.keys() - gone
    assert len(gone) == 4 * 5


@pytest.mark.parametrize(("ratio", "kernel"), [(8, 5), (4, 7), (2, 1), (1, 3)])
def test_a_lateral_connection_is_a_sum_over_fast_frames_around_each_slow_one(ratio, kernel):
    torch.manual_seed(0)
    layer = Lateral(3, ratio=ratio, kernel=kernel).double().eval()
    fast = torch.randn(1, 3, 2 * ratio, 2, 2, dtype=torch.float64)
    expected = torch.zeros(1, 6, 2, 2, 2, dtype=torch.float64)
    for t in range(2):
        for k in range(kernel):
            source = t * ratio + k - kernel // 2
            if 0 <= source < 2 * ratio:
                weight = layer.conv.weight[:, :, k, 0, 0]
                expected[0, :, t] += torch.einsum("oc,chw->ohw", weight, fast[0, :, source])
    expected = (expected / (1 + layer.bn.eps) ** 0.5).clamp(min=0)
    torch.testing.assert_close(layer(fast), expected, rtol=1e-10, atol=1e-12)


def test_before_each_stage_the_slow_pathway_is_given_fast_features(slow):
    network = slow.learnt(small()).eval()
    backbone = network.backbone
    videos = torch.randn(2, 6, 3, 32, 32, dtype=torch.float64)
    fast = backbone.fast.bn1(backbone.fast.conv1(videos.transpose(1, 2))).relu()
    slow = videos[:, [0, 5]].transpose(1, 2)
    slow = backbone.slow.bn1(backbone.slow.conv1(slow)).relu()
    for n in range(4):
        given = backbone.laterals[n](fast)
        assert given.shape[1:3] == (2 * fast.shape[1], 2)
        slow = getattr(backbone.slow, f"layer{n + 1}")(torch.cat([slow, given], 1))
        fast = getattr(backbone.fast, f"layer{n + 1}")(fast)
    features = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)
    torch.testing.assert_close(network(videos), network.fc(features), rtol=1e-10, atol=1e-12)


def test_the_fast_pathway_has_an_eighth_of_the_width_and_sees_time_everywhere():
    with torch.device("meta"):
        network = slowfast_backbone("slowfast_resnet50", 4, SlowFastConfig())
    shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
    assert shapes["slow.conv1.weight"] == (64, 3, 1, 7, 7)
    assert shapes["fast.conv1.weight"] == (8, 3, 5, 7, 7)
    assert shapes["slow.layer1.0.conv1.weight"] == (64, 64 + 16, 1, 1, 1)
    assert shapes["slow.layer4.0.conv1.weight"] == (512, 1024 + 256, 3, 1, 1)
    assert shapes["fast.layer4.2.conv3.weight"] == (256, 64, 1, 1, 1)
    temporal = {n: shape[2] for n, shape in shapes.items() if n.endswith(".conv1.weight")}
    assert {temporal[n] for n in temporal if n.startswith("fast.layer")} == {3}
    for layer, size in {1: 1, 2: 1, 3: 3, 4: 3}.items():
        assert {temporal[n] for n in temporal if n.startswith(f"slow.layer{layer}")} == {size}
    laterals = [shapes[f"laterals.{n}.conv.weight"] for n in range(4)]
    assert laterals == [(2 * c, c, 5, 1, 1) for c in (8, 32, 64, 128)]
    assert network.num_features == 2048 + 256


def test_a_block_begins_as_its_shortcut():
    network = small().backbone
    block = network.slow.layer3[0]
    assert not block.bn2.weight.any()
    assert block.bn1.weight.all()
    with torch.device("meta"):
        deep = slowfast_backbone("slowfast_resnet50", 4, SlowFastConfig())
    assert deep.fast.layer2[1].last_norm is deep.fast.layer2[1].bn3


@pytest.mark.parametrize(("steps", "before"), [(2, 1), (1, 1), (4, 0), (3, 0)])
def test_zeros_stand_around_fewer_time_steps_the_odd_one_behind(steps, before):
    short, long = torch.rand(1, 2, steps, 1, 1), torch.rand(1, 3, 4, 1, 1)
    expected = torch.zeros(1, 2, 4, 1, 1)
    expected[:, :, before : before + steps] = short
    assert torch.equal(_joined(short, long), torch.cat([expected, long], 1))
    assert torch.equal(_joined(long, short), torch.cat([long, expected], 1))


def test_everything_learns(slow):
    network = slow.learnt(small()).train()
    network(torch.randn(2, 6, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_the_shift_stands_in_both_pathways_and_adds_no_parameters():
    shifted = small(shift=ShiftConfig(dims="T+H+W", alpha="1/2"))
    sites = [name for name, part in shifted.named_modules() if isinstance(part, ShiftedConv)]
    assert sites == [
        f"backbone.{pathway}.layer{n}.0.conv1" for pathway in ("slow", "fast") for n in (1, 2, 3, 4)
    ]
    counts = [sum(p.numel() for p in network.parameters()) for network in (shifted, small())]
    assert counts[0] == counts[1]
