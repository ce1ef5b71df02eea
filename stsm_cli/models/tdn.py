"""TDN: a ResNet that also sees differences, of pixels around each frame and of distant features.

At each of T positions it reads five consecutive frames. The middle one goes through the ResNet; the
four differences between neighbours through a stem and a first stage of their own, mixed in behind
the stem and behind the first stage. In the later stages, features are excited by how they differ
from those at the positions before and behind.

Shapes: N views of T positions; C channels, c = C/16; frames (N·T, C, H, W).

Source: Wang et al., TDN: Temporal Difference Networks for Efficient Action Recognition (CVPR 2021);
MCG-NJU/TDN, ops/tdn_net.py and ops/base_module.py. There, convolutions that a batch norm follows
have biases, and a second first convolution is never called; neither has an effect, and neither is
here.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.models.backbones import stages
from stsm_cli.models.temporal import Motion, TemporalConv, reduced, to_next, to_previous

CONSECUTIVE = 5
"""Frames that are read at each position."""


class DistantDifference(nn.Module):
    """x + a·x; a, from -1/2 to 1/2 at every place, is the mean of the motions to both sides.

    Each motion is seen by itself and by two 3×3 convolutions, one at half its size.

    Args:
        num_channels: C.
        num_frames: T.
    """

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        width = reduced(num_channels)
        self.motion = Motion(num_channels, num_frames=num_frames)
        self.conv_half = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn_half = nn.BatchNorm2d(width)
        self.conv_full = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn_full = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, num_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(num_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N·T, C, H, W) of the same memory format."""
        here, moved = self.motion(frames)
        forward, backward = to_next(here, moved), to_previous(here, moved)
        attention = (self._attention(forward) + self._attention(backward)) / 2
        return frames + frames * attention

    def _attention(self, motion: Tensor) -> Tensor:
        """(N·T, C, H, W), from -1/2 to 1/2, of motion (N·T, c, H, W)."""
        pixel = min(map(int, motion.shape[2:])) == 1  # ours: one cannot be halved
        half = motion if pixel else F.avg_pool2d(motion, 2)
        half = self.bn_half(self.conv_half(half))
        half = F.interpolate(half, motion.shape[2:])
        full = self.bn_full(self.conv_full(motion))
        out: Tensor = self.bn(self.expand((motion + half + full) / 3)).sigmoid() - 0.5
        return out


class ExcitedConv(nn.Module):
    """A convolution that sees excited features, convolved along time, which starts as TSM's shift.

    Args:
        conv: The convolution; it keeps its weights.
        num_frames: T.
    """

    def __init__(self, conv: nn.Conv2d, *, num_frames: int) -> None:
        super().__init__()
        channels = conv.in_channels
        self.difference = DistantDifference(channels, num_frames=num_frames)
        self.shift = TemporalConv(channels, num_frames=num_frames, moved=channels // 8)
        self.conv = conv

    def forward(self, frames: Tensor) -> Tensor:
        """Output of the convolution for frames (N·T, C, H, W)."""
        out: Tensor = self.conv(self.shift(self.difference(frames)))
        return out


class TDN(nn.Module):
    """Frames (N·T·5, 3, H, W) in, pooled features (N·T, C) out.

    The ResNet's keys stay, but for `conv2` of the blocks in the stages behind its first, which
    becomes `conv2.conv`; `stem_difference` and `layer1_difference` are new.

    Args:
        network: A ResNet without its classifier; its weights start the differences' path, too.
        num_frames: T.
    """

    conv1: nn.Conv2d
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    avgpool: nn.Module

    def __init__(self, network: nn.Module, *, num_frames: int) -> None:
        super().__init__()
        self.own = 0.5 if num_frames <= 8 else 0.75  # the authors' for 8 and 16; ours: for others
        self.maxpool = nn.Identity()  # small ones have none
        for name, part in network.named_children():
            self.add_module(name, part)
        self.stem_difference = _difference_stem(self.conv1)
        self.layer1_difference = deepcopy(self.layer1)
        for stage in stages(self)[1:]:
            for block in stage.children():
                conv = block.get_submodule("conv2")
                assert isinstance(conv, nn.Conv2d)  # in both of torchvision's blocks
                block.add_module("conv2", ExcitedConv(conv, num_frames=num_frames))

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features (N·T, C) of frames (N·T·5, 3, H, W)."""
        runs = frames.unflatten(0, (-1, CONSECUTIVE))  # (N·T, 5, 3, H, W)
        differences = (runs[:, 1:] - runs[:, :-1]).flatten(1, 2)  # (N·T, 12, H, W)
        near = self.maxpool(self.stem_difference(F.avg_pool2d(differences, 2)))
        x = self.maxpool(self.relu(self.bn1(self.conv1(runs[:, CONSECUTIVE // 2]))))
        x = self._mixed(x, near)
        x = self._mixed(self.layer1(x), self.layer1_difference(near))
        for stage in stages(self)[1:]:
            x = stage(x)
        pooled: Tensor = self.avgpool(x).flatten(1)  # (N·T, C, 1, 1) -> (N·T, C)
        return pooled

    def _mixed(self, x: Tensor, near: Tensor) -> Tensor:
        """Features (N·T, C, H, W) with those of the differences, (N·T, C, ~H/2, ~W/2)."""
        return self.own * x + (1 - self.own) * F.interpolate(near, x.shape[2:])


def _difference_stem(conv: nn.Conv2d) -> nn.Sequential:
    """The first convolution for differences: its weights are the mean over colours, repeated."""
    num_in = conv.in_channels * (CONSECUTIVE - 1)
    options = (conv.out_channels, conv.kernel_size, conv.stride, conv.padding)
    stem = nn.Conv2d(num_in, *options, bias=False)  # type: ignore[arg-type]
    with torch.no_grad():
        stem.weight.copy_(conv.weight.mean(1, keepdim=True).expand_as(stem.weight))
    return nn.Sequential(stem, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))
