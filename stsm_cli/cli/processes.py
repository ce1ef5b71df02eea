"""`--nproc` of `stsm train` and `stsm eval`: the same command again, in several processes."""

import sys

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import typed_words
from stsm_cli.errors import UsageError

RESUME = "`--resume` goes on from the last checkpoint"


def start_processes(nproc: int, context: typer.Context) -> int:
    """Run the command of `context` in `nproc` processes; their exit code.

    Raises:
        UsageError: This is one of several processes already.
        StsmError: A process died.
    """
    from stsm_cli.engine.distributed import current_world
    from stsm_cli.engine.launch import launch

    if current_world().size > 1:
        raise UsageError(
            f"--nproc {nproc}: this is one of {current_world().size} processes already",
            hint="leave --nproc out under torchrun",
        )
    verbosity = {-1: ["-q"], 1: ["-v"], 2: ["-vv"]}.get(output.current().verbosity, [])
    words = [context.info_name or "", *typed_words(context, without=("nproc",)), *verbosity]
    hint = RESUME if context.info_name == "train" else None
    code = launch([sys.executable, "-m", "stsm_cli", *words], nproc, hint=hint)
    output.use(output.Output(-1))  # the first of them has told what there is to tell
    return code
