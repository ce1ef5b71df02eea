from itertools import product

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from stsm_cli.analysis.cost import model_cost
from stsm_cli.config.schema import BODIES, ModelConfig
from stsm_cli.models import backbones
from stsm_cli.models.action import Action
from stsm_cli.models.build import build_model

SITES = {
    "resnet50": 16,
    "mobilenet_v2": 10,
    "resnet_small": 4,
    "mobilenet_v2_small": 3,
    "bottleneck_small": 3,
    "inverted_small": 3,
}


def config(backbone="resnet_small", **changes):
    options = {"backbone": backbone, "num_classes": 5, "num_frames": 4, "system": "action"}
    return ModelConfig(**options | changes)


def awake(slow, num_channels=32, num_frames=3):
    conv = nn.Conv2d(num_channels, 2, 1, bias=False)
    return slow.awake(Action(conv, num_frames=num_frames))


def slow_gates(slow, module, view):
    """The three gates, before their sigmoids, of s (T, C, H, W), at every t, c, y, x."""
    times, channels, height, width = view.shape
    gates = torch.zeros(3, *view.shape, dtype=view.dtype)
    places = list(product(range(times), range(height), range(width)))
    means = {(t, y, x): sum(view[t, :, y, x]) / channels for t, y, x in places}
    kernel = module.spatiotemporal.conv.weight[0, 0]
    for t, y, x in places:
        for k, i, j in product(range(3), repeat=3):
            value = means.get((t + k - 1, y + i - 1, x + j - 1), 0)
            gates[0, t, :, y, x] += kernel[k, i, j] * value
    channel, motion = module.channel, module.motion
    squeezed = [slow.pointwise(channel.reduce, frame.mean((1, 2), keepdim=True)) for frame in view]
    moves = slow.motion(motion.motion, view, 1)
    for t in range(times):
        near = [k for k in range(3) if 0 <= t + k - 1 < times]
        mixed = sum(channel.conv.weight[:, :, k] @ squeezed[t + k - 1][:, :, 0] for k in near)
        gates[1, t] += slow.pointwise(channel.expand, mixed.relu()[:, :, None])
        gates[2, t] += slow.pointwise(motion.expand, moves[t].mean((1, 2), keepdim=True))
    return gates


def test_equals_a_loop_over_frames_channels_and_positions(slow):
    module = awake(slow)
    frames = torch.randn(2 * 3, 32, 3, 4, dtype=torch.float64)
    expected = []
    for view in frames.split(3):
        s = slow.along_time(module.shift, view)
        first, second, third = slow_gates(slow, module, s).sigmoid()
        excited = (s * first + s) + (s * second + s) + (s * third + s)
        expected += [slow.pointwise(module.conv, frame) for frame in excited]
    torch.testing.assert_close(module(frames), torch.stack(expected), rtol=1e-10, atol=1e-10)


def test_at_first_time_is_tsm_s_shift():
    module = Action(nn.Conv2d(16, 2, 1), num_frames=4)
    assert module.shift.conv.weight.sum() == 16
    assert module.shift.conv.weight[:2, 0, 2].all()
    assert module.shift.conv.weight[2:4, 0, 0].all()
    assert module.shift.conv.weight[4:, 0, 1].all()


def reverse_kernels(module):
    for conv, axis in (
        (module.shift.conv, 2),
        (module.spatiotemporal.conv, 2),
        (module.channel.conv, 2),
    ):
        conv.weight.copy_(conv.weight.flip(axis))


@pytest.mark.parametrize("has_motion", [False, True])
def test_of_reversed_frames_reversed_kernels_make_the_same_but_for_motion(slow, has_motion):
    module = awake(slow, num_frames=4)
    if not has_motion:
        nn.init.zeros_(module.motion.expand.weight)
    frames = torch.randn(4, 32, 3, 3, dtype=torch.float64)
    forward = module(frames)
    reverse_kernels(module)
    difference = (module(frames.flip(0)).flip(0) - forward).abs().max()
    assert (difference > 1e-3) == has_motion


def test_views_do_not_see_each_other_and_frames_do(slow):
    module = awake(slow)
    frames = torch.randn(6, 32, 3, 3, dtype=torch.float64)
    changed = frames.clone()
    changed[0] += 1
    difference = (module(changed) - module(frames)).abs().amax((1, 2, 3))
    assert (difference[:2] > 1e-6).all()
    assert not difference[3:].any()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_convolution_sees_the_memory_format_of_the_frames(memory_format):
    module = Action(nn.Conv2d(32, 2, 1), num_frames=3)
    seen = []
    module.conv.register_forward_pre_hook(lambda _conv, inputs: seen.append(inputs[0]))
    module(torch.randn(6, 32, 5, 7).to(memory_format=memory_format))
    assert seen[0].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("backbone", BODIES["action"])
def test_it_stands_before_the_residual_branches(backbone):
    with torch.device("meta"):
        network = build_model(config(backbone))
        plain = build_model(config(backbone, system=None))
    sites = [name for name, part in network.named_modules() if isinstance(part, Action)]
    assert sites == plain.shift_sites
    assert len(sites) == SITES[backbone]
    keys = network.state_dict().keys()
    for key in plain.state_dict():
        layer, _, tensor = key.rpartition(".")
        assert (f"{layer}.conv.{tensor}" if layer in sites else key) in keys


@pytest.mark.parametrize(
    ("backbone", "num_classes", "size_px", "params", "macs"),
    [
        ("resnet50", 174, 224, 28_082_378, 34_436_981_360),
        ("mobilenet_v2", 174, 224, 2_472_026, 2_410_843_208),
        ("resnet_small", 16, 32, 273_320, 72_376_344),
        ("mobilenet_v2_small", 16, 32, 216_427, 19_781_912),
    ],
)
def test_parameters_and_multiply_adds_to_the_unit(backbone, num_classes, size_px, params, macs):
    # where it is shipped, a fresh one by test_cost.py
    cost = model_cost(config(backbone, num_classes=num_classes, num_frames=8), size_px=size_px)
    assert (cost.params, cost.macs) == (params, macs)
    assert not cost.uncounted


@pytest.mark.parametrize("backbone", ["resnet_small", "mobilenet_v2_small"])
def test_every_parameter_learns(backbone):
    torch.manual_seed(0)
    network = build_model(config(backbone, dropout=0.0)).train()
    network(torch.randn(4, 4, 3, 32, 32)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.abs().max() > 0] == []


def test_imagenet_weights_load_first(monkeypatch):
    torch.manual_seed(1)
    state = get_model("mobilenet_v2").state_dict()
    monkeypatch.setattr(
        backbones, "_load_imagenet", lambda network, *_: network.load_state_dict(state)
    )
    ours = build_model(config("mobilenet_v2", weights="imagenet")).state_dict()
    key = "features.3.conv.0.0"
    assert torch.equal(ours[f"backbone.{key}.conv.weight"], state[f"{key}.weight"])
    key = "features.2.conv.0.0.weight"
    assert torch.equal(ours[f"backbone.{key}"], state[key])
