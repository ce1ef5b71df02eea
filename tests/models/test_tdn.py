import pytest
import torch
from torch import nn
from torchvision.models import get_model

from stsm_cli.analysis.cost import model_cost
from stsm_cli.config.schema import ModelConfig
from stsm_cli.config.view import View
from stsm_cli.models import backbones
from stsm_cli.models.build import build_model
from stsm_cli.models.tdn import DistantDifference, ExcitedConv


def config(backbone="resnet_small", **changes):
    options = {"backbone": backbone, "num_classes": 5, "num_frames": 4, "system": "tdn"}
    return ModelConfig(**options | changes)


def halved(picture):
    """Means of 2×2 pixels; an odd row or column at the end is left out."""
    channels, height, width = picture.shape
    out = torch.zeros(channels, height // 2, width // 2, dtype=picture.dtype)
    for y in range(height // 2):
        for x in range(width // 2):
            out[:, y, x] = sum(picture[:, 2 * y + i, 2 * x + j] for i in (0, 1) for j in (0, 1)) / 4
    return out


def enlarged(picture, height, width):
    """The nearest pixel above and to the left."""
    out = torch.zeros(len(picture), height, width, dtype=picture.dtype)
    for y in range(height):
        for x in range(width):
            row, column = y * picture.shape[1] // height, x * picture.shape[2] // width
            out[:, y, x] = picture[:, row, column]
    return out


def slow_attention(slow, module, motion, *, size):
    half = motion if size == (1, 1) else halved(motion)
    half = enlarged(slow.norm(module.bn_half, slow.window(module.conv_half, half)), *size)
    full = slow.norm(module.bn_full, slow.window(module.conv_full, motion))
    mean = (motion + half + full) / 3
    return slow.norm(module.bn, slow.pointwise(module.expand, mean)).sigmoid() - 0.5


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (1, 1)])
def test_distant_difference_equals_a_loop_over_frames(slow, size):
    module = slow.awake(DistantDifference(32, num_frames=3))
    frames = torch.randn(2 * 3, 32, *size, dtype=torch.float64)
    expected = []
    for view in frames.split(3):
        sides = [slow.motion(module.motion, view, step) for step in (1, -1)]
        for frame, *motions in zip(view, *sides, strict=True):
            both = [slow_attention(slow, module, motion, size=size) for motion in motions]
            expected.append(frame + frame * (both[0] + both[1]) / 2)
    torch.testing.assert_close(module(frames), torch.stack(expected), rtol=1e-10, atol=1e-10)


def test_distant_difference_of_reversed_frames_is_its_reversal(slow):
    module = slow.awake(DistantDifference(32, num_frames=4))
    frames = torch.randn(4, 32, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(
        module(frames.flip(0)).flip(0), module(frames), rtol=1e-12, atol=1e-12
    )


def test_the_convolution_sees_excited_features_convolved_along_time(slow):
    conv = nn.Conv2d(16, 2, 1, bias=False)
    module = slow.awake(ExcitedConv(conv, num_frames=3))
    frames = torch.randn(3, 16, 3, 3, dtype=torch.float64)
    excited = slow.along_time(module.shift, module.difference(frames))
    expected = torch.stack([slow.pointwise(conv, frame) for frame in excited])
    torch.testing.assert_close(module(frames), expected, rtol=1e-10, atol=1e-10)


def test_time_starts_as_tsm_s_shift():
    weight = ExcitedConv(nn.Conv2d(16, 2, 1), num_frames=3).shift.conv.weight
    assert weight.sum() == weight[:2, 0, 2].sum() + weight[2:4, 0, 0].sum() + 12 == 16


def test_five_frames_stand_at_each_position():
    assert config(num_frames=8).view == View(num_positions=8, consecutive=5)
    assert build_model(config()).eval()(torch.zeros(2, 20, 3, 32, 32)).shape == (2, 5)


def test_one_path_sees_the_middle_frame_and_one_the_four_differences(slow):
    body = slow.awake(build_model(config()).backbone)
    seen = {}
    for name in ("conv1", "stem_difference"):
        body.get_submodule(name).register_forward_pre_hook(
            lambda _module, inputs, name=name: seen.update({name: inputs[0]})
        )
    frames = torch.randn(20, 3, 8, 8, dtype=torch.float64)
    body(frames)
    for t, run in enumerate(frames.split(5)):
        assert torch.equal(seen["conv1"][t], run[2])
        for k in range(4):
            expected = halved(run[k + 1] - run[k])
            found = seen["stem_difference"][t, 3 * k : 3 * k + 3]
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("num_frames", "own"), [(2, 0.5), (8, 0.5), (9, 0.75), (16, 0.75)])
def test_differences_are_mixed_in_behind_the_stem_and_behind_the_first_stage(slow, num_frames, own):
    body = slow.awake(build_model(config(num_frames=num_frames)).backbone)
    made, seen = {}, {}

    def watch(name):
        def keep(_module, inputs, out):
            seen[name], made[name] = inputs[0], out

        body.get_submodule(name).register_forward_hook(keep)

    for name in ("relu", "stem_difference", "layer1", "layer1_difference", "layer2"):
        watch(name)
    body(torch.randn(5 * num_frames, 3, 32, 32, dtype=torch.float64))
    for place, x, near in (
        ("layer1", "relu", "stem_difference"),
        ("layer2", "layer1", "layer1_difference"),
    ):
        for frame, difference, found in zip(made[x], made[near], seen[place], strict=True):
            expected = own * frame + (1 - own) * enlarged(difference, 16, 16)
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_reversed_video_gives_the_same_where_stem_and_kernels_along_time_are_reversed(slow):
    network = slow.awake(build_model(config()))
    videos = torch.randn(1, 20, 3, 32, 32, dtype=torch.float64)
    logits = network(videos)
    assert (network(videos.flip(1)) - logits).abs().max() > 1e-3
    stem = network.backbone.stem_difference[0].weight  # (C, 4 differences × 3 colours, 3, 3)
    stem.copy_(-stem.unflatten(1, (4, 3)).flip(1).flatten(1, 2))
    for module in network.modules():
        if isinstance(module, ExcitedConv):
            module.shift.conv.weight.copy_(module.shift.conv.weight.flip(2))
    torch.testing.assert_close(network(videos.flip(1)), logits, rtol=1e-10, atol=1e-10)


def test_distant_differences_stand_in_the_last_three_stages():
    with torch.device("meta"):
        network = build_model(config("resnet50"))
        plain = build_model(config("resnet50", system=None))
    found = [name for name, part in network.named_modules() if isinstance(part, ExcitedConv)]
    blocks = {2: 4, 3: 6, 4: 3}
    assert found == [
        f"backbone.layer{n}.{i}.conv2" for n, count in blocks.items() for i in range(count)
    ]
    keys = network.state_dict().keys()
    for key in plain.state_dict():
        layer, _, tensor = key.rpartition(".")
        assert (f"{layer}.conv.{tensor}" if layer in found else key) in keys


def test_imagenet_weights_start_the_path_of_the_differences_too(monkeypatch):
    torch.manual_seed(1)
    state = get_model("resnet50").state_dict()
    monkeypatch.setattr(
        backbones, "_load_imagenet", lambda network, *_: network.load_state_dict(state)
    )
    body = build_model(config("resnet50", weights="imagenet")).backbone
    stem = body.stem_difference[0].weight
    assert stem.shape == (64, 12, 7, 7)
    for channel in range(12):
        assert torch.equal(stem[:, channel], state["conv1.weight"].mean(1))
    assert torch.equal(body.layer2[0].conv2.conv.weight, state["layer2.0.conv2.weight"])
    for key, value in body.layer1_difference.state_dict().items():
        assert torch.equal(value, state[f"layer1.{key}"])


AUTHORS = 24_420_046
"""Parameters of their network of 174 classes."""
UNUSED = 64 * 3 * 7 * 7 + 64
"""Among these, of a first convolution that is never called."""
BIASES = 64 + 2 * (3 * 384 + 256) + (4 * 768 + 512) + (6 * 1536 + 1024) + (3 * 3072 + 2048)
"""Of convolutions that a batch norm follows, by stage; it takes them away again."""


@pytest.mark.parametrize(
    ("backbone", "num_classes", "size_px", "params", "macs"),
    [
        ("resnet50", 174, 224, AUTHORS - UNUSED - BIASES, 35_638_744_064),
        ("resnet50", 400, 224, 24_845_680, 35_642_446_848),
        ("resnet_small", 16, 32, 296_717, 83_167_488),
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
    network(torch.randn(4, 20, 3, 32, 32)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.abs().max() > 0] == []
