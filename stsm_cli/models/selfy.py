"""SELFYNet: a block sees how each place of a frame resembles those around it in the frames near by.

Self-similarities in space and time say what moved where. The block extracts features of them, at
half the size of its input and frame by frame, and adds what it makes of those to its input.

Shapes: N views of T frames; C channels, c = C/4, w = C/8; H rows, W columns, h = ⌈H/2⌉, v = ⌈W/2⌉;
L frames near by, U rows and columns around a place (`Window`).

Source: Kwon et al., Learning Self-Similarity in Space and Time as Generalized Motion for Video
Action Recognition (ICCV 2021); arunos728/SELFY, ops/selfy.py and ops/resnet_TSM.py.
"""

from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.models.backbones import stage_width


@dataclass(frozen=True)
class Window:
    """What each place is compared with; beyond the ends of a view and of a picture, with zero.

    Attributes:
        near: L, odd: frames from ⌊L/2⌋ before to ⌊L/2⌋ behind.
        around: U, 5 or 9: rows and columns from ⌊U/2⌋ before to ⌊U/2⌋ behind.
    """

    near: int = 5
    around: int = 9


AUTHORS = Window()
SMALL = Window(near=3, around=5)
"""ours: for frames of 32 to 64 pixels, which are 4×4 to 8×8 places here; a third of the time."""


class SelfSimilarity(nn.Module):
    """Cosines of the angle between the features at a place and at those around it.

    All pairs of places of two frames are one matrix product, from which the near ones are gathered:
    less memory than copies of all neighbours, by as much as there are channels.

    Args:
        num_channels: C.
        num_frames: T.
        window: L and U.
    """

    def __init__(self, num_channels: int, *, num_frames: int, window: Window = AUTHORS) -> None:
        super().__init__()
        self.num_frames, self.window, width = num_frames, window, num_channels // 4
        self.conv = nn.Conv2d(num_channels, width, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T·L, h, v, U, U) of frames (N·T, C, H, W)."""
        length, size = self.window.near, self.window.around
        x = self.relu(self.bn(self.conv(frames)))  # (N·T, c, h, v)
        height, width = int(x.shape[2]), int(x.shape[3])
        x = x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
        views = x.flatten(2).unflatten(0, (-1, self.num_frames))  # (N, T, c, h·v)
        padded = F.pad(views, (0, 0, 0, 0, length // 2, length // 2))  # (N, T + L - 1, c, h·v)
        runs = [padded[:, first : first + self.num_frames] for first in range(length)]
        near = torch.stack(runs, 2).flatten(0, 2)  # (N, T, L, c, h·v) -> (N·T·L, c, h·v)
        here = views.transpose(2, 3)[:, :, None].expand(-1, -1, length, -1, -1).flatten(0, 2)
        similar = torch.bmm(here, near)  # (N·T·L, h·v, h·v)
        places, is_inside = _around(height, width, size, x.device)
        around = similar.gather(2, places.expand(similar.shape[0], -1, -1))  # (N·T·L, h·v, U·U)
        around = around.masked_fill(~is_inside, 0).unflatten(2, (size, size))
        out: Tensor = around.unflatten(1, (height, width))
        return out


class Selfy(nn.Module):
    """ReLU(x + y), y made of the self-similarities of x; zero at first.

    trap: y is made at half the size and fills every second row and column alone.

    Args:
        num_channels: C.
        num_frames: T.
        window: L and U.
    """

    def __init__(self, num_channels: int, *, num_frames: int, window: Window = AUTHORS) -> None:
        super().__init__()
        width = max(16, num_channels // 8)  # ours: at least 16, in bodies narrower than theirs
        self.similarity = SelfSimilarity(num_channels, num_frames=num_frames, window=window)
        self.extract = _extraction(width, window.around)
        self.integrate = nn.Sequential(*(part for _ in range(3) for part in _conv(width, width)))
        self.fuse = nn.Sequential(*_conv(window.near * width, width))
        self.expand = nn.ConvTranspose2d(width, num_channels, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(num_channels)
        self.relu = nn.ReLU(inplace=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.bn.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (N·T, C, H, W) of the same shape."""
        similar = self.similarity(frames)  # (N·T·L, h, v, U, U)
        places = self.extract(similar.flatten(0, 2)[:, None])  # (N·T·L·h·v, w, 1, 1)
        maps = places.unflatten(0, similar.shape[:3]).flatten(3)  # (N·T·L, h, v, w)
        maps = self.integrate(maps.permute(0, 3, 1, 2))  # (N·T·L, w, h, v)
        joined = maps.unflatten(0, (-1, self.similarity.window.near)).flatten(
            1, 2
        )  # (N·T, L·w, h, v)
        size = list(map(int, frames.shape[2:]))
        y = self.bn(self.expand(self.fuse(joined), output_size=size))
        out: Tensor = self.relu(frames + y)
        return out


def insert_selfy(backbone: nn.Module, *, num_frames: int, window: Window = AUTHORS) -> None:
    """Put the block behind the second stage of a ResNet, in place, as `layer2.selfy`."""
    stage = backbone.get_submodule("layer2")
    stage.add_module("selfy", Selfy(stage_width(stage), num_frames=num_frames, window=window))


def _extraction(width: int, around: int) -> nn.Sequential:
    """From U×U pictures to w features: convolutions that halve them to 3×3, then one to a pixel."""
    widths = [width // 4, width] if around < AUTHORS.around else [width // 16, width // 4, width]
    halving = (_conv(*pair, stride=2) for pair in pairwise(widths))
    return nn.Sequential(*_conv(1, widths[0]), *chain(*halving), *_conv(width, width, padding=0))


def _conv(num_in: int, num_out: int, *, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    """A 3×3 convolution, its norm and ReLU."""
    conv = nn.Conv2d(num_in, num_out, 3, stride=stride, padding=padding, bias=False)
    return [conv, nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)]


def _around(height: int, width: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Numbers (h·v, U·U) of the U = `size` places around each, and which of them are inside."""
    steps = torch.arange(size, device=device) - size // 2
    rows = (torch.arange(height, device=device)[:, None] + steps)[:, None, :, None]  # (h, 1, U, 1)
    columns = (torch.arange(width, device=device)[:, None] + steps)[None, :, None]  # (1, v, 1, U)
    near_row, near_column = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    is_inside = (rows == near_row) & (columns == near_column)  # (h, v, U, U)
    places = near_row * width + near_column
    return places.flatten(2).flatten(0, 1), is_inside.flatten(2).flatten(0, 1)
