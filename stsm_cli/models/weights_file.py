"""Files of tensors that others may have written: read without running anything that is in them."""

import errno
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_caffe2 import is_caffe2, read_caffe2
from stsm_cli.models.weights_kind import check_kind, not_read

_BYSTANDERS = (
    "argparse.Namespace",
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
"""Classes beside the weights in checkpoints: options of VMZ, logs of MMAction2, scores of TSM."""
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)


class _Placeholder:
    """Stands where a file asks for one of `_BYSTANDERS`; it takes everything and does nothing."""

    def __new__(cls, *_: object) -> "_Placeholder":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


def read_pickle(path: Path) -> dict[str, Any]:
    """Load what `torch.save` or Caffe2 wrote, on the CPU, as far as it is tensors and plain data.

    Raises:
        CheckpointError: The file is missing, damaged, no dictionary, or asks for code to be run;
            it would take more memory than its own size; or a tensor of its state dict is not one
            of weights.
    """
    check_kind(path, "checkpoint")
    content = {"model_state": read_caffe2(path)} if is_caffe2(path) else _read_torch(path)
    if len(content.keys() & {"recipe_hash", "position", "random"}) > 1:  # one may be damaged
        _check_parts(path)
    state = state_dict(content)
    if isinstance(state, dict):
        state.pop("n_averaged", None)  # of torch's AveragedModel: no weight
        _check_tensors(path, state)
    return content


def _check_parts(path: Path) -> None:
    """Refuse a checkpoint of `stsm train` that is not as it was written: torch does not look.

    Of others' it is not known whether they have checksums (`set_crc32_options`).
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except Exception as error:  # of a damaged header zipfile raises almost anything
        damaged = str(error)
    if damaged:
        raise CheckpointError(f"{path}: not a readable checkpoint (damaged: {damaged})")


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise not_read(path, error) from None
    placeholders = torch.serialization.safe_globals([(_Placeholder, name) for name in _BYSTANDERS])
    try:
        with file, placeholders, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors that are refused below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no checkpoint makes torch.load raise almost anything
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise _refused(path, refused[1]) from None
        reason = "not written by torch.save, or damaged"
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # what torch seeks in halves
            reason = error.strerror or str(error)
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a checkpoint, holds {type(content).__name__}")
    return content


def state_dict(content: dict[str, Any]) -> Any:  # noqa: ANN401
    """The part of a checkpoint that should be its weights, whatever lies around it."""
    names = ("state_dict", "model_state", "model_state_dict", "model")
    found = [content[name] for name in names if name in content]
    return next((part for part in found if isinstance(part, dict)), [*found, content][0])


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and the metadata of its header.

    Raises:
        CheckpointError: The file is missing or damaged, or a tensor is not one of weights.
    """
    check_kind(path, "safetensors file")
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    _check_tensors(path, tensors)
    return tensors, metadata


def read_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    with _opened(path) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:  # what safetensors opens has no type
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except OSError as error:
        raise not_read(path, error) from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None


def _check_tensors(path: Path, state: dict[Any, Any]) -> None:
    """Refuse tensors that are not of weights, before anything is made of one."""
    most = path.stat().st_size
    for name, tensor in state.items():
        if isinstance(tensor, Tensor) and (problem := _problem(name, tensor, most)):
            raise CheckpointError(f"{path}: {name} {problem}")


def _problem(name: object, tensor: Tensor, most: int) -> str | None:
    """Fault of `tensor`, out of a file of `most` bytes; None without one."""
    if tensor.dim() == 0 and not str(name).endswith("num_batches_tracked"):
        return "is a single number, which no tensor of weights is"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"is stored as {tensor.layout}, not as a dense tensor"
    if tensor.is_meta:
        return "has a shape and no values (device meta)"
    if tensor.dtype not in _DTYPES:
        return f"has type {tensor.dtype}; weights are floating-point numbers"
    if (size := tensor.numel() * tensor.element_size()) > most:
        return f"{tuple(tensor.shape)} takes {size} bytes, more than the whole file ({most})"
    if not tensor.isfinite().all():
        return "holds NaN or infinity"
    return None


def _refused(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused, since it asks for {name}, which is neither a tensor nor plain data; "
        "nothing of it was run",
        hint="if you trust the file, strip it where it was made: "
        "made = torch.load(FILE, weights_only=False); torch.save(made['state_dict'], STRIPPED), "
        "or made.state_dict() where the file holds a network",
    )
