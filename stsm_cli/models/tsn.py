"""Temporal segment network: a 2D network sees every frame, the frames' scores are averaged.

TSN, TSM and STSM differ only in the shift inside the backbone.

Shapes: N views, T frames a view, C features, K classes.
"""

import torch
from torch import Tensor, nn

from stsm_cli.config.view import View
from stsm_cli.models.network import Network


class TSN(Network):
    """Class scores of a view: the mean of the scores of its frames.

    The state dict holds `backbone.*` (torchvision's keys) and `fc.{weight,bias}`.

    ours: TSN gets TSM's head too (dropout on each frame's features, scores averaged), so that a
    comparison changes the shift alone; MMAction2's TSN averages features before its dropout.

    Args:
        view: T positions, of one frame each, or of as many as the backbone makes features of.
        num_classes: K.
        backbone: Maps the frames of all positions, (N·T, 3, H, W) where each has one, to pooled
            features (N·T, C).
        num_features: C.
        dropout: Probability with which a feature of a frame is dropped before `fc`.

    Source: paper 4.1 and 4.2; mmaction2 v1.2.0, mmaction/models/heads/tsm_head.py.
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
        nn.init.normal_(self.fc.weight, std=0.001)
        nn.init.zeros_(self.fc.bias)

    def logits(self, videos: Tensor) -> Tensor:
        """(N, K) of videos (N, T, 3, H, W)."""
        features = self.backbone(videos.flatten(0, 1))  # (N·T, 3, H, W) -> (N·T, C)
        scores: Tensor = self.fc(self.dropout(features))  # (N·T, K)
        # trap: bfloat16's 8 bits make ties between classes; the mean is taken in float32 at least
        dtype = torch.float64 if scores.dtype == torch.float64 else torch.float32
        scores = scores.view(-1, self.view.num_positions, scores.shape[1])  # (N, T, K)
        return scores.mean(1, dtype=dtype)
