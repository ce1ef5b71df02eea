"""Grad-CAM on networks whose maps follow from their weights, and on those of the recipes."""

import pytest
import torch
from torch import nn

from stsm_cli.config.load import load_recipe
from stsm_cli.config.view import View
from stsm_cli.engine.gradcam import grad_cam
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network
from stsm_cli.models.network_3d import Network3D
from stsm_cli.models.tsn import TSN

FRAMES, SIZE, CLASSES = 3, 4, 2


class Pooled(nn.Module):
    """A 1×1 convolution of 2D or 3D features, and their mean; by a module, or by a function."""

    def __init__(self, convolution, pooling):
        super().__init__()
        self.conv = convolution(3, 5, 1)
        self.avgpool = pooling
        self.is_named = pooling is not None

    def forward(self, x):
        x = self.conv(x)
        return self.avgpool(x).flatten(1) if self.is_named else x.flatten(2).mean(2)


@pytest.mark.parametrize(
    ("kind", "convolution", "pooling"),
    [
        (TSN, nn.Conv2d, nn.AdaptiveAvgPool2d(1)),
        (TSN, nn.Conv2d, None),
        (Network3D, nn.Conv3d, nn.AdaptiveAvgPool3d(1)),
        (Network3D, nn.Conv3d, None),
    ],
)
def test_behind_a_1x1_convolution_the_map_is_the_two_layers_product(kind, convolution, pooling):
    backbone = Pooled(convolution, pooling)
    model = kind(View(FRAMES), CLASSES, backbone, num_features=5, dropout=0.5).eval()
    nn.init.normal_(model.fc.weight)
    view = torch.randn(1, FRAMES, 3, SIZE, SIZE)
    maps = grad_cam(model, view, [1, 0])
    # a class's weights times the convolution's: at each place a sum of its channels
    conv = backbone.conv
    colours = model.fc.weight @ conv.weight.flatten(1)  # (K, 3)
    signed = torch.einsum("kc,tchw->kthw", colours, view[0])
    signed += (model.fc.weight @ conv.bias)[:, None, None, None]
    share = 1 / FRAMES if kind is TSN else 1  # a frame's part in the mean of the scores
    expected = (share * signed).relu()[[1, 0]]
    assert torch.allclose(maps, expected.detach(), atol=1e-5)
    assert maps.shape == (2, FRAMES, SIZE, SIZE)
    assert 0 < (maps == 0).float().mean() < 1


class TwoPathways(nn.Module):
    """Two 1×1 convolutions, of all frames and of every second."""

    def __init__(self):
        super().__init__()
        self.slow, self.fast = (Pooled(nn.Conv3d, nn.AdaptiveAvgPool3d(1)) for _ in range(2))

    def forward(self, x):
        return torch.cat([self.slow(x[:, :, ::2]), self.fast(x)], 1)


def test_maps_of_two_pathways_are_added_at_the_size_of_the_larger():
    model = Network3D(View(4), CLASSES, TwoPathways(), num_features=10, dropout=0).eval()
    nn.init.normal_(model.fc.weight)
    view = torch.rand(1, 2, 3, SIZE, SIZE).repeat_interleave(2, 1)  # alike at 0 and 1, 2 and 3
    (found,) = grad_cam(model, view, [0])
    slow, fast = model.fc.weight[0].split(5)
    parts = []
    for weights, pathway in ((slow, model.backbone.slow), (fast, model.backbone.fast)):
        colours = weights @ pathway.conv.weight.flatten(1)
        parts.append(torch.einsum("c,tchw->thw", colours, view[0]) + weights @ pathway.conv.bias)
    # by linear stretching the first and the last of two steps are those of four
    expected = sum(parts).relu()[[0, -1]]
    assert torch.allclose(found[[0, -1]], expected.detach(), atol=1e-5)


def test_maps_of_fewer_steps_are_stretched_along_time():
    class Halved(Pooled):
        def forward(self, x):
            return super().forward(x[:, :, :1])

    backbone = Halved(nn.Conv3d, None)
    model = Network3D(View(FRAMES), CLASSES, backbone, num_features=5, dropout=0).eval()
    (maps,) = grad_cam(model, torch.randn(1, FRAMES, 3, SIZE, SIZE), [0])
    assert maps.shape == (FRAMES, SIZE, SIZE)
    assert torch.equal(maps, maps[:1].expand_as(maps))


def test_a_network_without_maps_is_refused():
    class Flat(Network):
        def logits(self, videos):
            return videos.flatten(1)[:, : self.num_classes]

    with pytest.raises(ValueError, match="Flat has no feature maps"):
        grad_cam(Flat(View(2), 2), torch.zeros(1, 2, 3, 4, 4), [0])


@pytest.mark.parametrize(
    "name",
    ["stsm", "i3d", "slowfast", "slowfast_atfr", "tpn", "tdn", "trn", "r2plus1d", "smallbig"],
)
def test_networks_of_all_kinds_have_maps_and_stay_as_they_were(name):
    recipe = load_recipe(f"synth/{name}").recipe
    torch.manual_seed(0)
    model = build_model(recipe.model).channels_last().eval()
    nn.init.normal_(model.fc.weight)
    shape = model.view.shape(recipe.data.crop_px)
    maps = grad_cam(model, torch.rand(1, *shape), [0, 1, 2])
    assert maps.shape == (3, shape[0], *shape[2:])
    assert maps.isfinite().all()
    assert maps.min() == 0
    assert maps.amax() > 0
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
