"""Options that several commands share, declared once; and those that the user typed."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="ROOT",
        help="The prepared data set's folder; default the run's own, else `data/<data set>`.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", help="`auto`, `cpu`, `cuda` or `cuda:N`.")]
Workers = Annotated[
    int | None,  # `engine.device.choose_workers` fills it in
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Processes that read videos (none for videos kept in memory); "
        "default one a CPU core, at most 8 per process.",
        show_default=False,
    ),
]
Root = Annotated[
    Path, typer.Argument(metavar="ROOT", help="The folder of its videos, or one to fill.")
]
Processes = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; default one a CPU.")
]
DecoderName = Annotated[
    str | None,
    typer.Option(
        "--decoder",
        help="`pyav` or `decord`, where it is installed; default the run's own, else `pyav`.",
        show_default=False,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="Name or file of the recipe that the weights belong to.",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one key of the recipe; may be repeated."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Nproc = Annotated[
    int,
    typer.Option(
        "--nproc",
        min=1,
        metavar="N",
        help="Processes on this machine that share the videos, one a GPU.",
    ),
]


def typed_words(context: typer.Context, *, without: Collection[str]) -> list[str]:
    """The arguments that the user typed for this command, but for `without`, -q and -v."""
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in (*without, "quiet", "verbose") or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(parameter.opts[0])
        else:
            values = value if isinstance(value, (list, tuple)) else [value]  # by typer's version
            words += [word for item in values for word in (parameter.opts[0], str(item))]
    return words
