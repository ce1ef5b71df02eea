"""The contract of a network; to be read first.

A network takes `videos` (N, T, C, H, W), normalised, and returns `logits` (N, K). Which frames make
a view and how they are normalised, its `view` says. Training, tests, prediction, weights and
counting know no more of a network than what stands here; `build.py` makes one from a recipe.

Shapes: N views, T frames a view, C channels, K classes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import Self

from stsm_cli.config.view import View
from stsm_cli.models.shift_sites import shift_sites

CLASSIFIER = ("fc.weight", "fc.bias")
AUXILIARY = "auxiliary."
"""What the names of an auxiliary head's tensors begin with."""
RELATIONS = "relations."
"""What the names begin with of tensors between the features and a classifier of relations."""
AUXILIARY_WEIGHT = 0.5  # TPN's tsm_tpn.py: loss_weight
"""Weight of an auxiliary head's loss in training, beside the network's own."""


class Network(nn.Module):
    """A classifier of views.

    A subclass computes `logits`. Its features are called `backbone`, and `fc` the linear layer that
    gives one score a class: files of weights are known by these names, and `fc` is new where a
    network starts from weights for other classes.

    Attributes:
        view: What a view must hold.
        num_classes: K.
        auxiliary: A head that training alone uses, its linear layer called `fc` too; None: without.
    """

    auxiliary: nn.Module | None

    def __init__(self, view: View, num_classes: int) -> None:
        super().__init__()
        self.view, self.num_classes, self.auxiliary = view, num_classes, None

    @property
    def shift_sites(self) -> list[str]:
        """The convolutions before which a shift may stand: those that begin residual branches.

        Raises:
            ValueError: There is none.
        """
        return shift_sites(self)

    def frames_of(self, weights: Mapping[str, Tensor]) -> int | None:
        """Frames of the views that `weights` of such a network take; None: no shape tells."""
        return None

    def channels_last(self) -> Self:
        """This network, its convolutions laid out as the frames come: channels last."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)
            elif isinstance(module, nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)
        return self

    def forward(self, videos: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (N, K) of normalised videos (N, T, C, H, W).

        In training they come with those of the auxiliary head, where there is one.

        Raises:
            ValueError: `videos` has another shape than the view's.
        """
        num_frames, channels = self.view.shape(0)[:2]
        if videos.ndim != 5 or videos.shape[1:3] != (num_frames, channels):
            raise ValueError(
                f"videos must be (N, {num_frames}, {channels}, H, W): {num_frames} frames a view, "
                f"got {tuple(videos.shape)}"
            )
        return self.logits(videos)

    def logits(self, videos: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, K) of videos (N, T, C, H, W), whose shape is checked; float32 under autocast, too.

        A network with an auxiliary head returns both heads' where its own mode is training.
        """
        raise NotImplementedError(f"{type(self).__name__} has no logits of {tuple(videos.shape)}")
