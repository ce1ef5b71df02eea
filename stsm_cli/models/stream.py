"""A network with a causal shift, frame by frame: one frame in, its scores out.

Where a shift along time looks at the past alone (`T-`), what a frame needs of those before it is
what the last one held in the channels that move: a stream keeps this, and nothing else.

Shapes: N streams at a time, C channels, H rows, W columns, K classes.
"""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from stsm_cli.models.network import Network
from stsm_cli.models.shift import ShiftedConv
from stsm_cli.models.shift_copies import shifted
from stsm_cli.models.tsn import TSN

TIME = 0  # among the axes of a shift


def stream_obstacle(network: Network) -> str | None:
    """Why `FrameStream` does not take the network; None if it does."""
    if not isinstance(network, TSN):
        return f"{type(network).__name__} does not take its frames one by one"
    for name, module in network.named_modules():
        if isinstance(module, ShiftedConv):
            if any(TIME in part.axes and part.direction > 0 for part in module.slices):
                return f"{name} looks at the next frame: its dims are {module.dims}, T- is causal"
        elif hasattr(module, "num_frames"):
            return f"{name} ({type(module).__name__}) looks at all frames of a view"
    return None


class FrameStream:
    """The scores of frames as they come.

    The mean of the scores of T frames is what the network says of a video of these T.

    Args:
        network: A 2D network over frames, its shift causal or none; it is copied.

    Raises:
        ValueError: It is no network of `build_model`; or its frames see later ones, or earlier
            ones by more than a shift, as the message says.
    """

    def __init__(self, network: Network) -> None:
        if not isinstance(network, Network):
            made = "a network of `build_model`, which reads `T-` in a recipe"
            raise ValueError(f"FrameStream takes {made}, got {type(network).__name__}")
        if (problem := stream_obstacle(network)) is not None:
            raise ValueError(problem)
        self._network = deepcopy(network).eval()
        self._network.view = replace(network.view, num_positions=1)
        self._sites = [
            _replaced(self._network, name, _StreamedConv(module))
            for name, module in list(self._network.named_modules())
            if isinstance(module, ShiftedConv)
        ]
        self._shape: torch.Size | None = None

    @torch.inference_mode()
    def step(self, frames: Tensor) -> Tensor:
        """Scores (N, K) of the next frame of each of N streams (N, C, H, W), normalised.

        They are float32, or float64 of a float64 network.

        Raises:
            ValueError: It is not (N, C, H, W), or not of the size of the frames before it.
        """
        if frames.dim() != 4 or frames.shape[1] != len(self._network.view.mean):
            channels = len(self._network.view.mean)
            raise ValueError(f"frames are {tuple(frames.shape)}, not (N, {channels}, H, W)")
        if frames.shape != (self._shape or frames.shape):
            sizes = f"{tuple(frames.shape)}, those before it {tuple(self._shape or ())}"
            raise ValueError(f"frames are {sizes}; `restart` begins other videos")
        self._shape = frames.shape
        scores: Tensor = self._network(frames[:, None])
        return scores

    def restart(self) -> None:
        """Forget all frames so far: the next is a video's first."""
        self._shape = None
        for site in self._sites:
            site.past = []

    @property
    def num_bytes(self) -> int:
        """Memory kept from frame to frame."""
        return sum(part.nbytes for site in self._sites for part in site.past)


class _StreamedConv(nn.Module):
    """A shift and the convolution that reads it, for one frame after another.

    Attributes:
        past: What the last frame held in the channels that move along time, slice by slice; empty
            at a video's first frame.
    """

    def __init__(self, conv: ShiftedConv) -> None:
        super().__init__()
        self.net, self.slices = conv.net, conv.slices
        self.in_time = [part for part in conv.slices if TIME in part.axes]
        self.past: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Output of `net` for the shifted frames (N, C, H, W)."""
        moved = shifted(x, 1, self.slices)  # zeros enter along time
        for part, past in zip(self.in_time, self.past, strict=False):
            own = part._replace(axes=part.axes[1:], start=0, stop=past.shape[1])
            moved[:, part.start : part.stop] = shifted(past, 1, (own,))
        self.past = [x[:, part.start : part.stop].clone() for part in self.in_time]
        out: Tensor = self.net(moved)
        return out


def _replaced(network: nn.Module, name: str, by: _StreamedConv) -> _StreamedConv:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, by)
    return by
