"""SlowFast: two 3D residual networks side by side, one of which sees few frames, the other all.

The slow pathway is SlowOnly's. The fast one has an eighth of its channels, sees r times its frames,
and temporal kernels everywhere. Before each stage the slow one is given the fast one's features.

Shapes: N views, T slow frames and r·T fast frames a view, C channels.

Source: facebookresearch/SlowFast, slowfast/models/video_model_builder.py (`SlowFast`),
    datasets/utils.py (`pack_pathway_output`) and utils/weight_init_helper.py; of the other rules,
    mmaction2 v1.2.0, mmaction/models/backbones/resnet3d_slowfast.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.config.networks_3d import SlowFastBackbone, SlowFastConfig
from stsm_cli.models.backbones import SMALL_WIDTHS
from stsm_cli.models.conv3d import Conv3d
from stsm_cli.models.resnet_3d import (
    BLOCKS,
    WIDTHS,
    Basic3D,
    Bottleneck3D,
    ResNet3D,
    four_stages,
    start_as_shortcuts,
)
from stsm_cli.models.slow_only import SLOW_TEMPORAL

FAST_TEMPORAL = (3, 3, 3, 3)
"""Sizes of the kernels along time in the fast pathway."""
BETA_INVERSE = 8
"""Channels of the slow pathway for each of the fast one."""
LATERAL_RATIO = 2
"""Channels that a lateral connection gives, for each that it takes."""


class Lateral(nn.Module):
    """A convolution of fast features that strides in time, for the slow pathway.

    Args:
        channels: C of the fast pathway.
        ratio: Fast frames for each slow one.
        kernel: Temporal size of the convolution, odd.
        norm: With a norm and a ReLU behind it.
    """

    def __init__(self, channels: int, *, ratio: int, kernel: int, norm: bool = True) -> None:
        super().__init__()
        num_out = LATERAL_RATIO * channels
        size, stride, padding = (kernel, 1, 1), (ratio, 1, 1), (kernel // 2, 0, 0)
        self.conv = Conv3d(channels, num_out, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(num_out) if norm else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if norm else nn.Identity()

    def forward(self, fast: Tensor) -> Tensor:
        """(N, 2·C, T, H, W) of features (N, C, r·T, H, W)."""
        features: Tensor = self.relu(self.bn(self.conv(fast)))
        return features


class SlowFastResNet(nn.Module):
    """Two pathways of the same blocks, with lateral connections from the fast to the slow one.

    Args:
        block: What the stages are made of.
        widths: Of the slow pathway's stages, multiples of 8.
        blocks: How many each stage has, in both.
        num_frames: T.
        config: r, the lateral connections, and which frames are slow.
        stem: Channels of the slow pathway's first convolution, a multiple of 8.
        small: For frames of 32 to 64 pixels; see `ResNet3D`.
        windows: See `ResNet3D`.

    Attributes:
        num_features: C of what it returns: the slow pathway's, then the fast one's.
    """

    positions: Tensor

    def __init__(
        self,
        block: type[Basic3D] | type[Bottleneck3D],
        widths: Sequence[int],
        blocks: Sequence[int],
        num_frames: int,
        config: SlowFastConfig,
        *,
        stem: int,
        small: bool = False,
        windows: bool = False,
    ) -> None:
        super().__init__()
        fast = four_stages([width // BETA_INVERSE for width in widths], blocks, FAST_TEMPORAL)
        entering = [stem // BETA_INVERSE, *(stage.width * block.expansion for stage in fast[:-1])]
        joined = [LATERAL_RATIO * channels for channels in entering]
        slow = four_stages(widths, blocks, SLOW_TEMPORAL)
        self.slow = ResNet3D(block, slow, stem=stem, joined=joined, small=small, windows=windows)
        self.fast = ResNet3D(
            block, fast, stem=entering[0], temporal=5, small=small, windows=windows
        )
        self.laterals = nn.ModuleList(
            Lateral(
                channels, ratio=config.ratio, kernel=config.lateral_kernel, norm=config.lateral_norm
            )
            for channels in entering
        )
        self.num_features = self.slow.num_features + self.fast.num_features
        positions = slow_positions(num_frames, config)
        self.register_buffer("positions", positions, persistent=False)
        start_as_shortcuts(self)  # as the authors, and MMAction2, do
        for lateral in self.laterals:
            assert isinstance(lateral, Lateral)
            nn.init.kaiming_normal_(lateral.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (N, C) of features (N, 3, r·T, H, W)."""
        slow, fast = self.slow.stem(x.index_select(2, self.positions)), self.fast.stem(x)
        stages = zip(self.laterals, self.slow.stages, self.fast.stages, strict=True)
        for lateral, slow_stage, fast_stage in stages:
            slow = slow_stage(_joined(slow, lateral(fast)))
            fast = fast_stage(fast)
        return torch.cat([self.slow.pooled(slow), self.fast.pooled(fast)], dim=1)


def slow_positions(num_frames: int, config: SlowFastConfig) -> Tensor:
    """Positions of the T slow frames among the r·T fast ones: (T,).

    Trap: where they are spread from first to last, they are not equally spaced, since fractions are
    cut off: of 32 frames 0, 10, 20 and 31.
    """
    num_fast = config.ratio * num_frames
    if config.slow_frames == "every":
        return torch.arange(0, num_fast, config.ratio)
    return torch.linspace(0, num_fast - 1, num_frames).long()


def slowfast_backbone(
    name: SlowFastBackbone, num_frames: int, config: SlowFastConfig, *, windows: bool = False
) -> SlowFastResNet:
    """SlowFast's two ResNet-50s, or small ones for the embedded data set.

    ours: `slowfast_resnet_small` has `slow_resnet_small` for its slow pathway.

    Args:
        name: Which.
        num_frames: T, those of the slow pathway.
        config: r, the lateral connections, and which frames are slow.
        windows: See `ResNet3D`.
    """
    match name:
        case "slowfast_resnet50":
            return SlowFastResNet(
                Bottleneck3D, WIDTHS, BLOCKS, num_frames, config, stem=64, windows=windows
            )
        case "slowfast_resnet_small":
            blocks = (1, 1, 1, 1)
            return SlowFastResNet(
                Basic3D,
                SMALL_WIDTHS,
                blocks,
                num_frames,
                config,
                stem=32,
                small=True,
                windows=windows,
            )


def _joined(slow: Tensor, given: Tensor) -> Tensor:
    """Both, one behind the other in their channels; zeros around the one of fewer time steps."""
    steps = max(int(slow.shape[2]), int(given.shape[2]))  # they differ where steps are dropped
    return torch.cat([_widened(slow, steps), _widened(given, steps)], dim=1)


def _widened(x: Tensor, steps: int) -> Tensor:
    before, odd = divmod(steps - int(x.shape[2]), 2)
    return F.pad(x, (0, 0, 0, 0, before, before + odd)) if before or odd else x
