import pytest
import torch
import torch.nn.functional as F

from stsm_cli.models.bninception import BLOCKS, Block, BlockWidths, BNInception


def test_it_has_the_parameters_of_its_authors():
    with torch.device("meta"):
        rgb, flow = BNInception(), BNInception(10)
    assert sum(parameter.numel() for parameter in rgb.parameters()) == 10_270_240
    assert rgb.num_features == flow.num_features == 1024
    assert flow.stem.conv1.conv.weight.shape == (64, 10, 7, 7)
    assert rgb.stem.conv1.conv.bias.shape == (64,)
    assert {part.eps for part in rgb.modules() if isinstance(part, torch.nn.BatchNorm2d)} == {1e-5}


def test_sizes_are_rounded_up():
    with torch.device("meta"):
        network = BNInception()
        x = network.stem(torch.empty(1, 3, 224, 224))
        found = [x.shape[-1]]
        for block in network.blocks:
            x = block(x)
            found.append(x.shape[-1])
    assert list(dict.fromkeys(found)) == [28, 14, 7]  # rounded down: 27 first
    assert x.shape[1] == 1024


def windows(x, before, size):
    """Maxima of 3×3 pixels at every second place of a map (C, H, W), the first of them outside."""
    out = torch.full((len(x), size, size), -torch.inf)
    for i in range(size):
        for j in range(size):
            rows, columns = (slice(max(0, 2 * k - before), 2 * k - before + 3) for k in (i, j))
            out[:, i, j] = x[:, rows, columns].amax((1, 2))
    return out


@pytest.mark.parametrize("pool", ["pool1", "pool2"])
def test_the_stem_s_pools_begin_with_the_first_pixel(pool):
    with torch.device("meta"):
        layer = getattr(BNInception().stem, pool)
    x = torch.rand(2, 3, 8, 8)
    for picture, maxima in zip(x, layer(x), strict=True):
        assert torch.equal(maxima, windows(picture, 0, 4))


@pytest.mark.parametrize(("side", "before"), [(8, 0), (7, 1)])
def test_a_halving_block_passes_maxima_on_beside_its_convolutions(side, before):
    torch.manual_seed(0)
    block = Block(5, BlockWidths(0, (4, 6), (3, 4, 7), "max", 0)).eval()
    x = torch.rand(2, 5, side, side)
    out = block(x)
    assert out.shape == (2, 6 + 7 + 5, 4, 4) == (2, block.num_out, 4, 4)
    for picture, maxima in zip(x, out[:, 13:], strict=True):
        assert torch.equal(maxima, windows(picture, before, 4))
    assert torch.equal(out[:, :6], block.branch2(x))


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_block_s_pool_counts_the_zeros_around_in_means(pool):
    torch.manual_seed(0)
    block = Block(5, BlockWidths(2, (4, 6), (3, 4, 7), pool, 8)).eval()
    x = torch.rand(1, 5, 6, 6)
    apart = F.unfold(F.pad(x, [1] * 4), 3).view(1, 5, 9, 6, 6)  # zeros: below every other value
    pooled = apart.sum(2) / 9 if pool == "mean" else apart.amax(2)
    expected = [block.branch1(x), block.branch2(x), block.branch3(x), block.branch4(pooled)]
    torch.testing.assert_close(block(x), torch.cat(expected, 1))


def test_blocks_are_the_published_ones():
    widths = {"3a": 256, "3b": 320, "3c": 576, "4a": 576, "4b": 576, "4c": 608, "4d": 608}
    widths |= {"4e": 1056, "5a": 1024, "5b": 1024}
    with torch.device("meta"):
        found = {name: block.num_out for name, block in BNInception().blocks.named_children()}
    assert found == widths
    assert found.keys() == BLOCKS.keys()


def test_everything_learns_on_small_frames():
    torch.manual_seed(0)
    network = BNInception(small=True).double()
    network(torch.randn(4, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    silent = [name for name, p in network.named_parameters() if not p.grad.abs().max() > 0]
    assert silent == []
