"""`stsm prepare` for the data sets that are made here: a command is made of a set's settings."""

from collections.abc import Callable
from inspect import Parameter, signature
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stsm_cli.cli import output
from stsm_cli.cli.options import Json, Processes, Root
from stsm_cli.config.generated_sets import GeneratedConfig, GeneratedName
from stsm_cli.config.schema import DataConfig
from stsm_cli.errors import InterruptedRunError, UsageError
from stsm_cli.printable import command_line, counted, size

Preview = Annotated[
    Path | None,
    typer.Option("--preview", metavar="FILE.png", help="First draw a video of every class."),
]


def generated(name: GeneratedName) -> Callable[..., None]:
    """The command of a set that is made here: the keys of its section are its options."""
    section: type[GeneratedConfig] = get_args(DataConfig.model_fields[name].annotation)[0]

    def make(
        root: Root,
        preview: Preview = None,
        workers: Processes = None,
        as_json: Json = False,
        **values: Any,  # noqa: ANN401
    ) -> None:
        _make(name, root, _settings(section, values), preview, workers, as_json)

    first, *others, _ = signature(make).parameters.values()
    make.__signature__ = signature(make).replace(  # type: ignore[attr-defined]
        parameters=[first, *_options(section), *others]
    )
    what = (section.__doc__ or name).partition("\n")[0].removeprefix("Settings of ")
    start = command_line("prepare", name)
    few = "--train 48 --val 24" + (" --test 24" if "test" in section.model_fields else "")
    make.__doc__ = f"""Make {what}

    The same settings draw the same frames everywhere; versions of the encoder differ a little in
    how they keep them. What is there already is kept.

    Examples:
      {start} data/{name} --preview {name}.png
      {start} data/tiny-{name} {few}
    """
    return make


def _options(section: type[GeneratedConfig]) -> list[Parameter]:
    """The keys of a section, as options of Typer with the same defaults."""
    return [
        Parameter(
            key,
            Parameter.POSITIONAL_OR_KEYWORD,
            annotation=field.annotation,
            default=typer.Option(
                field.default,
                option_name(key),
                metavar="PX" if key.endswith("_px") else None,
                help=field.description,
            ),
        )
        for key, field in section.model_fields.items()
    ]


def option_name(key: str) -> str:
    """A key of the settings, or a parameter, as it is typed."""
    return f"--{key.removesuffix('_px').replace('_', '-')}"


def _settings(section: type[GeneratedConfig], values: dict[str, Any]) -> GeneratedConfig:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_problem(item) for item in error.errors())) from None


def _problem(item: ErrorDetails) -> str:
    rule = item["msg"].removeprefix("Input should be ")
    return f"{option_name(str(item['loc'][0]))}: must be {rule}, got {item['input']}"


def _make(
    name: str,
    root: Path,
    settings: GeneratedConfig,
    preview: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    from stsm_cli.data.catalog import load_card
    from stsm_cli.data.generated import GENERATED
    from stsm_cli.prepare.examine import GO_ON

    made, console = GENERATED[name], output.current()
    if preview is not None:
        made.preview(preview, settings)
        console.message(f"contact sheet {preview}")
    try:
        report = made.make(root, settings, workers=workers, progress=console)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted: what is made is kept", hint=GO_ON) from None
    if as_json:
        console.json(report | {"root": str(root)})
    else:
        rows = [[split, str(count)] for split, count in report["videos"].items()]
        notes = [
            f"{counted(report['made'], 'video')} made in {report['seconds']} s, "
            f"{size(report['bytes'])}",
            closing(root),
            *_edits(name, settings),
        ]
        console.table(load_card(name).title, ["split", "videos"], rows, notes=notes)


def _edits(dataset: str, settings: GeneratedConfig) -> list[str]:
    """The edits by which a recipe asks for this set, where it is not the one that recipes have."""
    edits = [
        f"--set {quote(f'data.{dataset}.{key}={value}')}"
        for key, value in settings.model_dump(mode="json", exclude_defaults=True).items()
    ]
    return [f"and with it `{' '.join(edits)}`"] if edits else []


def closing(root: Path) -> str:
    """The last line: what is ready now, and how a command is told to take it."""
    return f"data set {root}, for `--data {quote(str(root))}`"
