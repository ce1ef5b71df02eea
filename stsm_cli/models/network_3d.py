"""A network that sees all frames of a view at once: 3D features, pooled, then one classifier.

Shapes: N views, T frames a view, C features, K classes.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.config.view import View
from stsm_cli.models.network import Network


class Network3D(Network):
    """Class scores of a view: one classifier on features pooled over time and space.

    The state dict holds `backbone.*` and `fc.{weight,bias}`.

    Args:
        view: T frames, of which every one is seen.
        num_classes: K.
        backbone: Maps features (N, 3, T, H, W) to pooled features (N, C).
        num_features: C.
        dropout: Probability with which a feature is dropped before `fc`.
    """

    def __init__(
        self,
        view: View,
        num_classes: int,
        backbone: nn.Module,
        *,
        num_features: int,
        dropout: float,
    ) -> None:
        super().__init__(view, num_classes)
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def logits(self, videos: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, K) of videos (N, T, 3, H, W)."""
        features = self.backbone(videos.transpose(1, 2))  # -> (N, 3, T, H, W) -> (N, C)
        return float32_scores(self.fc, self.dropout(features))


def means_of_windows(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Means (N, C, T', H', W') of all windows of so many T×H×W in features (N, C, T, H, W)."""
    sizes = zip(window, x.shape[2:], strict=True)
    inside = [min(side, int(size)) for side, size in sizes]  # ours: of smaller maps, all
    return F.avg_pool3d(x, inside, 1)


def mean_of_windows(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Means (N, C) over all of these windows.

    Trap: no plain mean where there are several windows, for the ends are in fewer of them.
    """
    return means_of_windows(x, window).mean((2, 3, 4))


def float32_scores(fc: nn.Module, features: Tensor) -> Tensor:
    """Scores (N, K) of features (N, ...) in the type of the weights, under autocast too."""
    # trap: bfloat16's 8 bits make ties between classes; autocast would round for `fc` alone
    is_real = not features.is_meta  # meta has no autocast
    with torch.autocast(features.device.type, enabled=False) if is_real else nullcontext():
        scores: Tensor = fc(features.to(next(fc.parameters()).dtype))
    return scores
