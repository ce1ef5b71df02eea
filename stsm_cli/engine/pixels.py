"""The last step of the input pipeline, done on the device: uint8 pixels to normalised floats."""

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
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(STD, device=device).view(3, 1, 1)
    return pixels.to(device, non_blocking=True).float().sub_(mean).div_(std)
