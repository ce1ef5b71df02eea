"""The device a run uses."""

import torch

from stsm_cli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, and the CPU elsewhere.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(
            f"--device {name}: not available here", hint="use auto, cpu or cuda"
        ) from None
    return device
