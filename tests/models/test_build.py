from contextlib import nullcontext
from typing import get_args

import pytest
import torch
from torchvision.models import get_model

from stsm_cli.config.networks_3d import WITHOUT_SHIFT, SlowFastConfig
from stsm_cli.config.schema import Backbone, ModelConfig, ShiftConfig
from stsm_cli.errors import RecipeError
from stsm_cli.models import backbones
from stsm_cli.models.build import build_model
from stsm_cli.models.non_local import STAGES
from stsm_cli.models.shift import ShiftedConv
from stsm_cli.models.shift_slices import group_sizes

TSM = ShiftConfig(dims="T", alpha="1/4")
STSM = ShiftConfig(dims="T+H+W", alpha="3/8")
SHIFTS = [None, TSM, STSM]


def config(backbone: Backbone = "resnet18", **changes) -> ModelConfig:
    return ModelConfig(**{"backbone": backbone, "num_classes": 5, "num_frames": 4} | changes)


def num_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("shift", [None, STSM])
@pytest.mark.parametrize(
    ("backbone", "non_local", "num_classes", "expected"),
    [
        ("resnet50", False, 400, 24_327_632),
        ("resnet50", False, 174, 23_864_558),
        ("resnet50", True, 400, 31_682_000),
        ("mobilenet_v2", False, 400, 2_736_272),
        ("mobilenet_v2", False, 174, 2_446_766),
        ("resnet_small", False, 16, 270_352),
        ("resnet_small", True, 16, 283_544),
        ("bottleneck_small", False, 16, 102_176),
        ("bottleneck_small", True, 16, 195_344),
        ("bottleneck_dilated_small", False, 16, 102_176),
        ("mobilenet_v2_small", False, 16, 213_872),
        ("inverted_small", False, 16, 62_464),
        ("res2net50", False, 400, 24_469_720),
        ("res2net_small", False, 16, 135_232),
        ("slow_resnet50", False, 400, 32_454_096),
        ("slow_resnet_small", False, 16, 436_240),
        ("slowfast_resnet50", False, 400, 34_480_216),
        ("slowfast_resnet_small", False, 16, 518_036),
        ("r2plus1d_34", False, 400, 63_697_175),
        ("r2plus1d_small", False, 16, 785_089),
        ("smallbig_resnet50", False, 400, 24_370_640),
        ("smallbig_resnet50", False, 174, 23_907_566),
        ("smallbig_resnet_small", False, 16, 450_864),
    ],
)
def test_parameters_to_the_unit(backbone, non_local, num_classes, expected, shift):
    with torch.device("meta"):
        model = build_model(
            config(backbone, num_classes=num_classes, non_local=non_local, shift=shift)
        )
    assert num_parameters(model) == expected


def test_slowfast_s_parameters_of_16_slow_and_64_fast_frames():
    slowfast = SlowFastConfig(ratio=4, lateral_kernel=7)
    with torch.device("meta"):
        model = build_model(config("slowfast_resnet50", num_classes=174, slowfast=slowfast))
    assert num_parameters(model) == 34_045_558


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_every_backbone_builds_and_runs_on_the_meta_device(backbone):
    with torch.device("meta"):
        shift = None if backbone in WITHOUT_SHIFT else STSM
        model = build_model(config(backbone, shift=shift, num_frames=16))
        assert model(torch.empty(2, *model.view.shape(224))).shape == (2, 5)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_without_a_shift_it_is_torchvision_averaged_over_frames(backbone):
    torch.manual_seed(0)
    theirs = get_model(backbone, num_classes=5).double().eval()
    ours = build_model(config(backbone)).double().eval()
    classifier = "fc" if backbone == "resnet18" else "classifier.1"
    ours.load_state_dict(
        {
            key.replace(f"{classifier}.", "fc.")
            if key.startswith(classifier)
            else f"backbone.{key}": value
            for key, value in theirs.state_dict().items()
        }
    )
    videos = torch.randn(2, 4, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs(videos.flatten(0, 1)).view(2, 4, 5).mean(1)
        torch.testing.assert_close(ours(videos), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "backbone", ["resnet_small", "bottleneck_small", "mobilenet_v2", "mobilenet_v2_small"]
)
def test_only_a_shift_sees_the_order_of_frames(backbone):
    torch.manual_seed(0)
    videos = torch.randn(2, 4, 3, 64, 64, dtype=torch.float64)
    shuffled = videos[:, [2, 0, 3, 1]]

    def difference(shift: ShiftConfig | None) -> float:
        model = build_model(config(backbone, shift=shift, dropout=0.0)).double().train()
        with torch.no_grad():  # train mode: batch norm keeps a fresh network's signals at scale
            return (model(videos) - model(shuffled)).abs().max().item()

    assert difference(None) < 1e-12
    assert difference(TSM) > 1e-6
    assert difference(STSM) > 1e-6


@pytest.mark.parametrize("backbone", ["bottleneck_small", "inverted_small"])
def test_the_control_has_as_many_channels_in_time_as_stsm(backbone):
    def in_time(dims, alpha):
        model = build_model(config(backbone, shift=ShiftConfig(dims=dims, alpha=alpha)))
        shifted = [module for module in model.modules() if isinstance(module, ShiftedConv)]
        return [sum(group_sizes(conv.slices, dims)["T"]) for conv in shifted]

    assert in_time("T", "1/8") == in_time("T+H+W", "3/8")


def test_a_shift_of_no_channels_changes_nothing():
    keys = build_model(config()).state_dict().keys()
    none = ShiftConfig(dims="T+H+W", alpha="0")
    assert build_model(config(shift=none)).state_dict().keys() == keys


def test_imagenet_weights_load_before_the_shift(monkeypatch):
    torch.manual_seed(1)
    state = get_model("resnet18").state_dict()
    monkeypatch.setattr(
        backbones, "_load_imagenet", lambda network, *_: network.load_state_dict(state)
    )
    ours = build_model(config(shift=STSM, weights="imagenet")).state_dict()
    wanted = {key: value for key, value in state.items() if not key.startswith("fc.")}
    for key, value in wanted.items():
        shifted = f"backbone.{key}".replace("conv1.weight", "conv1.net.weight")
        assert torch.equal(ours[shifted if "layer" in key else f"backbone.{key}"], value), key


def test_non_local_blocks_and_shift_stand_together():
    with torch.device("meta"):
        keys = build_model(config("resnet50", non_local=True, shift=STSM)).state_dict().keys()
    assert "backbone.layer2.0.conv1.net.weight" in keys
    assert "backbone.layer2.non_local0.theta.weight" in keys


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("backbone", ["resnet_small", "mobilenet_v2"])
def test_channels_last_gives_the_same_logits(backbone, shift):
    torch.manual_seed(0)
    model = build_model(config(backbone, shift=shift, dropout=0.0)).double().train()
    pixels = torch.randn(2, 4, 32, 32, 3, dtype=torch.float64)  # (N, T, H, W, C), as decoded
    videos = pixels.permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        expected = model(videos.contiguous())
        logits = model.to(memory_format=torch.channels_last)(videos)
    torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("backbone", ["resnet_small", "bottleneck_small"])
def test_everything_learns(backbone):
    torch.manual_seed(0)
    model = build_model(config(backbone, shift=STSM)).train()
    model(torch.randn(2, 4, 3, 48, 48)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_non_local_in_another_network_is_refused():
    with pytest.raises(
        ValueError, match="non_local belongs to backbone resnet50 or resnet_small or"
    ):
        build_model(config("mobilenet_v2", non_local=True))


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_non_local_blocks_have_a_place_in_every_backbone_that_may_have_them(backbone):
    with nullcontext() if backbone in STAGES else pytest.raises(ValueError, match="non_local"):
        config(backbone, non_local=True)


def test_a_shift_that_moves_nothing_is_refused():
    small = ShiftConfig(dims="T+H+W", alpha="1/513")
    with torch.device("meta"):
        assert build_model(config("resnet18", shift=small))
        tiny = ShiftConfig(dims="T+H+W", alpha="1/1025")
        message = r"^model\.shift\.alpha \(1/1025\): moves no channel, the widest .* has 512$"
        with pytest.raises(RecipeError, match=message) as caught:
            build_model(config("resnet18", shift=tiny))
        assert caught.value.hint == "1/1024 moves one; model.shift=null is without a shift"
        assert build_model(config("resnet18", shift=ShiftConfig(alpha="1/1024")))
        assert build_model(config("resnet18", shift=ShiftConfig(alpha="0")))
