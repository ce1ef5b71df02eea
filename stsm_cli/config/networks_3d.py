"""Networks of 3D convolutions: their names, and the views and the smallest features that they have.

The recipe's schema holds them; nothing here reads it.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from stsm_cli.config.kinds import Section, Stream
from stsm_cli.config.view import (
    BNINCEPTION_MEAN,
    BNINCEPTION_STD,
    FLOW_MEAN,
    FLOW_STD,
    I3D_MEAN,
    I3D_STD,
    R2PLUS1D_MEAN,
    R2PLUS1D_STD,
    SLOWFAST_MEAN,
    SLOWFAST_STD,
    View,
)

SlowBackbone = Literal["slow_resnet50", "slow_resnet_small"]
SlowFastBackbone = Literal["slowfast_resnet50", "slowfast_resnet_small"]
R2Plus1DBackbone = Literal["r2plus1d_34", "r2plus1d_small"]
SmallBigBackbone = Literal["smallbig_resnet50", "smallbig_resnet_small"]
I3DBackbone = Literal["i3d", "i3d_small"]
BNInceptionBackbone = Literal["bninception", "bninception_small"]
"""Of 2D convolutions, with a view of its own."""
Backbone3D = Literal[
    SlowBackbone, SlowFastBackbone, R2Plus1DBackbone, SmallBigBackbone, I3DBackbone
]
TAKES_FLOW: tuple[str, ...] = (
    *get_args(R2Plus1DBackbone),
    *get_args(I3DBackbone),
    *get_args(BNInceptionBackbone),
)
"""Those that can be a stream of optical flow."""
WITHOUT_SHIFT: tuple[str, ...] = (*get_args(I3DBackbone), *get_args(BNInceptionBackbone))
"""Those without residual branches, before which a shift would stand."""


class SlowFastConfig(Section):
    """The relation of SlowFast's two pathways."""

    ratio: Annotated[int, Field(gt=0, le=64)] = 8  # SlowFast: SLOWFAST_4x16_R50
    """Fast frames for each slow one, the authors' α."""
    lateral_kernel: Annotated[int, Field(gt=0, le=63)] = 5  # SlowFast: SLOWFAST_4x16_R50
    """Temporal size of the convolutions from the fast to the slow pathway, odd."""
    lateral_norm: bool = True
    """A norm and a ReLU behind each of these; MMAction2 has none."""
    slow_frames: Literal["spread", "every"] = "spread"
    """`spread`: the first fast frame, the last and some between, as its authors take them. `every`:
    the first and each `ratio`th behind it, as in MMAction2."""

    @model_validator(mode="after")
    def _has_a_middle(self) -> "SlowFastConfig":
        if self.lateral_kernel % 2 == 0:
            raise ValueError(f"lateral_kernel ({self.lateral_kernel}) must be odd")
        return self


class SmallBigConfig(Section):
    """SmallBigNet's blocks."""

    extra: bool = False
    """Before each block with big views a unit that sees the maxima over a whole view."""


def view_of(
    backbone: str, num_frames: int, slowfast: SlowFastConfig, stream: Stream = "rgb"
) -> View:
    """The view of `backbone`, one of 2D or of 3D convolutions.

    SlowFast takes its slow frames from the fast ones by itself. The dense views of R(2+1)D are
    frames one by one.

    Args:
        backbone: A name of the schema's.
        num_frames: Frames a view; in SlowFast those of the slow pathway.
        slowfast: SlowFast's.
        stream: `flow` for one of `TAKES_FLOW`.
    """
    if backbone in get_args(SlowFastBackbone):
        return View(num_frames * slowfast.ratio, mean=SLOWFAST_MEAN, std=SLOWFAST_STD)
    if backbone in get_args(SlowBackbone):
        return View(num_frames, mean=SLOWFAST_MEAN, std=SLOWFAST_STD)
    if backbone in get_args(R2Plus1DBackbone) and stream == "flow":
        # ours: VMZ has no flow network; scaled as in I3D
        mean, std = 2 * FLOW_MEAN, 2 * FLOW_STD
        return View(num_frames, window=num_frames, mean=mean, std=std, flow_fields=1)
    if backbone in get_args(R2Plus1DBackbone):
        return View(num_frames, window=num_frames, mean=R2PLUS1D_MEAN, std=R2PLUS1D_STD)
    if backbone in get_args(I3DBackbone):
        if stream == "flow":
            mean, std = 2 * FLOW_MEAN, 2 * FLOW_STD
            return View(num_frames, window=num_frames, mean=mean, std=std, flow_fields=1)
        return View(num_frames, window=num_frames, mean=I3D_MEAN, std=I3D_STD)
    if backbone in get_args(BNInceptionBackbone) and stream == "flow":
        stacked = 2 * 5 * FLOW_MEAN  # TRN's code: five fields of two channels
        return View(num_frames, mean=stacked, std=(1.0,) * len(stacked), flow_fields=5)
    if backbone in get_args(BNInceptionBackbone):
        return View(num_frames, mean=BNINCEPTION_MEAN, std=BNINCEPTION_STD)
    return View(num_frames)


def fusion_of(backbone: str) -> Literal["prob", "logits"]:
    """What of two streams of `backbone` is added up: of I3D logits, of others probabilities.

    Source: deepmind/kinetics-i3d, evaluate_sample.py (the sum of logits); the papers of R(2+1)D and
    TRN (averages of scores).
    """
    return "logits" if backbone in get_args(I3DBackbone) else "prob"


def smallest_map(backbone: str, num_frames: int) -> tuple[int, int]:
    """The smallest feature map of `backbone`: time steps, and pixels of the frame for each of its.

    Args:
        backbone: A name of the schema's.
        num_frames: Frames a view; in SlowFast those of the slow pathway.
    """
    is_factored = backbone in get_args(R2Plus1DBackbone)
    if backbone == "bninception_small":
        return num_frames, 8
    pixels = 16 if is_factored or backbone.endswith("_small") else 32
    if backbone.startswith("bottleneck"):
        pixels = 14  # a map of 4, halved twice; 15 pixels make one of 5
    if backbone == "inverted_small":
        pixels = 7  # the stem cuts squares of 4: 8 make a map of 2
    if is_factored:  # halves time three times
        return -(-num_frames // 8), pixels
    if backbone in get_args(I3DBackbone):  # halves time three times, in small twice
        halvings = 4 if backbone.endswith("_small") else 8
        return -(-num_frames // halvings), 8 if backbone.endswith("_small") else pixels
    if backbone in get_args(SmallBigBackbone):  # takes maxima over all frames
        return 1, pixels
    return num_frames, pixels
