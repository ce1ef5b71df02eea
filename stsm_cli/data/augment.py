"""Random changes of a whole video beyond its crop.

Layout: frames (T, H, W, 3).
"""

import numpy as np

from stsm_cli.config.regularisation import RandAugmentConfig
from stsm_cli.data.frames import Frames


def rand_augmented(frames: Frames, config: RandAugmentConfig, rng: np.random.Generator) -> Frames:
    """The frames after operations that are drawn once for all of them.

    Operations that look at a picture's own histogram (`AutoContrast`, `Equalize`) look at each
    frame's.
    """
    import torch
    from torchvision.transforms.v2 import RandAugment

    augment = RandAugment(config.ops, config.magnitude)
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)  # (T, 3, H, W)
    with torch.random.fork_rng(devices=()):  # torchvision draws from torch's own generator
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        changed = augment(pixels)
    augmented: Frames = changed.permute(0, 2, 3, 1).contiguous().numpy()
    return augmented
