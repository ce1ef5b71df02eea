"""`stsm prepare flow`: optical flow of a data set that is prepared."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Json, Processes
from stsm_cli.cli.prepare import alone
from stsm_cli.config.kinds import FlowMethod
from stsm_cli.errors import UsageError
from stsm_cli.printable import either

LEAST_PX = 16


def flow(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A folder that is prepared.")],
    method: Annotated[
        str,
        typer.Option("--method", help="`dis`, `farneback`, or `tvl1` of OpenCV's contrib wheel."),
    ] = "dis",
    short_side: Annotated[
        int,
        typer.Option(
            "--short-side",
            metavar="PX",
            help="Size of the frames that it is computed of; smaller videos keep theirs.",
        ),
    ] = 256,
    workers: Processes = None,
    as_json: Json = False,
) -> None:
    """Compute optical flow of a prepared set.

    Recipes of `model.stream: flow` read it. It takes OpenCV: pip install 'stsm[flow]'.

    Examples:
      stsm prepare flow /data/k400
      stsm prepare flow data/synth --method farneback --workers 2
    """
    chosen = next((name for name in get_args(FlowMethod) if name == method), None)
    if chosen is None:
        raise UsageError(f"--method: must be {either(get_args(FlowMethod))}, got {method!r}")
    if short_side < LEAST_PX:
        raise UsageError(f"--short-side: must be {LEAST_PX} or more, got {short_side}")
    from stsm_cli.data.flow import flow_folder
    from stsm_cli.prepare.flow import COLUMNS, check_some, prepare_flow, rows, sentences
    from stsm_cli.prepare.flow_file import FlowSettings

    console = output.current()
    settings = FlowSettings(chosen, short_side)
    with alone(root / flow_folder(chosen), is_there=root.is_dir(), doing="computing"):
        report = prepare_flow(root, settings, workers=workers, progress=console)
    if as_json:
        console.json(report | {"root": str(root)})
    else:
        console.table("Optical flow", COLUMNS, rows(report), notes=sentences(report))
    check_some(report)
