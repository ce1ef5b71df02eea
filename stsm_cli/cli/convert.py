"""`stsm convert`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.config.folder import FOLDER
from stsm_cli.config.networks_3d import SlowFastBackbone
from stsm_cli.config.schema import DatasetName, FrameBackbone, sampling_limits
from stsm_cli.errors import UsageError
from stsm_cli.models.weights_kind import SAFETENSORS, check_kind
from stsm_cli.models.weights_names import SOURCES
from stsm_cli.models.weights_stated import SOMETHING_V1
from stsm_cli.printable import command_line, counted

if TYPE_CHECKING:
    from stsm_cli.models.weights_convert import Converted

_MOST_NAMES = 5
_OF_VIDEOS = ("mit", "mmaction2")  # those of TSN and TSM in any body; the others are of pictures
_PROJECTS = ", ".join(f"`{source}`" for source in SOURCES)


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Another project's checkpoint.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar=f"OUT{SAFETENSORS}", help="The file to write.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PROJECT",
            help=f"The project that wrote FILE, if its tensors' names do not tell: {_PROJECTS}.",
        ),
    ] = None,
    non_local: Annotated[
        str | None,
        typer.Option(
            "--non-local",
            metavar="MODE",
            help="Mode of its non-local blocks, where FILE does not say: `embedded_gaussian`.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Convert another project's checkpoint, to start from or to test.

    `stsm train --init` starts from what is written. The names of FILE's tensors tell the project
    and the network, and the shipped recipe that tests it. Every tensor that a test reads must have
    its place there, and every place its tensor. Nothing in FILE is run, and nothing guessed: what
    its tensors do not tell must be in its configuration or in an option.

    Examples:
      stsm convert tsm_r50_k400.pth -o weights/tsm_r50_k400.safetensors
      stsm convert SLOWFAST_4x16_R50.pkl -o weights/slowfast.safetensors --json
      stsm convert tsm_r50.pth.tar --from mit -o weights/tsm_r50_mit.safetensors
    """
    _check(file, source, out, force)
    check_kind(file)
    from stsm_cli.models.weights_convert import convert as convert_file
    from stsm_cli.models.weights_convert import save_converted

    converted = convert_file(file, source, non_local=non_local)
    sha256 = save_converted(out, converted, original=file)
    if as_json:
        output.current().json(_record(file, converted, out, sha256))
    else:
        _print(file, converted, out)


def _check(file: Path, source: str | None, out: Path, force: bool) -> None:
    from stsm_cli.engine.saved_files import check_is_another, check_out

    if source is not None and source not in SOURCES:
        raise UsageError(f"--from must be one of {', '.join(SOURCES)}, got {source!r}")
    check_is_another(file, out, "convert")
    check_out(out, (SAFETENSORS,), force=force)


def _record(file: Path, converted: "Converted", out: Path, sha256: str) -> dict[str, Any]:
    return {
        "schema": "stsm.convert/1",
        "source": str(file),
        "format": converted.source,
        "backbone": converted.backbone,
        "system": converted.system,
        "shifted": converted.shifted,
        "non_local": converted.non_local,
        "num_classes": converted.num_classes,
        "num_tensors": len(converted.weights),
        "num_parameters": converted.num_parameters,
        "recipe": converted.recipe,
        "also": list(converted.also),
        "relatives": list(converted.relatives),
        "frames": converted.frames,
        "for_frames": converted.for_frames,
        "sampling": converted.sampling,
        "rules": dict(converted.rules),
        "missing": [],  # else it would have been an error
        "unexpected": [],
        "dropped": list(converted.dropped),
        "beside": list(converted.beside),
        "num_dropped_parameters": sum(converted.dropped.values()),
        "training_only": list(converted.training),
        "num_training_only_parameters": sum(converted.training.values()),
        "folded": list(converted.folded),
        "num_folded_parameters": sum(converted.folded.values()),
        "notes": _notes(file, converted, out),
        "output": str(out),
        "sha256": sha256,
    }


def _print(file: Path, converted: "Converted", out: Path) -> None:
    parts = [converted.backbone, *["non-local"] * converted.non_local]
    row = [
        " + ".join([*parts, converted.system] if converted.system else parts),
        "T, 1/4" if converted.shifted else "none",
        str(converted.num_classes),
        str(len(converted.weights)),
        f"{converted.num_parameters:,}",
    ]
    columns = ["network", "shift", "classes", "tensors", "parameters"]
    output.current().table(str(out), columns, [row], notes=_notes(file, converted, out))


def _notes(file: Path, converted: "Converted", out: Path) -> list[str]:
    dropped, folded = converted.dropped, converted.folded
    rest = "every other tensor" if dropped else "every tensor"
    notes = []
    if dropped:
        notes.append(f"left out {_tensors(dropped)} that no test reads: {_named(dropped)}")
    taken = f"the weights in {file}" if converted.beside else str(file)
    notes.append(f"{rest} of {taken} has its place, and no place is left empty")
    notes += [
        f"warning: other weights in the file, such as an average of these (EMA), are not taken: "
        f"{key} ({counted(number, 'tensor')})"
        for key, number in converted.beside.items()
    ]
    if training := converted.training:
        notes.append(
            f"beside them {_tensors(training)} that training alone uses: {_named(training)}"
        )
    if folded:
        biases = f"{counted(len(folded), 'bias', 'biases')} ({_parameters(folded)})"
        notes.append(f"{biases} went into the batch norms behind them")
    if converted.shifted and "model.shift.alpha" not in converted.rules:
        notes.append("no tensor tells the share of shifted channels: 1/4 is TSM's default")
    return [*notes, *_commands(converted, out)]


def _tensors(sizes: Mapping[str, int]) -> str:
    return f"{counted(len(sizes), 'tensor')} ({_parameters(sizes)})"


def _parameters(sizes: Mapping[str, int]) -> str:
    return counted(sum(sizes.values()), "parameter")


def _named(sizes: Mapping[str, int]) -> str:
    return ", ".join(list(sizes)[:_MOST_NAMES]) + ", ..." * (len(sizes) > _MOST_NAMES)


def _commands(converted: "Converted", out: Path) -> list[str]:
    """The recipe that tests the weights, what no tensor tells of it, and the commands."""
    if converted.recipe is not None:
        return _commands_of(converted, out, converted.recipe)
    untested = _untested(converted)
    if converted.for_frames is not None:
        return [untested, *_commands_of(converted, out, converted.for_frames)]
    if converted.relatives:
        own = _commands_of(converted, out, *_for_folder(converted.relatives[0]))
        return [f"{untested}; for those of a folder:", *own]
    if _has_own_backbone(converted):
        edit = f"model.backbone={converted.backbone}"
        return [untested, *_commands_of(converted, out, _of_another_body(converted), edit)]
    return [untested, f"start from it with `{command_line('train', 'RECIPE', '--init', out)}`"]


def _for_folder(recipe: str) -> list[str]:
    """The recipe of `folder/` with the network of `recipe`, else that and what takes it there."""
    from stsm_cli.config.load import load_recipe, recipe_names

    edit = f"data.dataset={FOLDER}"
    network = load_recipe(recipe, [edit]).model
    own = (name for name in recipe_names() if name.startswith(f"{FOLDER}/"))
    found = next((name for name in own if load_recipe(name).model == network), None)
    return [found] if found else [recipe, edit]


def _has_own_backbone(converted: "Converted") -> bool:
    """Tell whether it is TSN or TSM in a backbone that no shipped recipe has."""
    return converted.source in _OF_VIDEOS and converted.system is None


def _of_another_body(converted: "Converted") -> str:
    """The recipe of such a network in a ResNet-50: of as many classes, else for a folder."""
    from stsm_cli.config.load import load_recipe, recipe_names

    name = "tsm_r50_8f" if converted.shifted else "tsn_r50_8f"
    sets = [dataset for dataset in get_args(DatasetName) if f"{dataset}/{name}" in recipe_names()]
    if converted.dataset == SOMETHING_V1:
        sets.remove("sthv2")  # which has as many classes
    recipes = [f"{dataset}/{name}" for dataset in sets]
    classes = {recipe: load_recipe(recipe).model.num_classes for recipe in recipes}
    own = (recipe for recipe in recipes if classes[recipe] == converted.num_classes)
    return next(own, f"{FOLDER}/{name}")


def _fine_tuning(recipe: str) -> str:
    """The recipe of `folder/` that starts from weights as they are here, where there is one."""
    from stsm_cli.config.load import recipe_names

    tuned = recipe.replace(f"{FOLDER}/", f"{FOLDER}/finetune_")
    return tuned if tuned in recipe_names() else recipe


def _settings(converted: "Converted", recipe: str, edits: Sequence[str]) -> list[str]:
    """What the weights are known to need, and the recipe has otherwise, as `KEY=VALUE`."""
    from stsm_cli.config.load import load_recipe

    loaded = load_recipe(recipe, edits).recipe
    model, frames, sampling = loaded.model, converted.frames, converted.sampling
    ratio = converted.rules.get("model.slowfast.ratio")
    settings = []
    if frames not in (None, model.num_frames):
        settings.append(f"model.num_frames={frames}")
    if ratio not in (None, str(model.slowfast.ratio)):
        settings.append(f"model.slowfast.ratio={ratio}")
    if sampling is not None and sampling != loaded.data.sampling:
        settings.append(f"data.sampling={sampling}")
        clips, _ = sampling_limits(sampling)
        settings += [f"test.clips={max(clips)}"] * (loaded.test.clips not in clips)
    return settings


def _commands_of(converted: "Converted", out: Path, recipe: str, *others: str) -> list[str]:
    edits = [*others, *_settings(converted, recipe, others)]
    options = [part for edit in edits for part in ("--set", edit)]
    test = command_line("eval", recipe, *options, "--checkpoint", out, "--data", "ROOT")
    start = command_line("train", _fine_tuning(recipe), *options, "--init", out)
    return [
        f"test it with `{test}`",
        *_sampled(recipe, edits),
        *untold(converted, recipe),
        f"start from it with `{start}`",
    ]


def _sampled(recipe: str, edits: Sequence[str]) -> list[str]:
    """What a test is whose sampling is set: its clips and crops are another sampling's."""
    from stsm_cli.config.load import load_recipe

    if not any(edit.startswith("data.sampling=") for edit in edits):
        return []
    loaded = load_recipe(recipe, edits).recipe
    test, kind = loaded.test, loaded.data.sampling
    views = f"{counted(test.clips, 'clip')} × {counted(test.crops, 'crop')} of {test.crop_px}²"
    others = "`--set test.clips=N` and `--set test.crops=N`"
    return [f"that is a test of {kind} sampling, {views} pixels; other ones with {others}"]


def _untested(converted: "Converted") -> str:
    if converted.source == "torchvision":
        return "it is written as a classifier of pictures, which tells no recipe of videos"
    if converted.for_frames is not None:
        return f"no shipped recipe has this network for {_settable(converted)}"
    if converted.dataset == SOMETHING_V1 and converted.relatives:
        return "no shipped recipe is of Something-Something V1, which its configuration names"
    if not converted.relatives and _has_own_backbone(converted):
        return f"no shipped recipe has its backbone ({converted.backbone})"
    what = f"its classes ({converted.num_classes})"
    if converted.frames is not None and converted.tells_frames:
        what += f" and frames ({converted.frames})"
    return f"no shipped recipe has this network with {what}"


def _settable(converted: "Converted") -> str:
    """What of the network, all told, is set in a test under `for_frames`."""
    ratio, sampling = converted.rules.get("model.slowfast.ratio"), converted.sampling
    parts = [] if converted.frames is None else [counted(converted.frames, "frame")]
    parts += [] if ratio is None else [f"{ratio} fast frames for each slow one"]
    parts += [] if sampling is None else [f"{sampling} sampling"]
    parts += [] if converted.tells_frames else ["as its configuration states"]
    return ", ".join(parts)


def untold(converted: "Converted", recipe: str) -> list[str]:
    """Rules of the recipe's network that other networks of the same tensors do not follow."""
    from stsm_cli.config.load import load_recipe

    loaded = load_recipe(recipe).recipe
    model, num_classes = loaded.model, converted.num_classes
    notes = []
    if converted.also:
        others = ", ".join(f"`{other}`" for other in converted.also)
        notes.append(f"no tensor tells it from {others}")
    has_classes = model.num_classes == num_classes
    if has_classes and recipe.startswith("sthv2/") and converted.dataset is None:
        classes = f"both have {num_classes} classes"
        notes.append(f"no tensor tells Something-Something V1 from V2: {classes}")
    if has_classes and recipe.startswith("k400/") and _is_sampled_either_way(converted):
        kind = loaded.data.sampling
        other = "uniform" if kind == "dense" else "dense"
        notes.append(
            f"no tensor tells uniform from dense sampling: {kind} in this recipe, the other with "
            f"`--set data.sampling={other}`"
        )
    if not converted.tells_frames and converted.frames is None:
        told = "no tensor tells the number of frames"
        if converted.stated_frames is not None:
            told = f"trained on {converted.stated_frames} frames, and the mean takes any number"
        notes.append(
            f"{told}: {model.num_frames} in this recipe, other ones with `--set model.num_frames=T`"
        )
    if (
        model.backbone in get_args(SlowFastBackbone)
        and "model.slowfast.ratio" not in converted.rules
    ):
        notes.append(
            "no tensor tells the number of fast frames for each slow one: "
            f"{model.slowfast.ratio} in this recipe, other ones with `--set model.slowfast.ratio=R`"
        )
    return notes


def _is_sampled_either_way(converted: "Converted") -> bool:
    """Tell whether it is TSN or TSM whose sampling is not stated: both are usual on Kinetics."""
    is_plain = converted.system is None and converted.backbone in get_args(FrameBackbone)
    return is_plain and converted.sampling is None
