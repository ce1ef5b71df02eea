"""R(2+1)D: a residual network whose 3D convolutions are a spatial and a temporal one each.

Between the two stand a norm, a ReLU, and as many channels as give the pair the parameters of the
3×3×3 convolution that it stands for. Stages 2 to 4 begin with a stride of 2 in time, too.

Shapes: N views, T frames, C channels.

Source: facebookresearch/VMZ, pt/vmz/models/{r2plus1d,utils}.py and c2/lib/models/r3d_model.py; the
    same in moabitcoin/ig65m-pytorch, ig65m/models.py.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from stsm_cli.config.networks_3d import R2Plus1DBackbone
from stsm_cli.models.backbones import SMALL_WIDTHS
from stsm_cli.models.conv3d import Conv3d
from stsm_cli.models.resnet_3d import BLOCKS, WIDTHS

NORM_EPS = 1e-3  # Caffe2's
# Trap: their momentum stays torch's 0.1, which Caffe2 calls 0.9. VMZ's PyTorch code sets 0.9 here,
# too, so that a tenth of the statistics is kept at each step; its weights come from Caffe2.


class Factored(nn.Sequential):
    """A k×k convolution in space, then one of 3 frames in time: `space`, `bn`, `relu`, `time`.

    Args:
        num_in: Channels in.
        num_out: Channels out.
        between: Channels between the two.
        side: k, odd.
        stride: Of the first along H and W, and of the second along T.
    """

    def __init__(
        self,
        num_in: int,
        num_out: int,
        between: int,
        *,
        side: int = 3,
        stride: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        space, time = stride
        size, steps, padding = (1, side, side), (1, space, space), (0, side // 2, side // 2)
        self.space = nn.Conv3d(num_in, between, size, steps, padding, bias=False)
        self.bn = nn.BatchNorm3d(between)
        self.relu = nn.ReLU(inplace=True)
        self.time = Conv3d(between, num_out, (3, 1, 1), (time, 1, 1), (1, 0, 0), bias=False)


def channels_between(num_in: int, num_out: int) -> int:
    """The channels that give 1×3×3 and 3×1×1 the parameters of 3×3×3, rounded down.

    Trap: of each convolution by itself. Torchvision's blocks take the first one's for both.
    """
    return 27 * num_in * num_out // (9 * num_in + 3 * num_out)


class FactoredBlock(nn.Module):
    """Two factored convolutions, the first with the stride, and the shortcut."""

    def __init__(self, num_in: int, width: int, stride: int) -> None:
        super().__init__()
        between = channels_between(num_in, width)
        self.conv1 = Factored(num_in, width, between, stride=(stride, stride))
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = Factored(width, width, channels_between(width, width))
        self.bn2 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or num_in != width:
            self.downsample = nn.Sequential(
                nn.Conv3d(num_in, width, 1, stride, bias=False), nn.BatchNorm3d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, T / stride, H / stride, W / stride) of features (N, num_in, T, H, W)."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        out: Tensor = self.relu(branch + self.downsample(x))
        return out


class R2Plus1D(nn.Module):
    """A stem, four stages and a mean over time and space: (N, 3, T, H, W) to (N, C).

    Args:
        widths: Of the four stages.
        blocks: How many each stage has.
        stem: The convolution before them, to the first width.

    Attributes:
        num_features: C.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], *, stem: Factored) -> None:
        super().__init__()
        self.stem = nn.Sequential(stem, nn.BatchNorm3d(widths[0]), nn.ReLU(inplace=True))
        entering, strides = (widths[0], *widths[:-1]), (1, 2, 2, 2)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(*sizes) for sizes in zip(entering, widths, blocks, strides, strict=True)
        )
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.num_features = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm3d):
                module.eps = NORM_EPS

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, C) of features (N, 3, T, H, W)."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        pooled: Tensor = self.avgpool(x).flatten(1)  # (N, C, 1, 1, 1) -> (N, C)
        return pooled


def r2plus1d_backbone(name: R2Plus1DBackbone, num_in: int = 3) -> R2Plus1D:
    """R(2+1)D-34, or a small one for the embedded data set, of `num_in` channels.

    The stem's 45 channels between are the authors', not those of the rule.

    ours: `r2plus1d_small` has the stages of `resnet_small`, and the rule's channels in its stem.
    """
    match name:
        case "r2plus1d_34":
            stem = Factored(num_in, 64, 45, side=7, stride=(2, 1))
            return R2Plus1D(WIDTHS, BLOCKS, stem=stem)
        case "r2plus1d_small":
            width = SMALL_WIDTHS[0]
            stem = Factored(num_in, width, channels_between(num_in, width), stride=(2, 1))
            return R2Plus1D(SMALL_WIDTHS, (1, 1, 1, 1), stem=stem)


def _stage(num_in: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = FactoredBlock(num_in, width, stride)
    return nn.Sequential(first, *(FactoredBlock(width, width, 1) for _ in range(num_blocks - 1)))
