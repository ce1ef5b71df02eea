import pytest
import torch

from stsm_cli.models.backbones import SMALL_WIDTHS, build_backbone
from stsm_cli.models.res2net import Bottle2neck


def slow_block(slow, block, picture):
    """A block of stride 1 on a picture (C, H, W), part by part."""
    inside = slow.norm(block.bn1, slow.pointwise(block.conv1, picture)).relu()
    parts = list(inside.split(block.width))
    made = []
    for i in range(3):
        seen = parts[i] if block.is_first or i == 0 else parts[i] + made[-1]
        made.append(slow.norm(block.bns[i], slow.window(block.convs[i], seen)).relu())
    last = parts[3]
    if block.is_first:  # a mean over nine, zeros beyond the borders
        _, height, width = last.shape
        wide = torch.zeros(len(last), height + 2, width + 2, dtype=last.dtype)
        wide[:, 1:-1, 1:-1] = last
        last = sum(wide[:, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    branch = slow.norm(block.bn3, slow.pointwise(block.conv3, torch.cat([*made, last])))
    if block.is_first:
        picture = slow.norm(block.downsample[1], slow.pointwise(block.downsample[0], picture))
    return (branch + picture).relu()


@pytest.mark.parametrize("is_first", [False, True])
def test_a_block_equals_a_loop_over_its_parts(slow, is_first):
    block = slow.awake(Bottle2neck(8, 2, 3, stride=1, is_first=is_first))
    frames = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    expected = torch.stack([slow_block(slow, block, frame) for frame in frames])
    torch.testing.assert_close(block(frames), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "expected"), [("res2net50", 23_650_120), ("res2net_small", 133_680)]
)
def test_parameters_to_the_unit(name, expected):
    """The authors' Res2Net-50 26w×4s has 25,699,120, a classifier of 2,049,000 among them."""
    with torch.device("meta"):
        network, _ = build_backbone(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_widths_of_the_parts_are_the_authors():
    with torch.device("meta"):
        network, _ = build_backbone("res2net50")
    blocks = [part for part in network.modules() if isinstance(part, Bottle2neck)]
    widths = [26] * 3 + [52] * 4 + [104] * 6 + [208] * 3
    assert [block.width for block in blocks] == widths
    assert [i for i, block in enumerate(blocks) if block.is_first] == [0, 3, 7, 13]


def test_the_small_one_halves_the_picture_four_times():
    network, width = build_backbone("res2net_small")
    sizes = []
    for name in ("layer1", "layer2", "layer3", "layer4"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, out: sizes.append(tuple(out.shape[1:]))
        )
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, width)
    assert sizes == [(c, s, s) for c, s in zip(SMALL_WIDTHS, (24, 12, 6, 3), strict=True)]
