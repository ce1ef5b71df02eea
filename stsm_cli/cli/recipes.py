"""`stsm recipes`."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.atomic import whole_file
from stsm_cli.cli import output
from stsm_cli.cli.options import Json, Overrides
from stsm_cli.errors import UsageError
from stsm_cli.printable import command_line

if TYPE_CHECKING:
    from stsm_cli.config.load import LoadedRecipe


def complete_recipe() -> list[str]:
    """Completions that a shell offers where a recipe is named."""
    from stsm_cli.config.load import recipe_names

    return recipe_names()


def list_recipes(context: typer.Context, as_json: Json = False) -> None:
    """List the shipped recipes; `show` prints, `copy` adapts one.

    Examples:
      stsm recipes
      stsm recipes show k400/stsm_r50_8f
      stsm recipes copy k400/stsm_r50_8f mine.yaml
    """
    if (command := context.invoked_subcommand) is not None:
        if as_json:
            raise UsageError(f"--json: stands behind `{command}`, not before it")
        return
    from stsm_cli.config.load import load_recipe, recipe_names

    console = output.current()
    records = [_record(load_recipe(name)) for name in recipe_names()]
    if as_json:
        console.json({"schema": "stsm.recipes/1", "recipes": records})
        return
    for dataset, group in groupby(records, key=lambda record: record["dataset"]):
        _print_group(dataset, list(group))
        console.text("")
    console.text("`stsm recipes show NAME` prints one with the origin of every value")


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", autocompletion=complete_recipe, help="A recipe's name or file."
        ),
    ],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Print a recipe: its card, and each value with its origin.

    Examples:
      stsm recipes show sthv2/stsm_r50_16f
      stsm recipes show k400/stsm_r50_8f --set data.train_crop=multi_scale
    """
    from stsm_cli.config.load import load_recipe

    loaded = load_recipe(name, overrides or [])
    if not as_json:
        output.current().text(f"{loaded.card}\n")
    print_recipe(loaded, as_json=as_json, facts={"schema": "stsm.recipe/1"})


def copy(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", autocompletion=complete_recipe, help="A shipped recipe's name."
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; a new one.")],
    as_json: Json = False,
) -> None:
    """Start a recipe of your own, a file that extends a shipped one.

    It shows all values as comments; taking the comment sign off is all that a change needs.

    Examples:
      stsm recipes copy folder/stsm_r50_8f mine.yaml
      stsm train mine.yaml --data ROOT
    """
    from stsm_cli.config.load import load_recipe, recipe_names

    loaded = load_recipe(name)
    if loaded.name not in recipe_names():
        raise UsageError(f"{name}: not a shipped recipe", hint="`stsm recipes` lists them")
    if file.exists():
        raise UsageError(f"{file}: cannot be written as a new file (File exists)")
    try:
        with whole_file(file) as new:
            new.write(_copy_text(loaded, file).encode())
    except OSError as error:
        raise UsageError(f"{file}: cannot be written as a new file ({error.strerror})") from None
    console = output.current()
    if as_json:
        console.json({"schema": "stsm.copy/1", "name": loaded.name, "file": str(file)})
    else:
        console.text(f"wrote {file}: edit it, then `{command_line('train', file)}`")


def print_recipe(
    loaded: "LoadedRecipe",
    *,
    as_json: bool,
    facts: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> None:
    """Show each value of a recipe and its origin.

    Args:
        loaded: The recipe.
        as_json: As one object, which also holds `facts`; otherwise as a table with `notes`.
        facts: Their `schema` names the kind of object.
    """
    from stsm_cli.config.load import describe

    console = output.current()
    if as_json:
        recipe = loaded.recipe.model_dump(mode="json")
        head = {"schema": facts["schema"], "name": loaded.name, "card": loaded.card}
        console.json({**head, "recipe": recipe, "origins": loaded.origins, **facts})
        return
    rows = [[key, str(value), origin] for key, value, origin in describe(loaded)]
    console.table(f"Recipe {loaded.name}", ["key", "value", "from"], rows, notes)


def _record(loaded: "LoadedRecipe") -> dict[str, Any]:
    model = loaded.recipe.model
    return {
        "name": loaded.name,
        "title": _title(loaded.card),
        "dataset": loaded.recipe.data.dataset,
        "backbone": model.backbone
        + (" on flow" if model.stream == "flow" else "")
        + (" + non-local" if model.non_local else "")
        + (f" + {model.system}" if model.system else ""),
        "num_frames": model.num_frames,
        "shift": f"{model.shift.dims}, α = {model.shift.alpha}" if model.shift else None,
        "protocol": loaded.recipe.protocol,
    }


def _title(card: str) -> str:
    """The two sentences that a card opens with: network, frames and data set; what to expect."""
    prose = " ".join(card.partition("\nRun: ")[0].split())
    return ". ".join(prose.rstrip(".").split(". ")[:2]) + "."


def _print_group(dataset: str, records: list[dict[str, Any]]) -> None:
    from stsm_cli.data.catalog import load_card

    keys = ("name", "backbone", "num_frames", "shift")
    rows = [  # of a title, the second sentence: what the first says stands beside it
        [*(str(record[key] or "none") for key in keys), record["title"].partition(". ")[2]]
        for record in records
    ]
    columns = ["recipe", "backbone", "frames", "shift", "what it is"]
    output.current().table(load_card(dataset).title, columns, rows)


def _copy_text(loaded: "LoadedRecipe", file: Path) -> str:
    from stsm_cli.config.load import dump_recipe

    values = "".join(f"# {line}\n" for line in dump_recipe(loaded.recipe).splitlines())
    return (
        f"# A copy of {loaded.name}, whose values hold where none is given below.\n"
        f"# Run: {command_line('train', file)}\n"
        f"# Cost: not yet measured\n"
        f"extends: {loaded.name}\n"
        "\n"
        "# To change a value, take the comment sign off its line and off those of its sections.\n"
        f"{values}"
    )
