"""SlowOnly: a 3D residual network sees all frames of a view at once.

The slow pathway of SlowFast by itself: few frames, temporal kernels in the last two stages alone.

Source: facebookresearch/SlowFast, slowfast/models/video_model_builder.py (`ResNet`, arch `slow`),
    head_helper.py and utils/weight_init_helper.py.
"""

from stsm_cli.config.networks_3d import SlowBackbone
from stsm_cli.models.backbones import SMALL_WIDTHS
from stsm_cli.models.resnet_3d import (
    BLOCKS,
    WIDTHS,
    Basic3D,
    Bottleneck3D,
    ResNet3D,
    four_stages,
    start_as_shortcuts,
)

SLOW_TEMPORAL = (1, 1, 3, 3)
"""Sizes of the kernels along time: the last two stages see the frames before and behind."""


def slow_backbone(name: SlowBackbone, *, windows: bool = False) -> ResNet3D:
    """SlowOnly's ResNet-50, or a small one for the embedded data set.

    Each block starts as its shortcut, as its authors' and MMAction2's do.

    ours: `slow_resnet_small` has the stages of `resnet_small`, with SlowOnly's temporal kernels.

    Args:
        name: Which.
        windows: See `ResNet3D`.
    """
    match name:
        case "slow_resnet50":
            stages = four_stages(WIDTHS, BLOCKS, SLOW_TEMPORAL)
            network = ResNet3D(Bottleneck3D, stages, stem=64, windows=windows)
        case "slow_resnet_small":
            stages = four_stages(SMALL_WIDTHS, (1, 1, 1, 1), SLOW_TEMPORAL)
            network = ResNet3D(Basic3D, stages, stem=32, small=True, windows=windows)
    start_as_shortcuts(network)
    return network
