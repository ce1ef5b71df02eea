"""Files of tensors that others may have written: read without running anything that is in them."""

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stsm_cli.errors import CheckpointError

_BYSTANDERS = (
    "builtins.getattr",  # a `HistoryBuffer` keeps its methods
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float64DType",
    "numpy.ndarray",
)
"""What lies beside the weights in checkpoints of MMAction2 and TSM: their logs and best scores."""


class _Placeholder:
    """Stands where a file asks for one of `_BYSTANDERS`; it takes everything and does nothing."""

    def __new__(cls, *_: object) -> "_Placeholder":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


def read_pickle(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote, on the CPU, as far as it is tensors and plain data.

    Raises:
        CheckpointError: The file is missing, damaged, no dictionary, or asks for code to be run.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _not_read(path, error) from None
    placeholders = torch.serialization.safe_globals([(_Placeholder, name) for name in _BYSTANDERS])
    try:
        with file, placeholders:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no checkpoint makes torch.load raise almost anything
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise _refused(path, refused[1]) from None
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, UnpicklingError):  # whose text advises to run what is in the file
            reason = "not written by torch.save, or damaged"
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a checkpoint, holds {type(content).__name__}")
    return content


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and the metadata of its header.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except OSError as error:
        raise _not_read(path, error) from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None


def _not_read(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read ({error.strerror or error})")


def _refused(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused, since it asks for {name}, which is neither a tensor nor plain data; "
        "nothing of it was run",
        hint="if you trust the file, strip it where it was made: "
        "torch.save({'state_dict': torch.load(FILE, weights_only=False)['state_dict']}, STRIPPED)",
    )
