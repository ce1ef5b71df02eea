import pytest
import torch
from torch import nn

from stsm_cli.analysis.receptive_field import Field, receptive_field
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models.build import build_model

STSM = ShiftConfig(dims="T+H+W", alpha="3/8")


def config(backbone="bottleneck_small", **changes):
    return ModelConfig(**{"backbone": backbone, "num_classes": 5, "num_frames": 3} | changes)


def seen(model, size):
    """Rows and columns, first to last, whose gradient one feature of the last map has."""
    network = build_model(model).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())  # nothing saturates
    frames = torch.full((3, 3, size, size), 0.1, dtype=torch.float64, requires_grad=True)
    body, maps = network.backbone, []
    last = "features" if hasattr(body, "features") else list(dict(body.named_children()))[-2]
    body.get_submodule(last).register_forward_hook(lambda _m, _i, out: maps.append(out))
    body(frames)
    middle = maps[-1].shape[-1] // 2
    maps[-1][1, :, middle, middle].sum().backward()
    sees = frames.grad[:, 0].abs().sum(0) > 0
    places = sees.nonzero()
    return tuple((places.amax(0) - places.amin(0) + 1).tolist())


@pytest.mark.parametrize("shift", [None, "T+H", "HW"])
@pytest.mark.parametrize("backbone", ["bottleneck_small", "bottleneck_dilated_small"])
def test_it_is_what_the_gradient_of_one_feature_reaches(backbone, shift):
    model = config(backbone, shift=shift and ShiftConfig(dims=shift, alpha="1"))
    assert receptive_field(model, size_px=120).size == seen(model, 120)


def test_of_a_mobilenet_as_well():
    model = config("inverted_small", shift=STSM)
    assert receptive_field(model, size_px=96).size == seen(model, 96)


@pytest.mark.parametrize(
    ("backbone", "shift", "expected"),
    [
        ("bottleneck_small", None, 27),
        ("bottleneck_small", STSM, 51),
        ("bottleneck_dilated_small", None, 51),
        ("resnet_small", None, 95),
        ("mobilenet_v2_small", None, 91),
        ("inverted_small", None, 28),
        ("inverted_small", STSM, 52),
        ("resnet50", None, 427),
    ],
)
def test_fields_to_the_pixel(backbone, shift, expected):
    model = config(backbone, shift=shift)
    assert receptive_field(model, size_px=224).size == (expected, expected)


@pytest.mark.parametrize(
    ("dims", "alpha"),
    [("T+H-+W-", "3/8"), ("H+W", "1/48"), ("H-", "1/4"), ("H-", "1"), ("HW-", "1")],
)
def test_a_shift_of_one_direction_widens_by_one_step(dims, alpha):
    model = config(shift=ShiftConfig(dims=dims, alpha=alpha))
    assert receptive_field(model, size_px=120).size == seen(model, 120)


def test_a_shift_along_one_axis_widens_that_axis():
    model = config(shift=ShiftConfig(dims="T+H", alpha="1/4"))
    assert receptive_field(model, size_px=48) == Field((51, 27), (12, 12))
