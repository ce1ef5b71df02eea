"""TRN: relations between the frames of a view, in place of the mean of their scores.

Every frame becomes a few features. A relation of n frames sees those of n frames of the view, one
after the other; there is one for each n from 2 to T, each called on up to three subsets of the
frames. What a relation makes of its subsets is added up, and all of them are scored together.

Shapes: N views of T frames, C features of the backbone, D of a frame and of a relation, S = T - 1
scales, K classes.

Source: Zhou et al., Temporal Relational Reasoning in Videos (ECCV 2018); zhoubolei/TRN-pytorch,
TRNmodule.py, RelationModuleMultiScale, and models.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import comb

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from stsm_cli.config.view import View
from stsm_cli.models.network import Network
from stsm_cli.models.network_3d import float32_scores

WIDTH = 256  # TRN's opts.py: img_feature_dim; TRNmodule.py: num_bottleneck
MOST_SUBSETS = 3  # TRN's TRNmodule.py: subsample_num
TEST_SEED = 0
"""ours: the authors draw other subsets at each test, too, and so get other scores."""
Subset = tuple[int, ...]


def draw_subsets(num_frames: int, generator: Generator | None = None) -> list[Subset]:
    """Subsets of a view's frames in their order: all frames, then of each smaller number a few.

    Those of one number are different, and each is as likely as any other.

    Args:
        num_frames: T, 2 or more.
        generator: None: torch's own.
    """
    subsets: list[Subset] = []
    for size in range(num_frames, 1, -1):
        drawn: dict[Subset, None] = {}
        while len(drawn) < min(MOST_SUBSETS, comb(num_frames, size)):
            frames = torch.randperm(num_frames, generator=generator, device="cpu")[:size]
            drawn[tuple(sorted(frames.tolist()))] = None
        subsets += drawn
    return subsets


class Relations(nn.Module):
    """Features of frames, related: `project`, then `between`, of all frames first and of two last.

    Args:
        num_features: C.
        num_frames: T.
        width: D.
    """

    def __init__(self, num_features: int, num_frames: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(num_features, width)
        self.between = nn.ModuleList(
            nn.Linear(size * width, width) for size in range(num_frames, 1, -1)
        )
        nn.init.normal_(self.project.weight, std=0.001)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor, subsets: Iterable[Subset]) -> Tensor:
        """(N, S, D), for all scales from T to 2 frames, of features (N, T, C)."""
        frames = self.project(features).relu().unbind(1)  # T of (N, D)
        nothing = torch.zeros_like(frames[0])
        scales = []
        for size, relation in zip(range(len(frames), 1, -1), self.between, strict=True):
            seen = [[frames[i] for i in subset] for subset in subsets if len(subset) == size]
            if not seen:
                scales.append(nothing)
                continue
            x = torch.stack([torch.cat(some, 1) for some in seen], 1)  # (N, subsets, size·D)
            scales.append(relation(x).relu().sum(1))
        return torch.stack(scales, 1)


class ScaleClassifier(nn.Module):
    """One classifier a scale, their scores added: `weight` (K, S, D), `bias` (K, S)."""

    def __init__(self, num_scales: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, num_scales, width))
        self.bias = nn.Parameter(torch.empty(num_classes, num_scales))
        for parameter in (self.weight, self.bias):  # as S linear layers
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, scales: Tensor) -> Tensor:
        """(N, K) of scales (N, S, D), without a bias."""
        return F.linear(scales.flatten(1), self.weight.flatten(1))

    def biases(self, counts: Sequence[int]) -> Tensor:
        """(K,), where each scale was called so many times."""
        every = zip(counts, self.bias.unbind(1), strict=True)
        return torch.stack([count * bias for count, bias in every]).sum(0)


class TRN(Network):
    """Class scores of a view, from the relations between its frames.

    The state dict holds `backbone.*`, `relations.*` and `fc.{weight,bias}`.

    Args:
        view: T positions.
        num_classes: K.
        backbone: Maps frames (N·T, channels, H, W) to pooled features (N·T, C).
        num_features: C.
        dropout: Probability with which a feature of a frame is dropped before `relations`.
        width: D.
    """

    def __init__(
        self,
        view: View,
        num_classes: int,
        backbone: nn.Module,
        *,
        num_features: int,
        dropout: float,
        width: int = WIDTH,
    ) -> None:
        super().__init__(view, num_classes)
        num_frames = view.num_positions
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.relations = Relations(num_features, num_frames, width)
        self.fc = ScaleClassifier(num_frames - 1, width, num_classes)
        self._subsets = draw_subsets(num_frames, Generator().manual_seed(TEST_SEED))

    @property
    def subsets(self) -> list[Subset]:
        """The frames of each relation in test, drawn by a constant seed until set otherwise.

        In training they are drawn anew at each step.

        Raises:
            ValueError: Set to what is no subset of two frames or more, or is not in their order.
        """
        return self._subsets

    @subsets.setter
    def subsets(self, subsets: Iterable[Sequence[int]]) -> None:
        chosen = [tuple(subset) for subset in subsets]
        frames = range(self.view.num_positions)
        for subset in chosen:
            if len(subset) < 2 or list(subset) != sorted(set(subset) & set(frames)):
                raise ValueError(
                    f"subsets: {subset} must be 2 or more of the frames 0 to {frames[-1]}, rising"
                )
        self._subsets = chosen

    def frames_of(self, weights: Mapping[str, Tensor]) -> int | None:
        """Frames of the views that `weights` of such a network take; None: they are of another."""
        weight = weights.get("fc.weight")
        return weight.shape[1] + 1 if weight is not None and weight.ndim == 3 else None

    def logits(self, videos: Tensor) -> Tensor:
        """(N, K) of videos (N, T, channels, H, W)."""
        num_frames = self.view.num_positions
        subsets = draw_subsets(num_frames) if self.training else self._subsets
        features = self.dropout(self.backbone(videos.flatten(0, 1)))  # (N·T, C)
        scales = self.relations(features.unflatten(0, (-1, num_frames)), subsets)
        sizes = [len(subset) for subset in subsets]
        counts = [sizes.count(size) for size in range(num_frames, 1, -1)]
        return float32_scores(self.fc, scales) + self.fc.biases(counts)
