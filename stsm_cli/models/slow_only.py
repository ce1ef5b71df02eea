"""SlowOnly: a 3D residual network sees all frames of a view at once.

The slow pathway of SlowFast by itself: few frames, temporal kernels in the last two stages alone.

Shapes: N views, T frames a view, C features, K classes.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from stsm_cli.config.schema import SlowBackbone
from stsm_cli.config.view import View
from stsm_cli.models.backbones import SMALL_WIDTHS
from stsm_cli.models.network import Network
from stsm_cli.models.resnet_3d import Basic3D, Bottleneck3D, ResNet3D, Stage


class SlowOnly(Network):
    """Class scores of a view: one classifier on features pooled over time and space.

    The state dict holds `backbone.*` (torchvision's names of a ResNet) and `fc.{weight,bias}`.

    Args:
        view: T frames, of which every one is seen.
        num_classes: K.
        backbone: Maps features (N, 3, T, H, W) to pooled features (N, C).
        dropout: Probability with which a feature is dropped before `fc`.

    Source: facebookresearch/SlowFast, slowfast/models/video_model_builder.py (`ResNet`, arch
        `slow`) and head_helper.py.
    """

    def __init__(self, view: View, num_classes: int, backbone: ResNet3D, dropout: float) -> None:
        super().__init__(view, num_classes)
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(backbone.num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def logits(self, videos: Tensor) -> Tensor:
        """(N, K) of videos (N, T, 3, H, W)."""
        features = self.backbone(videos.transpose(1, 2))  # -> (N, 3, T, H, W) -> (N, C)
        scores: Tensor = self.fc(self.dropout(features))
        return scores


def slow_backbone(name: SlowBackbone) -> ResNet3D:
    """SlowOnly's ResNet-50, or a small one for the embedded data set.

    ours: `slow_resnet_small` has the stages of `resnet_small`, with SlowOnly's temporal kernels.
    """
    match name:
        case "slow_resnet50":
            return ResNet3D(Bottleneck3D, _stages((64, 128, 256, 512), (3, 4, 6, 3)), stem=64)
        case "slow_resnet_small":
            return ResNet3D(Basic3D, _stages(SMALL_WIDTHS, (1, 1, 1, 1)), stem=32, small=True)


def _stages(widths: Sequence[int], blocks: Sequence[int]) -> list[Stage]:
    """Four stages, the last two of which see the frames before and behind."""
    strides, temporal = (1, 2, 2, 2), (1, 1, 3, 3)
    return [Stage(*values) for values in zip(widths, blocks, strides, temporal, strict=True)]
