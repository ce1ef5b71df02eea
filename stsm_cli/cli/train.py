"""`stsm train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Overrides, Workers

if TYPE_CHECKING:
    from stsm_cli.config.load import LoadedRecipe
    from stsm_cli.engine.runlog import RunFolder

DEFAULT_RECIPE = "synth/stsm"


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help=f"A recipe's name or file; default `{DEFAULT_RECIPE}`.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The run folder; default the next free `runs/<recipe>-NNN`.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the run in --out, or the newest unfinished one."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print each value of the recipe and its origin; stop.")
    ] = False,
    device: Device = "auto",
    workers: Workers = 2,
    decoder: DecoderName = None,
    as_json: Json = False,
) -> None:
    """Train one recipe into a run folder and test it.

    Examples:
      stsm train
      stsm train synth/tsm --set optim.epochs=2 --set seed=1
    """
    from stsm_cli.config.load import load_recipe

    wanted = load_recipe(recipe or DEFAULT_RECIPE, overrides or [])
    if dry_run:
        _print_plan(wanted, as_json)
        return
    from stsm_cli.data.dataset import open_splits
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import choose_device
    from stsm_cli.engine.runlog import RunFolder, newest_run, next_run_folder
    from stsm_cli.engine.train import train as run

    console = output.current()
    where = choose_device(device)
    name, config = wanted.name, wanted.recipe
    if resume:
        folder = RunFolder(out) if out else newest_run(finished=False)
        name, data, decoder = _started(folder, data, decoder)
        config = wanted.recipe if recipe or overrides else folder.recipe()
        folder.check_same(config)  # before the data is opened, which takes a while
    else:
        folder = RunFolder(out or next_run_folder(name))
        folder.check_new()
    console.message(f"{'continuing' if resume else 'run folder'} {folder.path}")
    splits = open_splits(config.data, data, decoder=choose_decoder(decoder), progress=console)
    result = run(
        config,
        *splits,
        folder.path,
        name=name,
        device=where,
        workers=workers,
        resume=resume,
        progress=console,
        on_epoch=lambda metrics: console.message(_epoch_line(metrics, config.optim.epochs)),
    )
    print_result(result, folder.path, as_json=as_json)


def _started(folder: "RunFolder", data: Path | None, decoder: str | None) -> tuple[str, Path, str]:
    """Name of the recipe, the data set's folder and the decoder of a run that was begun before."""
    known = folder.environment()
    return known["recipe"], data or Path(known["data"]), decoder or known["decoder"]


def _epoch_line(metrics: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {metrics['epoch']}/{epochs}  loss {metrics['train_loss']:.3f}  "
        f"train {metrics['train_top1']:.1f} %  val {metrics['val_top1']:.1f} %  "
        f"{metrics['seconds'] + metrics['seconds_val']:.0f} s (data {metrics['data_share']:.0%})"
    )


def _print_plan(loaded: "LoadedRecipe", as_json: bool) -> None:
    from stsm_cli.config.load import describe

    console = output.current()
    if as_json:
        console.json(
            {
                "schema": "stsm.plan/1",
                "name": loaded.name,
                "recipe": loaded.recipe.model_dump(mode="json"),
                "origins": loaded.origins,
            }
        )
        return
    rows = [[key, str(value), origin] for key, value, origin in describe(loaded)]
    console.table(f"Recipe {loaded.name}", ["key", "value", "from"], rows)


def print_result(result: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """Show a run's test result: one row, or with `as_json` the object itself."""
    console = output.current()
    if as_json:
        console.json(result | {"run": str(folder)})
        return
    low, high = result["top1_interval"]
    pair = result["pair_accuracy"]
    columns = {
        "recipe": result["name"],
        "protocol": result["protocol"],
        "videos": str(result["num_listed"]),
        "top-1": f"{result['top1']:.1f} [{low:.1f}, {high:.1f}]",
        "top-5": f"{result['top5']:.1f}",
        "mean class": f"{result['mean_class']:.1f}",
    }
    if pair is not None:
        columns["in pair"] = f"{pair:.1f}"
    notes = [f"accuracies in %, with the 95 % Wilson interval; from {folder}"]
    if result["broken"]:
        notes.append(
            f"{len(result['broken'])} videos do not decode and count as wrong: "
            f"{', '.join(result['broken'][:5])}"
        )
    console.table("Test", list(columns), [list(columns.values())], notes=notes)
