"""SELFYNet: a block sees how each place of a frame resembles those around it in the frames near by.

Self-similarities in space and time say what moved where. The block extracts features of them, at
half the size of its input and frame by frame, and adds what it makes of those to its input.

Shapes: N views of T frames; C channels, c = C/4, w = C/8; H rows, W columns, h = ⌈H/2⌉, v = ⌈W/2⌉;
L = 5 frames near by, U = 9 rows and columns around a place.

Source: Kwon et al., Learning Self-Similarity in Space and Time as Generalized Motion for Video
Action Recognition (ICCV 2021); arunos728/SELFY, ops/selfy.py and ops/resnet_TSM.py.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.models.backbones import stage_width

NEAR = 5
"""L: frames from two before to two behind; those beyond the ends of a view are zero."""
AROUND = 9
"""U: rows and columns from four before to four behind; what is beyond the picture is zero."""


class SelfSimilarity(nn.Module):
    """Cosines of the angle between the features at a place and at those around it.

    All pairs of places of two frames are one matrix product, from which the near ones are gathered:
    less memory than copies of all neighbours, by as much as there are channels.

    Args:
        num_channels: C.
        num_frames: T.
    """

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        self.num_frames, width = num_frames, num_channels // 4
        self.conv = nn.Conv2d(num_channels, width, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, frames: Tensor) -> Tensor:
        """(N·T·L, h, v, U, U) of frames (N·T, C, H, W)."""
        x = self.relu(self.bn(self.conv(frames)))  # (N·T, c, h, v)
        height, width = int(x.shape[2]), int(x.shape[3])
        x = x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
        views = x.flatten(2).unflatten(0, (-1, self.num_frames))  # (N, T, c, h·v)
        padded = F.pad(views, (0, 0, 0, 0, NEAR // 2, NEAR // 2))  # (N, T + L - 1, c, h·v)
        runs = [padded[:, first : first + self.num_frames] for first in range(NEAR)]
        near = torch.stack(runs, 2).flatten(0, 2)  # (N, T, L, c, h·v) -> (N·T·L, c, h·v)
        here = views.transpose(2, 3)[:, :, None].expand(-1, -1, NEAR, -1, -1).flatten(0, 2)
        similar = torch.bmm(here, near)  # (N·T·L, h·v, h·v)
        places, is_inside = _around(height, width, x.device)
        around = similar.gather(2, places.expand(similar.shape[0], -1, -1))  # (N·T·L, h·v, U·U)
        around = around.masked_fill(~is_inside, 0).unflatten(2, (AROUND, AROUND))
        out: Tensor = around.unflatten(1, (height, width))
        return out


class Selfy(nn.Module):
    """ReLU(x + y), y made of the self-similarities of x; zero at first.

    trap: y is made at half the size and fills every second row and column alone.

    Args:
        num_channels: C.
        num_frames: T.
    """

    def __init__(self, num_channels: int, *, num_frames: int) -> None:
        super().__init__()
        width = max(16, num_channels // 8)  # ours: at least 16, in bodies narrower than theirs
        self.similarity = SelfSimilarity(num_channels, num_frames=num_frames)
        self.extract = nn.Sequential(  # of U×U pictures, to one pixel
            *_conv(1, width // 16),
            *_conv(width // 16, width // 4, stride=2),
            *_conv(width // 4, width, stride=2),
            *_conv(width, width, padding=0),
        )
        self.integrate = nn.Sequential(*(part for _ in range(3) for part in _conv(width, width)))
        self.fuse = nn.Sequential(*_conv(NEAR * width, width))
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
        maps = maps.permute(0, 3, 1, 2)
        joined = self.integrate(maps).unflatten(0, (-1, NEAR)).flatten(1, 2)  # (N·T, L·w, h, v)
        size = list(map(int, frames.shape[2:]))
        y = self.bn(self.expand(self.fuse(joined), output_size=size))
        out: Tensor = self.relu(frames + y)
        return out


def insert_selfy(backbone: nn.Module, *, num_frames: int) -> None:
    """Put the block behind the second stage of a ResNet, in place, as `layer2.selfy`."""
    stage = backbone.get_submodule("layer2")
    stage.add_module("selfy", Selfy(stage_width(stage), num_frames=num_frames))


def _conv(num_in: int, num_out: int, *, stride: int = 1, padding: int = 1) -> list[nn.Module]:
    """A 3×3 convolution, its norm and ReLU."""
    conv = nn.Conv2d(num_in, num_out, 3, stride=stride, padding=padding, bias=False)
    return [conv, nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)]


def _around(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Numbers (h·v, U·U) of the places around each place, and which of them are inside."""
    steps = torch.arange(AROUND, device=device) - AROUND // 2
    rows = (torch.arange(height, device=device)[:, None] + steps)[:, None, :, None]  # (h, 1, U, 1)
    columns = (torch.arange(width, device=device)[:, None] + steps)[None, :, None]  # (1, v, 1, U)
    near_row, near_column = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    is_inside = (rows == near_row) & (columns == near_column)  # (h, v, U, U)
    places = near_row * width + near_column
    return places.flatten(2).flatten(0, 1), is_inside.flatten(2).flatten(0, 1)
