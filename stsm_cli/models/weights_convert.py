"""Other projects' checkpoints, made into files of weights that every command here reads.

Strict: each tensor of the file must have its place in one of our networks, and each of the
network's must come from the file. Which network it is, the tensors tell (`weights_match.py`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import safetensors.torch
import torch
from torch import Tensor

from stsm_cli.atomic import write_file
from stsm_cli.config.networks_3d import SlowFastBackbone
from stsm_cli.config.schema import Backbone, ModelConfig, Sampling, ShiftConfig, System
from stsm_cli.errors import CheckpointError
from stsm_cli.models.build import shift_targets
from stsm_cli.models.network import AUXILIARY
from stsm_cli.models.weights import FORMAT, NON_LOCAL, differences, rules
from stsm_cli.models.weights_file import read_pickle, read_safetensors, state_dict
from stsm_cli.models.weights_kind import SAFETENSORS
from stsm_cli.models.weights_layout import Layout
from stsm_cli.models.weights_match import COUNTER, Match, nearest
from stsm_cli.models.weights_names import LAYOUTS, known, layout_of, looks_like
from stsm_cli.models.weights_others import other_network
from stsm_cli.models.weights_stated import (
    SOMETHING_V1,
    check_mode,
    check_project,
    check_stated,
    stated_dataset,
    stated_frames,
    stated_ratio,
    stated_sampling,
    states_share,
)

_MOST_NAMES = 5
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Converted:
    """A checkpoint's weights under our names, and the network that they belong to.

    Attributes:
        weights: Every tensor of the network; a shifted convolution is called as a plain one.
        source: The project that wrote it.
        shifted: Whether it was trained with TSM's shift (T, α=1/4).
        recipe: The shipped recipe under which it is tested right; None: there is none with this
            network and number of classes.
        rules: What it follows and no tensor tells, by their keys in a recipe.
        also: Other shipped recipes that the tensors fit, too.
        relatives: Without one, those with this network and another number of classes.
        frames: Of a view, where only a network for as many has such tensors, or its configuration
            states them; else None.
        for_frames: The shipped recipe that tests it right once it is set to these frames, to
            SlowFast's ratio of `rules` and to `sampling`; None: `recipe` needs no setting, or there
            is none.
        sampling: `uniform` or `dense`, where its configuration states one of them; else None.
        stated_frames: That it was trained on, as its configuration states them; else None.
        dataset: `sthv1` or `sthv2`, where its configuration names one of them; else None.
        system: What another paper put into the backbone.
        tells_frames: Whether networks for more frames have other tensors.
        dropped: Tensors of the file that no test reads, and how many parameters each has.
        folded: Biases that went into the batch norm behind them, likewise.
        beside: Other weights in the file, which are not taken, such as an average (EMA): the key
            of each, and its number of tensors.
    """

    weights: dict[str, Tensor]
    source: str
    backbone: Backbone
    shifted: bool
    non_local: bool
    num_classes: int
    recipe: str | None = None
    rules: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()
    frames: int | None = None
    for_frames: str | None = None
    sampling: Sampling | None = None
    stated_frames: int | None = None
    dataset: str | None = None
    system: System | None = None
    tells_frames: bool = True
    dropped: Mapping[str, int] = field(default_factory=dict)
    folded: Mapping[str, int] = field(default_factory=dict)
    beside: Mapping[str, int] = field(default_factory=dict)

    @property
    def training(self) -> dict[str, int]:
        """Tensors that training alone uses, and how many parameters each has."""
        names = [name for name in self.weights if name.startswith(AUXILIARY)]
        return {name: _num_parameters(name, self.weights[name]) for name in names}

    @property
    def num_parameters(self) -> int:
        """Of the network, as many as its tests use."""
        every = sum(_num_parameters(name, tensor) for name, tensor in self.weights.items())
        return every - sum(self.training.values())


def convert(path: Path, source: str | None = None, *, non_local: str | None = None) -> Converted:
    """The checkpoint at `path` under our names; nothing in the file is run.

    A bias before a batch norm, where our convolution has none, goes into the norm, exact in
    evaluation. Counters of batches, which PyTorch before 0.4.1 did not keep, start at 0.

    Args:
        path: A file of `torch.save`, with or without a `state_dict`, `model_state`,
            `model_state_dict` or `model` around its tensors, a pickle of Caffe2 from PySlowFast's
            model zoo, or a safetensors file.
        source: Whose names it uses, one of `weights_names.SOURCES`; None: the names tell.
        non_local: The mode of its non-local blocks, where MMAction2's configuration is not in the
            file; only `embedded_gaussian`, without a scale, is known here.

    Raises:
        CheckpointError: The file is missing, damaged, unsafe, another project's, or of nobody known
            here; its tensors are not exactly those of a network here; its shift stands elsewhere;
            or what no tensor tells (the mode of non-local blocks, the share of shifted channels) is
            not stated, or not what is known here.
    """
    state, configuration, beside = _content(path)
    layout = _layout(path, state, source)
    names = layout.our_names(state)
    weights = _renamed(state, names, layout)
    shifted = {names[key] for key in names if layout.is_shifted(key) and state[key].ndim == 4}
    frames, ratio = stated_frames(configuration), stated_ratio(configuration)
    sampling = stated_sampling(configuration)
    match = nearest(
        weights, layout, shifted=bool(shifted), frames=frames, ratio=ratio, sampling=sampling
    )
    if (dataset := stated_dataset(configuration)) == SOMETHING_V1:
        match = _without_v2(match)
    if not any(name.endswith(COUNTER) for name in weights):
        weights |= {name: torch.tensor(0) for name in match.tensors if name.endswith(COUNTER)}
    if problems := _problems(match.tensors, weights, layout, names):
        if other := other_network(weights):
            raise CheckpointError(f"{path}: a checkpoint of {other}; it is unknown here")
        raise CheckpointError(
            f"{path}: not {layout.source}'s {match.config.backbone}, the nearest network known "
            f"here: {problems}"
        )
    _check_shift(path, shifted, match)
    has_non_local = any(NON_LOCAL in name for name in weights)
    check_stated(path, configuration, shifted=bool(shifted), non_local=has_non_local)
    check_project(path, configuration, layout.source, match.config.view)
    check_mode(path, configuration, non_local, layout.source if has_non_local else None)
    weights = {name: _owned(tensor) for name, tensor in weights.items()}
    folded = _fold_biases(weights, layout)
    return Converted(
        weights=weights,
        source=layout.source,
        backbone=match.config.backbone,
        shifted=bool(shifted),
        non_local=has_non_local,
        num_classes=match.network.num_classes,
        recipe=match.recipe,
        rules=_rules(match.config, layout, configuration, shifted=bool(shifted)),
        also=match.also,
        relatives=match.relatives,
        frames=match.frames,
        for_frames=match.for_frames,
        sampling=sampling,
        stated_frames=frames,
        dataset=dataset,
        system=match.config.system,
        tells_frames=match.tells_frames,
        dropped={key: _num_parameters(key, state[key]) for key in state if key not in names},
        folded=folded,
        beside=beside,
    )


def save_converted(path: Path, converted: Converted, *, original: Path) -> str:
    """Write the weights to `path`, atomically, with their origin in the header.

    Args:
        path: A file ending in `.safetensors`.
        original: The file that they were converted from.

    Returns:
        The SHA-256 of the file.

    Raises:
        CheckpointError: The file cannot be written; what was at `path` is still there.
    """
    metadata = {
        "format": FORMAT,
        "source": converted.source,
        "source_file": original.name,
        "source_sha256": hashlib.sha256(original.read_bytes()).hexdigest(),
        "backbone": converted.backbone,
        "shifted": str(converted.shifted).lower(),
        "non_local": str(converted.non_local).lower(),
        "num_classes": str(converted.num_classes),
        "classes": "unknown",  # no source names them
        **({"recipe": converted.recipe} if converted.recipe else {}),
        **converted.rules,
    }
    content = serialised(converted.weights, metadata)
    write_file(path, content)
    return hashlib.sha256(content).hexdigest()


def serialised(weights: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file, the same bytes each time; the library shuffles the metadata."""
    content = safetensors.torch.save(weights, metadata)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = metadata
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def _without_v2(match: Match) -> Match:
    """`match` without recipes of Something-Something V2, whose classes are others; as many."""
    named = tuple(name for name in (match.recipe, match.for_frames, *match.also) if name)
    if not any(name.startswith("sthv2/") for name in named):
        return match
    return replace(match, recipe=None, also=(), relatives=named[:1], for_frames=None)


def _rules(
    config: ModelConfig, layout: Layout, configuration: str, *, shifted: bool
) -> dict[str, str]:
    """Rules that no tensor tells; a shift is TSM's, in every layout along time alone."""
    found = rules(config if shifted else config.model_copy(update={"shift": None}))
    if shifted:
        found["model.shift.dims"] = "T"
    if shifted and (layout.fixed_share or states_share(configuration)):
        found["model.shift.alpha"] = "1/4"
    if config.backbone in get_args(SlowFastBackbone) and stated_ratio(configuration):
        found["model.slowfast.ratio"] = str(config.slowfast.ratio)
    return found


def _content(path: Path) -> tuple[dict[str, Tensor], str, dict[str, int]]:
    """The state dict in a file, the configuration beside it or ``, and other weights beside it."""
    if path.suffix == SAFETENSORS:
        return read_safetensors(path)[0], "", {}
    content = read_pickle(path)
    state = state_dict(content)
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path}: holds no state dict")
    if state is content and not any(isinstance(value, Tensor) for value in state.values()):
        only = ", ".join(map(str, [*state][:_MOST_NAMES]))
        raise CheckpointError(f"{path}: holds no state dict, only {only}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name!r} is {type(value).__name__}, not a named tensor")
    meta = content.get("meta")
    texts = [*(meta.values() if isinstance(meta, dict) else ()), content.get("cfg")]
    beside = {
        str(key): len(value)
        for key, value in content.items()
        if isinstance(value, dict) and value is not state and _is_of_tensors(value)
    }
    return state, "\n".join(text for text in texts if isinstance(text, str)), beside


def _is_of_tensors(value: dict[Any, Any]) -> bool:
    return bool(value) and all(isinstance(part, Tensor) for part in value.values())


def _layout(path: Path, state: Mapping[str, Tensor], source: str | None) -> Layout:
    """The layout of a state dict; where the names tell none, the plainest that `source` has."""
    found = looks_like(state)
    if found is not None and (found == "stsm" or source not in (found, None)):
        which = f", not {source}" if source else ""
        raise CheckpointError(f"{path}: looks like {found}{which}", hint=_cure(found))
    if found is None and source is None:
        raise CheckpointError(
            f"{path}: its tensors are called as in no project known here", hint=f"known: {known()}"
        )
    return layout_of(state) or next(
        layout for layout in reversed(LAYOUTS) if layout.source == source
    )


def _cure(found: str) -> str:
    if found == "stsm":
        return "it needs no conversion: give it as it is to `--init` or `--checkpoint`"
    return f"use --from {found}"


def _problems(
    wanted: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    layout: Layout,
    names: Mapping[str, str],
) -> str:
    """Differences of `weights` from the tensors of a network, with the names in the file.

    Args:
        names: From the name of each of the file's tensors to ours.
    """
    theirs = {ours: name for name, ours in names.items()}
    if set(wanted) - set(weights):
        theirs = layout.likely_names(names) | theirs
    called = {
        ours: f"{ours} from {theirs[ours]}" for ours in wanted if theirs.get(ours, ours) != ours
    }
    there = {ours: name for ours, name in theirs.items() if ours not in wanted} | called
    return differences(
        {called.get(name, name): tensor for name, tensor in wanted.items()},
        {there.get(name, name): tensor for name, tensor in weights.items()},
    )


def _renamed(
    state: Mapping[str, Tensor], names: Mapping[str, str], layout: Layout
) -> dict[str, Tensor]:
    """The tensors under our names, and in our forms; a second one of a name keeps its own."""
    weights: dict[str, Tensor] = {}
    for theirs, name in names.items():
        ours = name if name not in weights else theirs
        weights[ours] = layout.our_form(ours, state[theirs].detach())
    return layout.whole(weights)


def _owned(tensor: Tensor) -> Tensor:
    """A copy in memory of its own, in float32 if it is floating."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.to(dtype).clone(memory_format=torch.contiguous_format)


def _fold_biases(weights: dict[str, Tensor], layout: Layout) -> dict[str, int]:
    """Take biases into the batch norms behind them; returned are their lengths."""
    biases = {bias: mean for bias, mean in layout.biases(weights).items() if bias in weights}
    lengths = {bias: len(weights[bias]) for bias in biases}
    for bias, mean in biases.items():
        weights[mean] = weights[mean] - weights.pop(bias)  # (Wx + bias) - mean = Wx - (mean - bias)
    return lengths


def _num_parameters(name: str, tensor: Tensor) -> int:
    return 0 if name.endswith(_BUFFERS) else tensor.numel()


def _check_shift(path: Path, shifted: set[str], match: Match) -> None:
    """Refuse a shift, where there is one, that stands elsewhere than in the matched network."""
    if not shifted:
        return
    targets = shift_targets(match.network, match.config.shift or ShiftConfig())
    sites = {f"{site}.weight" for site in targets}
    if shifted != sites:
        raise CheckpointError(
            f"{path}: shifts {len(shifted)} convolutions, not the {len(sites)} of TSM's blockres; "
            f"they differ in {min(shifted ^ sites)}"
        )
