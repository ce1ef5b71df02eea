"""Places of the shift: found in what the blocks of a network compute, whatever their names.

On the residual branch, before its first convolution: TSM's *blockres*, which the paper's Figure 3
draws. The identity branch stays as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import chain
from operator import add, iadd
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, Node, Tracer
from torch.nn.modules.lazy import LazyModuleMixin

_ADDITIONS = (add, iadd, torch.add, "add", "add_")
_DEEP_STAGE = 23
_NAMES_SHOWN = 5


def target_convs(
    model: nn.Module, targets: Sequence[str] | None
) -> dict[str, nn.Conv2d | nn.Conv3d]:
    """The convolutions before which a shift is to stand, by name: `targets`, or what is found.

    Raises:
        ValueError: `targets` is a text, or names what is no convolution of `model` by itself;
            `model` is scripted, or has no block that is known here.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            f"model comes from torch.jit ({type(model).__name__}), its layers cannot be replaced; "
            "insert the shift first, then trace or export the network"
        )
    if isinstance(targets, str):
        raise ValueError(f"targets is the text {targets!r}; a list of names is [{targets!r}]")
    modules = dict(model.named_modules(remove_duplicate=False))
    names = shift_sites(model) if targets is None else targets
    return {name: _target(name, modules) for name in names}


def _target(name: str, modules: Mapping[str, nn.Module]) -> nn.Conv2d | nn.Conv3d:
    conv = modules.get(name)
    if not isinstance(conv, nn.Conv2d | nn.Conv3d) or not name:
        found = "no module" if conv is None else type(conv).__name__
        raise ValueError(
            f"target {name!r} is {found}; a target is a Conv2d or Conv3d inside the network"
        )
    if isinstance(conv, LazyModuleMixin):
        raise ValueError(
            f"target {name!r} is {type(conv).__name__}, its channels are not known yet; run the "
            "network once before"
        )
    same = [other for other, module in modules.items() if module is conv]
    parts = (other.rpartition(".") for other in same)
    places = {(id(modules[parent]), attribute) for parent, _, attribute in parts}
    if len(places) > 1:  # one of them may have several names: a block that is used twice
        raise ValueError(
            f"target {name!r} is one convolution in several places: {', '.join(map(repr, same))}; "
            "a shift stands before a convolution of one block"
        )
    return conv


def shift_sites(model: nn.Module) -> list[str]:
    """The names of the convolutions before which a shift belongs, in the network's order.

    One rule for every network: a residual block is a module that adds to its input, or to a
    projection of it, what a branch of more layers makes of that input. The shift stands before the
    2D or 3D convolution with which the branch begins, behind norms and activations. So it does in
    ResNets and RegNets (every block); in MobileNets and EfficientNets (blocks with a skip
    connection; before the expansion, or before the depthwise convolution where a block has none);
    in ConvNeXt (before the depthwise 7×7, which still sees (N·T, C, H, W): the channels go last
    behind it). A branch that begins with several layers, or with another kind of layer, has none.

    Where a stage has 23 such blocks or more (R-101, R-152), every second one of each stage.
    ours: in any network.

    Raises:
        ValueError: `model` has no such block, or none that `torch.fx` can trace.

    Source: mit-han-lab/temporal-shift-module, ops/temporal_shift.py and
        archs/mobilenet_v2.py; mmaction2 v1.2.0, mmaction/models/backbones/resnet_tsm.py and
        mobilenet_v2_tsm.py.
    """
    stages: dict[str, list[str]] = {}
    for name, module in model.named_modules():
        sites = [f"{name}.{site}".lstrip(".") for site in _block_sites(module)]
        stages.setdefault(name.rpartition(".")[0], []).extend(sites)
    step = 2 if any(len(sites) >= _DEEP_STAGE for sites in stages.values()) else 1
    found = list(dict.fromkeys(chain.from_iterable(sites[::step] for sites in stages.values())))
    if not found:
        none = f"{type(model).__name__} has no residual block that is known here"
        raise ValueError(f"{none}{_instead(model)}")
    return found


def _instead(model: nn.Module) -> str:
    """The end of a refusal: the convolutions that can be named."""
    names = [name for name, part in model.named_modules() if name and _is_conv(part)]
    if not names:
        return ", and no convolution inside that could be shifted"
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    shown = f"{', '.join(names[:_NAMES_SHOWN])}{more}"
    return f"; name the convolutions to shift, as in targets=[{names[0]!r}]; there are {shown}"


def _is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Conv3d)


@dataclass(frozen=True)
class _Paths:
    """The ways from the input of a module to a value; a layer is what has a matrix of weights.

    Attributes:
        direct: Whether one of them meets no layer.
        first: The layers that the others meet first.
        layers: All layers that they meet.
    """

    direct: bool = False
    first: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()


def _block_sites(block: nn.Module) -> list[str]:
    """The convolutions with which the residual branches of `block` begin."""
    is_whole = _is_layer(block) or _is_chain(block) or not _layers(block)
    graph = None if is_whole else _graph(block)
    if graph is None or not any(map(_is_addition, graph.nodes)):
        return []
    paths = _paths(block, graph)
    firsts = [
        _first_of_branch(paths[value] for value in node.all_input_nodes)
        for node in graph.nodes
        if _is_addition(node)
    ]
    return [site for site in chain.from_iterable(firsts) if _is_conv(block.get_submodule(site))]


def _first_of_branch(terms: Iterable[_Paths]) -> frozenset[str]:
    """The layer with which the branch begins, if the terms are an identity and a branch."""
    match sorted(terms, key=lambda paths: len(paths.layers)):
        case [identity, branch] if (
            (identity.direct or identity.first)
            and len(identity.layers) < len(branch.layers)
            and not identity.layers & branch.layers
            and len(branch.first) == 1
        ):
            return branch.first
    return frozenset()


def _paths(module: nn.Module, graph: Graph) -> dict[Node, _Paths]:
    """By value in the graph of `module`: how it came from the (first) input."""
    paths: dict[Node, _Paths] = {}
    for node in graph.nodes:
        before = [paths[value] for value in node.all_input_nodes]
        direct = any(way.direct for way in before) or not paths  # the first node is the input
        first = frozenset[str]().union(*(way.first for way in before))
        layers = frozenset[str]().union(*(way.layers for way in before))
        if node.op == "call_module" and (met := _layers(module.get_submodule(node.target))):
            if direct:
                first |= _named(node.target, _entrances(module.get_submodule(node.target)))
            direct, layers = False, layers | _named(node.target, met)
        paths[node] = _Paths(direct, first, layers)
    return paths


def _entrances(module: nn.Module) -> frozenset[str]:
    """The layers that the input of `module` meets first; itself (``) where that is not known."""
    if _is_chain(module):
        name, part = next((name, part) for name, part in module.named_children() if _layers(part))
        return _named(name, _entrances(part))
    graph = None if _is_layer(module) else _graph(module)
    if graph is None:
        return frozenset({""})
    return list(_paths(module, graph).values())[-1].first  # those of its output


def _named(prefix: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{prefix}.{name}".rstrip(".") for name in names)


def _layers(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if _is_layer(part)]


def _is_layer(module: nn.Module) -> bool:
    if _is_conv(module):
        return True
    is_whole = next(module.children(), None) is None
    return is_whole and any(weight.dim() > 1 for weight in module.parameters(recurse=False))


def _is_chain(module: nn.Module) -> bool:
    """Tell whether its parts come one after the other, which need not be traced to be known."""
    is_scripted = isinstance(module, torch.jit.ScriptModule)  # its forward cannot be looked at
    return not is_scripted and type(module).forward is nn.Sequential.forward


def _is_addition(node: Node) -> bool:
    return node.op in ("call_function", "call_method") and node.target in _ADDITIONS


class _Tracer(Tracer):
    """Sees what a module does with its parts, and not what these do."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _graph(module: nn.Module) -> Graph | None:
    """Graph of `module`, its options at their defaults; None where it cannot be traced."""
    try:
        options: dict[str, Any] = {
            name: parameter.default
            for name, parameter in signature(module.forward).parameters.items()
            if parameter.default is None or isinstance(parameter.default, bool | int | float)
        }
        return _Tracer().trace(module, concrete_args=options)
    except Exception:  # a forward may do with a proxy what it likes: then it is no block known here
        return None
