"""`stsm fuse`."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.evaluate import PerClass, ProtocolName, warn_unfinished
from stsm_cli.cli.options import Json
from stsm_cli.cli.train import print_result
from stsm_cli.errors import UsageError

MOST_WEIGHT = 1_000_000_000  # ours: beyond, the other run has no say, and sums may overflow


def fuse(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as of RGB.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another, such as of flow.")],
    weights: Annotated[
        tuple[float, float],
        typer.Option("--weights", metavar="W W", help="Of the first and of the second run."),
    ] = (1.0, 1.0),
    by: Annotated[
        str,
        typer.Option(
            "--by", help="What is added up: `prob`, or `logits` (logarithms of probabilities)."
        ),
    ] = "prob",
    protocol: ProtocolName = None,
    per_class: PerClass = None,
    as_json: Json = False,
) -> None:
    """Fuse the scores of two runs on the same videos.

    One may be of RGB and the other of optical flow. `stsm train` and `stsm eval` keep scores in
    the run's folder; nothing is computed again.

    Examples:
      stsm fuse runs/rgb runs/flow
      stsm fuse runs/rgb runs/flow --weights 1 1.5 --by logits --protocol 1x10@32
    """
    from stsm_cli.stored import By, result_record

    chosen = next((name for name in get_args(By) if name == by), None)
    if chosen is None:
        raise UsageError(f"--by: must be prob or logits, got {by!r}")
    if not all(1 / MOST_WEIGHT <= weight <= MOST_WEIGHT for weight in weights):
        given = " ".join(f"{weight:g}" for weight in weights)
        rule = f"must be from {1 / MOST_WEIGHT:g} to {MOST_WEIGHT:,}"
        raise UsageError(f"--weights: {rule}, got {given}")
    from stsm_cli.engine.score_files import check_writable, write_class_results

    if per_class is not None:
        check_writable("--per-class", per_class, ".csv")
    if first.exists() and first.resolve() == second.resolve():
        raise UsageError(
            f"{second}: is the first run, too", hint="name another run, such as one of flow"
        )
    from stsm_cli.engine.kept_tests import check_same, kept_test

    tests = kept_test(first, protocol), kept_test(second, protocol)
    check_same(*tests)
    for test in tests:
        warn_unfinished(test.folder)
    # only now what takes seconds to import
    from stsm_cli.engine.fusion import fuse as fuse_tests

    pair = weights[0], weights[1]  # a list, by Typer's version
    tested = fuse_tests(*tests, weights=pair, by=chosen, progress=output.current())
    record = result_record(tested.result) if as_json else None
    classes = tested.manifest.classes
    print_result(tested.result, f"{first} and {second}", num_classes=len(classes), record=record)
    if per_class is not None:
        write_class_results(per_class, tested)
        output.current().message(f"wrote {per_class}")
