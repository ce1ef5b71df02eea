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

import torch
import triton
import triton.language as tl
from torch import Tensor

from stsm_cli.models.shift_slices import ChannelSlice

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_TILE = 2048  # elements of one program
_MOST_COLUMNS = 1024


def fill(target: Tensor, source: Tensor, slices: tuple[ChannelSlice, ...]) -> bool:
    """Write the shifted `source` (N, C, T, H, W), which is not empty, into `target`.

    Returns:
        False, and nothing is written, where this type or order of memory is not known here.
    """
    layout = _layout(source)
    if layout is None or layout != _layout(target) or source.dtype not in _DTYPES:
        return False
    inner, strides = layout
    columns = min(triton.next_power_of_2(inner), _MOST_COLUMNS)
    rows = _TILE // columns
    num_rows = source.numel() // inner
    grid = (triton.cdiv(num_rows, rows), triton.cdiv(inner, columns))
    moves = _moves(source.shape[1], slices, source.device)
    with torch.cuda.device_of(source):
        _kernel[grid](
            target, source, moves, num_rows, inner, *source.shape[1:], *strides, rows, columns
        )
    return True


@functools.cache
def works() -> bool:
    """Whether Triton can build a kernel on this machine; if not, one warning says why."""
    x = torch.ones(1, 1, 2, 1, 1, device="cuda")
    try:
        return fill(torch.empty_like(x), x, (ChannelSlice((0,), 1, 0, 1),))
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        warnings.warn(
            f"Triton cannot build the shift's kernel here ({error}); it runs as slice copies, "
            "slower: install a C compiler and Python's headers",
            stacklevel=2,
        )
        return False


def _layout(x: Tensor) -> tuple[int, tuple[int, int, int, int]] | None:
    """The length of a row of memory, and the strides of C, T, H and W."""
    _, c, t, h, w = x.shape
    if x.permute(0, 2, 3, 4, 1).is_contiguous():  # channels-last, frames or features
        return c, (1, h * w * c, w * c, c)
    if x.transpose(1, 2).is_contiguous():  # frames
        return h * w, (h * w, c * h * w, w, 1)
    if x.is_contiguous():  # features
        return h * w, (t * h * w, h * w, w, 1)
    return None


@functools.lru_cache
def _moves(num_channels: int, slices: tuple[ChannelSlice, ...], device: torch.device) -> Tensor:
    """Where each channel's values come from: 1 + the step along T, H, W in two bits each."""
    codes = [0b010101] * num_channels
    for axes, direction, start, stop in slices:
        codes[start:stop] = [0b010101 + sum(direction << 2 * axis for axis in axes)] * (
            stop - start
        )
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
