import errno
import hashlib
import re
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import get_args
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import (
    MobileNet_V2_Weights,
    ResNet50_Weights,
    get_model,
    get_model_weights,
    list_models,
)

from stsm_cli.config.schema import FrameBackbone, SmallBackbone, TorchvisionBackbone
from stsm_cli.errors import CheckpointError, RecipeError
from stsm_cli.models import backbones
from stsm_cli.models.backbones import (
    BOTTLENECK_WIDTHS,
    SMALL_WIDTHS,
    StridedPointwise,
    build_backbone,
)
from stsm_cli.models.shift import channel_slices
from stsm_cli.models.shift_sites import shift_sites

TORCHVISION = get_args(TorchvisionBackbone)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Where PyTorch keeps what it downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that stands for torchvision's server: `publish` puts a state dict there."""
    (tmp_path / "server").mkdir()

    def publish(state):
        torch.save(state, tmp_path / "draft")
        digest = hashlib.sha256((tmp_path / "draft").read_bytes()).hexdigest()
        file = (tmp_path / "draft").rename(tmp_path / "server" / f"network-{digest[:8]}.pth")
        entry = SimpleNamespace(url=file.as_uri())
        monkeypatch.setattr(backbones, "get_model_weights", lambda name: {"IMAGENET1K_V1": entry})
        return file

    return publish


class Messages:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_torchvision_backbone_exists_there_with_first_imagenet_weights(name):
    assert name in list_models()
    url = get_model_weights(name)["IMAGENET1K_V1"].url
    assert re.search(r"-[0-9a-f]{8}\.pth$", url)  # what a download is checked by


@pytest.mark.parametrize("name", get_args(FrameBackbone))
def test_features_are_pooled_and_as_wide_as_promised(name):
    with torch.device("meta"):
        network, width = build_backbone(name)
        features = network.eval()(torch.empty(2, 3, 32, 32))
    assert features.shape == (2, width)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_features_equal_torchvision_before_its_classifier(name):
    torch.manual_seed(0)
    theirs = get_model(name).double().eval()
    ours, width = build_backbone(name)
    state = {key: value for key, value in theirs.state_dict().items() if key in ours.state_dict()}
    ours.double().eval().load_state_dict(state)
    classifier = theirs.fc if name == "resnet18" else theirs.classifier[1]
    frames = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(classifier(ours(frames)), theirs(frames), rtol=1e-10, atol=1e-10)
    assert width == classifier.in_features


def test_small_resnet_halves_the_picture_four_times():
    network, width = build_backbone("resnet_small")
    sizes = []
    for name in ("layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, out: sizes.append(tuple(out.shape[1:]))
        )
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, width)
    assert sizes == [(c, s, s) for c, s in zip(SMALL_WIDTHS, (24, 12, 6, 3), strict=True)]
    assert not any(isinstance(module, nn.MaxPool2d) for module in network.modules())


@pytest.mark.parametrize("name", ["bottleneck_small", "bottleneck_dilated_small"])
def test_small_bottlenecks_are_shifted_before_their_first_pointwise_convolution(name):
    network, width = build_backbone(name)
    seen = []
    for site in shift_sites(network):
        conv = network.get_submodule(site)
        assert (conv.kernel_size, conv.stride) == ((1, 1), (1, 1))
        conv.register_forward_hook(
            lambda _module, inputs, _out: seen.append(tuple(inputs[0].shape[1:]))
        )
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, width)
    assert seen == [(48, 16, 16), (48, 16, 16), (96, 8, 8)]


def test_the_dilated_control_differs_in_the_reach_of_its_convolutions_alone():
    torch.manual_seed(0)
    plain, _ = build_backbone("bottleneck_small")
    dilated, _ = build_backbone("bottleneck_dilated_small")
    dilated.load_state_dict(plain.state_dict())
    for name, module in dilated.named_modules():
        if isinstance(module, nn.Conv2d) and name.endswith("conv2"):
            assert (module.dilation, module.padding) == ((2, 2), (2, 2))
            module.dilation = module.padding = (1, 1)
    frames = torch.randn(2, 3, 48, 48)
    assert torch.equal(dilated(frames), plain(frames))


@pytest.mark.parametrize("dims", ["T", "H", "W", "T+H+W"])
@pytest.mark.parametrize("alpha", ["1/8", "1/4", "3/8", "1/2", "3/4", "1"])
def test_shares_of_the_bottlenecks_channels_are_whole(dims, alpha):
    for width in BOTTLENECK_WIDTHS:
        slices = channel_slices(width, dims, alpha)
        assert len({part.stop - part.start for part in slices}) == 1
        assert slices[-1].stop == width * Fraction(alpha)


@pytest.mark.parametrize("size", [4, 7])
def test_a_strided_pointwise_convolution_is_torch_s_with_its_gradients(size):
    torch.manual_seed(0)
    ours, theirs = StridedPointwise(3, 5, 1, 2), nn.Conv2d(3, 5, 1, 2)
    theirs.load_state_dict(ours.state_dict())
    frames = [torch.randn(2, 3, size, size, dtype=torch.float64)] * 2
    frames = [frame.clone().requires_grad_() for frame in frames]
    outs = [conv.double()(x) for conv, x in zip((ours, theirs), frames, strict=True)]
    torch.testing.assert_close(*outs)
    for out in outs:
        out.square().sum().backward()
    torch.testing.assert_close(frames[0].grad, frames[1].grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


def test_small_mobilenet_is_shifted_once_at_each_size_below_its_stem():
    network, width = build_backbone("mobilenet_v2_small")
    seen = []
    for name in shift_sites(network):
        network.get_submodule(name).register_forward_hook(
            lambda _module, inputs, _out: seen.append(tuple(inputs[0].shape[1:]))
        )
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, width)
    assert seen == [(32, 8, 8), (48, 4, 4), (64, 2, 2)]


def test_small_inverted_residuals_are_shifted_before_their_expansion():
    network, width = build_backbone("inverted_small")
    sites = [network.get_submodule(name) for name in shift_sites(network)]
    assert [(conv.in_channels, conv.kernel_size) for conv in sites] == [(48, (1, 1))] * 3
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, width)


@pytest.mark.parametrize("name", get_args(SmallBackbone))
def test_small_networks_have_no_imagenet_weights(name):
    with pytest.raises(RecipeError, match=f"no imagenet weights of {name}"):
        build_backbone(name, weights="imagenet")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_imagenet_weights_are_downloaded_once(name, hub, server, capsys):
    torch.manual_seed(1)
    state = get_model(name).state_dict()
    file, told = server(state), Messages()
    for _ in range(2):
        network, _ = build_backbone(name, weights="imagenet", progress=told)
        for key, value in network.state_dict().items():
            assert torch.equal(value, state[key]), key
        file.unlink(missing_ok=True)
    assert [path.name for path in hub.iterdir()] == [file.name]
    assert told.texts == [f"downloading the ImageNet weights of {name} from {file.as_uri()}"]
    assert capsys.readouterr().out == ""


def test_the_files_are_those_that_tsm_starts_from():
    assert Path(ResNet50_Weights.IMAGENET1K_V1.url).name == "resnet50-0676ba61.pth"
    assert Path(MobileNet_V2_Weights.IMAGENET1K_V1.url).name == "mobilenet_v2-b0353104.pth"


def test_offline_says_which_file_to_put_where(hub, monkeypatch, capsys):
    def no_network(*_args, **_kwargs):
        raise URLError(OSError(errno.ENETUNREACH, "Network is unreachable"))

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(CheckpointError, match="resnet50 cannot be downloaded from https") as caught:
        build_backbone("resnet50", weights="imagenet")
    assert ResNet50_Weights.IMAGENET1K_V1.url in str(caught.value)
    assert "Network is unreachable" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"put it at {hub / 'resnet50-0676ba61.pth'} (or set TORCH_HOME" in caught.value.hint
    assert capsys.readouterr().out == ""


def test_a_download_that_is_cut_leaves_nothing(hub, server):
    file = server(get_model("resnet18").state_dict())
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"resnet18 cannot be downloaded .* invalid hash"):
        build_backbone("resnet18", weights="imagenet")
    assert list(hub.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(hub, server, tmp_path):
    server({})
    (tmp_path / "home").touch()
    with pytest.raises(CheckpointError, match=r"resnet18 cannot be downloaded .* Not a directory"):
        build_backbone("resnet18", weights="imagenet")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_damaged_file_is_named(content, hub, server):
    file = hub / server(get_model("resnet18").state_dict()).name
    hub.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="not the ImageNet weights of resnet18") as caught:
        build_backbone("resnet18", weights="imagenet")
    assert str(file) in str(caught.value)
    assert f"its SHA-256 does not begin with {file.stem[-8:]}" in str(caught.value)
    assert caught.value.hint == "delete the file; the next run downloads it again"


def test_weights_of_another_network_are_refused(hub):
    hub.mkdir(parents=True)
    file = hub / "resnet18-f37072fd.pth"
    torch.save(get_model("mobilenet_v2").state_dict(), file)
    with pytest.raises(CheckpointError, match=f"{file.name}: not the ImageNet weights of resnet18"):
        build_backbone("resnet18", weights="imagenet")


def test_a_file_that_cannot_be_read_is_named(hub):
    file = hub / "resnet18-f37072fd.pth"
    file.mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"f37072fd.pth: cannot be read \(Is a directory\)"):
        build_backbone("resnet18", weights="imagenet")
