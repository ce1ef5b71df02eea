import errno
from pathlib import Path
from typing import get_args
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import ResNet50_Weights, get_model, get_model_weights, list_models

from stsm_cli.config.schema import Backbone
from stsm_cli.errors import CheckpointError, RecipeError
from stsm_cli.models.backbones import SMALL_WIDTHS, build_backbone

TORCHVISION = [name for name in get_args(Backbone) if name != "resnet_small"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def weights_file(folder: Path, name: str) -> Path:
    return folder / Path(get_model_weights(name)["IMAGENET1K_V1"].url).name


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_torchvision_backbone_exists_there_with_first_imagenet_weights(name):
    assert name in list_models()
    assert "IMAGENET1K_V1" in get_model_weights(name).__members__


@pytest.mark.parametrize("name", get_args(Backbone))
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


def test_small_resnet_has_no_imagenet_weights():
    with pytest.raises(RecipeError, match="no imagenet weights of resnet_small"):
        build_backbone("resnet_small", weights="imagenet")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_imagenet_weights_come_from_the_hub_folder(name, hub, capsys):
    torch.manual_seed(1)
    state = get_model(name).state_dict()
    torch.save(state, weights_file(hub, name))
    network, _ = build_backbone(name, weights="imagenet")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert capsys.readouterr().out == ""


def test_offline_says_which_file_to_put_where(hub, monkeypatch, capsys):
    def no_network(*_args, **_kwargs):
        raise URLError(OSError(errno.ENETUNREACH, "Network is unreachable"))

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(CheckpointError, match="resnet50 cannot be downloaded from https") as caught:
        build_backbone("resnet50", weights="imagenet")
    assert ResNet50_Weights.IMAGENET1K_V1.url in str(caught.value)
    assert "Network is unreachable" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint.endswith(str(hub / "resnet50-0676ba61.pth"))
    assert capsys.readouterr().out == ""  # torch.hub's own line goes to stderr


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_damaged_file_is_named(content, hub):
    file = weights_file(hub, "resnet18")
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="not the ImageNet weights of resnet18") as caught:
        build_backbone("resnet18", weights="imagenet")
    assert str(file) in str(caught.value)


def test_weights_of_another_network_are_refused(hub):
    file = weights_file(hub, "resnet18")
    torch.save(get_model("mobilenet_v2").state_dict(), file)
    with pytest.raises(CheckpointError, match=f"{file.name}: not the ImageNet weights of resnet18"):
        build_backbone("resnet18", weights="imagenet")
