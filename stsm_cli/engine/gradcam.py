"""Grad-CAM: the places and times of a view that speak for a class.

A channel of the last feature maps counts by how much the class's score rises with it; the maps,
weighted so and added up, say where that comes from. Where a network ends in a mean of its maps and
a linear layer, the mean of the result is, before what is negative is cut off, the class's score
less its bias.

Shapes: T frames of a view, M steps of a map in time, C channels, L labels.

Source: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization (ICCV 2017), equations 1 and 2, but for a constant factor. ours: in a 3D network the
gradient is added up over time as over space, and maps of fewer steps are stretched along time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stsm_cli.models.atfr import ATFR
from stsm_cli.models.network import Network

_POOLING = "avgpool"
"""Name of the module that pools the last maps, in networks that have one."""


def grad_cam(model: Network, view: Tensor, labels: Sequence[int]) -> Tensor:
    """Maps (L, T, H, W), 0 or more, of one view under each label; on the CPU.

    The steps of ATFR are not in the order of time: all its frames get the mean map.

    Args:
        model: In eval mode, on the device of `view`.
        view: Normalised, (1, T, channels, H, W).
        labels: The classes asked about.

    Raises:
        ValueError: The network has no feature maps.
    """
    size = (view.shape[1], *view.shape[3:])
    with torch.enable_grad(), _last_maps(model) as maps:
        logits = model(view)
    if not maps:
        raise ValueError(f"{type(model).__name__} has no feature maps")
    return torch.stack(
        [_spread(_class_map(logits[0, label], maps, model), size) for label in labels]
    )


@contextmanager
def _last_maps(model: nn.Module) -> Iterator[list[Tensor]]:
    """A block in which a forward pass leaves its last feature maps in the list.

    They are what is pooled, of each pathway; where nothing of that name pools, the last map.
    """
    pooled: list[Tensor] = []
    last: list[Tensor] = []

    def note_pooled(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        pooled.append(given[0])

    def note_last(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim in (4, 5) and output[0, 0].numel() > 1:
            last[:] = [output]

    hooks = [
        module.register_forward_pre_hook(note_pooled)
        for name, module in model.named_modules()
        if name.rpartition(".")[2] == _POOLING
    ]
    hooks += [module.register_forward_hook(note_last) for module in model.modules()]
    found: list[Tensor] = []
    try:
        yield found
        found += pooled or last
    finally:
        for hook in hooks:
            hook.remove()


def _class_map(score: Tensor, maps: Sequence[Tensor], model: Network) -> Tensor:
    """The sum of the weighted maps, (M, h, w), at the size of the largest."""
    gradients = torch.autograd.grad(score, maps, retain_graph=True)
    parts = [_weighted(*pair) for pair in zip(maps, gradients, strict=True)]
    if isinstance(model, ATFR):
        parts = [part.mean(0, keepdim=True) for part in parts]
    largest = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    return torch.stack([_spread(part, largest) for part in parts]).sum(0).relu()


def _weighted(features: Tensor, gradient: Tensor) -> Tensor:
    """Maps (M, h, w) of features (M, C, h, w) of frames, or (1, C, M, h, w) of a whole view."""
    places = tuple(range(2, features.ndim))
    weighted = (gradient.sum(places, keepdim=True) * features).sum(1).detach()
    return weighted if features.ndim == 4 else weighted[0]


def _spread(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (M, h, w) at another size (T, H, W), between which values change evenly."""
    larger = F.interpolate(maps[None, None].float(), tuple(size), mode="trilinear")
    return larger[0, 0].cpu()
