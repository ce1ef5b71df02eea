"""SmallBigNet: each convolution of a block sees a small view and, its weights shared, a big one.

The big view of features is their maxima around each place: over 3 frames and 3×3 pixels, and before
a block's last convolution over all frames. Each view has norms of its own, and the two are added.
An extra unit may stand before each such block.

Shapes: N views, T frames, C channels.

Source: xhl-video/SmallBigNet, models/blocks.py (`SmallBig_module`, `SmallBig_module_extra`) and
    models/SmallBig.py (`smallbig50_no_extra`, `smallbig50_extra`).
"""

from torch import Tensor, nn

from stsm_cli.config.networks_3d import SmallBigBackbone, SmallBigConfig
from stsm_cli.models.backbones import SMALL_WIDTHS
from stsm_cli.models.resnet_3d import (
    BLOCKS,
    WIDTHS,
    Bottleneck3D,
    ResNet3D,
    convolution,
    four_stages,
)


class SmallBig(nn.Module):
    """A bottleneck whose three convolutions are used twice each.

    Args:
        block: What it is made from; its parts keep their names.
        num_frames: T.
    """

    def __init__(self, block: Bottleneck3D, num_frames: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = block.conv1, block.conv2, block.conv3
        self.bn1, self.bn2, self.bn3 = block.bn1, block.bn2, block.bn3
        self.downsample, self.relu = block.downsample, block.relu
        self.big1, self.big2, self.big3 = (
            _silent_norm(norm.num_features) for norm in (block.bn1, block.bn2, block.bn3)
        )
        self.around = nn.MaxPool3d(3, stride=1, padding=1)
        self.throughout = nn.MaxPool3d((num_frames, 3, 3), stride=1, padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4·width, T, H / stride, W / stride) of features (N, num_in, T, H, W)."""
        small, big = self.bn1(self.conv1(x)), self.big1(self.conv1(self.around(x)))
        branch = self.relu(small + big)
        small = self.bn2(self.conv2(branch))
        branch = self.relu(small + self.big2(self.conv2(self.around(branch))))
        small = self.bn3(self.conv3(branch))
        branch = small + self.big3(self.conv3(self.throughout(branch)))  # the latter of one frame
        out: Tensor = self.relu(branch + self.downsample(x))
        return out


class Extra(nn.Module):
    """x + y: reduced features, gated by those of the maxima over a whole view, widened to y.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = convolution(channels, channels // 4, (1, 1, 1))
        self.widen = convolution(channels // 4, channels, (1, 1, 1))
        self.bn = _silent_norm(channels)
        for conv in (self.reduce, self.widen):  # as the rest of the network
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, T, H, W) of the same shape."""
        gate = self.reduce(x.amax((2, 3, 4), keepdim=True)).sigmoid()  # (N, C/4, 1, 1, 1)
        out: Tensor = x + self.bn(self.widen(self.reduce(x) * gate))
        return out


def smallbig_backbone(name: SmallBigBackbone, num_frames: int, config: SmallBigConfig) -> ResNet3D:
    """SmallBigNet's ResNet-50, all stages but the first with big views, or a small one.

    ours: `smallbig_resnet_small`, for the embedded data set, has bottlenecks of `resnet_small`'s
    widths.

    Args:
        name: Which.
        num_frames: T.
        config: Whether an extra unit stands before each block that has big views; as
            `layer2.extra0` before the first, and so on.
    """
    match name:
        case "smallbig_resnet50":
            stages = four_stages(WIDTHS, BLOCKS)
            network = ResNet3D(Bottleneck3D, stages, stem=64)
        case "smallbig_resnet_small":
            stages = four_stages(SMALL_WIDTHS, (1, 1, 1, 1))
            network = ResNet3D(Bottleneck3D, stages, stem=32, small=True)
    for layer in ("layer2", "layer3", "layer4"):
        stage = nn.Sequential()
        for place, block in network.get_submodule(layer).named_children():
            assert isinstance(block, Bottleneck3D)
            if config.extra:
                stage.add_module(f"extra{place}", Extra(block.conv1.in_channels))
            stage.add_module(place, SmallBig(block, num_frames))
        network.set_submodule(layer, stage)
    return network


def _silent_norm(channels: int) -> nn.BatchNorm3d:
    """A norm that gives 0 at first: training begins with the small views alone."""
    norm = nn.BatchNorm3d(channels)
    nn.init.zeros_(norm.weight)
    return norm
