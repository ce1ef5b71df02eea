"""The program: its commands and global options, and what an error becomes.

Exit codes: 0 done; 1 failed; 2 the command or the recipe is wrong; 75 stopped by SIGTERM;
130 interrupted.
"""

import inspect
import os
import platform
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from stsm_cli import __version__
from stsm_cli.cli import bench, output, prepare, recipes
from stsm_cli.cli.ablate import ablate
from stsm_cli.cli.convert import convert
from stsm_cli.cli.doctor import doctor
from stsm_cli.cli.evaluate import evaluate
from stsm_cli.cli.export import export
from stsm_cli.cli.failures import (
    CommandLineError,
    file_error,
    import_error,
    memory_error,
    usage_error,
)
from stsm_cli.cli.flops import flops
from stsm_cli.cli.fuse import fuse
from stsm_cli.cli.inspection import inspection
from stsm_cli.cli.predict import predict
from stsm_cli.cli.prepare_flow import flow
from stsm_cli.cli.report import report
from stsm_cli.cli.train import train
from stsm_cli.cli.weights import weights
from stsm_cli.errors import StsmError, TerminatedExit, UsageError
from stsm_cli.lifeline import end_readers

INTERRUPTED = 130

app = typer.Typer(
    name="stsm",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.current().text(f"stsm {__version__}")
        raise typer.Exit


def _speak(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results, warnings and errors only.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="Details; -vv: tracebacks.", show_default=False
        ),
    ] = 0,
) -> None:
    """Say more or less from here on, on top of what stands further left on the line."""
    before = output.current().verbosity
    if quiet:
        output.use(output.Output(-1))
    elif verbose and before >= 0:
        output.use(output.Output(min(before + verbose, 2)))
        if before == 0:
            output.current().detail(f"stsm {__version__}, Python {platform.python_version()}")


def _expanded(value: Any) -> Any:  # noqa: ANN401
    """The given value, a leading `~` of a path replaced by the home: shells leave `--out=~/x`."""
    if isinstance(value, (list, tuple)):  # by Typer's version
        return [_expanded(item) for item in value]
    if not isinstance(value, (str, Path)) or not str(value).startswith("~"):
        return value
    if os.path.lexists(value):  # `./~x` has lost its `./`
        return value
    try:
        return type(value)(Path(value).expanduser())
    except RuntimeError:
        hint = "for a folder of that name give its whole path"
        raise UsageError(f"{value}: there is no such home", hint=hint) from None


class NamingCommand(TyperCommand):
    """A command that refuses an argument or path that is empty: it would be the working folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """The words that are left over, where none of the others is empty."""
        typed, *_ = self.make_parser(ctx).parse_args(list(args))  # paths of `Path` are never empty
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            name = parameter.name or ""
            option = parameter.opts[0] if parameter.param_type_name == "option" else None
            words = typed.get(name)
            is_empty = "" in words if isinstance(words, (list, tuple)) else words == ""
            if is_empty and (option is None or isinstance(ctx.params[name], Path)):
                raise UsageError(
                    f"{option or parameter.metavar or name}: is empty",
                    hint="perhaps a variable of the shell is not set; the working folder is `.`",
                )
        return rest


def _command(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with what is the same in all: -q and -v anywhere on the line, and `~` in paths."""
    shared = inspect.signature(_speak).parameters

    @wraps(command)
    def run_it(**given: Any) -> None:  # noqa: ANN401
        _speak(**{name: given.pop(name) for name in shared})
        command(**{name: _expanded(value) for name, value in given.items()})

    signature = inspect.signature(command)
    parameters = [*signature.parameters.values(), *shared.values()]
    run_it.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run_it


@app.callback()
@_command
def stsm(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Reproduce and extend STSM, the spatio-temporal shift module for action recognition."""


def _help(command: Callable[..., None]) -> str:
    text = inspect.getdoc(command) or ""
    return text.replace("Examples:", "\b\nExamples:")  # \b: do not wrap


def _add(name: str, command: Callable[..., None], group: typer.Typer) -> None:
    group.command(name, help=_help(command), cls=NamingCommand)(_command(command))


prepare_app = typer.Typer(
    name="prepare",
    rich_markup_mode=None,
    cls=prepare.DataSets,
    callback=_command(prepare.prepare),
    invoke_without_command=True,
    subcommand_metavar="DATASET ROOT",
    help=_help(prepare.prepare),
)
for dataset, command in prepare.COMMANDS.items():
    _add(dataset, command, prepare_app)
_add("flow", flow, prepare_app)

nameless_app = typer.Typer()  # its commands are the program's; Typer lists groups in this order
_add("train", train, nameless_app)
_add("eval", evaluate, nameless_app)
_add("predict", predict, nameless_app)
_add("fuse", fuse, nameless_app)
_add("ablate", ablate, nameless_app)
_add("flops", flops, nameless_app)
_add("convert", convert, nameless_app)
_add("export", export, nameless_app)
_add("inspect", inspection, nameless_app)
_add("weights", weights, nameless_app)
_add("report", report, nameless_app)
_add("doctor", doctor, nameless_app)

recipes_app = typer.Typer(
    name="recipes",
    rich_markup_mode=None,
    callback=_command(recipes.list_recipes),
    invoke_without_command=True,
    help=_help(recipes.list_recipes),
)
_add("list", recipes.list_recipes, recipes_app)
_add("show", recipes.show, recipes_app)
_add("copy", recipes.copy, recipes_app)

bench_app = typer.Typer(
    name="bench", rich_markup_mode=None, callback=_command(bench.bench), help=_help(bench.bench)
)
_add("shift", bench.shift, bench_app)
_add("reading", bench.reading, bench_app)
_add("train", bench.train, bench_app)
_add("stream", bench.stream, bench_app)
_add("page", bench.page, bench_app)

for group in (prepare_app, nameless_app, recipes_app, bench_app):
    app.add_typer(group)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    try:
        sys.exit(app(list(arguments or ["--help"]), prog_name="stsm", standalone_mode=False))
    except CommandLineError as error:
        output.current().error(usage_error(error))
        return UsageError.exit_code
    except StsmError as error:
        output.current().error(error)
        end_readers()  # here: once the error is forgotten, their loader would wait for them
        return error.exit_code
    except SystemExit as stop:
        if isinstance(stop, TerminatedExit):
            output.current().message("stopped by SIGTERM")
        elif stop.code == INTERRUPTED:
            output.current().message("interrupted")
        end_readers()
        return int(stop.code or 0)
    except Exception as error:
        told = memory_error(error) or file_error(error) or import_error(error)
        if told is not None:
            told.__cause__ = error  # what -vv shows
            output.current().error(told)
        else:  # the last resort: a bug, told in one line
            output.current().internal_error(error)
        return 1
