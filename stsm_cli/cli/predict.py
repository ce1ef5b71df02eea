"""`stsm predict`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.cli import output
from stsm_cli.cli.evaluate import Best, Clips, Crops, ProtocolName
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Overrides
from stsm_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from stsm_cli.engine.predict import Predictions
    from stsm_cli.engine.trained import Trained


Ranked = dict[Path, list[tuple[str, float]]]  # class names and probabilities, the likeliest first


def predict(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files.")],
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="A run folder; default the newest finished run below `runs/`.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Use these weights (`stsm convert`, or a checkpoint) under --recipe.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="The recipe's name or file that belongs to --checkpoint.",
            show_default=False,
        ),
    ] = None,
    best: Best = False,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Classes a video.")] = 5,
    crops: Crops = None,
    clips: Clips = None,
    protocol: ProtocolName = None,
    overrides: Overrides = None,
    data: Data = None,
    device: Device = "auto",
    decoder: DecoderName = None,
    as_json: Json = False,
) -> None:
    """Say what happens in videos: the likeliest classes of each, with their probabilities.

    The numbers are those of `stsm eval` for the same file. --data is needed only where the run does
    not know its classes' names: it names a prepared data set that does.

    Examples:
      stsm predict holiday.mp4
      stsm predict clips/*.mp4 --run runs/k400-stsm_r50_8f-001 --crops 3 --top 3 --json
      stsm predict a.mp4 --recipe k400/tsm_r50_8f --checkpoint tsm.safetensors --data /data/k400
    """
    if (recipe is None) != (checkpoint is None) or (recipe and run):
        raise UsageError("--checkpoint and --recipe belong together, without --run")
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import check_device, choose_device
    from stsm_cli.engine.trained import trained

    console = output.current()
    check_device(device)
    subject = trained(recipe or run, checkpoint, overrides=overrides or (), best=best)
    subject = subject.under(protocol=protocol, clips=clips, crops=crops)
    reader = choose_decoder(decoder or subject.decoder)
    subject.check()
    if missing := _all_missing(videos):
        for problem in missing.values():
            console.error(problem)
        if as_json:
            console.json(_record(subject, reader, {}, missing))
        raise typer.Exit(1)
    # only now what takes seconds to import
    from stsm_cli.engine.opening import slow_precision
    from stsm_cli.engine.predict import predict as look_at
    from stsm_cli.engine.testing import load_model

    keep_freed_memory()
    where = choose_device(device)
    if slow := slow_precision(subject.recipe, where):
        console.warn(slow)
    model = load_model(subject.recipe.model, subject.checkpoint, where)
    classes = class_names_or_numbers(subject, data, model.num_classes)
    console.message(f"predicting with {subject.checkpoint} under {subject.protocol}")
    found = look_at(
        model,
        subject.recipe,
        classes,
        videos,
        where,
        decoder=reader,
        mirror=subject.mirror,
        progress=console,
    )
    _tell_faults(found)
    likeliest = {
        path: _likeliest(scores, classes, top) for path, scores in found.probabilities.items()
    }
    if as_json:
        console.json(_record(subject, reader, likeliest, found.failed, found))
    elif likeliest:
        _print_table(likeliest)
    if found.failed:
        raise typer.Exit(1)


def _all_missing(videos: Sequence[Path]) -> dict[Path, DataError]:
    """Why each of the files is not there; empty where one of them is."""
    from stsm_cli.data.decode import absent

    missing = {path: problem for path in videos if (problem := absent(path))}
    return missing if len(missing) == len(set(videos)) else {}


def _tell_faults(found: "Predictions") -> None:
    console = output.current()
    for error in found.failed.values():
        console.error(error)
    for path, num_damaged in found.damaged.items():
        console.warn(f"{path}: {num_damaged} of its frames are damaged")
    for path, shortfall in found.short.items():
        console.warn(f"{path}: {shortfall}")
    for path, faults in found.faults.items():
        for fault in faults:
            console.warn(f"{path}: {fault}")


def class_names_or_numbers(
    subject: "Trained", data: Path | None, num_classes: int
) -> tuple[str, ...]:
    """The classes' names, or numbers in their place and a warning."""
    from stsm_cli.engine.predict import class_names

    names = class_names(subject, data, num_classes)
    if names is None:
        output.current().warn(
            "no class list found, classes are numbers: name the data set's folder with --data"
        )
        names = tuple(f"class {label}" for label in range(num_classes))
    return names


def _likeliest(scores: "Tensor", classes: tuple[str, ...], top: int) -> list[tuple[str, float]]:
    values, labels = scores.topk(min(top, len(classes)))
    names = [classes[label] for label in labels.tolist()]
    return list(zip(names, values.tolist(), strict=True))


def _record(
    subject: "Trained",
    decoder: str,
    likeliest: Ranked,
    failed: Mapping[Path, DataError],
    found: "Predictions | None" = None,
) -> dict[str, Any]:
    faults: dict[str, Mapping[Path, Any]] = {
        "damaged_frames": found.damaged if found else {},
        "short": found.short if found else {},
        "faults": found.faults if found else {},
    }
    return {
        "schema": "stsm.prediction/1",
        "checkpoint": str(subject.checkpoint),
        "protocol": subject.protocol,
        "decoder": decoder,
        "videos": [_as_object(path, ranked) for path, ranked in likeliest.items()],
        **{key: {str(path): what for path, what in of.items()} for key, of in faults.items()},
        "failed": {str(path): str(error) for path, error in failed.items()},
    }


def _as_object(path: Path, ranked: list[tuple[str, float]]) -> dict[str, Any]:
    classes = [{"class": name, "probability": value} for name, value in ranked]
    return {"video": str(path), "classes": classes}


def _print_table(likeliest: Ranked) -> None:
    rows = [
        ["" if place else str(path), name, f"{100 * value:.1f}"]
        for path, ranked in likeliest.items()
        for place, (name, value) in enumerate(ranked)
    ]
    output.current().table("Prediction", ["video", "class", "%"], rows)
