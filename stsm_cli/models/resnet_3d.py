"""Residual networks of 3D convolutions: features (N, 3, T, H, W) in, pooled features (N, C) out.

A ResNet whose kernels have a third, temporal size. The names of its parts are torchvision's
(`conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.downsample.0`, ...). Time is never strided. A network
of several such ones, side by side, calls their stem and their stages one by one.

Shapes: N views, T frames, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from torch import Tensor, nn

from stsm_cli.models.conv3d import Conv3d
from stsm_cli.models.network_3d import mean_of_windows

WIDTHS, BLOCKS = (64, 128, 256, 512), (3, 4, 6, 3)
"""Of the stages of a ResNet-50."""


@dataclass(frozen=True)
class Stage:
    """One stage of equal blocks.

    Attributes:
        width: Channels of its inner convolutions.
        blocks: How many.
        stride: Of the first block, in space.
        temporal: Temporal size of the first kernel of each block, odd.
    """

    width: int
    blocks: int
    stride: int
    temporal: int


class Block3D(nn.Module):
    """relu(x + branch(x)): what both blocks below share.

    Attributes:
        sampler: What samples the sum's time steps, before the ReLU; here none does.
    """

    expansion: ClassVar[int] = 1
    downsample: nn.Module
    sampler: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.sampler = nn.Identity()

    def _project(self, num_in: int, num_out: int, stride: int) -> None:
        """The shortcut: the input, or a projection of it where the branch changes its shape."""
        self.downsample = nn.Identity()
        if stride != 1 or num_in != num_out:
            self.downsample = nn.Sequential(
                convolution(num_in, num_out, (1, 1, 1), stride), nn.BatchNorm3d(num_out)
            )


class Basic3D(Block3D):
    """Two convolutions: t×3×3 and 1×3×3."""

    def __init__(self, num_in: int, width: int, stride: int, temporal: int) -> None:
        super().__init__()
        self.conv1 = convolution(num_in, width, (temporal, 3, 3), stride)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolution(width, width, (1, 3, 3))
        self.bn2 = nn.BatchNorm3d(width)
        self._project(num_in, width, stride)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        """The norm at the end of the branch."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, T, H / stride, W / stride) of features (N, num_in, T, H, W)."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        out: Tensor = self.relu(self.sampler(branch + self.downsample(x)))
        return out


class Bottleneck3D(Block3D):
    """Three convolutions: t×1×1, 1×3×3 with the stride, 1×1×1 to four times the width."""

    expansion = 4

    def __init__(self, num_in: int, width: int, stride: int, temporal: int) -> None:
        super().__init__()
        num_out = width * self.expansion
        self.conv1 = convolution(num_in, width, (temporal, 1, 1))
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolution(width, width, (1, 3, 3), stride)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = convolution(width, num_out, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(num_out)
        self._project(num_in, num_out, stride)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        """The norm at the end of the branch."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4·width, T, H / stride, W / stride) of features (N, num_in, T, H, W)."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        out: Tensor = self.relu(self.sampler(branch + self.downsample(x)))
        return out


class WindowMean(nn.Module):
    """The mean over all windows of all frames and the 7×7 pixels that 224² pixels become.

    ours: so the logits of all windows are averaged; SlowFast's authors average their probabilities.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C) of features (N, C, T, H, W)."""
        return mean_of_windows(x, (int(x.shape[2]), 7, 7))


class ResNet3D(nn.Module):
    """A stem, four stages and a mean over time and space.

    Args:
        block: What the stages are made of.
        stages: Four, one after the other.
        stem: Channels of the first convolution.
        temporal: Temporal size of its kernel, odd.
        joined: Channels that come from outside to the input of each stage.
        small: For frames of 32 to 64 pixels: a stem of 1×3×3 without pooling, not of 1×7×7.
        windows: The mean is a `WindowMean`, which is another in pictures larger than 224².

    Attributes:
        num_features: C of what it returns.
    """

    def __init__(
        self,
        block: type[Basic3D] | type[Bottleneck3D],
        stages: Sequence[Stage],
        *,
        stem: int,
        temporal: int = 1,
        joined: Sequence[int] = (0, 0, 0, 0),
        small: bool = False,
        windows: bool = False,
    ) -> None:
        super().__init__()
        side = 3 if small else 7
        self.conv1 = convolution(3, stem, (temporal, side, side), stride=2)
        self.bn1 = nn.BatchNorm3d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        widths = [stem, *(stage.width * block.expansion for stage in stages)]
        self.num_features = widths.pop()
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, width + others, stage)
            for width, others, stage in zip(widths, joined, stages, strict=True)
        )
        self.avgpool = WindowMean() if windows else nn.AdaptiveAvgPool3d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):  # as torchvision's ResNet
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The four stages, in order."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def stem(self, x: Tensor) -> Tensor:
        """Features for the first stage, of (N, 3, T, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return x

    def pooled(self, x: Tensor) -> Tensor:
        """Features (N, C) of those of the last stage, (N, C, T, H, W)."""
        pooled: Tensor = self.avgpool(x).flatten(1)  # (N, C, 1, 1, 1) -> (N, C)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, C) of features (N, 3, T, H, W)."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.pooled(x)


def convolution(
    num_in: int, num_out: int, kernel: tuple[int, int, int], stride: int = 1, *, groups: int = 1
) -> nn.Conv3d:
    """A convolution that keeps time and, at stride 1, space; without a bias.

    Args:
        num_in: Channels in.
        num_out: Channels out.
        kernel: Its odd sizes along T, H and W.
        stride: Along H and W.
        groups: Into which the channels are divided.
    """
    padding, steps = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2), (1, stride, stride)
    return Conv3d(num_in, num_out, kernel, steps, padding, groups=groups, bias=False)


def four_stages(
    widths: Sequence[int], blocks: Sequence[int], temporal: Sequence[int] = (1, 1, 1, 1)
) -> list[Stage]:
    """Four stages, all but the first of which halve the picture.

    Args:
        widths: Of each stage.
        blocks: Of each stage.
        temporal: Sizes of their kernels along time, odd.
    """
    sizes = zip(widths, blocks, (1, 2, 2, 2), temporal, strict=True)
    return [Stage(*values) for values in sizes]


def start_as_shortcuts(network: nn.Module) -> None:
    """Start each block as its shortcut, the norm of its branch at 0."""
    for module in network.modules():
        if isinstance(module, Basic3D | Bottleneck3D):
            nn.init.zeros_(module.last_norm.weight)


def _stage(block: type[Basic3D] | type[Bottleneck3D], num_in: int, stage: Stage) -> nn.Sequential:
    first = block(num_in, stage.width, stage.stride, stage.temporal)
    inside = stage.width * block.expansion
    others = (block(inside, stage.width, 1, stage.temporal) for _ in range(stage.blocks - 1))
    return nn.Sequential(*chain([first], others))
