"""The shift on CUDA in one launch: one read and one write, whatever the axes and the layout.

Imported where Triton is installed; PyTorch for CUDA brings it along. Memory is seen as rows of
`inner` columns: the channels of a pixel where these lie together (channels-last), else the pixels
of a channel. An index (c, t, h, w) then depends on the row or on the column alone, and little is
left to compute for every element.

Shapes: N videos, C channels, T frames, H rows, W columns.
"""
# The arguments of kernels have types that neither tool knows.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import functools
import subprocess
import warnings
from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from stsm_cli.models.shift_slices import ChannelSlice, steps_of

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_TILE = 2048  # elements of one program
_MOST_COLUMNS = 1024
_MOST_ROWS = 2**31  # the kernel counts them in int32
_MOST_PROGRAMS = 2**16 - 1  # CUDA, along the second axis of a grid
_ALIGNMENT = 16  # bytes; the kernels are built for addresses that are multiples of it
_TAKES_CONSTANTS = not triton.__version__.startswith("3.2.")  # a built kernel, at its launch


def shifted(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor | None:
    """The shifted `x`, which is not empty, as a new tensor of the same layout.

    Args:
        x: frames (N·T, C, H, W) or features (N, C, T, H, W) on a CUDA device.
        num_frames: T.
        slices: The channels that move.

    Returns:
        None where its type, layout, size or address is not one that the kernel is built for.
    """
    if x.data_ptr() % _ALIGNMENT:
        return None
    with torch.cuda.device_of(x):
        launch = _launcher(x.shape, x.stride(), x.dtype, x.device, num_frames, slices)
        if launch is None:
            return None
        out = torch.empty_like(x)
        launch(out, x)
    return out


@functools.cache
def works() -> bool:
    """Tell whether Triton can build and start a kernel here; if not, one warning says why."""
    x = torch.ones(2, 1, 1, 1, device="cuda")
    try:
        out = shifted(x, 2, (ChannelSlice((0,), 1, 0, 1),))
        return out is not None and out.flatten().tolist() == [1.0, 0.0]
    except (
        AttributeError,
        OSError,
        RuntimeError,
        TypeError,
        subprocess.CalledProcessError,
    ) as error:
        warnings.warn(
            f"Triton cannot build the shift's kernel here ({error}); it runs as slice copies, "
            "slower: install a C compiler and Python's headers",
            stacklevel=2,
        )
        return False


@functools.lru_cache(maxsize=1024)
def _launcher(
    shape: torch.Size,
    stride: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    num_frames: int,
    slices: tuple[ChannelSlice, ...],
) -> Callable[[Tensor, Tensor], None] | None:
    """Function that writes the shifted second tensor into the first, both of this shape and layout.

    Found once for each shape: Triton's own way from the arguments to the built kernel takes longer
    than a small kernel runs.
    """
    plan = _plan(shape, stride, num_frames)
    if plan is None or dtype not in _DTYPES:
        return None
    grid, num_rows, constants = plan
    moves = _moves(shape[1], slices, device)
    built = _kernel.warmup(
        dtype, dtype, moves.dtype, num_rows, *constants, grid=grid, enable_fp_fusion=False
    )
    run = built[grid]
    others = (moves, num_rows, *(constants if _TAKES_CONSTANTS else ()))
    return lambda target, source: run(target, source, *others)


def _plan(
    shape: torch.Size, stride: tuple[int, ...], num_frames: int
) -> tuple[tuple[int, int, int], int, tuple[int, ...]] | None:
    """The kernel's grid, its `num_rows`, and its constants; None for another layout or size."""
    layout = _layout(shape, stride)
    if layout is None:
        return None
    inner, strides = layout
    columns = min(triton.next_power_of_2(inner), _MOST_COLUMNS)
    rows = _TILE // columns
    num_rows = shape.numel() // inner
    grid = (triton.cdiv(num_rows, rows), triton.cdiv(inner, columns), 1)
    if grid[0] * rows > _MOST_ROWS or grid[1] > _MOST_PROGRAMS:
        return None
    return grid, num_rows, (inner, shape[1], num_frames, *shape[-2:], *strides, rows, columns)


def _layout(
    shape: torch.Size, stride: tuple[int, ...]
) -> tuple[int, tuple[int, int, int, int]] | None:
    """The length of a row of memory, and the strides of C, T, H and W."""
    x = torch.empty_strided(shape, stride, device="meta")
    c, h, w = shape[1], shape[-2], shape[-1]
    if x.movedim(1, -1).is_contiguous():  # channels-last, frames or features
        return c, (1, h * w * c, w * c, c)
    if x.dim() == 5 and x.is_contiguous():  # features
        return h * w, (shape[2] * h * w, h * w, w, 1)
    if (x.transpose(1, 2) if x.dim() == 5 else x).is_contiguous():  # frames, or a view of them
        return h * w, (h * w, c * h * w, w, 1)
    return None


@functools.cache  # for good: a captured CUDA graph holds its address
def _moves(num_channels: int, slices: tuple[ChannelSlice, ...], device: torch.device) -> Tensor:
    """Source of each channel's values: 1 + the step along T, H, W in two bits each."""
    codes = [0b010101] * num_channels
    for part in slices:
        code = 0b010101 + sum(step << 2 * axis for axis, step in steps_of(part))
        codes[part.start : part.stop] = [code] * (part.stop - part.start)
    return torch.tensor(codes, dtype=torch.int8, device=device)


@triton.jit
def _index(rows, columns, STRIDE: tl.constexpr, SIZE: tl.constexpr, INNER: tl.constexpr):
    """The index along the axis of this size and stride, of shape (rows, 1) or (1, columns)."""
    return rows // (STRIDE // INNER) % SIZE if STRIDE >= INNER else columns // STRIDE % SIZE


@triton.jit(do_not_specialize=["num_rows"])
def _kernel(
    target,
    source,
    moves,
    num_rows,
    INNER: tl.constexpr,
    C: tl.constexpr,
    T: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    C_STRIDE: tl.constexpr,
    T_STRIDE: tl.constexpr,
    H_STRIDE: tl.constexpr,
    W_STRIDE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    move = tl.load(moves + _index(rows, columns, C_STRIDE, C, INNER)).to(tl.int32)
    t_step = (move & 3) - 1
    h_step = ((move >> 2) & 3) - 1
    w_step = ((move >> 4) & 3) - 1
    t = _index(rows, columns, T_STRIDE, T, INNER) + t_step
    h = _index(rows, columns, H_STRIDE, H, INNER) + h_step
    w = _index(rows, columns, W_STRIDE, W, INNER) + w_step
    stays = (t >= 0) & (t < T) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
    exists = (rows < num_rows) & (columns < INNER)
    here = rows.to(tl.int64) * INNER + columns  # int64: a batch may have 2^31 elements
    there = here + (t_step * T_STRIDE + h_step * H_STRIDE + w_step * W_STRIDE)
    tl.store(target + here, tl.load(source + there, mask=exists & stays, other=0.0), mask=exists)
