from typing import get_args

import pytest
import torch
from torch import nn

from stsm_cli.config.networks_3d import WITHOUT_SHIFT
from stsm_cli.config.schema import BODIES, FOR_SMALL_FRAMES, Backbone, ModelConfig, System
from stsm_cli.config.view import View
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network
from stsm_cli.models.weights import load_init, load_weights, num_classes


class Linear(Network):
    def __init__(self, view):
        super().__init__(view, 5)
        self.fc = nn.Linear(view.num_frames * len(view.mean), 5)

    def logits(self, videos):
        return self.fc(videos.mean((3, 4)).flatten(1))


@pytest.mark.parametrize("backbone", get_args(Backbone))
def test_every_network_keeps_the_contract(backbone):
    config = ModelConfig(backbone=backbone, num_classes=7, num_frames=4)
    with torch.device("meta"):
        network = build_model(config).eval()
        assert network(torch.empty(2, *network.view.shape(64))).shape == (2, 7)
    assert network.view == config.view
    assert network.num_classes == 7
    assert len(network.fc.weight) == 7
    if backbone in WITHOUT_SHIFT:
        with pytest.raises(ValueError, match=r"has no residual block that is known here"):
            _ = network.shift_sites
        return
    for site in network.shift_sites:
        assert isinstance(network.get_submodule(site), nn.Conv2d | nn.Conv3d)


@pytest.mark.parametrize(
    ("system", "backbone"), [(system, body) for system, bodies in BODIES.items() for body in bodies]
)
def test_every_system_keeps_the_contract(system, backbone):
    config = ModelConfig(backbone=backbone, num_classes=7, num_frames=4, system=system)
    with torch.device("meta"):
        network = build_model(config).eval().channels_last()
        assert network(torch.empty(2, *network.view.shape(64))).shape == (2, 7)
    assert network.view == config.view
    assert len(network.fc.weight) == 7


def test_every_system_has_its_bodies():
    assert BODIES.keys() == set(get_args(System))


@pytest.mark.parametrize("shape", [(2, 3, 3, 8, 8), (2, 4, 1, 8, 8), (8, 3, 8, 8)])
def test_videos_of_another_shape_are_refused(shape):
    message = r"^videos must be \(N, 4, 3, H, W\): 4 frames a view, got \("
    with pytest.raises(ValueError, match=message):
        Linear(View(4))(torch.zeros(shape))


def test_channels_are_the_view_s():
    flow = View(4, mean=(0.0, 0.0), std=(1.0, 1.0))
    assert Linear(flow)(torch.zeros(2, 4, 2, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize(
    ("backbone", "layout"),
    [("resnet_small", torch.channels_last), ("slow_resnet_small", torch.channels_last_3d)],
)
def test_convolutions_are_laid_out_as_the_frames_come(backbone, layout):
    network = build_model(ModelConfig(backbone=backbone, num_classes=5, num_frames=4))
    assert network.channels_last() is network
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    assert convolutions
    assert all(conv.weight.is_contiguous(memory_format=layout) for conv in convolutions)
    videos = torch.rand(1, 4, 16, 16, 3).movedim(-1, 2)  # (N, T, 3, H, W) as the loader gives it
    if layout is torch.channels_last_3d:
        assert videos.transpose(1, 2).is_contiguous(memory_format=layout)


def test_a_network_without_residual_blocks_has_no_place_for_a_shift():
    says = r"^Linear has no residual block that is known here, and no convolution inside "
    with pytest.raises(ValueError, match=says):
        _ = Linear(View(4)).shift_sites


def test_a_network_without_logits_is_none():
    with pytest.raises(NotImplementedError, match=r"^Network has no logits of \(1, 2, 3, 8, 8\)$"):
        Network(View(2), 5)(torch.zeros(1, 2, 3, 8, 8))


@pytest.mark.parametrize("backbone", FOR_SMALL_FRAMES)
def test_logits_keep_their_digits_under_autocast(backbone):
    """bfloat16 has 8 bits: classes would tie, and a tie counts as wrong."""
    torch.manual_seed(0)
    network = build_model(ModelConfig(backbone=backbone, num_classes=400, num_frames=4)).eval()
    nn.init.normal_(network.fc.weight)
    videos = torch.randn(2, *network.view.shape(32))
    videos *= torch.arange(1.0, 1 + videos.shape[1]).view(-1, 1, 1, 1)  # frames that differ
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = network(videos)
    assert logits.dtype == torch.float32
    assert len(logits[0].unique()) >= 380  # of bfloat16, some 300


@pytest.mark.parametrize("backbone", FOR_SMALL_FRAMES)
def test_a_checkpoint_of_it_is_known_again_and_starts_one_of_other_classes(backbone, tmp_path):
    config = ModelConfig(backbone=backbone, num_classes=5, num_frames=4)
    trained, fresh = build_model(config), build_model(config)
    path = tmp_path / "last.pt"
    torch.save({"model": trained.state_dict()}, path)
    load_weights(fresh, path)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)
    assert num_classes(path) == 5
    other = build_model(config.model_copy(update={"num_classes": 6}))
    assert load_init(other, path) == ("the classifier (6 classes, the file has 5)",)
