"""Other projects' checkpoints, made into files of weights that every command here reads.

Strict: each tensor of the file must have its place in one of our networks, and each of the
network's must come from the file. Which network it is, the tensors tell.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import safetensors.torch
import torch
from torch import Tensor, nn

from stsm_cli.atomic import whole_file
from stsm_cli.config.networks_3d import SlowFastConfig
from stsm_cli.config.schema import Backbone, FrameBackbone, ModelConfig, TorchvisionBackbone
from stsm_cli.errors import CheckpointError
from stsm_cli.models.backbones import build_backbone
from stsm_cli.models.build import build_model
from stsm_cli.models.non_local import STAGES, insert_non_local
from stsm_cli.models.shift_sites import shift_sites
from stsm_cli.models.weights import FORMAT, NON_LOCAL, differences
from stsm_cli.models.weights_file import read_pickle, read_safetensors, state_dict
from stsm_cli.models.weights_kind import SAFETENSORS
from stsm_cli.models.weights_names import Source, looks_like, our_names

COUNTER = ".num_batches_tracked"
EMBEDDED_GAUSSIAN = "embedded_gaussian"
"""The mode of the non-local blocks here; they have no scale (`use_scale=False`)."""
_KNOWN = {"shift_div": "8", "style": "pytorch", "use_scale": "False", "mode": EMBEDDED_GAUSSIAN}
"""Keys of a configuration that no tensor tells."""
_3D: dict[Source, tuple[Backbone, ...]] = {
    "pyslowfast": ("slowfast_resnet50", "slow_resnet50"),
    "vmz": ("r2plus1d_34",),
    "smallbig": ("smallbig_resnet50",),
}
"""The networks of projects that have no 2D ones."""


@dataclass(frozen=True)
class Converted:
    """A checkpoint's weights under our names, and the network that they belong to.

    Attributes:
        weights: Every tensor of the network; a shifted convolution is called as a plain one.
        shifted: Whether it was trained with TSM's shift (T, α=1/4).
    """

    weights: dict[str, Tensor]
    source: Source
    backbone: Backbone
    shifted: bool
    non_local: bool
    num_classes: int


def convert(path: Path, source: Source, *, non_local: str | None = None) -> Converted:
    """The checkpoint at `path` under our names; nothing in the file is run.

    A 1×1×1 convolution becomes 1×1, and the bias of TSM's last non-local convolution goes into the
    batch norm behind it, exact in evaluation. Counters of batches, which PyTorch before 0.4.1 did
    not keep, start at 0.

    Args:
        path: A file of `torch.save`, with or without the `state_dict`, `model_state` or `model`
            around its tensors, or a safetensors file.
        source: Whose names it uses. `mmaction2`: TSN and TSM, 0.x and 1.x. `mit`: TSM's authors.
            `torchvision`: a classifier of pictures. `pyslowfast`: SlowFast and SlowOnly of its
            authors. `vmz`: R(2+1)D of its authors. `smallbig`: SmallBigNet of its authors.
        non_local: The mode of its non-local blocks, where MMAction2's configuration is not in the
            file; only `embedded_gaussian`, without a scale, is known here.

    Raises:
        CheckpointError: The file is missing, damaged, unsafe, or another project's; its tensors are
            not exactly those of a network here; its shift stands elsewhere; or what no tensor tells
            (the mode of non-local blocks, the share of shifted channels) is not stated, or not
            what is known here.
    """
    state, configuration = _content(path)
    if (found := looks_like(state)) not in (source, None):
        raise CheckpointError(f"{path}: looks like {found}, not {source}", hint=_cure(found))
    names = our_names(state, source)
    weights = _renamed(state, names)
    backbone, network, expected = _network(weights, source)
    if not any(name.endswith(COUNTER) for name in weights):
        weights |= {name: torch.tensor(0) for name in expected if name.endswith(COUNTER)}
    theirs = {ours: name for name, ours in names.items() if ours not in expected}
    if problems := differences(
        expected, {theirs.get(name, name): value for name, value in weights.items()}
    ):
        raise CheckpointError(
            f"{path}: not {source}'s {backbone}, the nearest network known here: {problems}"
        )
    shifted = _is_shifted(path, state, names, network)
    has_non_local = any(NON_LOCAL in name for name in weights)
    _check_stated(path, configuration, shifted=shifted, non_local=has_non_local)
    _check_mode(path, configuration, non_local, source if has_non_local else None)
    weights = {name: _owned(tensor) for name, tensor in weights.items()}
    _fold_biases(weights)
    return Converted(
        weights=weights,
        source=source,
        backbone=backbone,
        shifted=shifted,
        non_local=has_non_local,
        num_classes=len(weights["fc.bias"]),
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
    }
    content = serialised(converted.weights, metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written ({error.strerror})") from None
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


def _content(path: Path) -> tuple[dict[str, Tensor], str]:
    """The state dict in a file, whatever lies around it, and MMAction2's configuration or ``."""
    if path.suffix == SAFETENSORS:
        return read_safetensors(path)[0], ""
    content = read_pickle(path)
    state = state_dict(content)
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path}: holds no state dict")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: {name!r} is {type(value).__name__}, not a named tensor")
    meta = content.get("meta")
    texts = meta.values() if isinstance(meta, dict) else ()
    return state, "\n".join(text for text in texts if isinstance(text, str))


def _stated(configuration: str, name: str) -> str | None:
    """The value of `name` in a configuration of MMAction2, as `mode='dot_product'` has one."""
    found = re.search(rf"\b{name}['\"]?\s*[=:]\s*['\"]?(\w+)", configuration)
    return found[1] if found else None


def _check_stated(path: Path, configuration: str, *, shifted: bool, non_local: bool) -> None:
    """Refuse what the configuration says and no tensor shows, where it is not as known here."""
    _, _, blocks = configuration.partition("non_local_cfg")
    said = {"style": configuration}
    said |= {"shift_div": configuration} if shifted else {}
    said |= {"mode": blocks, "use_scale": blocks} if non_local else {}
    for name, text in said.items():
        if (value := _stated(text, name)) not in (_KNOWN[name], None):
            what = "non-local blocks of" if name in ("mode", "use_scale") else "a network of"
            raise CheckpointError(f"{path}: has {what} {name} {value}, unknown here")


def _check_mode(path: Path, configuration: str, mode: str | None, source: Source | None) -> None:
    """Refuse non-local blocks whose mode is not stated; TSM's authors have one mode alone.

    Args:
        mode: As the user states it.
        source: None where there are no such blocks.
    """
    if source is None and mode is not None:
        raise CheckpointError(f"{path}: has no non-local blocks, but --non-local {mode} was given")
    if mode not in (None, EMBEDDED_GAUSSIAN):
        raise CheckpointError(f"{path}: has non-local blocks of mode {mode}, unknown here")
    _, _, blocks = configuration.partition("non_local_cfg")
    is_stated = _stated(blocks, "mode") and _stated(blocks, "use_scale")
    if source == "mmaction2" and mode is None and not is_stated:
        raise CheckpointError(
            f"{path}: has non-local blocks, and no configuration that states their mode and scale",
            hint=f"if its configuration has mode='{EMBEDDED_GAUSSIAN}' and use_scale=False, "
            f"add `--non-local {EMBEDDED_GAUSSIAN}`; others are unknown here",
        )


def _cure(found: str | None) -> str:
    if found == "stsm":
        return "it needs no conversion: give it as it is to `--init` or `--checkpoint`"
    return f"use --from {found}"


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under our names, and in our shapes; a second one of a name keeps its own."""
    weights: dict[str, Tensor] = {}
    for theirs, tensor in state.items():
        ours = names[theirs] if names[theirs] not in weights else theirs
        if NON_LOCAL in ours and tensor.shape[2:] == (1, 1, 1):
            tensor = tensor.flatten(3)  # (D, C, 1, 1, 1) -> (D, C, 1, 1)
        weights[ours] = tensor.detach()
    return weights


def _owned(tensor: Tensor) -> Tensor:
    """A copy in memory of its own, in float32 if it is floating."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.to(dtype).clone(memory_format=torch.contiguous_format)


def _fold_biases(weights: dict[str, Tensor]) -> None:
    """Take the biases of TSM's last non-local convolutions into the batch norms behind them."""
    for name in [name for name in weights if name.endswith("conv_out.bias")]:
        mean = name.replace("conv_out.bias", "bn.running_mean")
        weights[mean] = weights[mean] - weights.pop(name)  # (Wx + bias) - mean = Wx - (mean - bias)


def _network(
    weights: Mapping[str, Tensor], source: Source
) -> tuple[Backbone, nn.Module, dict[str, Tensor]]:
    """The network nearest to the weights, and the tensors that `source` has of it, on meta."""
    candidates: dict[Backbone, tuple[nn.Module, dict[str, Tensor]]]
    if source in _3D:
        candidates = {name: _candidate_3d(name, weights) for name in _3D[source]}
    else:
        names = get_args(TorchvisionBackbone)
        candidates = {name: _candidate(name, weights, source) for name in names}
    found = _shapes(weights)
    nearest = min(candidates, key=lambda name: len(_shapes(candidates[name][1]) ^ found))
    return nearest, *candidates[nearest]


def _candidate(
    name: FrameBackbone, weights: Mapping[str, Tensor], source: Source
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network with as many classes as the weights, and with non-local blocks where they have."""
    non_local = name == "resnet50" and any(NON_LOCAL in key for key in weights)
    backbone, width = _on_meta(name, non_local)
    fc = nn.Linear(width, _num_classes(weights), device="meta")
    tensors = nn.ModuleDict({"backbone": backbone, "fc": fc}).state_dict()
    if source == "mit":  # has a bias where ours, and MMAction2's, have none
        tensors |= {
            key.replace(".weight", ".bias"): value[:, 0, 0, 0]
            for key, value in tensors.items()
            if key.endswith("conv_out.weight")
        }
    return backbone, tensors


def _candidate_3d(
    name: Backbone, weights: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network with as many classes, and as large lateral kernels, as the weights.

    Trap: no tensor tells how many fast frames SlowFast has for each slow one; the recipe says it.
    """
    slowfast = SlowFastConfig()
    lateral = weights.get("backbone.laterals.0.conv.weight")
    if lateral is not None and lateral.ndim == 5 and lateral.shape[2] == 7:  # 8×8 and 16×8
        slowfast = SlowFastConfig(lateral_kernel=7)
    num_classes = max(1, _num_classes(weights))
    config = ModelConfig(
        backbone=name,
        num_classes=1,
        slowfast=slowfast if name == "slowfast_resnet50" else SlowFastConfig(),
    )
    with torch.device("meta"):
        network = build_model(config.model_copy(update={"num_classes": num_classes}))
    return network.get_submodule("backbone"), network.state_dict()


def _num_classes(weights: Mapping[str, Tensor]) -> int:
    classifier = (weights.get(name) for name in ("fc.weight", "fc.bias"))
    lengths = [len(tensor) for tensor in classifier if tensor is not None and tensor.ndim]
    return max(lengths, default=0)


@cache
def _on_meta(name: FrameBackbone, non_local: bool) -> tuple[nn.Module, int]:
    with torch.device("meta"):
        network, width = build_backbone(name)
        if non_local:
            insert_non_local(network, STAGES[name], num_frames=1)
    return network, width


def _shapes(tensors: Mapping[str, Tensor]) -> set[tuple[str, torch.Size]]:
    return {(key, value.shape) for key, value in tensors.items() if not key.endswith(COUNTER)}


def _is_shifted(
    path: Path, state: Mapping[str, Tensor], names: Mapping[str, str], network: nn.Module
) -> bool:
    """Tell whether the convolutions of TSM's *blockres*, and no others, follow a shift."""
    shifted = {names[key] for key in state if ".net." in key and state[key].ndim == 4}
    sites = {f"backbone.{site}.weight" for site in shift_sites(network)}
    if shifted and shifted != sites:
        raise CheckpointError(
            f"{path}: shifts {len(shifted)} convolutions, not the {len(sites)} of TSM's blockres; "
            f"they differ in {min(shifted ^ sites)}"
        )
    return bool(shifted)
