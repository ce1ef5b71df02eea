"""The most memory that tensors hold at once, on a GPU and on a CPU."""
# ruff: noqa: ANN401  (PyTorch gives its dispatch modes anything)

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """The peak of memory of the tensors that `run` makes; what was there before does not count."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return int(torch.cuda.max_memory_allocated(device) - before)
    live = _LiveBytes()
    with live:
        run()
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the tensors that are made while it is on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and count."""
        out = func(*args, **(kwargs or {}))
        self._live = {key: held for key, held in self._live.items() if not held[0].expired()}
        given = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            # what was given and is not counted was there before: this is a view, or it in place
            if storage._cdata in self._live or storage._cdata not in given:
                self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return out


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """The memory of the tensors among arguments or results."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
