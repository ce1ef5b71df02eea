"""`stsm eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.atomic import write_file
from stsm_cli.cli import output
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Nproc, Overrides, Workers
from stsm_cli.cli.processes import start_processes
from stsm_cli.cli.train import print_result
from stsm_cli.printable import counted
from stsm_cli.progress import SILENT

if TYPE_CHECKING:
    from stsm_cli.engine.runlog import RunFolder
    from stsm_cli.engine.testing import Evaluation
    from stsm_cli.engine.trained import Trained

Crops = Annotated[int | None, typer.Option("--crops", help="1, 3 or 10 crops.", show_default=False)]
Clips = Annotated[
    int | None,
    typer.Option(
        "--clips",
        help="1 clip; with dense sampling also 10, with uniform 2 or 10, with motion 2.",
        show_default=False,
    ),
]
SplitName = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="val|test",
        help="Split of the data set; `test` of the sets that have one.",
        show_default=False,
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="Clips × crops @ size in one word, such as `1x10@32` or `k400-10x3@256`.",
        show_default=False,
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best", help="The run's checkpoint of the best validation accuracy, not its last."
    ),
]

PerClass = Annotated[
    Path | None,
    typer.Option(
        "--per-class",
        metavar="FILE.csv",
        help="Write a row a class: videos, correct, accuracy, most confused with.",
        show_default=False,
    ),
]


def evaluate(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run folder (default: the newest finished run below `runs/`), or one of "
            "`stsm weights`; with --checkpoint a recipe.",
            show_default=False,
        ),
    ] = None,
    split: SplitName = None,
    crops: Crops = None,
    clips: Clips = None,
    protocol: ProtocolName = None,
    overrides: Overrides = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Test these weights (`stsm convert`, or a checkpoint) under the recipe RUN "
            "instead of a run's own.",
            show_default=False,
        ),
    ] = None,
    best: Best = False,
    per_class: PerClass = None,
    confusion: Annotated[
        Path | None,
        typer.Option(
            "--confusion",
            metavar="FILE.png",
            help="Draw which class is taken for which; up to 50 classes.",
            show_default=False,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            metavar="FILE.npz",
            help="Write the class probabilities of every video.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    device: Device = "auto",
    nproc: Nproc = 1,
    workers: Workers = None,
    decoder: DecoderName = None,
    as_json: Json = False,
) -> None:
    """Test a run over several views of each video.

    Several machines: start it on each with torchrun, as `torchrun ... -m stsm_cli eval ...`.

    Examples:
      stsm eval --crops 3
      stsm eval runs/synth-stsm-001 --protocol 1x10@32 --json
      stsm eval runs/scenes-stsm-001 --split test
      stsm eval --set test.average=score --per-class all.csv --scores all.npz
      stsm eval k400/tsm_r50_8f --checkpoint tsm.safetensors --data k400 --nproc 8
    """
    from stsm_cli.engine.distributed import current_world, joined, together

    if nproc not in (1, current_world().size):
        raise typer.Exit(start_processes(nproc, context))
    if not current_world().is_main:
        output.use(output.Output(-1))
    with joined() as world:
        with together():
            from stsm_cli.data.dataset import check_split
            from stsm_cli.data.decode import choose_decoder
            from stsm_cli.engine.device import check_device, choose_device, choose_workers
            from stsm_cli.engine.trained import trained

            check_device(device)
            subject = trained(run, checkpoint, overrides=overrides or (), best=best)
            subject = subject.under(protocol=protocol, clips=clips, crops=crops, split=split)
            reader = choose_decoder(decoder or subject.decoder)
            _check_files(per_class, confusion, scores, subject.recipe.model.num_classes)
            subject.check()
            if world.is_main:
                fields = subject.recipe.model.view.flow_fields
                root = data or subject.data_root
                listed = check_split(
                    subject.recipe.data, root, subject.recipe.test.split, flow_fields=fields
                )
                _check_drawable(confusion, len(listed.classes) if listed else None)
            # only now what takes seconds to import
            from stsm_cli.engine.testing import run_test
            from stsm_cli.stored import result_record

            keep_freed_memory()
            where = choose_device(device)
        if world.is_main:
            _announce(subject)
        tested = run_test(
            subject,
            data_root=data,
            device=where,
            workers=choose_workers(workers),
            decoder=reader,
            progress=output.current() if world.is_main else SILENT,
        )
    if world.is_main:
        origin = subject.folder.path if subject.folder else subject.called
        num_classes = len(tested.manifest.classes)
        record = result_record(tested.result) if as_json else None
        print_result(tested.result, origin, num_classes=num_classes, record=record)
        _write_files(tested, per_class, confusion, scores)


def _announce(subject: "Trained") -> None:
    console = output.current()
    console.message(f"testing {subject.called} under {subject.protocol}")
    if subject.folder is not None:
        warn_unfinished(subject.folder)


def warn_unfinished(folder: "RunFolder") -> None:
    """Say of a run that its weights are not those that it will end with."""
    if not folder.result_file.is_file():
        output.current().warn(f"{folder.path}: its training has not finished")


def _check_files(
    per_class: Path | None, confusion: Path | None, scores: Path | None, num_classes: int | None
) -> None:
    """Refuse before the test what could not be written after it."""
    from stsm_cli.engine.score_files import check_writable

    wanted = {
        "--per-class": (per_class, ".csv"),
        "--confusion": (confusion, ".png"),
        "--scores": (scores, ".npz"),
    }
    for option, (path, suffix) in wanted.items():
        if path is not None:
            check_writable(option, path, suffix)
    _check_drawable(confusion, num_classes)


def _check_drawable(confusion: Path | None, num_classes: int | None) -> None:
    if confusion is not None and num_classes is not None:
        from stsm_cli.analysis.figure_confusion import check_drawable

        check_drawable(num_classes)


def _write_files(
    tested: "Evaluation", per_class: Path | None, confusion: Path | None, scores: Path | None
) -> None:
    from stsm_cli.engine.score_files import write_class_results, write_scores

    if scores is not None:
        write_scores(scores, tested)
    if per_class is not None:
        write_class_results(per_class, tested)
    if confusion is not None:
        _draw_confusion(tested, confusion)
    for path in (scores, per_class, confusion):
        if path is not None:
            output.current().message(f"wrote {path}")


def _draw_confusion(tested: "Evaluation", path: Path) -> None:
    from stsm_cli.analysis.figure_confusion import confusion_figure
    from stsm_cli.analysis.figures import encode, fonts_for
    from stsm_cli.engine.accuracy import confusion_matrix

    result, classes = tested.result, tested.manifest.classes
    about = f"{counted(result.num_listed, 'video')}, top-1 {result.top1:.1f} %"
    figure = confusion_figure(
        confusion_matrix(tested.scores, len(classes)),
        classes,
        title=result.name,
        subtitle=f"{result.protocol}, {about}",
    )
    write_file(path, encode(figure, "png"))
    if missing := fonts_for("".join((result.name, *classes)))[1]:
        some = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
        output.current().message(f"warning: {path}: no font here has {some}: drawn as boxes")
