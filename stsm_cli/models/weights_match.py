"""The network, and the shipped recipe, that a checkpoint's tensors belong to.

Candidates are the networks of the recipes that its layout names, with as many classes as the file,
and where the layout says so torchvision's networks without a recipe. The nearest is taken: that
with the fewest tensors of other names or shapes. Of those that are equally near, one with the
file's shift, its number of classes and, where it states them, its frames and its sampling; of these
the first of the layout's list.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import get_args

import torch
from torch import Tensor

from stsm_cli.config.load import load_recipe
from stsm_cli.config.networks_3d import Backbone3D, SlowFastBackbone
from stsm_cli.config.schema import Backbone, ModelConfig, Sampling, TorchvisionBackbone
from stsm_cli.models.build import build_model
from stsm_cli.models.network import CLASSIFIER, Network
from stsm_cli.models.weights_layout import Layout

COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """The network nearest to some weights.

    Attributes:
        config: Its configuration.
        network: It, on meta and without a shift.
        tensors: Those that the layout has of it, under our names and in our forms.
        recipe: The shipped recipe with this network, shift and number of classes; None without one.
        also: Others that have them, too.
        relatives: Where there is none, the shipped recipes with this network and shift and another
            number of classes.
        for_frames: A shipped recipe that lacks nothing of it but the number of frames, SlowFast's
            ratio or the sampling, which the shapes or the file's configuration tell; None without
            one.
        frames: Of a view, where they are told so; None: nothing tells them, or any number will do.
    """

    config: ModelConfig
    network: Network
    tensors: dict[str, Tensor]
    recipe: str | None
    also: tuple[str, ...]
    relatives: tuple[str, ...] = ()
    for_frames: str | None = None
    frames: int | None = None

    @property
    def tells_frames(self) -> bool:
        """True where a network for more frames has other tensors."""
        config = _plain(self.config, self.network.num_classes)
        longer = _network(config.model_copy(update={"num_frames": 2 * config.num_frames}))
        return shapes(longer.state_dict()) != shapes(self.network.state_dict())


@dataclass(frozen=True)
class _Candidate:
    """A configuration, and the recipe that has it, if one has."""

    config: ModelConfig
    recipe: str | None = None
    sampling: Sampling | None = None


def nearest(
    weights: Mapping[str, Tensor],
    layout: Layout,
    *,
    shifted: bool,
    frames: int | None = None,
    ratio: int | None = None,
    sampling: Sampling | None = None,
) -> Match:
    """The network of `layout` that is nearest to `weights`, which have our names.

    Args:
        shifted: Whether the weights were trained with TSM's shift.
        frames: Frames that a view reads, where the file's configuration states them.
        ratio: SlowFast's, likewise.
        sampling: That of its frames, likewise.
    """
    num_classes, theirs = _num_classes(weights), shapes(weights)
    ranks = {
        candidate: (
            len(shapes(_tensors(candidate.config, num_classes, layout)) ^ theirs),
            (candidate.config.shift is not None) != shifted,
            candidate.config.num_classes != num_classes,
            frames not in (candidate.config.view.num_frames, None),
            sampling not in (candidate.sampling, None),
        )
        for candidate in _candidates(layout)
    }
    best = min(ranks, key=lambda candidate: ranks[candidate])
    config = _with_ratio(best.config, ratio)
    told = _network(_plain(config, num_classes)).frames_of(weights)
    if told is None and frames and (shifted or _sees_time(config)):
        reads = config.view.num_frames // config.num_frames  # in SlowFast, for each slow frame
        told = max(1, frames // reads)
    if told not in (None, config.num_frames):
        config = config.model_copy(update={"num_frames": told})
    alike = [candidate.recipe for candidate, rank in ranks.items() if rank == ranks[best]]
    _, other_shift, other_classes, _, other_sampling = ranks[best]
    found = () if other_shift else tuple(name for name in alike if name)
    is_its, is_set = not (other_shift or other_classes), config == best.config
    is_set &= not other_sampling
    named = found if is_its and is_set else ()
    return Match(
        config=config,
        network=_network(_plain(config, num_classes)),
        tensors=_tensors(config, num_classes, layout),
        recipe=named[0] if named else None,
        also=found[1:] if is_its else (),
        relatives=found if other_classes else (),
        for_frames=best.recipe if is_its and not is_set else None,
        frames=told,
    )


def _with_ratio(config: ModelConfig, ratio: int | None) -> ModelConfig:
    if ratio is None or config.backbone not in get_args(SlowFastBackbone):
        return config
    slowfast = config.slowfast.model_copy(update={"ratio": ratio})
    return config.model_copy(update={"slowfast": slowfast})


def _sees_time(config: ModelConfig) -> bool:
    """Whether a network without a shift is more than the mean over its frames."""
    return bool(config.system or config.non_local) or config.backbone in get_args(Backbone3D)


def shapes(tensors: Mapping[str, Tensor]) -> set[tuple[str, torch.Size]]:
    """Names and shapes of all but the counters of batches."""
    return {(key, value.shape) for key, value in tensors.items() if not key.endswith(COUNTER)}


@cache
def _candidates(layout: Layout) -> tuple[_Candidate, ...]:
    shipped = tuple(map(_shipped, layout.recipes))
    if not layout.any_body:
        return (*shipped, *_plain_bodies(layout.bodies))
    plain = _plain_bodies(get_args(TorchvisionBackbone))
    non_local = ModelConfig(backbone="resnet50", num_classes=1, non_local=True)
    return (*shipped, *plain, _Candidate(non_local))


def _shipped(name: str) -> _Candidate:
    recipe = load_recipe(name).recipe
    return _Candidate(recipe.model, name, recipe.data.sampling)


def _plain_bodies(bodies: Iterable[Backbone]) -> list[_Candidate]:
    return [_Candidate(ModelConfig(backbone=name, num_classes=1)) for name in bodies]


@cache
def _tensors(config: ModelConfig, num_classes: int, layout: Layout) -> dict[str, Tensor]:
    """The tensors that `layout` has of a network, on meta."""
    tensors = _network(_plain(config, num_classes)).state_dict()
    biases = layout.biases(tensors)
    return tensors | {bias: tensors[mean] for bias, mean in biases.items()}


def _plain(config: ModelConfig, num_classes: int) -> ModelConfig:
    """What of `config` the tensors tell: a shift has none, and weights would be looked for."""
    nothing = {"shift": None, "weights": None, "init": None, "dropout": 0.0}
    return config.model_copy(update=nothing | {"num_classes": max(1, num_classes)})


@cache
def _network(config: ModelConfig) -> Network:
    with torch.device("meta"):
        return build_model(config)


def _num_classes(weights: Mapping[str, Tensor]) -> int:
    classifier = (weights.get(name) for name in CLASSIFIER)
    lengths = [len(tensor) for tensor in classifier if tensor is not None and tensor.ndim]
    return max(lengths, default=0)
