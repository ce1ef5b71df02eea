"""The weights of a network of pictures, given a time axis, to start one of videos from.

Source: I3D's paper, section 2.4, "Bootstrapping 3D filters from 2D Filters".
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

RGB = 3


def inflate(network: nn.Module, flat: Mapping[str, Tensor]) -> None:
    """Start `network` from the weights `flat` of a 2D network.

    Each kernel is repeated along time and divided by how often, so that a video that stands still
    gives what its picture gave, save near its ends. What has no counterpart stays as it is.

    Args:
        network: Of 3D convolutions, its parts called as in `flat`.
        flat: Kernels (D, C, H, W), and what else a 2D network has. Those that see RGB, where
            `network` sees channels of another number, are their mean in each of these.

    Raises:
        RuntimeError: A weight of `flat` has no place in `network`, or another shape there.
    """
    ours = network.state_dict()
    weights = {
        name: _kernel(weight, ours[name].shape) if weight.ndim == 4 and name in ours else weight
        for name, weight in flat.items()
    }
    network.load_state_dict(ours | weights)


def _kernel(weight: Tensor, shape: torch.Size) -> Tensor:
    """The kernel (D, C, H, W) with the channels and the time steps of `shape`, (D, C, T, H, W)."""
    channels, steps = shape[1:3]
    if weight.shape[1] == RGB != channels:  # ours: as TSN starts its flow; I3D's paper is silent
        weight = weight.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    return weight[:, :, None].expand(-1, -1, steps, -1, -1) / steps
