"""What training minimises: cross-entropy, with what the recipe's `loss` adds to it.

Shapes: N videos, T frames each, K classes. Targets are labels (N,), or shares of classes (N, K).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stsm_cli.config.regularisation import LossConfig


class Loss:
    """Mean cross-entropy of a part of a batch.

    Args:
        config: What it adds.
        num_classes: K.
        class_weights: Float32 (K,), on the device; None: all classes count alike.
    """

    def __init__(
        self, config: LossConfig, num_classes: int, class_weights: Tensor | None = None
    ) -> None:
        self.label_smoothing, self.class_weights = config.label_smoothing, class_weights
        self._mix = _mixers(config, num_classes)

    def mixed(self, videos: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Videos (N, T, C, H, W) and their targets, mixed with each other where that is asked for.

        What is drawn comes from torch's generator of the CPU.
        """
        if not self._mix:
            return videos, labels
        from torchvision.tv_tensors import Video

        mix = self._mix[int(torch.randint(len(self._mix), ()))]
        blended, targets = mix(Video(videos), labels)
        return blended.as_subclass(Tensor), targets

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over N of the loss of logits (N, K)."""
        if self.class_weights is None:
            return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        # trap: torch weighs what is smoothed away by the classes that get it, so that a frequent
        # class would be taught to be a rare one; and its mean divides by the sum of the weights
        shares = functional.one_hot(targets, logits.shape[1]) if targets.ndim == 1 else targets
        weighted = shares * self.class_weights  # (N, K)
        kept = 1 - self.label_smoothing
        smoothed = kept * weighted + self.label_smoothing * weighted.mean(1, keepdim=True)
        return functional.cross_entropy(logits, smoothed)


def likeliest(targets: Tensor) -> Tensor:
    """Labels (N,) of targets: of mixed videos the class with the larger share."""
    return targets if targets.ndim == 1 else targets.argmax(1)


def balanced_weights(
    labels: Sequence[int], num_classes: int, mirrored: Sequence[int] | None = None
) -> Tensor:
    """Float32 (K,): inverse frequencies of the classes, whose mean over what is seen is 1.

    ours: a class without videos has 1, which nothing asks for.

    Args:
        labels: Of the training videos.
        num_classes: K.
        mirrored: Of each class that of its mirror images, which every other sample is; None: its
            own.
    """
    counts = torch.bincount(torch.tensor(labels), minlength=num_classes).float()
    if mirrored is not None:
        counts = (counts + counts[torch.tensor(mirrored)]) / 2
    present = int((counts > 0).sum())
    weights = len(labels) / (present * counts.clamp(min=0.5))
    return torch.where(counts > 0, weights, 1.0)


def _mixers(config: LossConfig, num_classes: int) -> list[torch.nn.Module]:
    if config.mixup_alpha is None and config.cutmix_alpha is None:
        return []
    from torchvision.transforms.v2 import CutMix, MixUp  # takes a second

    kinds = ((MixUp, config.mixup_alpha), (CutMix, config.cutmix_alpha))
    return [
        kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha is not None
    ]
