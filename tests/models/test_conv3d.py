"""The 3D convolution against float64, on a CPU and where its window overhangs."""

import pytest
import torch
from torch import nn

from stsm_cli.config.load import load_recipe, recipe_names
from stsm_cli.models.build import build_model
from stsm_cli.models.conv3d import Conv3d


def gradients(conv, x, seed=0):
    """Features, and gradients of input and weights, of a loss that weighs all features."""
    features = conv(x)
    weight = torch.randn(features.shape, generator=torch.Generator().manual_seed(seed))
    return features, *torch.autograd.grad(features, (x, conv.weight), weight.to(features.dtype))


SMALL = ("order/", "scenes/", "synth/")
NARROW = (  # kernel, stride along time, frames
    ((3, 1, 1), 1, 2),
    ((3, 3, 3), 1, 2),
    ((3, 3, 3), 2, 1),
    ((5, 1, 1), 1, 2),
    ((5, 3, 3), 4, 2),
    ((7, 1, 1), 2, 3),
    ((7, 1, 1), 2, 5),
    ((7, 3, 3), 1, 4),
    ((9, 1, 1), 3, 9),
    ((9, 1, 1), 3, 10),
    ((11, 1, 1), 4, 12),
    ((15, 1, 1), 5, 15),
)


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.02), (torch.float32, 1e-4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("kernel", "stride", "frames"), NARROW)
def test_gradients_where_the_window_reaches_over_both_ends(
    kernel, stride, frames, layout, dtype, error
):
    torch.manual_seed(0)
    padding = tuple(side // 2 for side in kernel)
    conv = Conv3d(32, 48, kernel, (stride, 1, 1), padding, bias=False)
    conv = conv.to(dtype=dtype, memory_format=torch.channels_last_3d)
    x = torch.randn(3, 32, frames, 6, 6).to(dtype=dtype, memory_format=layout).requires_grad_()
    exact = nn.Conv3d(32, 48, kernel, conv.stride, padding, bias=False).double()
    exact.load_state_dict(conv.state_dict())
    expected = gradients(exact, x.detach().double().requires_grad_())
    for _ in range(3):  # what memory holds differs from time to time
        for found, value in zip(gradients(conv, x), expected, strict=True):
            assert (found - value).abs().max() < error * value.abs().max()


def test_same_as_pytorch_s_in_float32():
    torch.manual_seed(0)
    options = {"stride": (2, 1, 1), "padding": (2, 1, 1), "dilation": (2, 1, 1), "groups": 2}
    conv = Conv3d(8, 6, 3, **options)
    exact = nn.Conv3d(8, 6, 3, **options)
    exact.load_state_dict(conv.state_dict())
    for frames in (1, 2, 3, 8):
        x = torch.randn(2, 8, frames, 5, 5, requires_grad=True)
        for found, value in zip(gradients(conv, x), gradients(exact, x), strict=True):
            assert torch.allclose(found, value, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith(SMALL)])
def test_networks_have_no_other_that_pads_time(name):
    network = build_model(load_recipe(name).recipe.model)
    others = (m for m in network.modules() if isinstance(m, nn.Conv3d) and type(m) is not Conv3d)
    assert not any(conv.kernel_size[0] > 1 and conv.padding[0] for conv in others)
