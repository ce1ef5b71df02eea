"""The last step of the input pipeline, done on the device: uint8 pixels to normalised floats."""

from functools import cache

import torch

from stsm_cli.config.view import View


def normalise(pixels: torch.Tensor, view: View, device: torch.device) -> torch.Tensor:
    """Float32 pixels with zero mean and unit variance by the view's statistics, strides kept.

    Args:
        pixels: uint8 (..., C, H, W).
        view: What the network takes.
        device: Where the result lives; only uint8 travels there.
    """
    mean, std = _statistics(view, device)
    return pixels.to(device, non_blocking=True).float().sub_(mean).div_(std)


@cache  # a new copy for each batch would make the host wait for the device
def _statistics(view: View, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode(mode=False):
        mean, std = (torch.tensor(values, device=device) for values in (view.mean, view.std))
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)
