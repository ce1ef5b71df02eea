"""The shift as copies from slice to slice: on every device, for tensors of any strides."""

import torch
from torch import Tensor

from stsm_cli.models.shift_slices import ChannelSlice


def shifted(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor:
    """The shifted `x`, frames or features, as a new tensor, every element of it written once."""
    out = torch.empty_like(x)
    if x.numel() == 0:
        return out
    source, target = _features(x, num_frames), _features(out, num_frames)
    for axes, direction, start, stop in slices:
        if start < stop:
            _move(target[:, start:stop], source[:, start:stop], axes, direction)
    stop = slices[-1].stop
    target[:, stop:].copy_(source[:, stop:])
    return out


def _features(x: Tensor, num_frames: int) -> Tensor:
    """A view (N, C, T, H, W) of frames or features."""
    if x.dim() == 5:
        return x
    videos: Tensor = x.unflatten(0, (x.shape[0] // num_frames, num_frames))
    return videos.transpose(1, 2)


def _move(target: Tensor, source: Tensor, axes: tuple[int, ...], direction: int) -> None:
    """Write what stands in `source` one position on (or back) into `target`; zeros enter."""
    if not axes:
        target.copy_(source)
        return
    dim = axes[0] + 2
    last = source.shape[dim] - 1
    to, start, border = (0, 1, last) if direction > 0 else (1, 0, 0)
    _move(target.narrow(dim, to, last), source.narrow(dim, start, last), axes[1:], direction)
    target.narrow(dim, border, 1).zero_()  # last: its memory is in the cache by now
