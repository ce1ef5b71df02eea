"""Files of tensors that others may have written: read without running anything that is in them."""

import errno
import re
import warnings
import zipfile
from pathlib import Path
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
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)
_SNIFFED = 512  # bytes


class _Placeholder:
    """Stands where a file asks for one of `_BYSTANDERS`; it takes everything and does nothing."""

    def __new__(cls, *_: object) -> "_Placeholder":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


def read_pickle(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote, on the CPU, as far as it is tensors and plain data.

    Raises:
        CheckpointError: The file is missing, damaged, no dictionary, or asks for code to be run;
            it would take more memory than its own size; or a tensor of its state dict is not one
            of weights.
    """
    _check_file(path, "checkpoint")
    try:
        file = path.open("rb")
    except OSError as error:
        raise _not_read(path, error) from None
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
    state = state_dict(content)
    if isinstance(state, dict):
        _check_tensors(path, state)
    return content


def state_dict(content: dict[str, Any]) -> Any:  # noqa: ANN401
    """What a checkpoint has where its weights should be, whatever lies around it."""
    return content.get("state_dict", content.get("model", content))


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and the metadata of its header.

    Raises:
        CheckpointError: The file is missing or damaged, or a tensor is not one of weights.
    """
    _check_file(path, "safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except OSError as error:
        raise _not_read(path, error) from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None
    _check_tensors(path, tensors)
    return tensors, metadata


def _check_file(path: Path, kind: str) -> None:
    """Refuse what the first bytes, or an archive's list of contents, show to be something else."""
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: cannot be read (not a file)")
        with path.open("rb") as file:
            beginning = file.read(_SNIFFED)
    except OSError as error:
        raise _not_read(path, error) from None
    if found := _other_kind(beginning):
        reason, hint = found
        raise CheckpointError(f"{path}: not a readable {kind} ({reason})", hint=hint)
    if beginning.startswith(b"PK"):
        _check_archive(path)


def _other_kind(beginning: bytes) -> tuple[str, str | None] | None:
    """What a file is that begins so, and what to do about it; None for what may be a checkpoint."""
    again = (
        "download the file itself; such a page comes in its place from a link to a page about it"
    )
    if not beginning:
        return "it is empty", "fetch it again"
    if beginning.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself", "`git lfs pull` fetches the file"
    if beginning.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page", again
    if all(byte > 31 or byte in b"\t\n\r\f" for byte in beginning) and beginning[0] < 128:
        return "it is a text file", None
    return None


def _check_archive(path: Path) -> None:
    """Refuse an archive that would be larger in memory than on disk; `torch.save` packs nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, EOFError):
        return  # damaged: its reader says how
    if size > path.stat().st_size:
        raise CheckpointError(
            f"{path}: refused, since {path.stat().st_size} bytes would become {size}: it is "
            "compressed, which torch.save never does"
        )


def _check_tensors(path: Path, state: dict[Any, Any]) -> None:
    """Refuse tensors that are not of weights, before anything is made of one."""
    most = path.stat().st_size
    for name, tensor in state.items():
        if isinstance(tensor, Tensor) and (problem := _problem(name, tensor, most)):
            raise CheckpointError(f"{path}: {name} {problem}")


def _problem(name: object, tensor: Tensor, most: int) -> str | None:
    """What is wrong with `tensor`, out of a file of `most` bytes."""
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


def _not_read(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be read ({error.strerror or error})")


def _refused(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused, since it asks for {name}, which is neither a tensor nor plain data; "
        "nothing of it was run",
        hint="if you trust the file, strip it where it was made: "
        "torch.save({'state_dict': torch.load(FILE, weights_only=False)['state_dict']}, STRIPPED)",
    )
