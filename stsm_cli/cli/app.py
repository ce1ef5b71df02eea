"""The program: its commands and global options, and what an error becomes.

Exit codes: 0 done; 1 failed; 2 the command or the recipe is wrong; 75 stopped by SIGTERM;
130 interrupted.
"""

import inspect
import platform
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from stsm_cli import __version__
from stsm_cli.cli import output, recipes
from stsm_cli.cli.ablate import ablate
from stsm_cli.cli.convert import convert
from stsm_cli.cli.evaluate import evaluate
from stsm_cli.cli.flops import flops
from stsm_cli.cli.predict import predict
from stsm_cli.cli.prepare import prepare
from stsm_cli.cli.report import report
from stsm_cli.cli.train import train
from stsm_cli.errors import StsmError

INTERRUPTED = 130
GLOBAL_OPTIONS = ("-q", "--quiet", "-v", "-vv", "--verbose")

app = typer.Typer(
    name="stsm",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.current().text(f"stsm {__version__}")
        raise typer.Exit


@app.callback()
def stsm(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only. Anywhere on the line.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Details; -vv: tracebacks. Anywhere on the line.",
            show_default=False,
        ),
    ] = 0,
) -> None:
    """Reproduce and extend STSM, the spatio-temporal shift module for action recognition."""
    output.use(output.Output(-1 if quiet else verbose))
    output.current().detail(f"stsm {__version__}, Python {platform.python_version()}")


def _help(command: Callable[..., None]) -> str:
    text = inspect.getdoc(command) or ""
    return text.replace("Examples:", "\b\nExamples:")  # \b: do not wrap


def _add(name: str, command: Callable[..., None], group: typer.Typer = app) -> None:
    group.command(name, help=_help(command))(command)


_add("prepare", prepare)
_add("train", train)
_add("eval", evaluate)
_add("predict", predict)
_add("ablate", ablate)
_add("flops", flops)
_add("convert", convert)
_add("report", report)

recipes_app = typer.Typer(rich_markup_mode=None)
app.add_typer(
    recipes_app,
    name="recipes",
    callback=recipes.list_recipes,
    invoke_without_command=True,
    help=_help(recipes.list_recipes),
)
_add("list", recipes.list_recipes, recipes_app)
_add("show", recipes.show, recipes_app)
_add("copy", recipes.copy, recipes_app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    # -q and -v belong to the program, but people write them behind the command
    ordered = sorted(arguments, key=lambda argument: argument not in GLOBAL_OPTIONS)
    try:
        app(ordered)
    except StsmError as error:
        output.current().error(error)
        return error.exit_code
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            output.current().message("interrupted")
        return int(stop.code or 0)
    except Exception as error:  # the last resort: a bug, told in one line
        output.current().internal_error(error)
        return 1
    return 0
