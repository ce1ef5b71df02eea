"""`stsm predict`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.cli import output
from stsm_cli.cli.evaluate import Best, Clips, Crops, ProtocolName
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Overrides, RecipeName
from stsm_cli.cli.predict_named import refuse_networks, source_of, told_apart, videos_of
from stsm_cli.errors import StsmError, UsageError
from stsm_cli.printable import command_line

if TYPE_CHECKING:
    from torch import Tensor

    from stsm_cli.data.decode import Decoder
    from stsm_cli.engine.onnx_model import OnnxModel
    from stsm_cli.engine.predict import Predictions, Predictor
    from stsm_cli.engine.saving import Saved
    from stsm_cli.engine.trained import Trained


Ranked = dict[Path, list[tuple[str, float]]]  # class names and probabilities, the likeliest first
Predictors = tuple["Predictor", "Predictor"]  # of whole videos, and of windows


def predict(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO...",
            help="Files, folders, patterns, or lists (.txt, .csv) of videos, or the address of a "
            "stream. First may come a network: a run folder, one of `stsm weights`, or MODEL.onnx, "
            "which `stsm export` wrote.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="A run folder, or one of `stsm weights`; default the newest finished run below "
            "`runs/`.",
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
    recipe: RecipeName = None,
    best: Best = False,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Classes a video.")] = 5,
    crops: Crops = None,
    clips: Clips = None,
    protocol: ProtocolName = None,
    overrides: Overrides = None,
    data: Data = None,
    device: Device = "auto",
    decoder: DecoderName = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Look at four videos of the network's embedded data set, drawn into `demo/`.",
        ),
    ] = False,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera",
            metavar="CAMERA",
            help="Look at a camera, by its number or device.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=0,
            help="Leave a camera or stream after so many.",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="DIR",
            help="Write the scores of all classes as CSV, and each video with its class and score "
            "drawn on it over time.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            metavar="FRAMES",
            help="With --save, a camera or a stream: how many frames each score over time is "
            "about; default 64, or what dense sampling sees.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into DIR whatever it holds.")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """Say what happens in videos: the likeliest classes of each.

    The probabilities are those of `stsm eval` for the same file. A folder stands for all videos
    below it. What cannot be read is told, does not stop the others, and makes the exit code 1.
    --data is needed only where the run does not know its classes' names: it names a prepared data
    set that does. Of a camera or a stream the scores are shown while it goes on, by the middle of
    the picture, until it ends or Ctrl-C is pressed; with --json an object a line.

    Examples:
      stsm predict order/stsm --demo
      stsm predict holiday.mp4
      stsm predict clips --save scored
      stsm predict "clips/*.mp4" --run runs/k400-stsm_r50_8f-001 --top 3 --json
      stsm predict a.mp4 --recipe k400/tsm_r50_8f --checkpoint tsm.safetensors
      stsm predict stsm.onnx holiday.mp4
      stsm predict --camera 0 --top 3
      stsm predict rtsp://127.0.0.1/door --json
    """
    network, run, named = told_apart(videos or [], run, recipe)
    refuse_networks(named)
    of_files = (save, clips, crops, protocol, force or None)
    source = source_of(network, camera, named, demo, of_files, seconds)
    if (recipe is None) != (checkpoint is None) or (recipe and run):
        raise UsageError("--checkpoint and --recipe belong together, without --run")
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import check_device
    from stsm_cli.engine.saved_files import check_folder, window_of
    from stsm_cli.engine.trained import trained

    check_device(device)
    if source is None:
        check_folder(save, window, force)
    make: Callable[[], Predictors]
    if network is not None:
        others = (run, checkpoint, overrides, data, best, device not in ("auto", "cpu"))
        model = _opened(network, any(others))
        subject = model.under(protocol=protocol, clips=clips, crops=crops)
        _refuse_flow(subject)
        reader = choose_decoder(decoder)
        make = partial(_by_file, model, subject, reader)
    else:
        subject = trained(recipe or run, checkpoint, overrides=overrides or (), best=best)
        subject = subject.under(protocol=protocol, clips=clips, crops=crops)
        reader = choose_decoder(decoder or subject.decoder)
        _refuse_flow(subject, is_newest=run is None and recipe is None)
        subject.check()
        make = partial(_by_run, subject, data, device, reader)
    length = window_of(subject.recipe, window)
    keep_freed_memory()
    if source is not None:
        from stsm_cli.cli.predict_live import predict_live

        predict_live(make, source, window=length, top=top, seconds=seconds, as_json=as_json)
        return
    record = partial(_record, subject, reader)
    paths = videos_of(named, subject, demo)
    _predict_files(make, subject, paths, record, save, length, top, as_json)


def _predict_files(
    make: Callable[[], Predictors],
    subject: "Trained",
    named: Sequence[Path],
    record: Callable[..., dict[str, Any]],
    save: Path | None,
    window: int,
    top: int,
    as_json: bool,
) -> None:
    from stsm_cli.prepare.selection import select

    console = output.current()
    chosen = select(named, console)
    for problem in chosen.failed.values():
        console.error(problem)
    if not chosen.videos:
        if as_json:
            console.json(record({}, chosen.failed))
        raise typer.Exit(1)
    whole, part = make()  # only now what takes seconds to import
    console.message(f"predicting with {subject.called} under {subject.protocol}")
    from stsm_cli.engine.predict import predict as look_at

    found = look_at(whole, chosen.videos, progress=console)
    _tell_faults(found)
    saved, unsaved = _saved(part, found, save, window) if save else (None, {})
    likeliest = {
        path: ranked(scores, whole.classes, top) for path, scores in found.probabilities.items()
    }
    failed = {**chosen.failed, **found.failed, **unsaved}
    if as_json:
        console.json(record(likeliest, failed, found, saved))
    elif likeliest:
        _print_table(likeliest, saved)
    if failed:
        raise typer.Exit(1)


def _refuse_flow(subject: "Trained", *, is_newest: bool = False) -> None:
    if subject.recipe.model.stream == "flow":
        other = "name a run of RGB with --run RUN; of flow: " if is_newest else ""
        run = subject.folder.path if subject.folder else "RUN"
        test = command_line("eval", run, "--data", "ROOT")
        raise UsageError(
            f"predict: {subject.checkpoint} takes optical flow, which prepared sets alone have",
            hint=f"{other}`stsm prepare folder ROOT`, `stsm prepare flow ROOT`, then `{test}`",
        )


def _opened(network: Path, is_other_asked: bool) -> "OnnxModel":
    """The exported network, which has its recipe, its classes and its weights inside."""
    if is_other_asked:
        raise UsageError(
            f"{network}: is a whole network for the CPU, without --run, --best, --checkpoint, "
            "--recipe, --set, --data and --device"
        )
    from stsm_cli.engine.onnx_session import RUNNERS, require_onnx
    from stsm_cli.models.weights_kind import check_kind

    require_onnx(RUNNERS)
    check_kind(network, "ONNX file")
    from stsm_cli.engine.onnx_model import open_onnx

    return open_onnx(network)


def _by_file(model: "OnnxModel", subject: "Trained", reader: "Decoder") -> Predictors:
    from stsm_cli.engine.windows import one_view

    recipe = subject.recipe
    views = recipe if model.card.with_preprocessing else one_view(recipe)
    return model.predictor(recipe, reader), model.predictor(views, reader)


def _by_run(subject: "Trained", data: Path | None, device: str, reader: "Decoder") -> Predictors:
    from stsm_cli.engine.device import choose_device
    from stsm_cli.engine.predict import by_network
    from stsm_cli.engine.testing import load_model
    from stsm_cli.engine.windows import one_view

    recipe, where = subject.recipe, choose_device(device)
    model = load_model(recipe.model, subject.checkpoint, where)
    classes = class_names_or_numbers(subject, data, model.num_classes)
    of = partial(by_network, model, classes=classes, device=where, decoder=reader)
    return of(recipe=recipe, mirror=subject.mirror_of(classes, data)), of(recipe=one_view(recipe))


def _saved(
    part: "Predictor", found: "Predictions", folder: Path, window: int
) -> tuple["Saved | None", Mapping[Path, StsmError]]:
    """The files, unless a table of them cannot be written, and why what is missing is."""
    from stsm_cli.engine.saving import save

    console = output.current()
    try:
        saved = save(part, found.probabilities, folder, window=window, progress=console)
    except StsmError as error:  # the answers are worth more than the files
        console.error(error)
        return None, {folder: error}
    for problem in saved.failed.values():
        console.error(problem)
    return saved, saved.failed


def _tell_faults(found: "Predictions") -> None:
    console = output.current()
    for error in found.failed.values():
        console.error(error)
    for path, num_damaged in found.damaged.items():
        are = "is" if num_damaged == 1 else "are"
        console.warn(f"{path}: {num_damaged} of its frames {are} damaged")
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
    from stsm_cli.engine.trained import class_numbers

    names = class_names(subject, data, num_classes)
    if names is None:
        output.current().warn(
            "no class list found, classes are numbers: name the data set's folder with --data"
        )
        names = class_numbers(num_classes)
    return names


def ranked(scores: "Tensor", classes: Sequence[str], top: int) -> list[tuple[str, float]]:
    """The `top` likeliest classes by scores (K,), with their probabilities; the likeliest first."""
    values, labels = scores.topk(min(top, len(classes)))
    names = [classes[label] for label in labels.tolist()]
    return list(zip(names, values.tolist(), strict=True))


def _record(
    subject: "Trained",
    decoder: str,
    likeliest: Ranked,
    failed: Mapping[Path, StsmError],
    found: "Predictions | None" = None,
    saved: "Saved | None" = None,
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
        "videos": [_as_object(path, best) for path, best in likeliest.items()],
        **{key: {str(path): what for path, what in of.items()} for key, of in faults.items()},
        "failed": {str(path): str(error) for path, error in failed.items()},
        **(_files(saved) if saved else {}),
    }


def _files(saved: "Saved") -> dict[str, Any]:
    drawn = {str(path): str(out) for path, out in saved.drawn.items()}
    return {"saved": {"scores": str(saved.scores), "windows": str(saved.windows), "drawn": drawn}}


def _as_object(path: Path, ranked: list[tuple[str, float]]) -> dict[str, Any]:
    classes = [{"class": name, "probability": value} for name, value in ranked]
    return {"video": str(path), "classes": classes}


def _print_table(likeliest: Ranked, saved: "Saved | None") -> None:
    rows = [
        ["" if place else str(path), name, f"{100 * value:.1f}"]
        for path, ranked in likeliest.items()
        for place, (name, value) in enumerate(ranked)
    ]
    notes = []
    if saved is not None:
        notes.append(f"{saved.scores} has the scores of all classes, {saved.windows} over time")
        shown = [out.name for out in saved.drawn.values()]
        more = f" and {len(shown) - 1} more show" if len(shown) > 1 else " shows"
        notes += [f"{saved.scores.parent / shown[0]}{more} them"] if shown else []
    output.current().table("Prediction", ["video", "class", "%"], rows, notes=notes)
