"""The operator: against a slow loop, a convolution and TSM; its layouts, types and gradients."""

import doctest
import itertools
import re
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stsm_cli.analysis.counting import measure_cost
from stsm_cli.models import shift_slices
from stsm_cli.models.shift import (
    ShiftedConv,
    SpatioTemporalShift,
    channel_slices,
    insert_shift,
    shift,
)
from stsm_cli.models.shift_slices import group_sizes, steps_of

ALL = ["T", "H", "W", "T+H+W", "HW", "H+W", "T+HW", "TH+TW+HW", "THW", "T+H+W+TH+TW+HW"]
PAST = ["T-", "T-+H+W", "W+HT-"]
AGAINST = ["HW+Hw", "Th+wT-", "TH+Th+THw+wTh"]
LAYOUTS = ["frames", "frames channels-last", "features", "features channels-last", "strided"]


def slow_shift(videos, dims, alpha):
    """The paper's words, one element at a time: (N, C, T, H, W) in, the same out."""
    groups = dims.split("+")
    num_slices = 2 * len(groups)
    _, num_channels, *sizes = videos.shape
    out = videos.clone()
    for i in range(num_slices):
        edges = [Fraction(alpha) * num_channels * k / num_slices for k in (i, i + 1)]
        start, stop = (int(edge + Fraction(1, 2)) for edge in edges)
        from_past = i % 2 == 1 or "-" in groups[i // 2]
        ways = {axis: 1 for axis in groups[i // 2] if axis != "-"}
        ways |= {axis.upper(): -1 for axis in ways if axis.islower()}
        step = [(-1 if from_past else 1) * ways.get(axis, 0) for axis in "THW"]
        for c in range(start, stop):
            for at in itertools.product(*map(range, sizes)):
                source = tuple(p + s for p, s in zip(at, step, strict=True))
                inside = all(0 <= p < size for p, size in zip(source, sizes, strict=True))
                out[(slice(None), c, *at)] = videos[(slice(None), c, *source)] if inside else 0
    return out


def lay_out(videos, layout):
    """`videos` (N, C, T, H, W) as the operator takes them, in one of the orders of memory."""
    if layout == "strided":
        return videos.repeat_interleave(2, dim=1)[:, ::2].transpose(3, 4).contiguous().mT
    last = torch.channels_last_3d
    if layout.startswith("frames"):
        videos, last = as_frames(videos), torch.channels_last
    return videos.contiguous(memory_format=last if "last" in layout else torch.contiguous_format)


def as_frames(videos):
    return videos.transpose(1, 2).flatten(0, 1)


def as_videos(x, num_frames):
    return x if x.dim() == 5 else x.unflatten(0, (-1, num_frames)).transpose(1, 2)


def test_examples_of_the_docstrings_hold():
    assert doctest.testmod(shift_slices) == (0, 5)


# Which channels


@pytest.mark.parametrize(
    ("num_channels", "dims", "alpha", "bounds"),
    [
        (64, "T+H+W", "1/4", [0, 3, 5, 8, 11, 13, 16]),  # the 1st to 16th: paper 5.1
        (64, "T+H+W", "3/8", [0, 4, 8, 12, 16, 20, 24]),
        (64, "T", "1/4", [0, 8, 16]),
        (24, "T", "1/4", [0, 3, 6]),
        (24, "T+H+W", "3/8", [0, 2, 3, 5, 6, 8, 9]),  # halves up
        (7, "T+H", "1", [0, 2, 4, 5, 7]),
        (5, "T", "1/2", [0, 1, 3]),
        (1, "T+H+W", "3/8", [0, 0, 0, 0, 0, 0, 0]),
        (1, "T", "1", [0, 1, 1]),
        (64, "HW", 0, [0, 0, 0]),
        (10, "T", 0.1, [0, 1, 1]),
    ],
)
def test_slices_are_the_designs(num_channels, dims, alpha, bounds):
    slices = channel_slices(num_channels, dims, alpha)
    assert [part.start for part in slices] + [slices[-1].stop] == bounds
    assert [part.stop for part in slices] == bounds[1:]
    assert [part.direction for part in slices] == [1, -1] * (len(bounds) // 2)


def test_slices_of_a_group_share_its_axes():
    axes = [part.axes for part in channel_slices(64, "W+TH", "3/8")]
    assert axes == [(2,), (2,), (0, 1), (0, 1)]


@pytest.mark.parametrize(
    ("dims", "alpha", "sizes"),
    [
        ("T+H+W", "3/8", {"T": (2, 2), "H": (2, 2), "W": (2, 2)}),
        ("W+HT", "1/8", {"W": (1, 1), "HT": (1, 1)}),
        ("T+H", "3/32", {"T": (1, 1), "H": (0, 1)}),
        ("T", "0", {"T": (0, 0)}),
        ("T-+H", "1/4", {"T-": (0, 4), "H": (2, 2)}),
        ("HW+Hw", "1/4", {"HW": (2, 2), "Hw": (2, 2)}),
    ],
)
def test_sizes_of_groups_are_in_their_order_and_direction(dims, alpha, sizes):
    num_channels = 32
    found = group_sizes(channel_slices(num_channels, dims, alpha), dims)
    assert found == sizes
    assert list(found) == dims.split("+")


def test_a_module_parses_what_it_is_given_once(monkeypatch):
    given = {"num_frames": 2, "dims": "T", "alpha": 0.25}
    network = insert_shift(nn.Sequential(nn.Conv2d(8, 4, 1)), **given, targets=["0"])
    module = SpatioTemporalShift(**given)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(shift_slices, "parse_dims", refuse)
    monkeypatch.setattr(shift_slices, "parse_alpha", refuse)
    frames = torch.randn(4, 8, 3, 3)
    assert module(frames).shape == frames.shape
    assert network(frames).shape == (4, 4, 3, 3)


def test_slices_differ_by_one_at_most_and_sum_to_alpha():
    alphas = ["1/8", "1/4", "3/8", "1/2", "3/4", "1"]
    for num_channels, dims, alpha in itertools.product([*range(1, 70), 1024, 2048], ALL, alphas):
        slices = channel_slices(num_channels, dims, alpha)
        sizes = [part.stop - part.start for part in slices]
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) == int(Fraction(alpha) * num_channels + Fraction(1, 2))


@pytest.mark.parametrize(
    ("num_channels", "dims", "alpha", "slices"),
    [
        (64, "T-", "1/8", [((0,), -1, 0, 8, ())]),
        (24, "T-+H", "1/2", [((0,), -1, 0, 6, ()), ((1,), 1, 6, 9, ()), ((1,), -1, 9, 12, ())]),
        (5, "H+T-", "1/2", [((1,), 1, 0, 1, ()), ((1,), -1, 1, 1, ()), ((0,), -1, 1, 3, ())]),
        (32, "Th-", "1/4", [((0, 1), -1, 0, 8, (1,))]),
    ],
)
def test_a_group_from_the_past_has_one_slice_as_large_as_two(num_channels, dims, alpha, slices):
    assert list(channel_slices(num_channels, dims, alpha)) == slices


# What it computes


@pytest.mark.parametrize("dims", [*ALL, *PAST, *AGAINST])
@pytest.mark.parametrize(("num_channels", "alpha"), [(16, "3/8"), (7, "1"), (5, "1/2"), (1, "1")])
def test_it_is_the_slow_loop(dims, num_channels, alpha):
    videos = torch.randn(2, num_channels, 3, 4, 2)
    slow = slow_shift(videos, dims, alpha)
    for layout in LAYOUTS:
        out = shift(lay_out(videos, layout), num_frames=3, dims=dims, alpha=alpha)
        assert torch.equal(as_videos(out, 3), slow), layout


def test_directions_on_a_tensor_that_holds_its_own_indices():
    t, h, w = torch.meshgrid(*[torch.arange(1, 5)] * 3, indexing="ij")  # from 1: 0 is the border
    x = (100 * t + 10 * h + w).float().expand(1, 8, 4, 4, 4)
    out = shift(x, dims="T+H+W+HW", alpha=1)[0]
    assert out[0, :, 0, 0].tolist() == [211, 311, 411, 0]  # the next frame
    assert out[1, :, 0, 0].tolist() == [0, 111, 211, 311]  # the previous frame
    assert out[2, 0, :, 0].tolist() == [121, 131, 141, 0]  # the row below
    assert out[3, 0, :, 0].tolist() == [0, 111, 121, 131]
    assert out[4, 0, 0, :].tolist() == [112, 113, 114, 0]  # the column to the right
    assert out[5, 0, 0, :].tolist() == [0, 111, 112, 113]
    assert out[6, 0].tolist() == [
        [122, 123, 124, 0],
        [132, 133, 134, 0],
        [142, 143, 144, 0],
        [0] * 4,
    ]
    assert out[7, 0].tolist() == [
        [0] * 4,
        [0, 111, 112, 113],
        [0, 121, 122, 123],
        [0, 131, 132, 133],
    ]


@pytest.mark.parametrize("axis", [3, 4])
@pytest.mark.parametrize("dims", ["HW+Hw", "H+W", "T+HW+Hw"])
def test_all_four_diagonals_are_symmetric_under_a_mirror(dims, axis):
    """Each channel of a mirrored video moves as another one does in the video itself."""
    videos = torch.randn(2, 1, 3, 4, 5).expand(2, 24, 3, 4, 5)
    plain = shift(videos, dims=dims, alpha=1)
    mirrored = shift(videos.flip(axis), dims=dims, alpha=1).flip(axis)
    assert not torch.equal(mirrored, plain)
    assert {*map(_key, mirrored.unbind(1))} == {*map(_key, plain.unbind(1))}


@pytest.mark.parametrize("dims", ["HW", "Hw"])
def test_two_diagonals_are_not(dims):
    videos = torch.randn(2, 1, 3, 4, 5).expand(2, 24, 3, 4, 5)
    plain = shift(videos, dims=dims, alpha=1)
    mirrored = shift(videos.flip(4), dims=dims, alpha=1).flip(4)
    assert not {*map(_key, mirrored.unbind(1))} & {*map(_key, plain.unbind(1))}


def _key(x):
    return x.numpy().tobytes()


@pytest.mark.parametrize("num_channels", [8, 24, 64])
def test_t_at_a_quarter_is_tsm(num_channels):
    x = torch.randn(2 * 8, num_channels, 3, 3)
    videos, fold = x.view(2, 8, num_channels, 3, 3), num_channels // 8
    tsm = torch.zeros_like(videos)
    tsm[:, :-1, :fold] = videos[:, 1:, :fold]
    tsm[:, 1:, fold : 2 * fold] = videos[:, :-1, fold : 2 * fold]
    tsm[:, :, 2 * fold :] = videos[:, :, 2 * fold :]
    assert torch.equal(shift(x, num_frames=8, dims="T", alpha="1/4"), tsm.view_as(x))


@pytest.mark.parametrize("dims", [*ALL, *PAST, *AGAINST])
def test_it_is_a_convolution_with_one_hot_kernels(dims):
    kernels = torch.zeros(24, 1, 3, 3, 3)
    for c in range(24):
        (part,) = [s for s in channel_slices(24, dims, "3/4") if s.start <= c < s.stop] or [None]
        steps = dict(steps_of(part)) if part else {}
        kernels[(c, 0, *(1 + steps.get(axis, 0) for axis in range(3)))] = 1
    x = torch.randn(2, 24, 3, 5, 4)
    expected = F.conv3d(x, kernels, padding=1, groups=24)
    assert torch.equal(shift(x, dims=dims, alpha="3/4"), expected)


@pytest.mark.parametrize("dims", ["T", "T+H+W"])
@pytest.mark.parametrize("num_channels", [1, 16])
def test_alpha_0_is_the_identity(dims, num_channels):
    x = torch.randn(4, num_channels, 3, 3, requires_grad=True)
    assert shift(x, num_frames=2, dims=dims, alpha=0) is x


def test_the_input_stays_what_it_was():
    x = torch.randn(4, 8, 3, 3)
    before = x.clone()
    shift(x, num_frames=2, dims="T+H", alpha=1).zero_()
    assert torch.equal(x, before)


def test_it_is_linear():
    x, y = torch.randn(2, 4, 16, 3, 3, dtype=torch.float64)

    def f(z):
        return shift(z, num_frames=2, dims="T+H+W+THW", alpha="3/4")

    torch.testing.assert_close(f(2 * x - 3 * y), 2 * f(x) - 3 * f(y), rtol=0, atol=0)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_along_an_axis_of_one_everything_that_moves_is_zero(axis):
    sizes = [2, 6, 3, 3, 3]
    sizes[axis] = 1
    out = shift(torch.randn(sizes), dims="THW"[axis - 2], alpha="2/3")
    assert not out[:, :4].any()
    assert out[:, 4:].all()


@pytest.mark.parametrize("sizes", [(0, 8, 4, 4), (0, 8, 2, 4, 4), (4, 8, 0, 4)])
def test_an_empty_batch_stays_empty(sizes):
    x = torch.zeros(sizes, requires_grad=True)
    out = shift(x, num_frames=2, dims="T+H+W", alpha=1)
    out.sum().backward()
    assert out.shape == x.grad.shape == x.shape


# Types and memory


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_type_and_memory_format_are_kept_there_and_back(layout, dtype):
    x = lay_out(torch.randn(2, 16, 3, 5, 4), layout).to(dtype).requires_grad_()
    out = shift(x, num_frames=3, dims="T+H+W", alpha="3/8")
    (grad,) = torch.autograd.grad(out, x, x.detach())
    assert out.dtype == grad.dtype == dtype
    expected = torch.empty_like(x).stride()
    assert out.stride() == grad.stride() == expected
    values = shift(x.detach().double(), num_frames=3, dims="T+H+W", alpha="3/8")
    assert torch.equal(out.detach().double(), values)


def test_autocast_leaves_it_alone():
    x = torch.randn(4, 8, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = shift(x, num_frames=2, dims="T", alpha="1/4")
    assert torch.equal(out, shift(x, num_frames=2, dims="T", alpha="1/4"))


# Gradients


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dims", ["T+H+W", "TH+TW+HW", "THW"])
def test_the_gradient_is_right_twice(layout, dims):
    x = lay_out(torch.randn(1, 6, 2, 2, 3, dtype=torch.float64), layout).requires_grad_()

    def f(z):
        return shift(z, num_frames=2, dims=dims, alpha=1)

    assert gradcheck(f, x)
    assert gradgradcheck(f, x)


@pytest.mark.parametrize("dims", [*ALL, *PAST, *AGAINST])
def test_the_gradient_is_the_reversed_shift(dims):
    x, grad = torch.randn(2, 2, 16, 3, 4, 5)
    x.requires_grad_()
    shift(x, dims=dims, alpha="3/8").backward(grad)
    backwards = grad.flip(2, 3, 4)  # reversed axes reverse the shift
    assert torch.equal(x.grad, shift(backwards, dims=dims, alpha="3/8").flip(2, 3, 4))


def test_the_function_saves_nothing():
    saved = []
    x = torch.randn(4, 16, 3, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda _: None):
        shift(x, num_frames=2, dims="T+H+W", alpha="3/8").sum()
    assert saved == []


# Free of charge


def test_it_has_no_parameters_and_no_multiply_adds():
    conv, x = nn.Conv2d(16, 4, 1), torch.randn(8, 16, 5, 5)
    shifted = ShiftedConv(conv, num_frames=4, dims="T+H+W", alpha="3/8")
    assert [*shifted.parameters()] == [*conv.parameters()]
    assert measure_cost(shifted, x).macs == measure_cost(conv, x).macs  # by fvcore
    assert measure_cost(shifted, x).uncounted == {}
    with FlopCounterMode(display=False) as counter:
        shift(x, num_frames=4, dims="T+H+W", alpha="3/8")
    assert counter.get_total_flops() == 0


def test_the_module_is_the_function_and_says_what_it_does():
    module = SpatioTemporalShift(num_frames=2, dims="T+HW", alpha=0.375)
    x = torch.randn(4, 16, 3, 3)
    assert torch.equal(module(x), shift(x, num_frames=2, dims="T+HW", alpha="3/8"))
    assert repr(module) == "SpatioTemporalShift(T+HW, α=3/8, 2 frames)"


# Errors


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dims": "T+X"}, "dims 'T+X': unknown axis 'X'"),
        ({"alpha": "5/4"}, "alpha 5/4 is outside [0, 1]"),
        ({"num_frames": 8}, "10 frames are not a multiple of num_frames (8)"),
        ({"num_frames": None}, "frames (N·T, C, H, W) need num_frames, a whole number; it is None"),
        ({"num_frames": 2.0}, "frames (N·T, C, H, W) need num_frames, a whole number; it is 2.0"),
        ({"num_frames": 0}, "num_frames (0) must be at least 1"),
        ({"x": torch.zeros(10, 3)}, "x has 2 dimensions"),
        ({"x": torch.zeros(())}, "x has 0 dimensions"),
        ({"x": [1.0]}, "x is list, a shift takes a tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_name_the_value(changes, says):
    x = torch.zeros(10, 16, 4, 4)
    arguments = {"x": x, "num_frames": 5, "dims": "T", "alpha": "1/4"} | changes
    with pytest.raises(ValueError, match=re.escape(says)):
        shift(arguments.pop("x"), **arguments)


def test_channels_are_not_below_0():
    with pytest.raises(ValueError, match=r"num_channels \(-1\) must be at least 0"):
        channel_slices(-1, "T", "1/4")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0, "T", "1/4"), "num_frames (0) must be at least 1"),
        ((8.0, "T", "1/4"), "num_frames (8.0) must be a whole number"),
        (("8", "T", "1/4"), "num_frames ('8') must be a whole number"),
        ((8, "TT", "1/4"), "dims 'TT': an axis is repeated"),
        ((8, "T", "5/4"), "alpha 5/4 is outside"),
    ],
)
def test_the_module_refuses_at_once(arguments, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        SpatioTemporalShift(*arguments)


@pytest.mark.xfail(
    torch.__version__.startswith("2.6.") and not torch.cuda.is_available(),
    reason="without a GPU torch 2.6 neither indexes nor copies a fake tensor of one",
)
def test_tensors_without_memory_are_shifted_slice_by_slice(monkeypatch):
    monkeypatch.setattr("stsm_cli.models.shift._cuda_kernel", lambda: pytest.fail("they have none"))
    with FakeTensorMode():
        x = torch.empty(4, 8, 3, 3, device="cuda")
        assert x.is_cuda
        assert shift(x, num_frames=2, dims="T", alpha="1/4").shape == x.shape
