import pytest
import torch

from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models.build import build_model
from stsm_cli.models.resnet_3d import ResNet3D
from stsm_cli.models.shift import shift
from stsm_cli.models.slow_only import slow_backbone

SHIFT = ShiftConfig(dims="T+H+W", alpha="1/2")


def small(**changes):
    torch.manual_seed(0)
    options = {"backbone": "slow_resnet_small", "num_classes": 5, "num_frames": 4}
    return build_model(ModelConfig(**options | changes)).double().eval()


def test_the_last_two_stages_of_the_50_layers_see_time():
    with torch.device("meta"):
        network = slow_backbone("slow_resnet50")
    kernels = {
        name: tuple(parameter.shape[2:])
        for name, parameter in network.named_parameters()
        if parameter.ndim == 5
    }
    assert kernels["conv1.weight"] == (1, 7, 7)
    temporal = {name for name, kernel in kernels.items() if kernel[0] > 1}
    blocks = {3: 6, 4: 3}
    expected = {f"layer{n}.{b}.conv1.weight" for n, count in blocks.items() for b in range(count)}
    assert temporal == expected
    assert {kernels[name] for name in temporal} == {(3, 1, 1)}


def test_a_block_begins_as_its_shortcut():
    block = small().backbone.layer3[0]
    assert not block.bn2.weight.any()
    assert block.bn1.weight.all()


@pytest.mark.parametrize(
    ("changes", "has_windows"),
    [
        ({}, True),
        ({"statistics": "imagenet"}, False),
        ({"backbone": "slowfast_resnet_small"}, True),
        ({"backbone": "slowfast_resnet_small", "system": "atfr"}, False),
    ],
)
def test_large_pictures_are_pooled_by_windows_of_224_pixels_as_slowfast_s_authors_do(
    changes, has_windows
):
    network = small(**changes).backbone
    pathways = [part for part in network.modules() if isinstance(part, ResNet3D)]
    x = torch.randn(2, 3, 4, 9, 8, dtype=torch.float64)
    windows = [x[..., h : h + 7, w : w + 7].mean((2, 3, 4)) for h in range(3) for w in range(2)]
    expected = sum(windows) / 6 if has_windows else x.mean((2, 3, 4))
    for pathway in pathways:
        torch.testing.assert_close(pathway.pooled(x), expected, rtol=1e-12, atol=1e-12)
        whole = x[..., :7, :7]
        torch.testing.assert_close(pathway.pooled(whole), whole.mean((2, 3, 4)))
    assert len(pathways) == (2 if "backbone" in changes else 1)


def test_logits_depend_on_the_order_of_the_frames(slow):
    videos = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
    network = slow.learnt(small())
    assert (network(videos) - network(videos.flip(1))).abs().max() > 1e-6


def test_the_shift_stands_before_the_first_convolution_of_each_block():
    shifted = small(shift=SHIFT)
    sites = [name for name, _ in shifted.named_modules() if name.endswith(".net")]
    assert sites == [f"backbone.layer{n}.0.conv1.net" for n in (1, 2, 3, 4)]


def test_a_shifted_block_reads_shifted_features_and_adds_to_plain_ones(slow):
    plain, shifted = small(), small(shift=SHIFT)
    for network in (plain, shifted):
        torch.manual_seed(1)
        slow.learnt(network)
    one, other = plain.backbone.layer3[0], shifted.backbone.layer3[0]
    x = torch.randn(1, 48, 4, 8, 8, dtype=torch.float64)
    branch = one.bn1(one.conv1(shift(x, dims="T+H+W", alpha="1/2"))).relu()
    expected = (one.bn2(one.conv2(branch)) + one.downsample(x)).relu()
    torch.testing.assert_close(other(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("alpha", ["0", "3/8"])
def test_the_shift_adds_no_parameters(alpha):
    shift_config = ShiftConfig(dims="T+H+W", alpha=alpha)
    counts = {
        sum(parameter.numel() for parameter in small(**changes).parameters())
        for changes in ({}, {"shift": shift_config})
    }
    assert counts == {435_173}


@pytest.mark.parametrize("backbone", ["slow_resnet50", "slow_resnet_small"])
def test_pixels_are_normalised_as_slowfast_s_authors_do(backbone):
    view = ModelConfig(backbone=backbone, num_classes=5, num_frames=4).view
    assert view.mean == pytest.approx([0.45 * 255] * 3)
    assert view.std == pytest.approx([0.225 * 255] * 3)
