"""The parts of a network that a recipe may leave as they start, by name."""

from collections.abc import Iterable

from torch import nn

from stsm_cli.errors import RecipeError
from stsm_cli.models.network import Network

STEM = "stem"
"""All that comes before the first stage, where no part of the network is called so itself."""
_FIRST_STAGE = "layer1"


def frozen_parts(network: Network, names: Iterable[str]) -> list[nn.Module]:
    """The parts of `network` that `names` name.

    `backbone` is all but the classifier and what stands before it. Any other name is of a part of
    the backbone, as its weights' names have it: `layer1`, `layer1.0`, `features.3`, or `stem`.

    Raises:
        RecipeError: The network has no such part; names those it has.
    """
    return [part for name in names for part in _parts(network, name)]


def _parts(network: Network, name: str) -> list[nn.Module]:
    backbone = network.get_submodule("backbone")
    named = {"backbone": backbone} | {name: part for name, part in backbone.named_modules() if name}
    if name in named and _has_weights(named[name]):
        return [named[name]]
    if name == STEM and (stem := _stem(backbone)):
        return stem
    known = ", ".join(_known(backbone))
    raise RecipeError(
        f"optim.frozen: the network has no part {name} with weights",
        hint=f"it has backbone, {known}, and the parts of these, such as {_example(backbone)}",
    )


def _known(backbone: nn.Module) -> list[str]:
    """Names of the backbone's own parts that hold weights, the stem's as one."""
    stem = _stem(backbone)
    children = [(name, part) for name, part in backbone.named_children() if _has_weights(part)]
    return [*([STEM] if stem else []), *(name for name, part in children if part not in stem)]


def _example(backbone: nn.Module) -> str:
    """Name of a part of a part."""
    parts = backbone.named_modules()
    example: str = next(name for name, part in parts if "." in name and _has_weights(part))
    return example


def _stem(backbone: nn.Module) -> list[nn.Module]:
    """What comes before the first stage; none where there are no stages, or it is one part."""
    children = dict(backbone.named_children())
    if _FIRST_STAGE not in children or STEM in children:
        return []
    before = list(children)[: list(children).index(_FIRST_STAGE)]
    return [children[name] for name in before if _has_weights(children[name])]


def _has_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None
