"""Checkpoints: whole or absent, and loaded without executing what is in them."""

from pathlib import Path
from typing import Any

import torch

from stsm_cli.atomic import whole_file
from stsm_cli.errors import CheckpointError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, nested dicts and lists) to `path`, atomically.

    Raises:
        CheckpointError: The file cannot be written; what was at `path` is still there.
    """
    try:
        with whole_file(path) as file:
            torch.save(state, file)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror})") from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU; nothing in the file is executed.

    Raises:
        CheckpointError: The file is missing, truncated, or not a checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except Exception as error:  # what is no checkpoint makes torch.load raise almost anything
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a checkpoint of stsm (holds {type(state).__name__})")
    return state
