"""Parts that ACTION-Net, TEA and TDN share: a convolution along time, motion between frames.

Shapes: N views of T frames; C channels, c reduced ones; frames (N·T, C, H, W).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REDUCTION = 16
"""C/c of the three systems."""


def reduced(num_channels: int) -> int:
    """The number c for C channels; ours: at least one, for bodies narrower than the authors'."""
    return max(1, num_channels // REDUCTION)


class TemporalConv(nn.Module):
    """A convolution of each channel by itself along time; at first it shifts or does nothing.

    Written as a 2D convolution of T×1 kernels on pictures of T rows and H·W columns: frames whose
    channels come last are then read as they lie.

    Args:
        num_channels: C.
        num_frames: T.
        moved: The first so many channels start with the next frame's values, as many behind them
            with the previous one's, the rest with their own.
    """

    def __init__(self, num_channels: int, *, num_frames: int, moved: int = 0) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.conv = nn.Conv2d(
            num_channels, num_channels, (3, 1), padding=(1, 0), groups=num_channels, bias=False
        )
        with torch.no_grad():
            nn.init.zeros_(self.conv.weight)
            self.conv.weight[:moved, :, 2] = 1
            self.conv.weight[moved : 2 * moved, :, 0] = 1
            self.conv.weight[2 * moved :, :, 1] = 1

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N·T, C, H, W) of the same shape and memory format; zeros beyond the ends."""
        views = frames.flatten(2).unflatten(0, (-1, self.num_frames))  # (N, T, C, H·W)
        out: Tensor = self.conv(views.transpose(1, 2))  # (N, C, T, H·W)
        return out.transpose(1, 2).reshape(frames.shape)


class Motion(nn.Module):
    """Reduced features of frames, and the same once more through a 3×3 of each channel by itself.

    Motion is what the second of one frame has beyond the first of another: `to_next`,
    `to_previous`.

    Args:
        num_channels: C.
        num_frames: T.
    """

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        self.num_frames, width = num_frames, reduced(num_channels)
        self.reduce = nn.Conv2d(num_channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.transform = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Both, (N, T, c, H, W), of frames (N·T, C, H, W)."""
        here = self.bn(self.reduce(frames))
        moved = self.transform(here)
        views = (-1, self.num_frames)
        return here.unflatten(0, views), moved.unflatten(0, views)


def to_next(here: Tensor, moved: Tensor) -> Tensor:
    """(N·T, c, H, W) of what (N, T, c, H, W): moved at t+1 less here at t; zero at the last."""
    return F.pad(moved[:, 1:] - here[:, :-1], (0, 0) * 3 + (0, 1)).flatten(0, 1)


def to_previous(here: Tensor, moved: Tensor) -> Tensor:
    """(N·T, c, H, W) of what (N, T, c, H, W): moved at t-1 less here at t; zero at the first."""
    return F.pad(moved[:, :-1] - here[:, 1:], (0, 0) * 3 + (1, 0)).flatten(0, 1)
