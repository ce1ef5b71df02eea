"""Counts what a network costs: by fvcore, on a traced forward pass.

fvcore reads shapes alone, so the networks of recipes are traced without memory (`tracing.py`), at
the same figures (tests/analysis/test_counting.py compares them with a trace of real tensors).

Convolutions, linear layers and matrix products count, one a multiply-add (a counter that reports
multiplications and additions apart shows twice as many). What the field skips by convention is
listed with the elements it writes, and any other operator is listed as uncounted: nothing that
computes passes silently. Data movement, and so the shift, is free.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from stsm_cli.analysis.cost import Cost, LayerCost, ShiftSite
from stsm_cli.analysis.tracing import ShapesOnly
from stsm_cli.config.schema import ModelConfig
from stsm_cli.errors import DataError
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import ShiftedConv
from stsm_cli.models.shift_slices import group_sizes

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # its losses use torch.jit.script
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn import jit_handles as count

COUNTED = {
    "aten::_convolution": count.conv_flop_jit,
    "aten::linear": count.linear_flop_jit,
    "aten::addmm": count.addmm_flop_jit,
    "aten::matmul": count.matmul_flop_jit,
    "aten::mm": count.matmul_flop_jit,
    "aten::bmm": count.bmm_flop_jit,
    "aten::einsum": count.einsum_flop_jit,
}
SKIPPED = (
    "batch_norm",
    "relu",
    "relu_",
    "hardtanh",  # ReLU6
    "hardtanh_",
    "add",
    "add_",
    "sub",
    "mul",
    "div",
    "sigmoid",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool2d",
    "max_pool3d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "mean",
    "upsample_nearest2d",
    "softmax",
    "linalg_vector_norm",
    "abs",
    "rsub",
    "square",
    "sum",
    "amax",
    "sqrt",
    "argsort",
)
"""Skipped by convention: small beside the convolutions, or fused into them."""
MOVES = ("pad", "unflatten", "masked_fill", "index_select", "stack")
"""Move data and compute nothing; fvcore itself passes over the others of that kind."""


def measure_cost(model: nn.Module, videos: Tensor) -> Cost:
    """The cost of `model(videos)`.

    Args:
        model: In eval mode, or its batch norms move.
        videos: What `model` takes; one view (1, T, C, H, W) gives the cost of a view. Nothing is
            computed where both are on the meta device.
    """
    analysis = (
        FlopCountAnalysis(model, videos)
        .clear_op_handles()
        .set_op_handle(**COUNTED)
        .set_op_handle(**{f"aten::{name}": _elements_written for name in SKIPPED})
        .set_op_handle(**{f"aten::{name}": None for name in MOVES})
        .unsupported_ops_warnings(False)
        .uncalled_modules_warnings(False)
    )
    with ThreadPoolExecutor(1) as apart:  # trap: the recorder notes all calls around an operator
        by_module = apart.submit(_by_module, analysis).result()
    macs = {name: _macs(by_module[name]) for name in by_module}
    return Cost(
        macs=macs[""],
        params=_num_params(model.parameters()),
        layers=_layers(model, macs),
        skipped={name: int(n) for name, n in by_module[""].items() if name in SKIPPED},
        uncounted=dict(analysis.unsupported_ops()),
        sites=shifted_channels(model),
        training_params=sum(_own_params(model, name) for name in analysis.uncalled_modules()),
    )


def _by_module(analysis: FlopCountAnalysis) -> dict[str, Counter[str]]:
    with torch.no_grad(), ShapesOnly():  # type: ignore[no-untyped-call]
        return analysis.by_module_and_operator()  # type: ignore[no-any-return]


def mean_macs(model: nn.Module, views: Iterable[Tensor]) -> tuple[float, int]:
    """The mean multiply-adds of `views`, of a network whose cost depends on them; and their number.

    Args:
        model: As for `measure_cost`.
        views: Real ones, each (1, T, C, H, W), where `model` is.

    Raises:
        DataError: There is none.
    """
    macs = [measure_cost(model, view).macs for view in views]
    if not macs:
        raise DataError("no view to count: none of the videos decodes")
    return sum(macs) / len(macs), len(macs)


def count_cost(config: ModelConfig, *, size_px: int) -> Cost:
    """The cost of one view of `size_px`² pixels in the network of `config`, counted now."""
    with torch.device("meta"):
        model = build_model(config.without_start()).eval()
        videos = torch.empty(1, *model.view.shape(size_px))
    return measure_cost(model, videos)


def shifted_channels(model: nn.Module) -> tuple[ShiftSite, ...]:
    """Places where a shift stands in `model`, and how many channels it really moves there."""
    return tuple(
        _site(name, module)
        for name, module in model.named_modules()
        if isinstance(module, ShiftedConv)
    )


def _site(name: str, module: ShiftedConv) -> ShiftSite:
    channels = module.net.in_channels
    sizes = group_sizes(module.slices, module.dims)
    by_group = {group: sum(both) for group, both in sizes.items()}
    return ShiftSite(name, channels, sum(by_group.values()), by_group)


def _elements_written(_inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    is_shape = outputs[0].type().scalarType() == "Long"  # arithmetic on sizes, while tracing
    return 0 if is_shape else prod(count.get_shape(outputs[0]))


def _macs(by_operator: Mapping[str, int]) -> int:
    return sum(int(n) for name, n in by_operator.items() if name not in SKIPPED)


def _layers(model: nn.Module, macs: Mapping[str, int]) -> tuple[LayerCost, ...]:
    layers = []
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        inside = sum(macs[prefix + child] for child, _ in module.named_children())
        layers.append(LayerCost(name, macs[name] - inside, _own_params(model, name)))
    return tuple(layer for layer in layers if layer.macs or layer.params)


def _own_params(model: nn.Module, name: str) -> int:
    """Parameters of one module, without its submodules'."""
    return _num_params(model.get_submodule(name).parameters(recurse=False))


def _num_params(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
