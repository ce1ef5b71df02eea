"""`stsm export`."""

import hashlib
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.atomic import write_file
from stsm_cli.cli import output
from stsm_cli.cli.evaluate import Best, Clips, Crops, ProtocolName, warn_unfinished
from stsm_cli.cli.flops_result import CEILING
from stsm_cli.cli.options import Data, Json, Overrides, RecipeName, typed_words
from stsm_cli.cli.predict import class_names_or_numbers
from stsm_cli.cli.predict_named import ONNX, PROGRAM
from stsm_cli.errors import UsageError
from stsm_cli.models.weights_kind import SAFETENSORS
from stsm_cli.printable import command_line

if TYPE_CHECKING:
    from stsm_cli.engine.card import ModelCard
    from stsm_cli.engine.export import Exported
    from stsm_cli.engine.trained import Trained

ENDINGS = (ONNX, PROGRAM, SAFETENSORS)


def export(
    context: typer.Context,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|WEIGHTS",
            help="A run folder (default: the newest finished run below `runs/`), one of `stsm "
            "weights`, or a file of weights with --recipe.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help=f"The file to write; its ending, {', '.join(ENDINGS)}, says what. "
            "Default: the run's name and .onnx.",
            show_default=False,
        ),
    ] = None,
    recipe: RecipeName = None,
    best: Best = False,
    with_preprocessing: Annotated[
        bool,
        typer.Option(
            "--with-preprocessing",
            help="Take pixels, uint8 (N, T, H, W, C), and give probabilities: normalisation and "
            "the average over views are inside. With V views, (N, V, T, H, W, C).",
        ),
    ] = False,
    crops: Crops = None,
    clips: Clips = None,
    protocol: ProtocolName = None,
    overrides: Overrides = None,
    data: Data = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write a trained network as ONNX, torch.export or its weights.

    ONNX (`.onnx`) and torch.export (`.pt2`) take normalised float32 videos (N, T, C, H, W), any
    N, and give logits. The file is read back, run beside the network and refused where they differ,
    and it holds a card: classes, which frames to read, size, protocol, accuracy, hash. --data is
    needed only where the run does not know its classes' names.

    Examples:
      stsm export -o stsm.onnx --with-preprocessing
      stsm export runs/synth-stsm-001 -o weights.safetensors --json
      stsm export tsm.safetensors --recipe k400/tsm_r50_8f -o tsm.pt2 --data k400
      stsm predict stsm.onnx holiday.mp4
    """
    if out is not None:
        _check_target(out, force, with_preprocessing)
    subject = _subject(source, recipe, best, overrides)
    subject = subject.under(protocol=protocol, clips=clips, crops=crops)
    if out is None:
        out = Path(f"{_name(subject)}{ONNX}")
        _check_target(out, force, with_preprocessing)
    from stsm_cli.engine.saved_files import check_is_another

    check_is_another(subject.checkpoint, out, "export")
    _check_has_graph(subject, out, context)
    subject.check()
    if subject.folder is not None:
        warn_unfinished(subject.folder)
    # only now what takes seconds to import
    import torch

    from stsm_cli.engine.testing import load_model

    keep_freed_memory()
    model = load_model(subject.recipe.model, subject.checkpoint, torch.device("cpu"))
    classes = class_names_or_numbers(subject, data, model.num_classes)
    from stsm_cli.engine.export import export_model

    card, exported = export_model(
        model,
        subject,
        classes,
        out.suffix,
        with_preprocessing=with_preprocessing,
        data_root=data,
        progress=output.current(),
    )
    write_file(out, exported.content)
    if as_json:
        output.current().json(_record(subject, out, card, exported))
    else:
        _print(subject, out, card, exported)


def _subject(
    source: Path | None, recipe: str | None, best: bool, overrides: list[str] | None
) -> "Trained":
    from stsm_cli.engine.trained import trained

    is_file = source is not None and (source.is_file() or recipe is not None)
    if is_file and recipe is None:
        example = command_line("export", source, "--recipe", "synth/stsm")
        raise UsageError(
            f"{source}: is a file, and weights need a recipe",
            hint=f"for example `{example}`; or name a run folder",
        )
    if recipe is not None and source is None:
        raise UsageError(f"--recipe {recipe}: belongs to a file of weights, and none is named")
    name = recipe if is_file else str(source) if source else None
    return trained(name, source if is_file else None, overrides=overrides or (), best=best)


def _name(subject: "Trained") -> str:
    if subject.card is not None:
        return subject.name.replace("/", "-")
    return subject.folder.path.resolve().name if subject.folder else subject.checkpoint.stem


def _check_target(out: Path, force: bool, with_preprocessing: bool) -> None:
    """Refuse a file that cannot be written, or not with what is asked for.

    Raises:
        UsageError: It is refused, or a package that writes it is absent.
    """
    from stsm_cli.engine.saved_files import check_out

    check_out(out, ENDINGS, force=force)
    if out.suffix == SAFETENSORS and with_preprocessing:
        raise UsageError(
            f"--with-preprocessing: {out} holds weights and computes nothing",
            hint=f"--out {quote(str(out.with_suffix(ONNX)))}, or {PROGRAM}",
        )
    if out.suffix == ONNX:
        from stsm_cli.engine.onnx_session import WRITERS, require_onnx

        require_onnx(WRITERS)


def _check_has_graph(subject: "Trained", out: Path, context: typer.Context) -> None:
    """Refuse what no exporter can do, before it tries."""
    system = subject.recipe.model.system
    if system not in CEILING or out.suffix == SAFETENSORS:
        return
    words = typed_words(context, without=("out", "with_preprocessing"))
    weights = command_line("export", *words, "--out", out.with_suffix(SAFETENSORS))
    raise UsageError(
        f"--out {out}: is one graph for all videos, and system {system} drops time steps by what "
        "each video shows",
        hint=f"its weights alone: `{weights}`",
    )


def _record(
    subject: "Trained", out: Path, card: "ModelCard", exported: "Exported"
) -> dict[str, Any]:
    times = exported.milliseconds
    return {
        "schema": "stsm.export/1",
        "checkpoint": str(subject.checkpoint),
        "output": str(out),
        "bytes": len(exported.content),
        "sha256": hashlib.sha256(exported.content).hexdigest(),
        "max_difference": exported.difference,
        "bound": exported.bound,
        "latency_ms": None if times is None else {"network": times[0], "exported": times[1]},
        "card": card.as_dict(),
    }


def _print(subject: "Trained", out: Path, card: "ModelCard", exported: "Exported") -> None:
    accuracy = "not tested"
    if card.accuracy is not None:
        accuracy = f"{card.accuracy.top1:.1f} % top-1 under {card.accuracy.protocol}"
    rows = [
        ["network", subject.recipe.model.backbone],
        ["classes", f"{len(card.classes):,}"],
        *([] if out.suffix == SAFETENSORS else [["takes", card.input], ["gives", card.output]]),
        ["protocol", card.protocol],
        ["accuracy", accuracy],
        ["largest difference", f"{exported.difference:.1e} (at most {exported.bound:.0e})"],
        ["size", f"{len(exported.content) / 1e6:,.1f} MB"],
    ]
    notes = ["it has been read back and compared with the network"]
    if exported.milliseconds is not None:
        network, own = exported.milliseconds
        rows.append(["one video here", f"{own:.1f} ms; the network in PyTorch {network:.1f} ms"])
    if out.suffix == ONNX and subject.recipe.model.stream != "flow":
        notes.append(f"`{command_line('predict', out, 'VIDEO')}` runs it")
    if subject.recipe.precision != "fp32":
        notes.append(f"it computes in float32, its recipe in {subject.recipe.precision}")
    output.current().table(str(out), ["", "exported"], rows, notes=notes)
