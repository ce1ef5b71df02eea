"""The last step of the input pipeline, done on the device: uint8 pixels to normalised floats."""

from functools import cache

import torch

# RGB statistics of ImageNet on the 0..255 scale, as in MMAction2's and torchvision's recipes
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def normalise(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Float32 pixels with zero mean and unit variance, strides kept.

    Args:
        pixels: uint8 (..., 3, H, W).
        device: Where the result lives; only uint8 travels there.
    """
    mean, std = _statistics(device)
    return pixels.to(device, non_blocking=True).float().sub_(mean).div_(std)


@cache  # a new copy for each batch would make the host wait for the device
def _statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode(mode=False):
        mean, std = (torch.tensor(values, device=device) for values in (MEAN, STD))
    return mean.view(3, 1, 1), std.view(3, 1, 1)
