"""The shift as a graph of slices, pads and one concatenation: for compilers and exporters."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stsm_cli.models.shift_slices import ChannelSlice


def composed(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor:
    """The shifted `x`, without a write into a tensor.

    The frames of all videos stay one axis; splitting it would leave a symbolic batch size with
    expressions that grow from site to site.
    """
    dims = (-4 if x.dim() == 4 else -3, -2, -1)  # of T, H and W
    parts = []
    for axes, direction, start, stop in slices:
        if start == stop:
            continue  # trap: torch 2.6 pads nothing that is empty
        part = x.narrow(1, start, stop - start)
        for axis in axes:
            kept = part.narrow(dims[axis], int(direction > 0), part.shape[dims[axis]] - 1)
            part = F.pad(kept, (0, 0) * (-1 - dims[axis]) + ((0, 1) if direction > 0 else (1, 0)))
            if dims[axis] == -4:
                frame = torch.arange(x.shape[0], device=x.device) % num_frames
                is_border = frame == (num_frames - 1 if direction > 0 else 0)
                part = part.masked_fill(is_border[:, None, None, None], 0.0)
        parts.append(part)
    if (stop := slices[-1].stop) < x.shape[1]:
        parts.append(x.narrow(1, stop, x.shape[1] - stop))
    return torch.cat(parts, dim=1)
