"""`stsm inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.atomic import write_file
from stsm_cli.cli import output
from stsm_cli.cli.evaluate import Clips, Crops, ProtocolName, warn_unfinished
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Overrides
from stsm_cli.cli.recipes import complete_recipe
from stsm_cli.errors import CheckpointError, DataError, UsageError
from stsm_cli.printable import command_line, one_line

if TYPE_CHECKING:
    from stsm_cli.analysis.contact_sheet import SheetChapter
    from stsm_cli.config.schema import Recipe
    from stsm_cli.data.decode import Decoder
    from stsm_cli.engine.inspection import Answering, RunInspection, VideoInspection
    from stsm_cli.engine.kept_tests import KeptTest
    from stsm_cli.engine.trained import Trained
    from stsm_cli.models.network import Network

PAGE = ".html"
SAMPLES = 12  # ours: two rows of six
SHOWN = 10  # rows of the table on the terminal


def inspection(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|VIDEO",
            help="A run folder (default: the newest finished run below `runs/`), a video file, or "
            "with --video one of `stsm weights`.",
            show_default=False,
        ),
    ] = None,
    videos: Annotated[
        list[Path] | None,
        typer.Option(
            "--video",
            metavar="FILE",
            help="Look at this video, not at the run's own; may be repeated.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            autocompletion=complete_recipe,
            help="Read VIDEO by this recipe; no run is needed.",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Read VIDEO as this run's test does, and show its answer.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PAGE.html",
            help="The page to write; default the name of the run or video, and .html.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            metavar="N",
            help=f"Training samples of a run; default {SAMPLES}.",
            show_default=False,
        ),
    ] = None,
    crops: Crops = None,
    clips: Clips = None,
    protocol: ProtocolName = None,
    overrides: Overrides = None,
    data: Data = None,
    device: Device = "auto",
    decoder: DecoderName = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the page if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Show what training sees and what a run confuses, on one page.

    Of a run: its first training samples to the pixel, accuracy class by class, the commonest
    confusions, and by Grad-CAM where in an example's frames each answer comes from. Of a video:
    which frames, times and crops training and test take, under a recipe before any training, or
    under a run, which then says what it sees. The page works offline, without scripts.

    Examples:
      stsm inspect
      stsm inspect runs/synth-stsm-001 --protocol 1x10@32 -o confusions.html
      stsm inspect runs/synth-stsm-001 --video clip.mp4
      stsm inspect clip.mp4 --recipe k400/stsm_r50_8f --clips 10 --json
    """
    run, videos = _asked(source, videos or [], run, recipe)
    _refuse_unused(videos, recipe, samples=samples, data=data, device=device)
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import check_device

    check_device(device)
    reader = choose_decoder(decoder) if decoder else None
    parts = {"protocol": protocol, "clips": clips, "crops": crops}
    if videos:
        subject, by = _reading(run, recipe, overrides or [], parts, videos)
        out = _target(out, videos[0].stem, force)
        _inspect_videos(videos, subject, by, out, (data, device, reader), as_json)
        return
    if overrides:
        raise UsageError(
            f"--set {overrides[0]}: belongs to a VIDEO, and none is named",
            hint="another test of a run is kept by `stsm eval`, and shown with --protocol",
        )
    test, subject = _kept(run, parts)
    out = _target(out, test.folder.path.resolve().name, force)
    _inspect_run(test, subject, out, (data, device, reader), samples or SAMPLES, as_json)


def _asked(
    source: Path | None, videos: list[Path], run: str | None, recipe: str | None
) -> tuple[str | None, list[Path]]:
    """The run and the videos that are meant; None: the newest finished run, or none is needed."""
    from stsm_cli.engine.bundled import almost_bundled

    if source is not None and (source.is_dir() or almost_bundled(str(source))):
        if run is not None:
            raise UsageError(f"{source}: names a run, and --run {run} is another")
        run = str(source)
    elif source is not None:
        _check_video(source)
        videos = [source, *videos]
    if recipe is not None and run is not None:
        raise UsageError(f"--recipe {recipe}: excludes a run, which has its own, {run}")
    if recipe is not None and not videos:
        example = command_line("inspect", "VIDEO", "--recipe", recipe)
        raise UsageError(
            f"--recipe {recipe}: belongs to a VIDEO, and none is named", hint=f"`{example}`"
        )
    return run, videos


def _refuse_unused(
    videos: list[Path],
    recipe: str | None,
    *,
    samples: int | None,
    data: Path | None,
    device: str,
) -> None:
    """Refuse an option that would change nothing on the page."""
    if videos and samples is not None:
        raise UsageError(f"--samples {samples}: belongs to a run's own set, not to a VIDEO")
    given = [f"--data {data}"] * (data is not None) + [f"--device {device}"] * (device != "auto")
    if recipe is not None and given:
        raise UsageError(
            f"{given[0]}: belongs to a run, and --recipe {recipe} asks none", hint="leave it out"
        )


def _check_video(path: Path) -> None:
    """Refuse what cannot be a video by its name or its place; the hint has what to type."""
    from stsm_cli.cli.predict_named import ONNX, PROGRAM, WEIGHTS
    from stsm_cli.config.load import recipe_names

    if not path.is_file() and str(path) in recipe_names():
        raise UsageError(
            f"{path}: is a recipe, not a run folder or a video",
            hint=f"`{command_line('inspect', 'VIDEO', '--recipe', path)}`",
        )
    if not path.is_file():
        raise DataError(f"{path}: no such run folder or video")
    for folder in (path.parent, path.parent.parent):
        if (folder / "recipe.yaml").is_file():
            raise UsageError(
                f"{path}: is a file of the run {folder}, not a video",
                hint=f"`{command_line('inspect', folder)}`; of a fusion, each run by itself",
            )
    if path.suffix.lower() in (ONNX, PROGRAM, *WEIGHTS):
        raise UsageError(
            f"{path}: is a network, not a video", hint="`stsm inspect RUN` looks at its run"
        )


def _target(out: Path | None, name: str, force: bool) -> Path:
    """The page to write, after all that can be wrong with it."""
    from stsm_cli.engine.saved_files import check_out

    out = out or Path(f"{name}{PAGE}")
    check_out(out, (PAGE,), force=force)
    return out


def _kept(run: str | None, parts: dict[str, Any]) -> "tuple[KeptTest, Trained]":
    """The run and the test that it keeps."""
    from stsm_cli.engine.kept_tests import kept_test
    from stsm_cli.engine.trained import trained

    subject = trained(run, None)
    if subject.folder is None:
        hint = f"`{command_line('inspect', 'VIDEO', '--run', subject.called)}` shows where it looks"
        raise UsageError(f"{subject.called}: keeps no test that could be shown", hint=hint)
    asked = subject.under(**parts).recipe.protocol if any(parts.values()) else None
    test = kept_test(subject.folder.path, asked)
    subject.check()
    return test, subject


def _reading(
    run: str | None, recipe: str | None, edits: list[str], parts: dict[str, Any], videos: list[Path]
) -> "tuple[Trained | None, Recipe]":
    """The run, if one is asked, and the recipe by which videos are read."""
    from stsm_cli.config.load import load_recipe
    from stsm_cli.engine.runlog import newest_run
    from stsm_cli.engine.trained import edit_protocol, trained

    if recipe is not None:
        by = edit_protocol(load_recipe(recipe, edits).recipe, edits, **parts)
        _check_stream(by, recipe, "a recipe of RGB reads video files")
        return None, by
    if run is None:
        try:
            run = str(newest_run(finished=True).path)
        except UsageError as error:
            way = command_line("inspect", videos[0], "--recipe", "synth/stsm")
            raise UsageError(str(error), hint=f"by a recipe none is needed: `{way}`") from None
    subject = trained(run, None, overrides=edits).under(**parts)
    _check_stream(subject.recipe, run, f"`{command_line('inspect', run)}` shows its own set's")
    subject.check()
    return subject, subject.recipe


def _check_stream(recipe: "Recipe", whose: str, hint: str) -> None:
    if recipe.model.stream == "flow":
        raise UsageError(
            f"{whose}: takes optical flow, which prepared sets alone have, not a video file",
            hint=hint,
        )


Where = tuple[Path | None, str, "Decoder | None"]  # data set, device, decoder


def _inspect_run(
    test: "KeptTest", subject: "Trained", out: Path, where: Where, samples: int, as_json: bool
) -> None:
    from stsm_cli.data.dataset import check_split
    from stsm_cli.data.decode import choose_decoder

    data, device, reader = where
    recipe, root = test.recipe, data or subject.data_root
    for split in ("train", recipe.test.split):
        check_split(recipe.data, root, split, flow_fields=recipe.model.view.flow_fields)
    reader = reader or choose_decoder(subject.decoder)
    # only now what takes seconds to import
    from stsm_cli.cli.inspection_page import run_chapters
    from stsm_cli.engine.device import choose_device
    from stsm_cli.engine.inspection import inspect_run, open_of_run
    from stsm_cli.engine.testing import load_model

    keep_freed_memory()
    on, console = choose_device(device), output.current()
    console.message(f"looking at {subject.called} under {test.result.protocol}")
    warn_unfinished(test.folder)
    train, tested = open_of_run(test, root, reader, progress=console)
    model = load_model(recipe.model, subject.checkpoint, on)
    _check_same_weights(test, model, subject.checkpoint)
    found = inspect_run(model, test, train, tested, on, num_samples=samples, progress=console)
    _write(out, test.folder.path, run_chapters(found, test))
    if as_json:
        console.json(_run_record(found, test, out))
    else:
        _print_run(found, test, out)


def _check_same_weights(test: "KeptTest", model: "Network", checkpoint: Path) -> None:
    """Refuse scores of an unfinished run that were of an earlier epoch."""
    from stsm_cli.engine.identity import weights_sha256

    if test.result.weights_sha256 not in (None, weights_sha256(model)):
        again = command_line("eval", test.folder.path, "--protocol", test.result.protocol)
        raise CheckpointError(
            f"{test.folder.path}: its scores of {test.result.protocol} are not of the weights in "
            f"{checkpoint.name}",
            hint=f"`{again}` keeps new ones",
        )


def _write(out: Path, what: Path, chapters: "list[SheetChapter]") -> None:
    from stsm_cli.analysis.contact_sheet import sheet_html

    write_file(out, sheet_html(f"A look at {one_line(str(what))}", chapters).encode())


def _run_record(found: "RunInspection", test: "KeptTest", out: Path) -> dict[str, Any]:
    from stsm_cli.cli.inspection_page import sample_record

    classes = test.scores.classes
    return {
        "schema": "stsm.inspection/1",
        "page": str(out),
        "run": str(test.folder.path),
        "protocol": test.result.protocol,
        "top1": test.result.top1,
        "samples": [
            {"video": record.path, "class": classes[sample.label]}
            | sample_record(sample, record.fps)
            for sample, record in found.drawn()
        ],
        "classes": [
            {
                "class": classes[row.label],
                "videos": row.videos,
                "correct": row.correct,
                "answers": int(found.answered[row.label]),
                "confused_with": None if row.confused_with is None else classes[row.confused_with],
                "confused": row.confused,
            }
            for row in found.classes
        ],
        "confusions": [
            {
                "class": classes[one.group.label],
                "taken_for": classes[one.group.answer],
                "videos": one.group.videos,
                "example": one.record.path,
                "probability": one.probability,
                "own_probability": one.own,
            }
            for one in found.confused
        ],
    }


def _print_run(found: "RunInspection", test: "KeptTest", out: Path) -> None:
    classes = test.scores.classes
    rows = []
    for looked in found.confused[:SHOWN]:
        label, answer, count, _ = looked.group
        videos = str(found.classes[label].videos)
        rows.append([classes[label], classes[answer], str(count), videos, looked.record.path])
    notes = [f"top-1 {test.result.top1:.1f} % under {test.result.protocol}", f"{out} shows all"]
    columns = ["class", "taken for", "videos", "of", "for example"]
    output.current().table("Commonest confusions", columns, rows, notes=notes)


def _inspect_videos(
    videos: list[Path],
    subject: "Trained | None",
    recipe: "Recipe",
    out: Path,
    where: Where,
    as_json: bool,
) -> None:
    from stsm_cli.data.decode import choose_decoder

    data, device, reader = where
    reader = reader or choose_decoder(subject.decoder if subject else None)
    # only now what takes seconds to import
    from stsm_cli.cli.inspection_page import video_chapter
    from stsm_cli.engine.inspection import inspect_video

    keep_freed_memory()
    console, found, failed = output.current(), {}, {}
    network = _network(subject, data, device, reader) if subject else None
    with console.bar("looking at videos", len(videos)) as bar:
        for path in dict.fromkeys(videos):
            try:
                found[path] = inspect_video(path, recipe, reader, network)
            except DataError as error:
                console.error(error)
                failed[path] = error
            bar.advance()
    classes = network.predictor.classes if network else ()
    asked = subject.called if subject else ""
    chapters = [
        video_chapter(place, path, one, recipe, classes, asked)
        for place, (path, one) in enumerate(found.items())
    ]
    if found:
        _write(out, next(iter(found)), chapters)
    if as_json:
        console.json(_video_record(found, failed, recipe, classes, out))
    elif found:
        _print_videos(found, recipe, classes, asked, out)
    if failed:
        raise typer.Exit(1)


def _network(subject: "Trained", data: Path | None, device: str, reader: "Decoder") -> "Answering":
    from stsm_cli.cli.predict import class_names_or_numbers
    from stsm_cli.engine.device import choose_device
    from stsm_cli.engine.inspection import Answering
    from stsm_cli.engine.predict import by_network
    from stsm_cli.engine.testing import load_model

    on, recipe = choose_device(device), subject.recipe
    model = load_model(recipe.model, subject.checkpoint, on)
    classes = class_names_or_numbers(subject, data, model.num_classes)
    mirror = subject.mirror_of(classes, data)
    scorer = by_network(model, recipe, classes, on, decoder=reader, mirror=mirror)
    return Answering(scorer, model, on)


def _video_record(
    found: "dict[Path, VideoInspection]",
    failed: dict[Path, DataError],
    recipe: "Recipe",
    classes: tuple[str, ...],
    out: Path,
) -> dict[str, Any]:
    from stsm_cli.cli.inspection_page import video_record

    return {
        "schema": "stsm.inspection/1",
        "page": str(out) if found else None,
        "protocol": recipe.protocol,
        "videos": [
            {"video": str(path)} | video_record(one, classes) for path, one in found.items()
        ],
        "failed": {str(path): str(error) for path, error in failed.items()},
    }


def _print_videos(
    found: "dict[Path, VideoInspection]",
    recipe: "Recipe",
    classes: tuple[str, ...],
    asked: str,
    out: Path,
) -> None:
    from stsm_cli.cli.inspection_page import answer_note, sampling_notes, video_facts, video_rows

    for path, one in found.items():
        columns = ["", "frames", "seconds", "crop"]
        said = answer_note(one, classes, asked)
        notes = [*video_facts(one), *sampling_notes(one, recipe), *said, f"{out} shows them"]
        output.current().table(str(path), columns, video_rows(one), notes=notes)
