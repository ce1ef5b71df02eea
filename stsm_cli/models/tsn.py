"""Temporal segment network: a 2D network sees every frame, the frames' scores are averaged.

TSN, TSM and STSM differ only in the shift inside the backbone.

Shapes: N views, T frames a view, C features, K classes.
"""

import torch
from torch import Tensor, nn


class TSN(nn.Module):
    """Class scores of a view: the mean of the scores of its frames.

    The state dict holds `backbone.*` (torchvision's keys) and `fc.{weight,bias}`.

    ours: TSN gets TSM's head too (dropout on each frame's features, scores averaged), so that a
    comparison changes the shift alone; MMAction2's TSN averages features before its dropout.

    Args:
        backbone: Maps frames (N·T, 3, H, W) to pooled features (N·T, C).
        num_features: C.
        num_classes: K.
        num_frames: T.
        dropout: Probability with which a feature of a frame is dropped before `fc`.

    Source: paper 4.1 and 4.2; mmaction2 v1.2.0, mmaction/models/heads/tsm_head.py.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_features: int,
        num_classes: int,
        num_frames: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=0.001)
        nn.init.zeros_(self.fc.bias)

    def forward(self, videos: Tensor) -> Tensor:
        """Logits (N, K) of normalised videos (N, T, 3, H, W).

        Raises:
            ValueError: `videos` has another shape or another number of frames.
        """
        if videos.ndim != 5 or videos.shape[1] != self.num_frames:
            raise ValueError(
                f"videos must be (N, {self.num_frames}, 3, H, W): {self.num_frames} frames a view, "
                f"got {tuple(videos.shape)}"
            )
        features = self.backbone(videos.flatten(0, 1))  # (N·T, 3, H, W) -> (N·T, C)
        scores: Tensor = self.fc(self.dropout(features))  # (N·T, K)
        # trap: bfloat16's 8 bits make ties between classes; the mean is taken in float32 at least
        dtype = torch.promote_types(scores.dtype, torch.float32)
        return scores.view(-1, self.num_frames, scores.shape[1]).mean(1, dtype=dtype)  # (N, K)
