"""How a project writes down a network: what its tensors are called, and how they lie.

A layout says how it is recognised, what each tensor is called here, and which shipped recipes have
such a network. `weights_layouts_2d.py` and `weights_layouts_3d.py` hold the layouts that are known,
`weights_names.py` their order.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stsm_cli.config.schema import Backbone

if TYPE_CHECKING:
    from torch import Tensor

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
"""Pattern and replacement, one after the other."""
Forms = Sequence[tuple[str, "Callable[[Tensor], Tensor]"]]
"""Pattern of our name, and what makes our tensor of theirs."""
_KINDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # of several GPUs, and of torch.compile


@dataclass(frozen=True)
class Layout:
    """One way in which a project's checkpoints are written.

    Ours are torchvision's names behind `backbone.`, and `fc.{weight,bias}`. Their names are taken
    without the `module.` of a network that was trained on several GPUs, and the `_orig_mod.` of a
    compiled one.

    Attributes:
        source: The project, as `--from` calls it; it may have several layouts.
        networks: Which networks are written so, in a few words.
        marks: Patterns, each of which one of its names matches.
        rules: From a name of theirs to ours; what none changes fits no network.
        forms: Tensors that lie otherwise here.
        stacked: Pattern of our names for parts that one tensor holds here, along its second axis;
            its groups are the tensor's name and the part's number.
        folded: From our name of a convolution's weight, where theirs has a bias and ours has none,
            to the running mean that the bias goes into: exact in evaluation.
        unused: Pattern of their names of tensors that no test reads; left out, and counted.
        shifted: Pattern of their names behind which a convolution follows TSM's shift.
        fixed_share: Whether their code shifts 1/4 of the channels and knows no other share.
        recipes: Shipped recipes with such a network. Of those that a file fits alike, the first is
            named, and the others beside it.
        any_body: Also in networks of torchvision that no recipe has.
        bodies: Other networks without a recipe that are written so.
    """

    source: str
    networks: str
    marks: tuple[str, ...]
    rules: Rules
    forms: Forms = ()
    stacked: str | None = None
    folded: Rules = ()
    unused: str | None = None
    shifted: str | None = None
    fixed_share: bool = False
    recipes: tuple[str, ...] = ()
    any_body: bool = False
    bodies: tuple[Backbone, ...] = ()

    def fits(self, names: Iterable[str]) -> bool:
        """Tell whether a checkpoint's tensors are called so, as far as the marks tell."""
        text = "\n".join(map(bare, names))
        return all(re.search(mark, text, re.MULTILINE) for mark in self.marks)

    def our_names(self, names: Iterable[str]) -> dict[str, str]:
        """For each of a checkpoint's tensors that a test reads, the name that it has here."""
        return {name: _replaced(bare(name), self.rules) for name in names if self._is_used(name)}

    def likely_names(self, names: Iterable[str]) -> dict[str, str]:
        """From our names to theirs, of tensors that may lie beside those of a checkpoint.

        They are of another kind in the same layer, or of a layer of another number.
        """
        beside = dict.fromkeys(other for name in names for other in _beside(name))
        return {ours: name for name, ours in self.our_names(beside).items()}

    def our_form(self, name: str, tensor: "Tensor") -> "Tensor":
        """The tensor of our `name` as it lies here."""
        for pattern, form in self.forms:
            if re.search(pattern, name):
                tensor = form(tensor)
        return tensor

    def whole(self, tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
        """Our tensors, those that theirs has in parts put together where no part is missing."""
        if self.stacked is None:
            return tensors
        whole: dict[str, Tensor] = {}
        parts: dict[str, dict[int, Tensor]] = {}
        for name, tensor in tensors.items():
            if match := re.search(self.stacked, name):
                parts.setdefault(match[1], {})[int(match[2])] = tensor
            else:
                whole[name] = tensor
        for name, numbered in parts.items():
            whole |= _stacked(name, numbered)
        return whole

    def biases(self, names: Iterable[str]) -> dict[str, str]:
        """The biases beyond our `names` that this layout has, and where each goes."""
        means = {name: _replaced(name, self.folded) for name in names if name.endswith(".weight")}
        return {
            name.removesuffix("weight") + "bias": mean
            for name, mean in means.items()
            if mean != name
        }

    def is_shifted(self, name: str) -> bool:
        """Tell whether a convolution of this name of theirs follows a shift."""
        return self.shifted is not None and re.search(self.shifted, name) is not None

    def _is_used(self, name: str) -> bool:
        return self.unused is None or re.search(self.unused, bare(name)) is None


def _stacked(name: str, parts: "Mapping[int, Tensor]") -> "dict[str, Tensor]":
    """The parts along the second axis of one tensor; or as they are, where they do not fit."""
    import torch

    ordered = [parts[number] for number in sorted(parts)]
    is_whole = sorted(parts) == list(range(len(parts)))
    if is_whole and ordered[0].ndim and len({part.shape for part in ordered}) == 1:
        return {name: torch.stack(ordered, 1)}
    return {f"{name}.{number}": part for number, part in parts.items()}


def flat_classifier(weight: "Tensor") -> "Tensor":
    """(K, C) of a classifier that is a convolution there; what has no C stays as it is."""
    return weight.flatten(1) if weight.ndim > 1 else weight


def bare(name: str) -> str:
    """A name as it is in training on one GPU, not compiled."""
    return _WRAPPERS.sub("", name)


def _beside(name: str) -> Iterator[str]:
    """The name with another kind of tensor at its end, or with another digit in one place."""
    layer, _, _ = name.rpartition(".")
    yield from (f"{layer}.{kind}" for kind in _KINDS)
    for place in re.finditer(r"(?<=\D)\d\b|(?<=\.)\d(?=\.)", name):
        yield from (f"{name[: place.start()]}{i}{name[place.end() :]}" for i in range(10))


def _replaced(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
