"""`stsm eval`."""

from pathlib import Path
from typing import Annotated

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Workers
from stsm_cli.cli.train import print_result


def evaluate(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run folder (default: the newest finished run below `runs/`); "
            "with --checkpoint a recipe.",
            show_default=False,
        ),
    ] = None,
    crops: Annotated[
        int | None, typer.Option("--crops", help="1, 3 or 10 crops.", show_default=False)
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option("--clips", help="1, 2 (uniform) or 10 (dense) clips.", show_default=False),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Clips × crops @ size in one word, such as `1x3@48` or `k400-10x3@256`.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Test these weights under the recipe RUN instead of a run's own.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    device: Device = "auto",
    workers: Workers = 2,
    decoder: DecoderName = None,
    as_json: Json = False,
) -> None:
    """Test a run over several views of each video.

    Examples:
      stsm eval --crops 3
      stsm eval runs/synth-stsm-001 --protocol 1x10@48 --json
    """
    from stsm_cli.data.decode import choose_decoder
    from stsm_cli.engine.device import choose_device
    from stsm_cli.engine.protocol import edit_protocol
    from stsm_cli.engine.testing import run_test, trained

    console = output.current()
    subject = trained(run, checkpoint)
    recipe = edit_protocol(subject.recipe, protocol=protocol, clips=clips, crops=crops)
    console.message(f"testing {subject.checkpoint} under {recipe.protocol}")
    result = run_test(
        subject,
        recipe,
        data_root=data,
        device=choose_device(device),
        workers=workers,
        decoder=choose_decoder(decoder or subject.decoder),
        progress=console,
    )
    folder = subject.folder
    print_result(result, folder.path if folder else subject.checkpoint, as_json=as_json)
