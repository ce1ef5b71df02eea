from itertools import product

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from stsm_cli.analysis.cost import model_cost
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models import backbones
from stsm_cli.models.build import build_model
from stsm_cli.models.selfy import AUTHORS, SMALL, SelfSimilarity, Selfy
from stsm_cli.models.shift import ShiftedConv

TSM = ShiftConfig(dims="T", alpha="1/4")


def config(backbone="resnet_small", **changes):
    options = {"backbone": backbone, "num_classes": 5, "num_frames": 4, "system": "selfy"}
    return ModelConfig(**options | changes)


def reduced(slow, module, frame):
    """Unit features of a frame at half its size."""
    picture = slow.norm(module.bn, slow.window(module.conv, frame)[:, ::2, ::2]).relu()
    return picture / (picture.square().sum(0) + 1e-6).sqrt()


@pytest.mark.parametrize(("window", "near", "size"), [(AUTHORS, 5, 9), (SMALL, 3, 5)])
def test_similarities_equal_a_loop_over_frames_places_and_offsets(window, near, size, slow):
    module = slow.awake(SelfSimilarity(8, num_frames=3, window=window))
    frames = torch.randn(2 * 3, 8, 6, 5, dtype=torch.float64)
    found = module(frames).unflatten(0, (2, 3, near))  # (N, T, L, h, v, U, U)
    assert found.shape == (2, 3, near, 3, 3, size, size)
    expected = torch.zeros_like(found)
    for n, view in enumerate(frames.split(3)):
        x = [reduced(slow, module, frame) for frame in view]
        for t, step, i, j in product(range(3), range(near), range(3), range(3)):
            if 0 <= t + step - near // 2 < 3:
                other = x[t + step - near // 2]
                for u, v in product(range(size), repeat=2):
                    row, column = i + u - size // 2, j + v - size // 2
                    if 0 <= row < 3 and 0 <= column < 3:
                        value = x[t][:, i, j] @ other[:, row, column]
                        expected[n, t, step, i, j, u, v] = value
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("window", "num_near", "size"), [(AUTHORS, 5, (8, 6)), (AUTHORS, 5, (5, 7)), (SMALL, 3, (5, 7))]
)
def test_the_block_s_output_is_made_at_half_the_size_and_fills_every_second_place(
    window, num_near, size, slow
):
    module = slow.awake(Selfy(32, num_frames=3, window=window))
    frames = torch.randn(3, 32, *size, dtype=torch.float64)
    similar = module.similarity(frames)
    height, width = similar.shape[1:3]
    expected = frames.clone()
    for t in range(3):
        maps = []
        for near in range(num_near):
            pictures = similar[num_near * t + near]  # (h, v, U, U)
            features = [
                module.extract(pictures[i, j][None, None])[0, :, 0, 0]
                for i, j in product(range(height), range(width))
            ]
            apart = torch.stack(features, 1).unflatten(1, (height, width))
            maps.append(module.integrate(apart[None])[0])
        fused = module.fuse(torch.cat(maps)[None])[0]  # (w, h, v)
        for y, x in product(range(size[0]), range(size[1])):
            made = torch.zeros(32, dtype=torch.float64)
            if y % 2 == x % 2 == 0:
                made = fused[:, y // 2, x // 2] @ module.expand.weight[:, :, 0, 0]
            expected[t, :, y, x] += slow.norm(module.bn, made[:, None, None])[:, 0, 0]
    torch.testing.assert_close(module(frames), expected.relu(), rtol=1e-9, atol=1e-9)


def test_it_changes_nothing_at_first_and_the_norm_behind_it_learns():
    torch.manual_seed(0)
    module = Selfy(32, num_frames=4)
    frames = torch.randn(8, 32, 8, 8)
    out = module(frames)
    assert torch.equal(out, frames.relu())
    out.square().sum().backward()
    assert module.bn.weight.grad.abs().max() > 0


def test_reversed_frames_have_their_similarities_in_reverse(slow):
    module = slow.awake(SelfSimilarity(8, num_frames=4))
    frames = torch.randn(4, 8, 6, 6, dtype=torch.float64)
    found, reverse = (module(x).unflatten(0, (4, 5)) for x in (frames, frames.flip(0)))
    torch.testing.assert_close(reverse.flip(0, 1), found, rtol=1e-10, atol=1e-12)


def test_a_mirrored_frame_has_mirrored_similarities_where_the_kernel_is_mirrored(slow):
    module = slow.awake(SelfSimilarity(8, num_frames=3))
    frames = torch.randn(3, 8, 7, 7, dtype=torch.float64)
    found = module(frames)
    module.conv.weight.copy_(module.conv.weight.flip(3))
    torch.testing.assert_close(module(frames.flip(3)).flip(2, 4), found, rtol=1e-10, atol=1e-12)


def test_views_do_not_see_each_other(slow):
    module = slow.awake(Selfy(16, num_frames=3))
    frames = torch.randn(6, 16, 6, 6, dtype=torch.float64)
    changed = frames.clone()
    changed[0] += torch.randn(16, 6, 6, dtype=torch.float64)
    difference = (module(changed) - module(frames)).abs().amax((1, 2, 3))
    assert (difference[:3] > 1e-6).all()
    assert not difference[3:].any()


def test_channels_last_gives_the_same(slow):
    module = slow.awake(Selfy(16, num_frames=3))
    frames = torch.randn(3, 16, 6, 8, dtype=torch.float64)
    expected = module(frames)
    found = module(frames.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shift", [None, TSM])
@pytest.mark.parametrize(("backbone", "sites"), [("resnet50", 16), ("resnet_small", 4)])
def test_one_block_stands_behind_the_second_stage_and_no_shift_in_it(backbone, sites, shift):
    with torch.device("meta"):
        network = build_model(config(backbone, shift=shift))
        plain = build_model(config(backbone, system=None, shift=shift))
    found = [name for name, part in network.named_modules() if isinstance(part, Selfy)]
    assert found == ["backbone.layer2.selfy"]
    assert list(plain.state_dict()) == [key for key in network.state_dict() if "selfy" not in key]
    assert list(network.backbone.layer2._modules)[-1] == "selfy"
    assert len(network.shift_sites) == sites
    shifted = [part for part in network.modules() if isinstance(part, ShiftedConv)]
    assert len(shifted) == (sites if shift else 0)


def test_imagenet_weights_load_first(monkeypatch):
    state = get_model("resnet50").state_dict()
    monkeypatch.setattr(
        backbones, "_load_imagenet", lambda network, *_: network.load_state_dict(state)
    )
    ours = build_model(config("resnet50", weights="imagenet")).state_dict()
    key = "layer2.3.conv1.weight"
    assert torch.equal(ours[f"backbone.{key}"], state[key])


@pytest.mark.parametrize(
    ("backbone", "num_frames", "num_classes", "size_px", "params", "macs"),
    [
        ("resnet50", 8, 174, 224, 24_830_842, 36_103_962_240),
        ("resnet50", 16, 174, 224, 24_830_842, 72_207_924_480),
        ("resnet_small", 8, 16, 32, 293_364, 78_878_208),
    ],
)
def test_parameters_and_multiply_adds_to_the_unit(
    backbone, num_frames, num_classes, size_px, params, macs
):
    network = config(backbone, num_classes=num_classes, num_frames=num_frames)
    cost = model_cost(network, size_px=size_px)  # if shipped, fresh by test_cost.py
    assert (cost.params, cost.macs, cost.training_params) == (params, macs, 0)
    assert not cost.uncounted


@pytest.mark.parametrize("shift", [None, TSM])
def test_every_parameter_learns(shift):
    torch.manual_seed(0)
    network = build_model(config(dropout=0.0, shift=shift)).train()
    nn.init.ones_(network.backbone.layer2.selfy.bn.weight)
    network(torch.randn(4, 4, 3, 32, 32)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if not p.grad.abs().max() > 0] == []
