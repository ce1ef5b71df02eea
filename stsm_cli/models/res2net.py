"""Res2Net: residual blocks whose 3×3 convolution is a chain of narrow ones, each behind the last.

Frames (N·T, 3, H, W) in, pooled features (N·T, C) out. The names of its parts are the authors',
which are torchvision's wherever a ResNet has them.

Source: Gao et al., Res2Net (TPAMI 2021); Res2Net/Res2Net-PretrainedModels, res2net.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SCALE = 4
"""Parts into which a block splits its channels."""
EXPANSION = 4


class Bottle2neck(nn.Module):
    """1×1 to 4w channels; three of four parts through a 3×3 each; 1×1 to four times the width.

    From part to part what was made is added to what comes next, but in the first block of a stage,
    where the fourth part is pooled.

    Args:
        num_in: Channels in.
        planes: A quarter of the channels out.
        width: w, of each part.
        stride: Of the 3×3 convolutions.
        is_first: The first block of a stage.
    """

    def __init__(
        self, num_in: int, planes: int, width: int, *, stride: int, is_first: bool
    ) -> None:
        super().__init__()
        self.width, self.is_first = width, is_first
        num_out = planes * EXPANSION
        self.conv1 = nn.Conv2d(num_in, width * SCALE, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width * SCALE)
        self.me: nn.Module = nn.Identity()  # TEA's places; a Res2Net has nothing there
        self.shifts = nn.ModuleList(nn.Identity() for _ in range(SCALE))
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, 1, bias=False) for _ in range(SCALE - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(SCALE - 1))
        self.pool = nn.AvgPool2d(3, stride, 1) if is_first else nn.Identity()
        self.conv3 = nn.Conv2d(width * SCALE, num_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(num_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(num_in, num_out, stride) if is_first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N·T, 4·planes, H / stride, W / stride) of features (N·T, num_in, H, W)."""
        parts = self.me(self.relu(self.bn1(self.conv1(x)))).split(self.width, 1)
        made: list[Tensor] = []
        for i, (shift, conv, bn) in enumerate(zip(self.shifts, self.convs, self.bns, strict=False)):
            part = parts[i] if self.is_first or i == 0 else parts[i] + made[-1]
            made.append(self.relu(bn(conv(shift(part)))))
        made.append(self.pool(self.shifts[-1](parts[SCALE - 1])))
        branch = self.bn3(self.conv3(torch.cat(made, 1)))
        out: Tensor = self.relu(branch + self.downsample(x))
        return out


class Res2Net(nn.Module):
    """A ResNet's stem, four stages and a mean over space.

    Args:
        planes: A quarter of the channels of each stage.
        blocks: How many, by stage.
        width: w of a block, for 64 planes.
        stem: Channels of the first convolution.
        small: For frames of 32 to 64 pixels: a stem of 3×3 without pooling, not of 7×7.

    Attributes:
        num_features: C of what it returns.
    """

    def __init__(
        self,
        planes: Sequence[int],
        blocks: Sequence[int],
        *,
        width: int,
        stem: int,
        small: bool = False,
    ) -> None:
        super().__init__()
        side = 3 if small else 7
        self.conv1 = nn.Conv2d(3, stem, side, 2, side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        widths = [stem, *(EXPANSION * p for p in planes)]
        self.num_features = widths.pop()
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(num_in, p, p * width // 64, stride=stride, blocks=b)
            for num_in, p, stride, b in zip(widths, planes, (1, 2, 2, 2), blocks, strict=True)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Pooled features (N·T, C) of frames (N·T, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(frames))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = self.avgpool(x).flatten(1)  # (N·T, C, 1, 1) -> (N·T, C)
        return pooled


def res2net50() -> Res2Net:
    """Res2Net-50 of four parts of 26 channels, the body of TEA."""
    return Res2Net((64, 128, 256, 512), (3, 4, 6, 3), width=26, stem=64)


def small_res2net(widths: Sequence[int]) -> Res2Net:
    """A Res2Net for small frames, with stages of `widths` channels and two blocks each.

    ours: parts of a fourth of the channels, so that none is narrower than 8; a second block a
    stage, for only there do the parts of a block see each other.
    """
    planes = [width // EXPANSION for width in widths]
    return Res2Net(planes, (2, 2, 2, 2), width=64, stem=widths[0], small=True)


def _projection(num_in: int, num_out: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(num_in, num_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(num_out))


def _stage(num_in: int, planes: int, width: int, *, stride: int, blocks: int) -> nn.Sequential:
    layers = [Bottle2neck(num_in, planes, width, stride=stride, is_first=True)]
    inside = EXPANSION * planes
    layers += [
        Bottle2neck(inside, planes, width, stride=1, is_first=False) for _ in range(blocks - 1)
    ]
    return nn.Sequential(*layers)
