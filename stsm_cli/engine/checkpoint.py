"""Checkpoints: whole or absent, and loaded without executing what is in them."""

import shutil
from pathlib import Path
from typing import Any

import torch

from stsm_cli.atomic import whole_file
from stsm_cli.engine.runlog import instead_of
from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_file import read_pickle


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, nested dicts and lists) to `path`, atomically.

    Raises:
        CheckpointError: The file cannot be written; what was at `path` is still there.
    """
    try:
        with whole_file(path) as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        # trap: torch hides what the file raised behind an error about positions in its archive
        raise _cannot_write(path, error, error.__context__) from None


def copy_checkpoint(path: Path, copy: Path) -> None:
    """Write a copy of the checkpoint at `path`, atomically.

    Raises:
        CheckpointError: The copy cannot be written; what was there still is.
    """
    try:
        with path.open("rb") as source, whole_file(copy) as file:
            shutil.copyfileobj(source, file, length=2**20)
    except OSError as error:
        raise _cannot_write(copy, error) from None


def _cannot_write(path: Path, *errors: BaseException | None) -> BaseException:
    for error in errors:
        if isinstance(error, OSError):
            return CheckpointError(
                f"{path}: cannot be written ({error.strerror})",
                hint="what was there before is whole; make room, then go on: "
                "`stsm train --resume`, or the same `stsm ablate` again",
            )
    assert errors[0] is not None
    return errors[0]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote, on the CPU; nothing in the file is executed.

    Raises:
        CheckpointError: As `read_pickle`.
    """
    try:
        return read_pickle(path)
    except CheckpointError as error:
        raise CheckpointError(str(error), hint=instead_of(path) or error.hint) from None
