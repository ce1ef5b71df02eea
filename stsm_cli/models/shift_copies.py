"""The shift as copies from slice to slice: on every device, for tensors of any strides."""

import torch
from torch import Tensor

from stsm_cli.models.shift_slices import ChannelSlice, steps_of


def shifted(x: Tensor, num_frames: int, slices: tuple[ChannelSlice, ...]) -> Tensor:
    """The shifted `x`, frames or features, as a new tensor, every element of it written once."""
    out = torch.empty_like(x)
    if x.numel() == 0:
        return out
    source, target = _features(x, num_frames), _features(out, num_frames)
    for part in slices:
        if part.start < part.stop:
            own = slice(part.start, part.stop)
            _move(target[:, own], source[:, own], steps_of(part))
    stop = slices[-1].stop
    target[:, stop:].copy_(source[:, stop:])
    return out


def _features(x: Tensor, num_frames: int) -> Tensor:
    """A view (N, C, T, H, W) of frames or features."""
    if x.dim() == 5:
        return x
    videos: Tensor = x.unflatten(0, (x.shape[0] // num_frames, num_frames))
    return videos.transpose(1, 2)


def _move(target: Tensor, source: Tensor, steps: tuple[tuple[int, int], ...]) -> None:
    """Write what stands in `source` one position on (or back) into `target`; zeros enter."""
    if not steps:
        target.copy_(source)
        return
    (axis, step), *others = steps
    dim = axis + 2
    last = source.shape[dim] - 1
    to, start, border = (0, 1, last) if step > 0 else (1, 0, 0)
    _move(target.narrow(dim, to, last), source.narrow(dim, start, last), tuple(others))
    target.narrow(dim, border, 1).zero_()  # last: its memory is in the cache by now
