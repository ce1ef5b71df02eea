"""TPN: a pyramid of the last two stages of a ResNet, whose features change at different speeds.

Level 4, of the last stage but one, is brought to the size of level 5; both are convolved along time
and the maximum over all frames is taken. Then information flows down, from level 5 to level 4, and
up again from what came of it; the levels are fused after each, and both results are fused to one.

Training has a second head, on level 4 as it leaves the ResNet.

Shapes: N views of T frames; D and C channels of levels 4 and 5, M = C/2; h×w pixels of level 5;
K classes.

Source: Yang et al., Temporal Pyramid Network for Action Recognition (CVPR 2020);
decisionforce/TPN, mmaction/models/tenons/necks/tpn.py, where a shared list lets the way up begin
with what the way down made; open-mmlab/mmaction2 calls this the cascade.
"""

from collections.abc import Sequence
from math import gcd

import torch
from torch import Tensor, nn

from stsm_cli.config.view import View
from stsm_cli.models.backbones import stage_width, stages
from stsm_cli.models.network_3d import Network3D, float32_scores
from stsm_cli.models.resnet_3d import convolution

ALONG_TIME, ONE, IN_SPACE = (3, 1, 1), (1, 1, 1), (1, 3, 3)


class LevelFusion(nn.Module):
    """Each level convolved by itself, then both together.

    Args:
        width: M.
        num_out: C.
    """

    def __init__(self, width: int, num_out: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            _normed(convolution(width, width, ONE, groups=_groups(width))) for _ in range(2)
        )
        self.fuse = _normed(convolution(2 * width, num_out, ONE))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(N, C, 1, h, w) of two levels (N, M, 1, h, w)."""
        apart = [layer(level) for layer, level in zip(self.levels, levels, strict=True)]
        out: Tensor = self.fuse(torch.cat(apart, 1))
        return out


class Pyramid(nn.Module):
    """Levels 4 and 5 of all frames, mixed to pooled features of a view.

    Args:
        num_fine: D.
        num_coarse: C.
        num_frames: T.
    """

    def __init__(self, num_fine: int, num_coarse: int, *, num_frames: int) -> None:
        super().__init__()
        width = num_coarse // 2
        self.spatial = _normed(convolution(num_fine, num_coarse, IN_SPACE, stride=2))
        self.temporal = nn.ModuleList(
            convolution(num_coarse, width, ALONG_TIME, groups=_groups(width)) for _ in range(2)
        )
        self.maximum = nn.MaxPool3d((num_frames, 1, 1))
        self.down = LevelFusion(width, num_coarse)
        self.rise = convolution(width, width, ALONG_TIME)
        self.up = LevelFusion(width, num_coarse)
        self.fuse = _normed(convolution(2 * num_coarse, num_coarse, ONE))
        _initialise(self)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Features (N, C) of the levels, (N, D, T, ~2h, ~2w) and (N, C, T, h, w)."""
        fine = self.maximum(self.temporal[0](self.spatial(fine)))
        coarse = self.maximum(self.temporal[1](coarse))
        fine = fine + coarse
        down = self.down((fine, coarse))
        up = self.up((fine, coarse + self.rise(fine)))
        pooled: Tensor = self.fuse(torch.cat((down, up), 1)).mean((2, 3, 4))
        return pooled


class PyramidResNet(nn.Module):
    """A ResNet of 2D or 3D convolutions, its mean over space replaced by a pyramid.

    The ResNet's keys stay; `pyramid` is new.

    Args:
        network: Without a classifier.
        num_frames: T.
    """

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module

    def __init__(self, network: nn.Module, *, num_frames: int) -> None:
        super().__init__()
        self.maxpool = nn.Identity()  # small ones have none
        for name, part in network.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, part)
        self.num_frames, self.is_flat = num_frames, isinstance(self.conv1, nn.Conv2d)
        self.num_fine, self.num_features = map(stage_width, stages(self)[-2:])
        self.pyramid = Pyramid(self.num_fine, self.num_features, num_frames=num_frames)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C) and level 4 (N, D, T, ~2h, ~2w), of features (N, 3, T, H, W)."""
        x = x.transpose(1, 2).flatten(0, 1) if self.is_flat else x  # -> (N·T, 3, H, W)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        *before, last = stages(self)
        for stage in before:
            x = stage(x)
        fine, coarse = self._in_time(x), self._in_time(last(x))
        return self.pyramid(fine, coarse), fine

    def _in_time(self, x: Tensor) -> Tensor:
        """Features (N, C, T, H, W), which they are or which frames (N·T, C, H, W) make."""
        return x.unflatten(0, (-1, self.num_frames)).transpose(1, 2) if self.is_flat else x


class AuxiliaryHead(nn.Module):
    """Scores of level 4.

    Args:
        num_fine: D.
        num_classes: K.
        dropout: Probability with which a feature is dropped before `fc`.
    """

    def __init__(self, num_fine: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.conv = _normed(convolution(num_fine, 2 * num_fine, IN_SPACE, stride=2))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2 * num_fine, num_classes)
        _initialise(self)

    def forward(self, fine: Tensor) -> Tensor:
        """(N, K) of level 4, (N, D, T, H, W)."""
        return float32_scores(self.fc, self.dropout(self.conv(fine).mean((2, 3, 4))))


class TPN(Network3D):
    """Class scores of a view; in training, those of the auxiliary head follow."""

    backbone: PyramidResNet
    auxiliary: AuxiliaryHead

    def __init__(
        self, view: View, num_classes: int, backbone: PyramidResNet, *, dropout: float
    ) -> None:
        width = backbone.num_features
        super().__init__(view, num_classes, backbone, num_features=width, dropout=dropout)
        self.auxiliary = AuxiliaryHead(backbone.num_fine, num_classes, dropout=dropout)

    def logits(self, videos: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, K) of videos (N, T, 3, H, W); in training two of them."""
        features, fine = self.backbone(videos.transpose(1, 2))
        scores = float32_scores(self.fc, self.dropout(features))
        return (scores, self.auxiliary(fine)) if self.training else scores


def _groups(width: int) -> int:
    """Groups of a convolution to `width` channels; ours: fewer where 32 do not divide them."""
    return gcd(32, width)


def _normed(conv: nn.Conv3d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm3d(conv.out_channels), nn.ReLU(inplace=True))


def _initialise(module: nn.Module) -> None:
    """As the authors do: convolutions by Glorot and Bengio, linear layers small."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.xavier_uniform_(part.weight)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)
