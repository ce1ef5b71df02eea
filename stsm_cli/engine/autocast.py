"""Half precision: torch's autocast, and the same on CPUs that have no arithmetic for it.

Such a CPU (bfloat16: most without AVX-512) falls back on plain loops, some ten times slower than
float32. Here its products are made in float32, of numbers rounded before and after: what CPUs
with the arithmetic compute, but for the order of sums, and about as fast as float32.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# of what autocast rounds, what our networks call
PRODUCTS = frozenset(
    (
        torch.conv1d,
        torch.conv2d,
        torch.conv3d,
        torch.conv_transpose2d,
        F.linear,
        torch.bmm,
        torch.matmul,
        Tensor.matmul,
    )
)


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Compute forward passes in `dtype` where it does no harm; None or float32: as they are."""
    if dtype is None or dtype == torch.float32:
        yield
        return
    with torch.autocast(device.type, dtype):
        if device.type != "cpu" or cpu_computes_in(dtype):
            yield
            return
        with _RoundedProducts(dtype):
            yield


def cpu_computes_in(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies float16 or bfloat16 on this CPU; without oneDNN nothing does."""
    if not torch.backends.mkldnn.is_available():
        return False
    name = "bf16" if dtype == torch.bfloat16 else "fp16"
    return bool(getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported")())


class _RoundedProducts(TorchFunctionMode):
    """Where autocast is on, products of rounded numbers in float32, rounded again."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if func not in PRODUCTS or not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            args = tuple(map(self._rounded, args))
            kwargs = {name: self._rounded(value) for name, value in kwargs.items()}
            return func(*args, **kwargs).to(self.dtype)

    def _rounded(self, value: Any) -> Any:  # noqa: ANN401
        return value.to(self.dtype).float() if isinstance(value, Tensor) else value
