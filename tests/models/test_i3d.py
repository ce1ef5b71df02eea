from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch.nn import BatchNorm3d
from torchvision.models import googlenet

from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ModelConfig
from stsm_cli.config.view import IMAGENET_MEAN, IMAGENET_STD
from stsm_cli.errors import CheckpointError, RecipeError
from stsm_cli.models import build
from stsm_cli.models.build import build_model
from stsm_cli.models.i3d import Pool, i3d_backbone, padded
from stsm_cli.models.inflation import inflate
from stsm_cli.models.network_3d import mean_of_windows
from stsm_cli.models.shift import insert_shift


def config(backbone="i3d_small", **changes):
    return ModelConfig(**{"backbone": backbone, "num_classes": 5, "num_frames": 8} | changes)


@pytest.mark.parametrize(
    ("size", "side", "step", "before", "behind"),
    [(8, 7, 2, 2, 3), (7, 7, 2, 3, 3), (8, 3, 2, 0, 1), (7, 3, 2, 1, 1), (5, 3, 1, 1, 1)],
)
def test_what_is_odd_of_the_padding_stands_behind(size, side, step, before, behind):
    x = torch.arange(1.0, size + 1)
    out = padded(x.view(1, 1, size, 1, 1), (side, 1, 1), (step, 1, 1))
    assert torch.equal(out.flatten(), F.pad(x, (before, behind)))


def test_a_pool_takes_the_maxima_of_what_lies_in_its_windows():
    x = torch.rand(1, 2, 5, 6, 7)
    out = Pool((3, 3, 3), (2, 2, 2))(x)
    assert out.shape == (1, 2, 3, 3, 4)
    assert torch.equal(out[0, :, 0, 0, 0], x[0, :, :2, :3, :2].amax((1, 2, 3)))


def test_means_of_windows_count_the_ends_less():
    x = torch.randn(1, 3, 4, 8, 7, dtype=torch.float64)
    windows = [x[0, :, t : t + 2, y : y + 7].mean((1, 2, 3)) for t in range(3) for y in range(2)]
    expected = torch.stack(windows).mean(0)
    torch.testing.assert_close(mean_of_windows(x, (2, 7, 7))[0], expected, rtol=1e-12, atol=1e-12)
    small = torch.randn(2, 3, 1, 2, 2)
    torch.testing.assert_close(mean_of_windows(small, (2, 7, 7)), small.mean((2, 3, 4)))


def test_features_are_dropped_window_by_window():
    """As the authors do: of seven windows in time each has another mask."""
    config = ModelConfig(backbone="i3d_small", num_classes=3, num_frames=16, dropout=0.5)
    network = build_model(config)
    assert network.dropout.p == 0
    seen = []
    network.backbone.dropout.register_forward_hook(lambda module, x, out: seen.append(out))
    network.train()(torch.rand(2, 16, 3, 32, 32))
    (features,) = seen
    assert features.shape[2] > 1
    assert not torch.equal(features[:, :, 0] == 0, features[:, :, 1] == 0)


def test_norms_keep_their_statistics_for_long_as_the_authors_do_but_in_small():
    with torch.device("meta"):
        networks = [i3d_backbone(name) for name in ("i3d", "i3d_small")]
    norms = [[m for m in network.modules() if isinstance(m, BatchNorm3d)] for network in networks]
    assert [{(m.eps, m.momentum) for m in some} for some in norms] == [
        {(1e-3, 1e-3)},
        {(1e-3, 0.1)},
    ]


@pytest.mark.parametrize(("stream", "params"), [("rgb", 12_697_264), ("flow", 12_675_312)])
def test_i3d_has_the_parameters_of_its_authors_port(stream, params):
    with torch.device("meta"):
        network = build_model(config("i3d", num_classes=400, num_frames=64, stream=stream))
    assert sum(parameter.numel() for parameter in network.parameters()) == params
    channels = 3 if stream == "rgb" else 2
    assert network.view.shape(224) == (64, channels, 224, 224)
    assert network.view.window == 64


def test_a_video_that_stands_still_gives_what_its_picture_gave(monkeypatch):
    """In the middle, from where no end is seen, and of the picture one pixel further in."""
    torch.manual_seed(0)
    flat = googlenet(aux_logits=True, transform_input=True, init_weights=False).eval()
    for norm in flat.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.running_var, 0.1, 0.25)  # features neither fade nor grow
            torch.nn.init.normal_(norm.running_mean, std=0.1)
    states = {"googlenet": flat.state_dict()}
    monkeypatch.setattr(build, "imagenet_weights", lambda name, _: states[name])
    network = build_model(config("i3d", num_frames=104, weights="imagenet")).eval()
    seen = []
    for last in (flat.inception5b, network.backbone.inception5b):
        last.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    picture = F.pad(torch.randn(1, 3, 31, 31), (1, 0, 1, 0))
    pixels = (F.pad(picture[..., 1:, 1:], (0, 1, 0, 1)) + 1) * 127.5
    mean, std = (torch.tensor(part)[:, None, None] for part in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        flat((pixels - mean) / std)
        network(picture[:, None].expand(-1, 104, -1, -1, -1))
    expected, found = seen
    assert 0.1 < expected.abs().max() < 100
    torch.testing.assert_close(found[:, :, 6], expected, rtol=1e-4, atol=1e-4)


def test_flow_starts_from_the_mean_over_rgb():
    flat = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    conv = torch.nn.Conv3d(2, 4, (7, 5, 5), bias=False).double()
    inflate(conv, {"weight": flat})
    still = torch.randn(2, 5, 5, dtype=torch.float64)
    found = conv(still[None, :, None].expand(-1, -1, 7, -1, -1)).flatten()
    expected = F.conv2d(still.sum(0)[None, None], flat.mean(1, keepdim=True)).flatten()
    torch.testing.assert_close(found, expected)


def test_weights_that_cannot_be_had_are_one_line(monkeypatch, tmp_path):
    def no_network(*_args, **_kwargs):
        raise URLError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    message = r"^ImageNet weights of googlenet cannot be downloaded from https\S+: .*unreachable>$"
    with pytest.raises(CheckpointError, match=message) as caught:
        build_model(config("i3d", weights="imagenet"))
    assert "googlenet-1378be20.pth" in caught.value.hint


def test_the_small_one_has_no_weights_to_start_from():
    with pytest.raises(ValidationError, match="none of ImageNet for backbone i3d_small"):
        config(weights="imagenet")


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_everything_learns(stream):
    torch.manual_seed(0)
    network = build_model(config(stream=stream)).double().train()
    videos = torch.randn(2, *network.view.shape(32), dtype=torch.float64)
    network(videos).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_a_shift_has_no_place_there():
    with pytest.raises(ValidationError, match="shift: i3d has no residual branches to shift in"):
        config("i3d", shift={})
    with pytest.raises(RecipeError, match="shift: i3d_small has no residual branches to shift in"):
        load_recipe("synth/i3d", ["model.shift.dims=T"])
    with pytest.raises(ValueError, match="I3D has no residual block that is known here"):
        insert_shift(i3d_backbone("i3d_small"), num_frames=8, dims="T", alpha="1/4")
