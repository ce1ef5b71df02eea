"""`stsm prepare`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.config.schema import SynthConfig
from stsm_cli.errors import UsageError

DEFAULT = SynthConfig()
OPTIONS = {"short_side_px": "--short-side"}  # the others are called as their key


def prepare(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="`synth`, the embedded set; others will come.")
    ],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder to fill.")],
    train: Annotated[int, typer.Option("--train", help="Training videos.")] = DEFAULT.train,
    val: Annotated[int, typer.Option("--val", help="Validation videos.")] = DEFAULT.val,
    short_side: Annotated[
        int, typer.Option("--short-side", metavar="PX", help="Height; the width is 7/6 of it.")
    ] = DEFAULT.short_side_px,
    frames: Annotated[int, typer.Option("--frames", help="Frames a video.")] = DEFAULT.frames,
    difficulty: Annotated[
        float,
        typer.Option("--difficulty", help="Clutter, distractors, camera motion, noise: 0 to 1."),
    ] = DEFAULT.difficulty,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other videos.")] = DEFAULT.seed,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview",
            metavar="FILE.png",
            help="First draw a contact sheet of the set: a video of every class.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; default one a CPU.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a data set ready: its videos below ROOT and their list in ROOT/manifest.

    What is already there is kept, so an interrupted command is continued by running it again.

    Examples:
      stsm prepare synth data/synth
      stsm prepare synth data/tiny --train 32 --val 16 --short-side 32 --preview tiny.png
    """
    if dataset != "synth":
        raise UsageError(f"DATASET: this version prepares synth only, got {dataset!r}")
    config = _config(
        train=train,
        val=val,
        short_side_px=short_side,
        frames=frames,
        difficulty=difficulty,
        seed=seed,
    )
    from stsm_cli.data import synth

    console = output.current()
    if preview is not None:
        synth.preview(preview, config)
        console.message(f"contact sheet {preview}")
    report = synth.prepare_synth(root, config, workers=workers, progress=console)
    if as_json:
        console.json(report | {"root": str(root)})
    else:
        _print_report(report, root)


def _config(**values: float) -> SynthConfig:
    try:
        return SynthConfig.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_problem(item) for item in error.errors())) from None


def _problem(item: ErrorDetails) -> str:
    key = str(item["loc"][0])
    rule = item["msg"].removeprefix("Input should be ")
    return f"{OPTIONS.get(key, f'--{key}')}: must be {rule}, got {item['input']}"


def _print_report(report: dict[str, Any], root: Path) -> None:
    rows = [[split, str(count)] for split, count in report["videos"].items()]
    notes = [
        f"{report['made']} videos made in {report['seconds']} s, {report['bytes'] / 1e6:.0f} MB",
        f"data set {root}, for `--data {root}`",
    ]
    output.current().table("Embedded data set", ["split", "videos"], rows, notes=notes)
