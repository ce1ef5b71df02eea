"""Which channels move, and where to: the paper's α and dimensions as ranges of channels.

Exact in whole numbers, and traceable for a number of channels that is symbolic.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from stsm_cli.config.notation import Groups, parse_alpha, parse_dims

if TYPE_CHECKING:
    from torch import Tensor

AlphaLike = Fraction | str | float
"""α in a form that `parse_alpha` reads."""


class ChannelSlice(NamedTuple):
    """Neighbouring channels that move together: `start` up to, not including, `stop`."""

    axes: tuple[int, ...]
    """Along which they move, one position each: 0 time, 1 height, 2 width."""
    direction: int
    """+1: the value comes from the next position along the axes; -1: from the previous."""
    start: int
    stop: int
    against: tuple[int, ...] = ()
    """Those of `axes` along which it is the other way round."""


def channel_slices(num_channels: int, dims: str, alpha: AlphaLike) -> tuple[ChannelSlice, ...]:
    """The channels that move: a slice for each direction of each group of `dims`, in their order.

    The G groups have equal shares, and so have the two directions of one: slice i of 2G covers
    channels `round(i·αC/2G)` up to `round((i+1)·αC/2G)`, halves rounded up. A group of one
    direction has the channels of both. A slice is empty where α leaves it nothing; the channels
    behind the last one stay.

    Args:
        num_channels: C.
        dims: Sum of groups of axes, such as `T+H+W` (see `parse_dims`).
        alpha: Fraction of all channels that move (see `parse_alpha`).

    Raises:
        ValueError: `dims` or `alpha` is not valid, or C is below 0.

    Examples:
        >>> [(part.direction, part.start, part.stop) for part in channel_slices(64, "T", "1/4")]
        [(1, 0, 8), (-1, 8, 16)]
        >>> [(part.direction, part.start, part.stop) for part in channel_slices(64, "T-", "1/8")]
        [(-1, 0, 8)]
    """
    if num_channels < 0:
        raise ValueError(f"num_channels ({num_channels}) must be at least 0")
    plain = str(alpha) if isinstance(alpha, Fraction) else alpha
    return slices_of(num_channels, *_parse(dims, plain))


def slices_of(num_channels: int, groups: Groups, over: int, under: int) -> tuple[ChannelSlice, ...]:
    """`channel_slices` of what is parsed already: the groups of axes, and α as `over`/`under`."""
    # ours: the paper gives the channels that move in all; each group has an equal share of them
    moves = [(axes, way, against) for axes, ways, against in groups for way in ways]
    halves = [2 // len(ways) for _, ways, _ in groups for _ in ways]
    under *= 2 * len(groups)  # half i begins at i·C·over/under, rounded in whole numbers
    bounds = [
        (2 * i * num_channels * over + under) // (2 * under) for i in accumulate(halves, initial=0)
    ]
    return tuple(
        ChannelSlice(axes, way, bounds[i], bounds[i + 1], against)
        for i, (axes, way, against) in enumerate(moves)
    )


def steps_of(part: ChannelSlice) -> tuple[tuple[int, int], ...]:
    """The axes along which a slice looks, each with +1 (at the next position) or -1.

    Examples:
        >>> steps_of(channel_slices(64, "Hw", "1/4")[0])
        ((1, 1), (2, -1))
    """
    return tuple(
        (axis, -part.direction if axis in part.against else part.direction) for axis in part.axes
    )


def reversed_slices(slices: Sequence[ChannelSlice]) -> tuple[ChannelSlice, ...]:
    """The same channels moved the other way: the shift that is the gradient of one by `slices`.

    Examples:
        >>> reversed_slices(channel_slices(64, "T-", "1/8"))[0].direction
        1
    """
    return tuple(part._replace(direction=-part.direction) for part in slices)


def group_sizes(slices: Sequence[ChannelSlice], dims: str) -> dict[str, tuple[int, int]]:
    """Numbers of channels that move, by group of `dims`: in direction +1 and in direction -1.

    Args:
        slices: As `channel_slices` returns them for `dims`.
        dims: Sum of groups of axes.

    Examples:
        >>> group_sizes(channel_slices(64, "T+H", "3/8"), "T+H")
        {'T': (6, 6), 'H': (6, 6)}
    """
    sizes = iter(part.stop - part.start for part in slices)
    names = zip(dims.split("+"), parse_dims(dims), strict=True)
    return {name: (next(sizes) if 1 in ways else 0, next(sizes)) for name, (_, ways, _) in names}


def frames_per_video(x: "Tensor", num_frames: int | None) -> int:
    """T of `x`: frames need `num_frames`, features have their own.

    Raises:
        ValueError: `x` is neither; `num_frames` is no whole number, or below 1; the frames of `x`
            are not a multiple of it.
    """
    if x.dim() == 5:
        return x.shape[2]
    if x.dim() != 4:
        raise ValueError(
            f"x has {x.dim()} dimensions; a shift takes frames (N·T, C, H, W) "
            "or features (N, C, T, H, W)"
        )
    if num_frames is None or not hasattr(num_frames, "__index__"):
        raise ValueError(
            f"frames (N·T, C, H, W) need num_frames, a whole number; it is {num_frames}"
        )
    if num_frames < 1:
        raise ValueError(f"num_frames ({num_frames}) must be at least 1")
    if x.shape[0] % num_frames:
        raise ValueError(f"{x.shape[0]} frames are not a multiple of num_frames ({num_frames})")
    return num_frames


def _parse(dims: str, alpha: str | float) -> tuple[Groups, int, int]:
    return parse_dims(dims), *parse_alpha(alpha).as_integer_ratio()


# Text is not traced. trap: `torch.compiler.assume_constant_result` does no more than this, and
# loads the compiler for it, which takes as long as the rest of torch.
_parse._dynamo_marked_constant = True  # type: ignore[attr-defined]
