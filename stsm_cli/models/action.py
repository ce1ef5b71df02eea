"""ACTION-Net: before a residual branch, frames are weighed by three gates.

One gate sees where and when something is, one which channels change with time, one motion. They
stand where TSM's shift stands (`shift_sites.py`), which the convolution before them starts as.

Shapes: N views of T frames; C channels, c = C/16; frames (N·T, C, H, W).

Source: Wang et al., ACTION-Net: Multipath Excitation for Action Recognition (CVPR 2021);
V-Sense/ACTION-Net, models/action.py and models/models.py.
"""

from torch import Tensor, nn

from stsm_cli.models.conv3d import Conv3d
from stsm_cli.models.shift_sites import shift_sites
from stsm_cli.models.temporal import Motion, TemporalConv, reduced, to_next


class SpatioTemporalGate(nn.Module):
    """A 3×3×3 convolution of the mean over channels."""

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.conv = Conv3d(1, 1, 3, padding=1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T, 1, H, W), before its sigmoid, of frames (N·T, C, H, W)."""
        means = frames.mean(1).unflatten(0, (-1, self.num_frames))  # (N, T, H, W)
        out: Tensor = self.conv(means[:, None])  # (N, 1, T, H, W)
        return out.flatten(0, 2)[:, None]


class ChannelGate(nn.Module):
    """Means over space, reduced, mixed over three frames, ReLU, and expanded."""

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        self.num_frames, width = num_frames, reduced(num_channels)
        self.reduce = nn.Conv2d(num_channels, width, 1, bias=False)
        self.conv = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(width, num_channels, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T, C, 1, 1), before its sigmoid, of frames (N·T, C, H, W)."""
        means = self.reduce(frames.mean((2, 3), keepdim=True)).flatten(1)  # (N·T, c)
        series = means.unflatten(0, (-1, self.num_frames)).transpose(1, 2)  # (N, c, T)
        mixed = self.relu(self.conv(series)).transpose(1, 2).flatten(0, 1)  # (N·T, c)
        out: Tensor = self.expand(mixed[:, :, None, None])
        return out


class MotionGate(nn.Module):
    """The mean over space of the motion to the next frame, expanded."""

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        self.motion = Motion(num_channels, num_frames=num_frames)
        self.expand = nn.Conv2d(reduced(num_channels), num_channels, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T, C, 1, 1), before its sigmoid, of frames (N·T, C, H, W)."""
        out: Tensor = self.expand(to_next(*self.motion(frames)).mean((2, 3), keepdim=True))
        return out


class Action(nn.Module):
    """A convolution that sees s·(σ(g₁) + σ(g₂) + σ(g₃) + 3), s being convolved along time.

    Args:
        conv: The convolution; it keeps its weights.
        num_frames: T.
    """

    def __init__(self, conv: nn.Conv2d, *, num_frames: int) -> None:
        super().__init__()
        num_channels = conv.in_channels
        self.shift = TemporalConv(num_channels, num_frames=num_frames, moved=num_channels // 8)
        self.spatiotemporal = SpatioTemporalGate(num_frames)
        self.channel = ChannelGate(num_channels, num_frames=num_frames)
        self.motion = MotionGate(num_channels, num_frames=num_frames)
        self.conv = conv

    def forward(self, frames: Tensor) -> Tensor:
        """Output of the convolution for frames (N·T, C, H, W)."""
        shifted = self.shift(frames)
        by_channel = self.channel(shifted).sigmoid() + self.motion(shifted).sigmoid()
        gates = self.spatiotemporal(shifted).sigmoid() + by_channel  # (N·T, C, H, W)
        out: Tensor = self.conv(shifted * (gates + 3))  # each gate adds to its input
        return out


def insert_action(network: nn.Module, *, num_frames: int) -> None:
    """Put ACTION before the residual branches of a 2D network, in place.

    `layer1.0.conv1` becomes `layer1.0.conv1.conv`, beside the gates; other keys stay.
    """
    for name in shift_sites(network):
        conv = network.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)  # the backbones are 2D
        network.set_submodule(name, Action(conv, num_frames=num_frames))
