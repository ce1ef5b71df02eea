import pytest
import torch
from torch import nn

from stsm_cli.analysis.cost import model_cost
from stsm_cli.config.schema import BODIES, ModelConfig
from stsm_cli.models.build import build_model
from stsm_cli.models.res2net import Bottle2neck
from stsm_cli.models.tea import MotionExcitation, insert_tea
from stsm_cli.models.temporal import TemporalConv


def config(backbone="res2net_small", **changes):
    options = {"backbone": backbone, "num_classes": 5, "num_frames": 4, "system": "tea"}
    return ModelConfig(**options | changes)


def test_motion_excitation_equals_a_loop_over_frames(slow):
    module = slow.awake(MotionExcitation(32, num_frames=3))
    frames = torch.randn(2 * 3, 32, 3, 4, dtype=torch.float64)
    expected = []
    for view in frames.split(3):
        for frame, moved in zip(view, slow.motion(module.motion, view, 1), strict=True):
            mean = moved.mean((1, 2), keepdim=True)
            attention = slow.norm(module.bn, slow.pointwise(module.expand, mean))
            expected.append(frame + frame * (attention.sigmoid() - 0.5))
    torch.testing.assert_close(module(frames), torch.stack(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("is_first", [False, True])
def test_each_part_is_convolved_along_time_before_its_3x3(slow, is_first):
    network = nn.Sequential(Bottle2neck(16, 4, 4, stride=1, is_first=is_first))
    insert_tea(network, num_frames=3)
    block = slow.awake(network)[0]
    frames = torch.randn(3, 16, 3, 3, dtype=torch.float64)
    inside = block.me(block.bn1(block.conv1(frames)).relu())
    made = []
    for i, part in enumerate(inside.split(4, 1)):
        seen = part if is_first or i in (0, 3) else part + made[-1]
        seen = slow.along_time(block.shifts[i], seen)
        made.append(block.pool(seen) if i == 3 else block.bns[i](block.convs[i](seen)).relu())
    branch = block.bn3(block.conv3(torch.cat(made, 1)))
    expected = (branch + block.downsample(frames)).relu()
    torch.testing.assert_close(block(frames), expected, rtol=1e-10, atol=1e-10)


def test_at_first_three_parts_stand_still_and_the_last_is_shifted_by_halves():
    network = nn.Sequential(Bottle2neck(16, 26, 26, stride=1, is_first=False))
    insert_tea(network, num_frames=4)
    frames = torch.randn(4, 26, 2, 2)
    *still, last = (shift(frames) for shift in network[0].shifts)
    assert all(torch.equal(part, frames) for part in still)
    assert torch.equal(last[:-1, :13], frames[1:, :13])
    assert torch.equal(last[1:, 13:], frames[:-1, 13:])


def test_every_block_has_it_and_the_body_s_keys_stay():
    with torch.device("meta"):
        network = build_model(config("res2net50"))
        plain = build_model(config("res2net50", system=None))
    blocks = [part for part in network.modules() if isinstance(part, Bottle2neck)]
    assert len(blocks) == 16
    for block in blocks:
        assert isinstance(block.me, MotionExcitation)
        assert [type(shift) for shift in block.shifts] == [TemporalConv] * 4
    assert plain.state_dict().keys() < network.state_dict().keys()


@pytest.mark.parametrize("has_motion", [False, True])
def test_of_reversed_frames_reversed_kernels_make_the_same_but_for_motion(slow, has_motion):
    network = nn.Sequential(Bottle2neck(16, 4, 4, stride=1, is_first=False))
    insert_tea(network, num_frames=4)
    block = slow.awake(network)[0]
    if not has_motion:
        nn.init.zeros_(block.me.expand.weight)
    frames = torch.randn(4, 16, 3, 3, dtype=torch.float64)
    forward = block(frames)
    for shift in block.shifts:
        shift.conv.weight.copy_(shift.conv.weight.flip(2))
    difference = (block(frames.flip(0)).flip(0) - forward).abs().max()
    assert (difference > 1e-3) == has_motion


@pytest.mark.parametrize(
    ("backbone", "num_classes", "size_px", "params", "macs"),
    [
        ("res2net50", 174, 224, 24_456_280, 34_537_495_808),
        ("res2net50", 400, 224, 24_919_354, 34_541_198_592),
        ("res2net_small", 16, 32, 142_122, 40_978_112),
    ],
)
def test_parameters_and_multiply_adds_to_the_unit(backbone, num_classes, size_px, params, macs):
    # where it is shipped, a fresh one by test_cost.py
    cost = model_cost(config(backbone, num_classes=num_classes, num_frames=8), size_px=size_px)
    assert (cost.params, cost.macs) == (params, macs)
    assert not cost.uncounted


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = build_model(config(dropout=0.0)).train()
    network(torch.randn(4, 4, 3, 32, 32)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize("backbone", BODIES["tea"])
def test_imagenet_weights_are_not_torchvision_s(backbone):
    with pytest.raises(ValueError, match=f"there are none of ImageNet for backbone {backbone}"):
        config(backbone, weights="imagenet")
