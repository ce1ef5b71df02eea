"""The shift as a graph of slices, pads and one concatenation: for compilers and exporters."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stsm_cli.models.shift_slices import ChannelSlice, steps_of


def composed(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor:
    """The shifted `x`, without a write into a tensor."""
    return torch.cat(_parts(x, num_frames, slices), dim=1)


def composed_channels_last(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor:
    """The same with channels last in memory, whatever the layout of `x`.

    Compiled for a CPU, every convolution reads and writes channels-last, but a concatenation of
    channels is contiguous: its parts would be gathered value by value, and then transposed again.
    """
    parts = [part.movedim(1, -1) for part in _parts(x, num_frames, slices)]
    return torch.cat(parts, dim=-1).movedim(-1, 1)


def _parts(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> list[Tensor]:
    """The channels that move together, moved, and those that stay.

    The frames of all videos stay one axis; splitting it would leave a symbolic batch size with
    expressions that grow from site to site.
    """
    dims = (-4 if x.dim() == 4 else -3, -2, -1)  # of T, H and W
    parts = []
    for move in slices:
        if move.start == move.stop:
            continue  # trap: torch 2.6 pads nothing that is empty
        part = x.narrow(1, move.start, move.stop - move.start)
        for axis, step in steps_of(move):
            kept = part.narrow(dims[axis], int(step > 0), part.shape[dims[axis]] - 1)
            part = F.pad(kept, (0, 0) * (-1 - dims[axis]) + ((0, 1) if step > 0 else (1, 0)))
            if dims[axis] == -4:
                frame = torch.arange(x.shape[0], device=x.device) % num_frames
                is_border = frame == (num_frames - 1 if step > 0 else 0)
                part = part.masked_fill(is_border[:, None, None, None], 0.0)
        parts.append(part)
    if (stop := slices[-1].stop) < x.shape[1]:
        parts.append(x.narrow(1, stop, x.shape[1] - stop))
    return parts
