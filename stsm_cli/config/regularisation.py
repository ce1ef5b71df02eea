"""Settings that keep a network from learning its training videos by heart; all are off unless set.

None of them is the paper's.
"""

from typing import Annotated, Literal

from pydantic import Field

from stsm_cli.config.kinds import Section

Concentration = Annotated[float, Field(ge=0.01, le=100)]
"""Parameter of a beta distribution; below 0.01 float32 has no numbers for its draws."""


class RandAugmentConfig(Section):
    """RandAugment as torchvision has it: all frames of a video go through the same operations."""

    ops: Annotated[int, Field(ge=1, le=10)] = 2
    """Operations a video, drawn from fourteen: colours, contrast, rotation, shear, shifts, ..."""
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """Strength of every operation."""


class LossConfig(Section):
    """What training minimises: cross-entropy with these changes. Tests do not know of them."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each label that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: a video counts by how rare its class is among the training videos and their
    mirror images, 1 on average, so that all classes count alike however many videos they have."""
    mixup_alpha: Concentration | None = None
    """Mixup: each video of a part of a batch is blended with the one before, and their labels in
    the same shares, drawn from Beta(α, α); 0.2 to 0.8 are usual. The accuracy in training is then
    that of the larger share."""
    cutmix_alpha: Concentration | None = None
    """CutMix: a box of each video, the same in all frames, is of the one before, and the label by
    its area. Beside mixup one of the two is drawn for each part of a batch."""
