import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from stsm_cli.models.resnet_3d import Basic3D, Bottleneck3D, ResNet3D, Stage

WIDTHS = (64, 128, 256, 512)


def flat(block, blocks):
    """Without temporal kernels."""
    strides = (1, 2, 2, 2)
    stages = [Stage(w, n, s, 1) for w, n, s in zip(WIDTHS, blocks, strides, strict=True)]
    return ResNet3D(block, stages, stem=64)


@pytest.mark.parametrize(
    ("block", "blocks", "theirs"),
    [(Basic3D, (2, 2, 2, 2), resnet18), (Bottleneck3D, (3, 4, 6, 3), resnet50)],
)
def test_without_temporal_kernels_it_is_torchvision_s_resnet_frame_by_frame(block, blocks, theirs):
    torch.manual_seed(0)
    flat_network, network = theirs().double().eval(), flat(block, blocks).double().eval()
    network.load_state_dict(
        {
            key: value[:, :, None] if value.ndim == 4 else value
            for key, value in flat_network.state_dict().items()
            if not key.startswith("fc.")
        }
    )
    flat_network.fc = nn.Identity()
    frames = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    expected = flat_network(frames).mean(0, keepdim=True)  # features (T, C) -> (1, C)
    found = network(frames.transpose(0, 1)[None])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", [Basic3D, Bottleneck3D])
def test_a_temporal_kernel_sees_the_frames_before_and_behind(block):
    torch.manual_seed(0)
    layer = block(8, 4, 2, 3).double().eval()
    x = torch.randn(1, 8, 5, 6, 6, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 2] += 1
    differs = (layer(x) != layer(changed))[0].transpose(0, 1).flatten(1).any(1)  # (T,)
    assert differs.tolist() == [False, True, True, True, False]
    assert layer(x).shape == (1, 4 * block.expansion, 5, 3, 3)


def test_time_is_never_strided():
    stages = [Stage(w, 1, s, 3) for w, s in zip((4, 6, 8, 10), (1, 2, 2, 2), strict=True)]
    network = ResNet3D(Basic3D, stages, stem=4, small=True).eval()
    seen = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        stage.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[1:])))
    assert network(torch.zeros(2, 3, 7, 32, 32)).shape == (2, 10) == (2, network.num_features)
    assert seen == [(4, 7, 16, 16), (6, 7, 8, 8), (8, 7, 4, 4), (10, 7, 2, 2)]
