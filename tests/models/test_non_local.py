import math

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from stsm_cli.models.non_local import STAGES, NonLocalBlock, insert_non_local


def awake(num_channels: int = 4, num_frames: int = 3) -> NonLocalBlock:
    """A block in float64 whose batch norm is not the identity, in eval mode."""
    torch.manual_seed(0)
    block = NonLocalBlock(num_channels, num_frames=num_frames).double().eval().requires_grad_(False)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    nn.init.normal_(block.bn.running_mean)
    nn.init.uniform_(block.bn.running_var, 0.5, 2.0)
    return block


def slow_non_local(block: NonLocalBlock, view: torch.Tensor) -> torch.Tensor:
    """The block on one view (T, C, H, W), one position at a time."""
    times, _, height, width = view.shape

    def linear(conv: nn.Conv2d, vector: torch.Tensor) -> torch.Tensor:
        out = conv.weight[:, :, 0, 0] @ vector
        return out if conv.bias is None else out + conv.bias

    def pooled(conv: nn.Conv2d, t: int, y: int, x: int) -> torch.Tensor:
        corners = [linear(conv, view[t, :, y + i, x + j]) for i in (0, 1) for j in (0, 1)]
        return torch.stack(corners).amax(0)

    cells = [
        (t, y, x)
        for t in range(times)
        for y in range(0, height - 1, 2)
        for x in range(0, width - 1, 2)
    ]
    out = view.clone()
    for t in range(times):
        for y in range(height):
            for x in range(width):
                query = linear(block.theta, view[t, :, y, x])
                weights = [math.exp(query @ pooled(block.phi, *cell)) for cell in cells]
                seen = sum(
                    w * pooled(block.g, *cell) for w, cell in zip(weights, cells, strict=True)
                ) / sum(weights)
                added = linear(block.conv_out, seen)
                scale = block.bn.weight / (block.bn.running_var + block.bn.eps).sqrt()
                out[t, :, y, x] += (added - block.bn.running_mean) * scale + block.bn.bias
    return out


@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
def test_equals_a_loop_over_positions(size):
    block = awake()
    frames = torch.randn(2 * 3, 4, *size, dtype=torch.float64)
    expected = torch.cat([slow_non_local(block, view) for view in frames.split(3)])
    torch.testing.assert_close(block(frames), expected, rtol=1e-10, atol=1e-10)


def test_is_the_identity_at_first():
    frames = torch.randn(6, 8, 4, 4)
    block = NonLocalBlock(8, num_frames=3)
    assert torch.equal(block.train()(frames), frames)
    assert torch.equal(block.eval()(frames), frames)


def test_initialisation():
    torch.manual_seed(0)
    block = NonLocalBlock(512, num_frames=8)
    for conv in (block.theta, block.phi, block.g):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert not conv.bias.any()
    assert block.conv_out.bias is None
    assert not block.bn.weight.any()
    assert not block.bn.bias.any()


def test_gradients_flow_once_the_batch_norm_has_a_scale():
    block = NonLocalBlock(8, num_frames=3).train()
    frames = torch.randn(6, 8, 4, 4)

    def moved() -> set[str]:
        block.zero_grad()
        block(frames).square().sum().backward()
        return {name for name, p in block.named_parameters() if p.grad.abs().max() > 1e-7}

    assert moved() == {"bn.weight", "bn.bias"}
    nn.init.ones_(block.bn.weight)
    weights = {f"{name}.weight" for name in ("theta", "phi", "g", "conv_out")}
    assert weights <= moved()


def test_views_do_not_see_each_other_and_frames_do():
    block = awake()
    frames = torch.randn(6, 4, 4, 4, dtype=torch.float64)
    changed = frames.clone()
    changed[0] += 1
    difference = (block(changed) - block(frames)).abs().amax((1, 2, 3))
    assert (difference[:3] > 1e-6).all()
    assert not difference[3:].any()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_keeps_the_memory_format(memory_format):
    block = awake().to(memory_format=memory_format)
    frames = torch.randn(6, 4, 6, 6, dtype=torch.float64).to(memory_format=memory_format)
    assert block(frames).is_contiguous(memory_format=memory_format)


def test_five_blocks_stand_behind_the_right_residual_blocks():
    with torch.device("meta"):
        network = get_model("resnet50")
        plain = dict(network.state_dict())
        insert_non_local(network, STAGES["resnet50"], num_frames=8)
    found = [name for name, m in network.named_modules() if isinstance(m, NonLocalBlock)]
    assert found == [f"layer2.non_local{i}" for i in (0, 2)] + [
        f"layer3.non_local{i}" for i in (0, 2, 4)
    ]
    assert [name for name, _ in network.layer2.named_children()] == [
        "0", "non_local0", "1", "2", "non_local2", "3",
    ]  # fmt: skip
    assert plain.keys() < network.state_dict().keys()  # torchvision's keys stay
    with torch.device("meta"):
        assert network(torch.empty(8, 3, 64, 64)).shape == (8, 1000)
