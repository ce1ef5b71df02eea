import pytest
import torch

from stsm_cli.models.shift import shift
from stsm_cli.models.temporal import Motion, TemporalConv, reduced, to_next, to_previous


@pytest.mark.parametrize(
    ("num_channels", "expected"), [(64, 4), (2048, 128), (24, 1), (8, 1), (1, 1)]
)
def test_channels_are_reduced_by_16_to_no_less_than_one(num_channels, expected):
    assert reduced(num_channels) == expected


@pytest.mark.parametrize("size", [(2, 3), (1, 1)])
def test_a_temporal_convolution_is_a_loop_over_time(slow, size):
    module = slow.awake(TemporalConv(5, num_frames=3))
    frames = torch.randn(2 * 3, 5, *size, dtype=torch.float64)
    expected = torch.cat([slow.along_time(module, view) for view in frames.split(3)])
    torch.testing.assert_close(module(frames), expected, rtol=1e-12, atol=1e-12)


def test_it_starts_as_tsm_s_shift_or_as_the_identity():
    frames = torch.randn(8, 16, 3, 3)
    moved = TemporalConv(16, num_frames=4, moved=2)
    assert torch.equal(moved(frames), shift(frames, num_frames=4, dims="T", alpha="1/4"))
    assert torch.equal(TemporalConv(16, num_frames=4)(frames), frames)


def test_all_channels_but_an_odd_one_may_move():
    frames = torch.randn(4, 5, 2, 2)
    out = TemporalConv(5, num_frames=4, moved=2)(frames)
    assert torch.equal(out[:-1, :2], frames[1:, :2])
    assert torch.equal(out[1:, 2:4], frames[:-1, 2:4])
    assert torch.equal(out[:, 4], frames[:, 4])
    assert not out[-1, :2].any()
    assert not out[0, 2:4].any()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_temporal_convolution_keeps_the_memory_format(memory_format):
    frames = torch.randn(6, 4, 5, 7).to(memory_format=memory_format)
    out = TemporalConv(4, num_frames=3)(frames)
    assert out.is_contiguous(memory_format=memory_format)


def test_time_reversed_it_is_the_convolution_of_reversed_kernels(slow):
    module = slow.awake(TemporalConv(4, num_frames=4))
    frames = torch.randn(4, 4, 2, 2, dtype=torch.float64)
    forward = module(frames)
    module.conv.weight.copy_(module.conv.weight.flip(2))
    torch.testing.assert_close(module(frames.flip(0)).flip(0), forward, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("motion_to", "step"), [(to_next, 1), (to_previous, -1)])
def test_motion_is_a_loop_over_frames(slow, motion_to, step):
    module = slow.awake(Motion(32, num_frames=3))
    frames = torch.randn(2 * 3, 32, 3, 4, dtype=torch.float64)
    expected = [one for view in frames.split(3) for one in slow.motion(module, view, step)]
    torch.testing.assert_close(
        motion_to(*module(frames)), torch.stack(expected), rtol=1e-10, atol=1e-10
    )


def test_of_reversed_frames_motion_to_the_next_is_that_to_the_previous(slow):
    module = slow.awake(Motion(32, num_frames=4))
    frames = torch.randn(4, 32, 3, 3, dtype=torch.float64)
    reversed_ = to_next(*module(frames.flip(0))).flip(0)
    torch.testing.assert_close(reversed_, to_previous(*module(frames)), rtol=1e-12, atol=1e-12)
