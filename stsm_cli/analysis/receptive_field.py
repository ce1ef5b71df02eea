"""Receptive field: the part of the picture that one feature of a network's last map depends on.

Followed through the operators of a forward pass without memory: a window of k, of dilation d, at
features that lie s pixels apart, adds (k - 1)·d·s pixels; a shift along an axis of space adds 2·s.
Parallel ways count by the farthest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stsm_cli.config.schema import ModelConfig
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import ShiftedConv
from stsm_cli.models.shift_slices import steps_of

ROWS, COLUMNS = 1, 2
"""Axes of a shift that are of space."""


@dataclass(frozen=True)
class Field:
    """Pixels that a feature depends on, and how far neighbouring features are apart.

    Attributes:
        size: Rows and columns.
        step: Rows and columns.
    """

    size: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)

    def seen_by(self, reach: Sequence[int], stride: Sequence[int] = (1, 1)) -> "Field":
        """The field of a window over such features, which spans `reach` steps."""
        rows, columns = (s + r * t for s, r, t in zip(self.size, reach, self.step, strict=True))
        steps = [s * t for s, t in zip(stride, self.step, strict=True)]
        return Field((rows, columns), (steps[0], steps[1]))


def receptive_field(config: ModelConfig, *, size_px: int) -> Field:
    """The field of one feature of the last map, which may exceed the picture.

    Args:
        config: Of a 2D backbone, without a system and without non-local blocks.
        size_px: Side of the pictures that the network is followed with.
    """
    bare = config.without_start(num_classes=1)
    with torch.device("meta"), torch.no_grad():
        network = build_model(bare).eval()
        frames = torch.empty(config.num_frames, 3, size_px, size_px)
        spread = _Spread(frames)
        for module in network.modules():
            if isinstance(module, ShiftedConv):
                module.register_forward_pre_hook(spread.shift)
        with spread:
            features = network.get_submodule("backbone")(frames)
    return spread.field(features)


class _Spread(TorchDispatchMode):
    """Within it, each tensor that depends on `picture` has a field, be it a view or not."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fields: dict[int, tuple[Any, Field]] = {}  # a storage is held, lest its number return
        self._set(picture, Field())

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        before = [self.field(value) for value in _tensors(args) if self._knows(value)]
        if before:
            reach, stride = _window(func, args)
            for value in _tensors(out):
                self._set(value, _widest(before).seen_by(reach, stride))
        return out

    def shift(self, module: ShiftedConv, inputs: tuple[Tensor]) -> Tensor:
        """A copy of the features that enter a shift, with the field that they leave it with."""
        moves = [dict(steps_of(part)) for part in module.slices if part.start < part.stop]
        moves += [{}] if module.slices[-1].stop < module.net.in_channels else []
        steps = [[move.get(axis, 0) for move in moves] for axis in (ROWS, COLUMNS)]
        reach = [max(side) - min(side) for side in steps]
        features = inputs[0].clone()
        self._set(features, self.field(inputs[0]).seen_by(reach))
        return features

    def field(self, value: Tensor) -> Field:
        """The field of a feature of `value`."""
        return self._fields[_number(value)][1]

    def _knows(self, value: Tensor) -> bool:
        return _number(value) in self._fields

    def _set(self, value: Tensor, field: Field) -> None:
        self._fields[_number(value)] = value.untyped_storage(), field


def _number(value: Tensor) -> int:
    return int(value.untyped_storage()._cdata)


def _tensors(values: Any) -> list[Tensor]:  # noqa: ANN401
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _widest(fields: Iterable[Field]) -> Field:
    """The field of what depends on all of `fields`."""
    sizes, steps = zip(*((field.size, field.step) for field in fields), strict=True)
    rows, columns = (max(side) for side in zip(*sizes, strict=True))
    down, right = (max(side) for side in zip(*steps, strict=True))
    return Field((rows, columns), (down, right))


def _window(func: Any, args: Sequence[Any]) -> tuple[Sequence[int], Sequence[int]]:  # noqa: ANN401
    """How many steps the window of an operator spans, and its stride; of others none and 1."""
    match func:
        case torch.ops.aten.convolution.default:
            kernel, stride, dilation = args[1].shape[2:], args[3], args[5]
        case torch.ops.aten.max_pool2d_with_indices.default | torch.ops.aten.avg_pool2d.default:
            kernel, stride, dilation = args[1], args[2] if len(args) > 2 else args[1], (1, 1)
            if list(kernel) == list(args[0].shape[2:]):  # the mean over a map is no window
                return (0, 0), (1, 1)
        case _:
            return (0, 0), (1, 1)
    return [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)], stride
