"""A trace of a network whose tensors have a shape and no memory: nothing is computed.

fvcore counts the operators that `torch.jit` records. By itself that recorder needs real tensors,
for two reasons that `ShapesOnly` takes away.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_torch: Any = torch._C  # trap: its stubs leave out what is used here
_CONVOLUTION = torch.ops.aten.convolution.default
_RECORDED = torch.ops.aten._convolution.default
_BATCH_NORM = torch.ops.aten.native_batch_norm.default
_SWITCHES = (False, False, False, False)  # choose a library, not a result


class ShapesOnly(TorchDispatchMode):
    """Within it, a network on the meta device can be recorded, operator by operator as elsewhere.

    trap: while a recorder listens, sizes are tensors, and torch's own functions for tensors without
    memory take whole numbers alone: the recorder is laid aside while an operator runs.
    trap: it records a convolution from inside, where the operator calls `_convolution`; the mode
    stands in front of that, so the call is made here. In torch 2.6 the
    inner operator fails without memory, so the outer one gives the result.
    A batch norm's shape is its input's: torch derives it in Python, a fifth of the whole time.
    """

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func is _CONVOLUTION:
            with _recorder_in_reach(), self:
                return _RECORDED(*args, *_SWITCHES)
        if func is _RECORDED:
            func, args = _CONVOLUTION, args[: -len(_SWITCHES)]
        with _recorder_aside():
            if func is _BATCH_NORM and args[0].is_meta:
                none = torch.empty(0, device="meta")  # statistics, of which eval mode has none
                return torch.empty_like(args[0]), none, none
            return func(*args, **(kwargs or {}))


@contextmanager
def _recorder_aside() -> Iterator[None]:
    recorder = _torch._get_tracing_state()
    with _recorder_in_reach():
        _torch._set_tracing_state(None)
    try:
        yield
    finally:
        with _recorder_in_reach():
            _torch._set_tracing_state(recorder)


@contextmanager
def _recorder_in_reach() -> Iterator[None]:
    """Lift the rule that no operator below a recorded one is recorded."""
    before = _torch._dispatch_tls_is_dispatch_key_excluded("Tracer")
    _torch._dispatch_tls_set_dispatch_key_excluded("Tracer", False)
    try:
        yield
    finally:
        _torch._dispatch_tls_set_dispatch_key_excluded("Tracer", before)
