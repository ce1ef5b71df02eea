"""Pickles of Caffe2, as PySlowFast's model zoo has them: read without running what is in them.

Such a file is a dictionary whose `blobs` are arrays of numpy, called as in Caffe2; they are renamed
as PySlowFast's PyTorch calls them.

Source: facebookresearch/SlowFast, slowfast/utils/c2_model_loading.py and checkpoint.py.
"""

import pickle
import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stsm_cli.errors import CheckpointError

_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which `torch.save` began before PyTorch 1.6."""
_OPTIMISER = re.compile(r".*_momentum|lr|model_iter")
_KINDS = {
    "w": "weight",
    "s": "weight",
    "b": "bias",
    "rm": "running_mean",
    "riv": "running_var",
}


def _latin1(text: str, _encoding: str) -> bytes:
    return text.encode("latin1")


_reconstruct, _scalar = (value.__reduce__()[0] for value in (np.empty(0), np.float32(0)))
_PLAIN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    "_codecs.encode": _latin1,  # of the bytes of an array, before protocol 3
}
_PLAIN |= {f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")}
_PLAIN |= {f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")}


class _Arrays(pickle.Unpickler):
    """Makes arrays and plain containers, and nothing else."""

    refused: str | None = None

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if f"{module}.{name}" not in _PLAIN:
            self.refused = f"{module}.{name}"
            raise pickle.UnpicklingError(self.refused)
        return _PLAIN[f"{module}.{name}"]


def is_caffe2(path: Path) -> bool:
    """Tell from its first bytes whether a file is a pickle that `torch.save` has not written."""
    with path.open("rb") as file:
        beginning = file.read(64)
    return beginning.startswith(b"\x80") and _TORCH not in beginning


def read_caffe2(path: Path) -> dict[str, Any]:
    """The network's blobs as PySlowFast's PyTorch calls them, arrays as tensors on the CPU.

    What is no array of numbers stays as it is; the state of the optimiser is left out.

    Raises:
        CheckpointError: The file is damaged, asks for code to be run, or has no `blobs`.
    """
    blobs = _unpickled(path)
    if not isinstance(blobs, dict) or not isinstance(blobs := blobs.get("blobs"), dict):
        raise CheckpointError(
            f"{path}: not a checkpoint: a pickle, neither of torch.save nor with Caffe2's `blobs`"
        )
    kept = {name: blob for name, blob in blobs.items() if not _OPTIMISER.fullmatch(str(name))}
    return {pyslowfast_name(str(name)): _tensor(blob) for name, blob in kept.items()}


def _unpickled(path: Path) -> Any:  # noqa: ANN401
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dtypes that are refused later
        unpickler = _Arrays(file, encoding="latin1")
        try:
            return unpickler.load()
        except Exception:  # a damaged pickle raises almost anything
            reason = "not a readable checkpoint (a damaged pickle)"
            if name := unpickler.refused:
                reason = f"refused, since it asks for {name}, which is neither an array nor plain "
                reason += "data; nothing of it was run"
            raise CheckpointError(f"{path}: {reason}") from None


def _tensor(blob: Any) -> Any:  # noqa: ANN401
    try:
        return torch.from_numpy(blob.copy()) if isinstance(blob, np.ndarray) else blob
    except TypeError:  # text, objects, other byte orders
        return blob


def pyslowfast_name(name: str) -> str:
    """The name in PySlowFast's PyTorch of a blob of Caffe2; one of nobody known stays.

    The fast pathway's begin with `t_`.
    """
    match = re.fullmatch(r"(t_)?(.+?)(_bn)?_(w|s|b|rm|riv)", name)
    place = match and _place(match[2], pathway=int(bool(match[1])), is_norm=bool(match[3]))
    return f"{place}.{_KINDS[match[4]]}" if match and place else name


def _place(place: str, *, pathway: int, is_norm: bool) -> str | None:
    if place == "pred":
        return "head.projection"
    if place in ("conv1", "res_conv1"):
        return f"s1.pathway{pathway}_stem.{'bn' if is_norm else 'conv'}"
    if fuse := re.fullmatch(r"(?:pool|res)(\d)(?:_\d+_branch2c_bn)?_subsample", place):
        return f"s{fuse[1]}_fuse.{'bn' if is_norm else 'conv_f2s'}"
    if block := re.fullmatch(r"res(\d)_(\d+)_branch(1|2)([abc]?)", place):
        stage, number, branch, step = block.groups()
        parts = ".".join([f"branch{branch}", *step])
        return f"s{stage}.pathway{pathway}_res{number}.{parts}{'_bn' if is_norm else ''}"
    return None
