"""Weights to start from or to test: files of `stsm convert`, and checkpoints of `stsm train`.

A file of `stsm convert` calls a shifted convolution as a plain one (`layer1.0.conv1.weight`, no
`.net`): the shift has no parameters, so one file starts TSN, TSM and STSM.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor, nn

from stsm_cli.config.notation import parse_dims
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.errors import CheckpointError
from stsm_cli.models.network import AUXILIARY, CLASSIFIER, RELATIONS, Network
from stsm_cli.models.shift import ShiftedConv, plain_state_dict
from stsm_cli.models.weights_file import read_header, read_pickle, read_safetensors, state_dict
from stsm_cli.models.weights_kind import CARD, SAFETENSORS, check_weights
from stsm_cli.models.weights_layout import bare
from stsm_cli.models.weights_names import SOURCES, looks_like
from stsm_cli.printable import command_line

FORMAT = "stsm.weights/1"
NON_LOCAL = ".non_local"
_MOST_NAMES = 5


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a file of `stsm convert` or a checkpoint of `stsm train`, on the CPU.

    Or of a state dict that was saved by itself, or as `state_dict` of a dictionary. Their names are
    `backbone.*` and `fc.*`, shifted convolutions called as plain ones.

    Raises:
        CheckpointError: The file is missing, damaged, or another project's.
    """
    return _read(Path(path))[0]


def num_classes(path: Path) -> int:
    """Number of classes that the weights at `path` know.

    Raises:
        CheckpointError: As `read_weights`; or they have no classifier.
    """
    weights, name = read_weights(path), CLASSIFIER[1]
    if name not in weights:
        raise CheckpointError(f"{path}: has no {name}")
    return len(weights[name])


def load_weights(model: nn.Module, path: Path | str) -> None:
    """Fill all of `model` with the weights at `path`, to test them.

    Weights of another shift are refused where the file says which it was, as those of `stsm
    export` and most of `stsm convert` do; a checkpoint tells only whether there was one. What
    `plain_state_dict` gave does not tell that: `model.load_state_dict(read_weights(path))`.

    Raises:
        CheckpointError: As `read_weights`; or the tensors are not exactly those of `model`, or of
            the file and the model only one has a shift, or they have different ones.
    """
    path = Path(path)
    check_weights(path)
    _check_shift(model, path)
    fill(model, path)


def fill(model: nn.Module, path: Path) -> None:
    """`load_weights` where the shift's rules are compared elsewhere, as by `check_rules`.

    Raises:
        CheckpointError: As there, but for different shifts.
    """
    weights, is_shifted = _read(path)
    has_shift = any(isinstance(module, ShiftedConv) for module in model.modules())
    recipe = _header(path).get("recipe")
    hint = "test it under the recipe it was trained with" + (f", {recipe}" if recipe else "")
    if is_shifted is None and has_shift:
        hint += "; if that is this one, `model.load_state_dict(read_weights(path))` fills it"
        raise CheckpointError(
            f"{path}: does not tell whether it was trained with a shift", hint=hint
        )
    if bool(is_shifted) != has_shift:
        file, network = ("with", "none") if is_shifted else ("without", "one")
        raise CheckpointError(
            f"{path}: trained {file} a shift, but the recipe's network has {network}", hint=hint
        )
    _check_frames(path, model, weights)
    tensors = plain_state_dict(model)
    if problems := differences(tensors, weights):
        raise CheckpointError(f"{path}: does not fit the recipe's network: {problems}", hint=hint)
    _set_tensors(model, weights)


def rules(config: ModelConfig) -> dict[str, str]:
    """Rules that a network follows and no tensor tells, by their keys in a recipe."""
    shortcut = "model.shift.shortcut"
    return {
        "model.statistics": config.statistics,
        shortcut: _shift_rules(config.shift)[shortcut],
        "model.slowfast.slow_frames": config.slowfast.slow_frames,
    }


def _rules_and_shift(config: ModelConfig) -> dict[str, str]:
    """`rules`, and those that only some files of `stsm convert` tell."""
    ratio = {"model.slowfast.ratio": str(config.slowfast.ratio)}
    return rules(config) | _shift_rules(config.shift) | ratio


def _shift_rules(shift: ShiftConfig | None) -> dict[str, str]:
    shift = shift if shift is not None and shift.alpha else None  # at 0 nothing moves
    return {
        "model.shift.dims": "none" if shift is None else shift.dims,
        "model.shift.alpha": "none" if shift is None else str(shift.alpha),
        "model.shift.shortcut": str(shift is not None and shift.shortcut).lower(),
    }


def check_rules(config: ModelConfig, path: Path, trained: ModelConfig | None) -> None:
    """Refuse to test weights under other rules than they were trained with.

    Args:
        config: The network to test.
        path: The weights; a file of `stsm convert` since version 0.8 states its rules.
        trained: The network as it was trained, where that is known.

    Raises:
        CheckpointError: They were trained under another rule than the network of `config` follows.
    """
    stated = _header(path) if trained is None else _rules_and_shift(trained)
    _compare_rules(path, stated, _rules_and_shift(config))


def _compare_rules(path: Path, stated: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    others = [key for key in wanted if not _same(key, stated.get(key, wanted[key]), wanted[key])]
    if others:
        found, asked = (", ".join(f"{key} {of[key]}" for key in others) for of in (stated, wanted))
        recipe = _header(path).get("recipe")
        edits = " ".join(f"--set {key}={stated[key]}" for key in others)
        if "model.shift.dims" in others and "model.shift.alpha" not in stated:
            edits += " --set model.shift.alpha=1/4"  # TSM's default, else it would be the recipe's
        raise CheckpointError(
            f"{path}: trained with {found}, but the recipe's network has {asked}",
            hint=edits + (f", or recipe {recipe}" if recipe else ""),
        )


def _same(key: str, one: str, other: str) -> bool:
    if key == "model.shift.dims":
        with suppress(ValueError):  # `none` is no sum of groups
            return parse_dims(one) == parse_dims(other)  # TH is HT
    return one == other


def _check_shift(model: nn.Module, path: Path) -> None:
    """Refuse weights of another shift than that of `model`, where both have one that is told."""
    sites = {name: part for name, part in model.named_modules() if isinstance(part, ShiftedConv)}
    if not sites:
        return
    first = next(iter(sites.values()))
    shortcut = any(name.endswith(".downsample.0") for name in sites)
    wanted = _shift_rules(ShiftConfig(dims=first.dims, alpha=first.alpha, shortcut=shortcut))
    _compare_rules(path, _stated_shift(_header(path)), wanted)


def _stated_shift(header: dict[str, str]) -> dict[str, str]:
    """What a file says: in the card of `stsm export`, or in the header of `stsm convert`."""
    with suppress(ValueError, KeyError, TypeError):
        section = json.loads(header[CARD])["recipe"]["model"]["shift"]
        return _shift_rules(ShiftConfig.model_validate(section))
    return header


def _header(path: Path) -> dict[str, str]:
    """What a file of `stsm convert` or `stsm export` says of itself; a checkpoint says nothing."""
    return read_header(path) if path.suffix == SAFETENSORS else {}


def load_init(model: Network, path: Path) -> tuple[str, ...]:
    """Start `model` from the weights at `path`; what stays as it was initialised is returned.

    That is the classifier, where the classes differ in number; the non-local blocks, and the
    relations with their classifier, where the file has none at all. A first convolution of flow
    starts from one of RGB, as the mean over colours. The shift is not compared: it has no weights.

    Raises:
        CheckpointError: As `read_weights`; or anything else is missing or does not fit.
    """
    weights, _ = _read(path)
    _check_frames(path, model, weights)
    tensors = plain_state_dict(model)
    weights |= _mean_of_colours(model, weights)
    new = {}
    if found := _other_classes(tensors, weights):
        heads = {f"{prefix}{name}" for prefix in ("", AUXILIARY) for name in CLASSIFIER}
        new[f"the classifier ({model.num_classes} classes, the file has {found})"] = heads
    non_local = {name for name in tensors if NON_LOCAL in name}
    if non_local and not any(NON_LOCAL in name for name in weights):
        new["the non-local blocks"] = non_local
    relations = {name for name in tensors if name.startswith(RELATIONS)}
    if relations and not any(name.startswith(RELATIONS) for name in weights):
        new["the relations and their classifier"] = relations | set(CLASSIFIER)
    fresh: set[str] = set().union(*new.values())
    loaded = {name: tensor for name, tensor in weights.items() if name not in fresh}
    expected = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    if problems := differences(expected, loaded):
        raise CheckpointError(
            f"{path}: does not fit the recipe's network: {problems}",
            hint="start from weights of the same backbone",
        )
    _set_tensors(model, loaded)
    return tuple(new)


def _check_frames(path: Path, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights whose shapes are those of the same network for another number of frames."""
    if not isinstance(model, Network):
        return
    wanted, found = model.view.num_positions, model.frames_of(weights)
    if found not in (None, wanted):
        raise CheckpointError(
            f"{path}: trained on {found} frames a view, but the recipe's network takes {wanted}",
            hint=f"--set model.num_frames={found}",
        )


def _mean_of_colours(model: Network, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first convolution of flow made of one of RGB, where `weights` have that and `model` not.

    Source: TSN's authors; yjxiong/tsn-pytorch, models.py, _construct_flow_model.
    """
    if not model.view.flow_fields:
        return {}
    name = next(name for name, tensor in model.state_dict().items() if tensor.ndim > 2)
    weight, channels = weights.get(name), len(model.view.mean)
    if weight is None or weight.ndim < 3 or weight.shape[1] != 3:
        return {}
    repeats = (1, channels, *[1] * (weight.ndim - 2))
    return {name: weight.mean(1, keepdim=True).repeat(repeats)}


def differences(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Tensors that `found` lacks or has beyond `wanted`, other shapes and types; else empty."""
    shapes = [
        f"{name} {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    groups = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": shapes,
        "of another type": [
            f"{name} {found[name].dtype}"
            for name, tensor in wanted.items()
            if name in found and tensor.is_floating_point() > found[name].is_floating_point()
        ],
    }
    return ", ".join(_counted(kind, names) for kind, names in groups.items() if names)


def _counted(kind: str, names: list[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return f"{len(names)} {kind} ({', '.join(names[:_MOST_NAMES])}{more})"


def _read(path: Path) -> tuple[dict[str, Tensor], bool | None]:
    """The tensors under their plain names, and whether they were trained with a shift.

    None where that is not told: by plain names that are in no checkpoint of `stsm train`.
    """
    check_weights(path)
    is_told = False
    if path.suffix == SAFETENSORS:
        state, metadata = read_safetensors(path)
        if metadata.get("format") == FORMAT:
            return state, metadata.get("shifted") == "true"
    else:
        content = read_pickle(path)
        is_told = isinstance(content, dict) and "recipe_hash" in content
        state = state_dict(content)
    if not _is_ours(state):
        raise _foreign(path, state)
    is_shifted = any(".net." in name for name in state)
    return _plainly_named(path, state), is_shifted if is_shifted or is_told else None


def _is_ours(state: object) -> bool:
    return (
        isinstance(state, dict)
        and looks_like(map(str, state)) == "stsm"
        and all(isinstance(key, str) and isinstance(state[key], Tensor) for key in state)
    )


def _foreign(path: Path, names: object) -> CheckpointError:
    source = looks_like(map(str, names)) if isinstance(names, dict) else None
    make = command_line("convert", path, "--from", source, "-o", f"FILE{SAFETENSORS}")
    return CheckpointError(
        f"{path}: neither a file of `stsm convert` nor a checkpoint of `stsm train`",
        hint=f"`{make}` makes one" if source in SOURCES else None,
    )


def _plainly_named(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names: dict[str, str] = {}
    for name in state:
        plain = bare(name).replace(".net.", ".")
        if (first := names.setdefault(plain, name)) != name:
            raise CheckpointError(f"{path}: {first} and {name} are one tensor here, {plain}")
    return {plain: state[name] for plain, name in names.items()}


def _set_tensors(model: nn.Module, weights: dict[str, Tensor]) -> None:
    on_meta = next(model.parameters()).is_meta  # where nothing can be copied
    model.load_state_dict(plain_state_dict(model) | weights, assign=on_meta)


def _other_classes(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> int | None:
    """Classes of `theirs`, where its classifier is whole and differs in nothing else; or None."""
    if not all(name in theirs for name in CLASSIFIER):
        return None
    same = all(
        theirs[name].ndim == ours[name].ndim and theirs[name].shape[1:] == ours[name].shape[1:]
        for name in CLASSIFIER
    )
    wanted, found = ({len(state[name]) for name in CLASSIFIER} for state in (ours, theirs))
    return found.pop() if same and len(found) == 1 and wanted != found else None
