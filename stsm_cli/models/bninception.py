"""BN-Inception, as ported from Caffe: GoogLeNet with a batch norm behind every convolution.

Convolutions keep their biases, and pools their sizes rounded up. Pixels are of 0 to 255, less their
mean. It pools for frames of 224 pixels; larger ones give larger maps, whose mean is taken.

Shapes: frames (N·T, channels, H, W), C features.

Source: yjxiong/tensorflow-model-zoo.torch, bninception/bn_inception.yaml and layer_factory.py.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class BlockWidths:
    """Channels of a block's branches; one that halves the map has neither `one` nor `project`.

    Attributes:
        one: Of the 1×1 convolution.
        three: Of a 1×1 and a 3×3 convolution.
        double: Of a 1×1 and two 3×3 convolutions.
        pool: Maximum or mean of 3×3 pixels.
        project: Of the 1×1 convolution behind the pool.
    """

    one: int
    three: tuple[int, int]
    double: tuple[int, int, int]
    pool: Literal["max", "mean"]
    project: int


BLOCKS = {
    "3a": BlockWidths(64, (64, 64), (64, 96, 96), "mean", 32),
    "3b": BlockWidths(64, (64, 96), (64, 96, 96), "mean", 64),
    "3c": BlockWidths(0, (128, 160), (64, 96, 96), "max", 0),
    "4a": BlockWidths(224, (64, 96), (96, 128, 128), "mean", 128),
    "4b": BlockWidths(192, (96, 128), (96, 128, 128), "mean", 128),
    "4c": BlockWidths(160, (128, 160), (128, 160, 160), "mean", 128),
    "4d": BlockWidths(96, (128, 192), (160, 192, 192), "mean", 128),
    "4e": BlockWidths(0, (128, 192), (192, 256, 256), "max", 0),
    "5a": BlockWidths(352, (192, 320), (160, 224, 224), "mean", 128),
    "5b": BlockWidths(352, (192, 320), (192, 224, 224), "max", 128),
}
# ours: one block of each size, of the widths of `resnet_small`'s later stages
SMALL_BLOCKS = {
    "3c": BlockWidths(0, (24, 32), (16, 16, 16), "max", 0),
    "4a": BlockWidths(32, (24, 40), (8, 16, 16), "mean", 8),
    "4e": BlockWidths(0, (24, 32), (16, 16, 16), "max", 0),
    "5b": BlockWidths(32, (24, 40), (8, 16, 16), "max", 8),
}


class NormedConv(nn.Module):
    """A convolution with bias, its norm and a ReLU: `conv`, `bn`."""

    def __init__(self, num_in: int, num_out: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_in, num_out, side, stride, padding=side // 2)
        self.bn = nn.BatchNorm2d(num_out)
        self.relu = nn.ReLU(inplace=True)
        # ours: for who starts without weights of ImageNet
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N·T, num_out, H / stride, W / stride), rounded up, of features (N·T, num_in, H, W)."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Block(nn.Module):
    """Branches side by side: `branch1` to `branch3`, and `branch4` behind a pool."""

    def __init__(self, num_in: int, widths: BlockWidths) -> None:
        super().__init__()
        reduced, three = widths.three
        less, first, second = widths.double
        self.stride = 1 if widths.one else 2
        self.branch1 = NormedConv(num_in, widths.one, 1) if widths.one else None
        self.branch2 = nn.Sequential(
            NormedConv(num_in, reduced, 1), NormedConv(reduced, three, 3, self.stride)
        )
        self.branch3 = nn.Sequential(
            NormedConv(num_in, less, 1),
            NormedConv(less, first, 3),
            NormedConv(first, second, 3, self.stride),
        )
        self.pool = _mean if widths.pool == "mean" else _maximum if widths.project else _half
        self.branch4 = NormedConv(num_in, widths.project, 1) if widths.project else nn.Identity()
        self.num_out = widths.one + three + second + (widths.project or num_in)

    def forward(self, x: Tensor) -> Tensor:
        """(N·T, num_out, H / stride, W / stride), rounded up, of features (N·T, num_in, H, W)."""
        branches = [self.branch2(x), self.branch3(x), self.branch4(self.pool(x))]
        return torch.cat(branches if self.branch1 is None else [self.branch1(x), *branches], 1)


class BNInception(nn.Module):
    """Frames (N·T, channels, H, W) in, pooled features (N·T, C) out.

    Args:
        channels: Of the frames: 3 of RGB, 10 of five fields of flow.
        small: For frames of 32 to 64 pixels: a stem of one 3×3 convolution, and fewer blocks.

    Attributes:
        num_features: C.
    """

    def __init__(self, channels: int = 3, *, small: bool = False) -> None:
        super().__init__()
        width = 32 if small else 192
        if small:
            self.stem = nn.Sequential(OrderedDict(conv1=NormedConv(channels, width, 3, 2)))
        else:
            self.stem = nn.Sequential(
                OrderedDict(
                    conv1=NormedConv(channels, 64, 7, 2),
                    pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
                    conv2=NormedConv(64, 64, 1),
                    conv3=NormedConv(64, width, 3),
                    pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
                )
            )
        self.blocks = nn.Sequential()
        for name, widths in (SMALL_BLOCKS if small else BLOCKS).items():
            block = Block(width, widths)
            self.blocks.add_module(name, block)
            width = block.num_out
        self.num_features = width

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features (N·T, C) of frames (N·T, channels, H, W)."""
        x: Tensor = self.blocks(self.stem(frames))
        return x.mean((2, 3))  # (N·T, C, H, W) -> (N·T, C)


def _mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1)  # trap: the zeros around the map count


def _maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def _half(x: Tensor) -> Tensor:
    """Maxima (N·T, C, H / 2, W / 2), rounded up, as many as the strided convolutions beside give.

    The authors' pool lets windows reach over the end. ours: of an odd side, where it would give one
    pixel less than the convolutions, they begin one before its start.
    """
    odd = [int(side) % 2 for side in x.shape[2:]]
    return F.max_pool2d(x, 3, 2, odd, ceil_mode=True)
