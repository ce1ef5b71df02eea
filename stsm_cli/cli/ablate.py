"""`stsm ablate`."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from stsm_cli.cli import output
from stsm_cli.cli.ablate_plan import plan_record, print_plan, print_plans
from stsm_cli.cli.ablate_result import print_result, result_record
from stsm_cli.cli.ablate_runs import Runner, carry_out, told_how_to_go_on
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Overrides, Workers
from stsm_cli.cli.submit import Slurm, Submitter, jobs_record, print_jobs
from stsm_cli.errors import CheckpointError, RecipeError, StsmError, UsageError
from stsm_cli.printable import command_line

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Sweep
    from stsm_cli.cli.submit import OpenData
    from stsm_cli.config.schema import ModelConfig, Recipe
    from stsm_cli.data.dataset import Splits
    from stsm_cli.data.decode import Decoder
    from stsm_cli.engine.slurm import Submitted

ALL = "all"
COLLECT = "run the same command again: it collects what has finished, and then writes the table"


def _complete() -> list[str]:
    from stsm_cli.analysis.ablation import ablation_names

    return [*ablation_names(), ALL]


def ablate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            autocompletion=_complete,
            help="`alpha` (Table 1), `spatial` (2), `spatiotemporal` (3), `sota-k400` (4), "
            "`sota-sthv2` (5), `backbones-k400` (6), `backbones-sthv2` (7), or `all`.",
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="`order` or `scenes` (the embedded sets), `k400` or `sthv2`; default: `order`, "
            "for Tables 4 and 6 `scenes`, for `all` both.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=1, metavar="N", help="Runs of each row: its recipe's seed, and the next."
        ),
    ] = 1,
    full: Annotated[bool, typer.Option("--full", help="The longer budget.")] = False,
    systems: Annotated[
        bool,
        typer.Option(
            "--systems",
            help="Also the rows of other systems that have a recipe for the data set.",
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            metavar="NAME",
            help="Only this row of the table; may be repeated.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print all rows with the channels that move and the cost; stop."
        ),
    ] = False,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where records, tables and figures go."),
    ] = Path("results"),
    overrides: Overrides = None,
    data: Data = None,
    device: Device = "auto",
    workers: Workers = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Runs side by side, each in a process with one CPU thread; 1: one after "
            "another, with all threads. Default one a CPU, or one on a GPU. With --slurm: jobs "
            "that run at once, of each table.",
            show_default=False,
        ),
    ] = None,
    decoder: DecoderName = None,
    slurm: Slurm = None,
    as_json: Json = False,
) -> None:
    """Run the paper's ablations and write their tables.

    Finished runs are kept. Tables share rows; a run that has finished for one table counts for the
    others, too.

    Rows of two streams are trained on each and fused; flow must be there, by `stsm prepare flow`.

    With --slurm each run becomes a job, and --jobs limits how many of a table run at once; the same
    command with --slurm later collects what has finished.

    Examples:
      stsm ablate alpha
      stsm ablate all --dry-run
      stsm ablate spatial --full --seeds 3
      stsm ablate alpha --dataset scenes --row 3/8 --row 1/2 --seeds 9
      stsm ablate sota-k400 --systems --dry-run
      stsm ablate alpha --dataset k400 --slurm gpus_per_node=8,time=48:00:00
    """
    is_all, console = name == ALL, output.current()
    with told_how_to_go_on():
        sweeps = _plan_sweeps(
            name,
            dataset,
            data,
            seeds=seeds,
            full=full,
            systems=systems,
            only=only or [],
            overrides=overrides or [],
        )
        if not dry_run:
            from stsm_cli.engine.device import check_device

            check_device(device)
    for note in dict.fromkeys(note for sweep in sweeps for note in sweep.notes):
        console.message(note)
    if dry_run:
        from stsm_cli.analysis.plan import describe_sweeps

        plans = describe_sweeps(sweeps, out, console)
        for problem in _obstacles([r for plan in plans for r in plan.recipes_to_do], data):
            console.warn_of(problem)
        if as_json:
            _print_json([plan_record(plan) for plan in plans], is_all)
        elif is_all:
            print_plans(plans)
        else:
            print_plan(plans[0])
        return
    with told_how_to_go_on():
        runner = _runner(slurm, data, device, workers, decoder, jobs)
        records = _run(sweeps, out, data, runner, as_json)
    if as_json:
        _print_json(records, is_all)


def _runner(
    slurm: str | None,
    data: Path | None,
    device: str,
    workers: int | None,
    decoder: str | None,
    jobs: int | None,
) -> Runner | Submitter:
    from stsm_cli.data.decode import choose_decoder

    open_data = _opener(data, choose_decoder(decoder))
    if slurm is None:
        return Runner(open_data, device, workers, jobs)
    return Submitter(slurm, open_data, data, device, workers, decoder, jobs)


def _obstacles(recipes: "Sequence[Recipe]", root: Path | None) -> list[StsmError]:
    """What keeps `recipes` from being run, each once: the data set, or weights to start from."""
    from stsm_cli.data.dataset import obstacle

    found = [obstacle(r.data, r.data.place(root), r.model.view.flow_fields) for r in recipes]
    begun = {_start(r.model): r.model for r in recipes if r.model.init is not None}
    problems = [*filter(None, found), *filter(None, map(_misfit, begun.values()))]
    return list({str(problem): problem for problem in problems}.values())


def _start(model: "ModelConfig") -> str:
    """What tells whether weights to start from fit: a network, but for how far it shifts."""
    return model.model_dump_json(exclude={"shift", "dropout"})


def _misfit(model: "ModelConfig") -> StsmError | None:
    """The reason why a network cannot start from its weights, if there is one."""
    from stsm_cli.models.weights_kind import check_weights

    assert model.init is not None
    try:
        check_weights(Path(model.init))
        from stsm_cli.models.build import check_init  # takes seconds

        check_init(model)
    except (CheckpointError, RecipeError) as error:
        return error
    return None


def _opener(data: Path | None, decoder: "Decoder") -> "OpenData":
    """What opens the videos of a recipe; runs that read the same open them once."""
    from stsm_cli.data.dataset import open_splits

    @lru_cache(maxsize=1)  # each draw takes gigabytes of memory
    def of_draw(dataset: str, draw: int) -> "Callable[..., Splits]":
        return cache(partial(open_splits, decoder=decoder, progress=output.current()))

    def open_data(recipe: "Recipe") -> "Splits":
        return of_draw(recipe.data.dataset, recipe.data.draw)(
            recipe.data,
            recipe.data.place(data),
            flow_fields=recipe.model.view.flow_fields,
            test_split=recipe.test.split,
        )

    return open_data


def _plan_sweeps(
    name: str,
    dataset: str | None,
    data: Path | None,
    **options: Any,  # noqa: ANN401
) -> "list[Sweep]":
    """The sweeps that `name` means; says which ablations have none on the data set.

    Raises:
        UsageError: Of the name, or of the data set.
    """
    from stsm_cli.analysis.ablation import load_ablation, plan_sweep

    if name == ALL and options["only"]:
        raise UsageError("--row: names a row of one table, not of all")
    if name != ALL:
        chosen = [(name, dataset or load_ablation(name).made_here[0])]
    elif dataset is None:
        chosen = _on_every_embedded_set(data)
    else:
        chosen = [(one, dataset) for one in _all_with(dataset)]
    known = {on: _known_of(on, data) for on in dict.fromkeys(on for _, on in chosen)}
    return [plan_sweep(one, on, **known[on], **options) for one, on in chosen]


def _on_every_embedded_set(data: Path | None) -> list[tuple[str, str]]:
    """Each ablation on each set that is made here and that it is for; one set after the other."""
    from stsm_cli.analysis.ablation import ablation_names, load_ablation

    made = {name: load_ablation(name).made_here for name in ablation_names()}
    sets = dict.fromkeys(on for several in made.values() for on in several)
    if data is not None:
        hint = f"name the set, too: `--dataset {next(iter(sets))}`"
        raise UsageError("--data: is the place of one data set, and `all` has several", hint=hint)
    return [(name, on) for on in sets for name in made if on in made[name]]


def _all_with(dataset: str) -> list[str]:
    from stsm_cli.analysis.ablation import ablation_names, names_with

    names = names_with(dataset)
    if not names:
        raise UsageError(f"--dataset {dataset}: no ablation has a recipe for it", hint=_datasets())
    if left_out := [other for other in ablation_names() if other not in names]:
        output.current().message(f"left out, having no recipe for {dataset}: {', '.join(left_out)}")
    return names


def _known_of(dataset: str, data: Path | None) -> dict[str, Any]:
    """What a data set's videos, and their flow, are known by, where they are at hand."""
    from stsm_cli.config.kinds import FlowMethod
    from stsm_cli.data.content import data_id_at
    from stsm_cli.data.flow_report import flow_id

    root = data or Path("data") / dataset
    found = {method: flow_id(root, method) for method in get_args(FlowMethod)}
    flow_ids = {method: known for method, known in found.items() if known}
    return {"data_id": data_id_at(dataset, root), "flow_ids": flow_ids}


def _datasets() -> str:
    """The data sets that some ablation has a recipe for."""
    from stsm_cli.analysis.ablation import ablation_names, load_ablation
    from stsm_cli.data.generated import GENERATED

    known = dict.fromkeys(on for name in ablation_names() for on in load_ablation(name).base)
    made = {name: f"`{name}` (the {GENERATED[name].label})" for name in known if name in GENERATED}
    *others, last = (made.get(name, f"`{name}`") for name in known)
    return f"there are {', '.join(others)} and {last}"


def _run(
    sweeps: "Sequence[Sweep]",
    out: Path,
    data: Path | None,
    runner: Runner | Submitter,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Carry out sweeps, showing each result as it comes; what JSON says of them."""
    if problems := _obstacles(_to_do(sweeps, out), data):  # not after weeks of an earlier table
        first, *others = problems
        told = [str(first), *map(str, others)]
        hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
        raise type(first)("\n".join(told), hint="\n".join(hints) or None)
    console, records, several = output.current(), [], len(sweeps) > 1
    pending: dict[Path, Submitted] = {}
    for number, sweep in enumerate(sweeps, start=1):
        if several:
            console.message(f"{sweep.name} on {sweep.dataset}, {number} of {len(sweeps)}")
        files = carry_out(sweep, out, runner)
        if runner.pending:
            pending |= {job.out: job for job in runner.pending}
            records.append({"name": sweep.name} | jobs_record(runner.pending))
        elif as_json:
            records.append(result_record(sweep, out, files))
        else:
            print_result(sweep, out, files, data)
            if several:
                console.text("")
    if pending and not as_json:
        print_jobs(list(pending.values()), COLLECT)
    if several and not pending:
        again = command_line("report", "--out", out)
        console.message(f"`{again}` brings figures, audit and index up to date")
    return records


def _to_do(sweeps: "Sequence[Sweep]", out: Path) -> "list[Recipe]":
    """The recipes of the runs that are not recorded."""
    from stsm_cli.analysis.records import finished_among, read_records

    records = read_records(out)
    known = [finished_among(records, sweep) for sweep in sweeps]
    return [
        stream.recipe
        for sweep, recorded in zip(sweeps, known, strict=True)
        for stream in sweep.missing(recorded)
    ]


def _print_json(records: Sequence[dict[str, Any]], is_all: bool) -> None:
    """One object: of the ablation, or of `all`."""
    whole = {"schema": "stsm.ablations/1", "ablations": records}
    output.current().json(whole if is_all else records[0])
