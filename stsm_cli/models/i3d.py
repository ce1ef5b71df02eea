"""I3D: an Inception network whose convolutions and pools see time, too.

The names of its parts are torchvision's GoogLeNet's, conv for conv, whose weights can start it: the
same kernels (the "5×5" branch has 3×3 there, too), strides, pools and eps of norms, and made for
pixels of -1 to 1 as well. Only the padding of the first convolution is another, so that GoogLeNet
sees the picture one pixel further up and to the left.

Shapes: N views, T frames, C channels.

Source: google-deepmind/kinetics-i3d, i3d.py; piergiaj/pytorch-i3d, pytorch_i3d.py.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.config.networks_3d import I3DBackbone
from stsm_cli.models.network_3d import means_of_windows

NORM_EPS = 1e-3
NORM_MOMENTUM = 1e-3  # Sonnet's decay_rate of 0.999
Extent = tuple[int, int, int]
Widths = tuple[int, int, int, int, int, int]
"""Of a mixed block: 1³; 1³ and 3³; 1³ and 3³; 1³ behind a pool."""
STAGES: tuple[tuple[Widths, ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
SMALL_STAGES: tuple[tuple[Widths, ...], ...] = (
    ((16, 16, 24, 4, 8, 8),),
    ((24, 24, 40, 8, 16, 16),),
    ((32, 32, 56, 8, 24, 16),),
)


def padded(x: Tensor, kernel: Extent, stride: Extent) -> Tensor:
    """Features (N, C, T, H, W) with zeros around them, as TensorFlow's SAME; the odd one behind.

    Trap: what is behind depends on the size of `x`; a padding alike on both sides is another net.
    """
    around: list[int] = []
    sizes = [int(size) for size in x.shape[2:]]
    for size, side, step in reversed(list(zip(sizes, kernel, stride, strict=True))):
        missing = max(side - (size % step or step), 0)
        around += [missing // 2, missing - missing // 2]
    return F.pad(x, around) if any(around) else x


class Conv(nn.Module):
    """A convolution, its norm and a ReLU: `conv`, `bn`."""

    def __init__(
        self, num_in: int, num_out: int, kernel: Extent, stride: Extent = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv3d(num_in, num_out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(num_out, eps=NORM_EPS)
        self.relu = nn.ReLU(inplace=True)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_out, T / stride, ...), rounded up, of features (N, num_in, T, H, W)."""
        out: Tensor = self.relu(self.bn(self.conv(padded(x, self.kernel, self.stride))))
        return out


class Pool(nn.Module):
    """Maxima of features that are not negative, for which the zeros around them change nothing."""

    def __init__(self, kernel: Extent, stride: Extent) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T / stride, H / stride, W / stride), rounded up, of features (N, C, T, H, W)."""
        return F.max_pool3d(padded(x, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, num_in: int, widths: Widths) -> None:
        super().__init__()
        one, three = (1, 1, 1), (3, 3, 3)
        first, reduced, second, less, third, last = widths
        self.branch1 = Conv(num_in, first, one)
        self.branch2 = nn.Sequential(Conv(num_in, reduced, one), Conv(reduced, second, three))
        self.branch3 = nn.Sequential(Conv(num_in, less, one), Conv(less, third, three))
        self.branch4 = nn.Sequential(Pool(three, one), Conv(num_in, last, one))
        self.num_out = first + second + third + last

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_out, T, H, W) of features (N, num_in, T, H, W)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], 1)


class I3D(nn.Module):
    """A stem, three stages of mixed blocks, and the mean: (N, channels, T, H, W) to (N, C).

    Args:
        stages: The widths of their blocks.
        channels: Of the videos: 3 of RGB, 2 of flow.
        dropout: Probability with which a feature of a window, not of the mean, is dropped.
        small: For frames of 32 to 64 pixels: a stem of one 3³ convolution that keeps time.

    Attributes:
        num_features: C.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Widths]],
        channels: int,
        dropout: float,
        *,
        small: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        space = ((1, 3, 3), (1, 2, 2))
        if small:
            width = 32
            self.conv1 = Conv(channels, width, (3, 3, 3), (1, 2, 2))
            self.stem = nn.Sequential()
        else:
            width = 192
            self.conv1 = Conv(channels, 64, (7, 7, 7), (2, 2, 2))
            self.stem = nn.Sequential(Pool(*space))
            self.conv2 = Conv(64, 64, (1, 1, 1))
            self.conv3 = Conv(64, width, (3, 3, 3))
        self.order = [] if small else ["conv2", "conv3"]
        pools = (Pool(*space), Pool((3, 3, 3), (2, 2, 2)), Pool((2, 2, 2), (2, 2, 2)))
        self.blocks: list[str | Pool] = []
        for number, (pool, stage) in enumerate(zip(pools, stages, strict=True), 3):
            if not (small and number == 3):
                self.blocks.append(pool)
            for letter, widths in zip("abcde", stage, strict=False):
                block, name = Mixed(width, widths), f"inception{number}{letter}"
                self.add_module(name, block)
                self.blocks.append(name)
                width = block.num_out
        self.num_features = width

    def forward(self, x: Tensor) -> Tensor:
        """Mean features (N, C) of videos (N, channels, T, H, W)."""
        x = self.stem(self.conv1(x))
        for name in self.order:
            x = self.get_submodule(name)(x)
        for part in self.blocks:
            x = part(x) if isinstance(part, Pool) else self.get_submodule(part)(x)
        means: Tensor = self.dropout(means_of_windows(x, (2, 7, 7)))
        return means.mean((2, 3, 4))


def i3d_backbone(name: I3DBackbone, channels: int = 3, dropout: float = 0.0) -> I3D:
    """I3D, or a small one for the embedded data set.

    ours: `i3d_small` has three mixed blocks, of the widths of `resnet_small`'s later stages, and
    norms of torch's momentum: it trains for some hundred steps.

    Args:
        name: Which.
        channels: Of the videos: 3 of RGB, 2 of flow.
        dropout: As `I3D`'s.
    """
    match name:
        case "i3d":
            network = I3D(STAGES, channels, dropout)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm3d):
                    module.momentum = NORM_MOMENTUM
            return network
        case "i3d_small":
            return I3D(SMALL_STAGES, channels, dropout, small=True)


def of_googlenet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of GoogLeNet's weights that I3D has, too: all but its classifiers'."""
    return {name: weight for name, weight in weights.items() if not name.startswith(("aux", "fc."))}
