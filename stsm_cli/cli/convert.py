"""`stsm convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.options import Json
from stsm_cli.errors import UsageError
from stsm_cli.models.weights_kind import SAFETENSORS, check_kind
from stsm_cli.models.weights_names import Source

if TYPE_CHECKING:
    from stsm_cli.models.weights_convert import Converted


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Another project's checkpoint.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="Whose: `mmaction2`, `mit` (TSM's own), `torchvision`, `pyslowfast` (SlowFast and "
            "SlowOnly), `vmz` (R(2+1)D) or `smallbig` (SmallBigNet).",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar=f"OUT{SAFETENSORS}", help="The file to write.")
    ],
    non_local: Annotated[
        str | None,
        typer.Option(
            "--non-local",
            metavar="MODE",
            help="Mode of its non-local blocks, where FILE does not say: `embedded_gaussian`.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Make weights to start from (`stsm train --init`) or to test of another project's checkpoint.

    Every tensor of FILE must have its place in a network here, and every place its tensor. Nothing
    in FILE is run, and nothing guessed: what its tensors do not tell must be in its configuration
    or in an option.

    Examples:
      stsm convert tsm_r50_k400.pth --from mmaction2 -o weights/tsm_r50_k400.safetensors
      stsm convert tsm_r50.pth.tar --from mit -o weights/tsm_r50_mit.safetensors --json
      stsm convert SLOWFAST_4x16_R50.pyth --from pyslowfast -o weights/slowfast.safetensors
    """
    _check(source, out, force)
    check_kind(file)
    from stsm_cli.models.weights_convert import convert as convert_file
    from stsm_cli.models.weights_convert import save_converted

    converted = convert_file(file, cast(Source, source), non_local=non_local)
    sha256 = save_converted(out, converted, original=file)
    if as_json:
        output.current().json(_record(file, converted, out, sha256))
    else:
        _print(file, converted, out)


def _check(source: str, out: Path, force: bool) -> None:
    if source not in get_args(Source):
        raise UsageError(f"--from must be one of {', '.join(get_args(Source))}, got {source!r}")
    if out.suffix != SAFETENSORS:
        raise UsageError(f"--out {out}: must end in {SAFETENSORS}")
    if out.exists() and not force:
        raise UsageError(f"--out {out}: exists", hint="choose another name, or add --force")


def _record(file: Path, converted: "Converted", out: Path, sha256: str) -> dict[str, Any]:
    return {
        "schema": "stsm.convert/1",
        "source": str(file),
        "format": converted.source,
        "backbone": converted.backbone,
        "shifted": converted.shifted,
        "non_local": converted.non_local,
        "num_classes": converted.num_classes,
        "num_tensors": len(converted.weights),
        "missing": [],  # else it would have been an error
        "unexpected": [],
        "output": str(out),
        "sha256": sha256,
    }


def _print(file: Path, converted: "Converted", out: Path) -> None:
    row = [
        converted.backbone + (" + non-local" if converted.non_local else ""),
        "T, 1/4" if converted.shifted else "none",
        str(converted.num_classes),
        str(len(converted.weights)),
    ]
    notes = [f"every tensor of {file} has its place, and no place is left empty"]
    if converted.shifted:
        notes.append("no tensor tells the share of shifted channels: 1/4 is TSM's default")
    notes.append(f"start from it with `stsm train RECIPE --init {out}`")
    output.current().table(str(out), ["network", "shift", "classes", "tensors"], [row], notes=notes)
