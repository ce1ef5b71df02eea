"""`stsm ablate`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.cli import output
from stsm_cli.cli.cluster import Slurm, Submitter, print_jobs, refuse_queued
from stsm_cli.cli.live import LiveTable, RunProgress
from stsm_cli.cli.options import Data, DecoderName, Device, Json, Overrides, Workers
from stsm_cli.cores import num_cores
from stsm_cli.errors import InterruptedRunError

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Run, Sweep
    from stsm_cli.analysis.plan import Plan
    from stsm_cli.analysis.records import RunRecord
    from stsm_cli.analysis.summary import RowSummary
    from stsm_cli.analysis.sweep import Outcome
    from stsm_cli.data.videos import Videos

COLLECT = "run the same command again: it collects what has finished, and then writes the table"
GO_ON = "run the same command again: finished runs are kept, unfinished ones continue"


def ablate(
    name: Annotated[
        str, typer.Argument(help="`alpha` (Table 1), `spatial` (2) or `spatiotemporal` (3).")
    ],
    dataset: Annotated[
        str, typer.Option("--dataset", help="`synth` (the embedded set), `k400` or `sthv2`.")
    ] = "synth",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, metavar="N", help="Seeds a row, the recipe's and up.")
    ] = 1,
    full: Annotated[bool, typer.Option("--full", help="The longer budget.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print rows, channels that move, and the cost; stop."),
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
            help="Runs side by side, each in a process with one CPU thread; default one a CPU, "
            "or one on a GPU.",
            show_default=False,
        ),
    ] = None,
    decoder: DecoderName = None,
    slurm: Slurm = None,
    as_json: Json = False,
) -> None:
    """Run one of the paper's ablations and write its table, finished rows being kept.

    With --slurm each run becomes a job, and --jobs limits how many run at once; the same command,
    with --slurm or without, later collects what has finished.

    Examples:
      stsm ablate alpha --dry-run
      stsm ablate spatial --full --seeds 3
      stsm ablate alpha --dataset k400 --slurm partition=gpu,gpus_per_node=8,time=48:00:00
    """
    from stsm_cli.analysis.ablation import plan_sweep

    sweep = plan_sweep(name, dataset, seeds=seeds, full=full, overrides=overrides or [])
    if dry_run:
        _print_plan(sweep, out, as_json)
        return
    runner: _Runner | Submitter
    if slurm is None:
        runner = _Runner(sweep, data, device, workers, decoder, jobs)
    else:
        runner = Submitter(sweep, slurm, data, device, workers, decoder, jobs)
    paths = _run(sweep, out, runner)
    if isinstance(runner, Submitter) and runner.jobs:
        print_jobs(runner.jobs, COLLECT, as_json=as_json)
    else:
        _print_result(sweep, out, paths, as_json)


class _Runner:
    """Trains and tests runs; the data is opened once for all of them."""

    def __init__(
        self,
        sweep: "Sweep",
        data: Path | None,
        device: str,
        workers: int | None,
        decoder: str | None,
        jobs: int | None,
    ) -> None:
        from stsm_cli.data.decode import choose_decoder
        from stsm_cli.engine.device import choose_device, choose_workers

        self.sweep, self._data, self._workers = sweep, data, choose_workers(workers)
        self._device, self._decoder = device, choose_decoder(decoder)
        if jobs is None:  # otherwise leave CUDA alone: it does not survive a fork
            jobs = num_cores() if choose_device(device).type == "cpu" else 1
        self._jobs = jobs

    def run_all(
        self, tasks: "Sequence[tuple[Run, Path]]", live: LiveTable
    ) -> "Iterator[tuple[int, Outcome]]":
        """Do the runs side by side, each inside its folder."""
        from stsm_cli.data.dataset import open_splits
        from stsm_cli.engine.parallel import run_side_by_side

        if not tasks:
            return iter(())
        refuse_queued([folder for _, folder in tasks])
        splits = open_splits(
            tasks[0][0].recipe.data,
            self._data,
            decoder=self._decoder,
            progress=output.current(),
        )

        def work(number: int, tell: "Callable[[Any], None]") -> "Outcome":
            return self._run(*tasks[number], splits, tell)

        return run_side_by_side(
            len(tasks),
            work,
            jobs=self._jobs,
            on_news=lambda number, news: live.news(tasks[number][0], news),
        )

    def _run(
        self,
        run: "Run",
        folder: Path,
        splits: "tuple[Videos, Videos]",
        tell: "Callable[[Any], None]",
    ) -> "Outcome":
        from stsm_cli.analysis.sweep import Outcome
        from stsm_cli.engine.device import choose_device
        from stsm_cli.engine.runlog import RunFolder
        from stsm_cli.engine.train import train

        files = RunFolder(folder)
        progress = RunProgress(run.recipe.optim.epochs, len(files.metrics()), tell)
        result = train(
            run.recipe,
            *splits,
            out=folder,
            name=self.sweep.base,
            device=choose_device(self._device),
            workers=self._workers,
            resume=files.recipe_file.exists(),
            progress=progress,
            on_epoch=progress.epoch,
        )
        return Outcome(result, files.metrics(), files.environment())


def _run(sweep: "Sweep", out: Path, runner: "_Runner | Submitter") -> list[Path]:
    """Do what is missing; the files of the table."""
    from stsm_cli.analysis.paper import load_paper_table
    from stsm_cli.analysis.publish import publish, table_file
    from stsm_cli.analysis.records import finished
    from stsm_cli.analysis.sweep import run_sweep

    missing = sum(finished(out, sweep, run) is None for run in sweep.runs)
    paper = load_paper_table(sweep.ablation.table)
    with LiveTable(sweep, paper, missing, output.current()) as live:

        def on_record(run: "Run", record: "RunRecord", is_new: bool) -> None:
            live.finish(run, record)
            if is_new:
                publish(out, sweep.name, figures=False)

        try:
            run_sweep(sweep, out, partial(runner.run_all, live=live), on_record=on_record)
        except (KeyboardInterrupt, InterruptedRunError):
            publish(out, sweep.name)
            so_far = f"; the table so far is {out / table_file(sweep)}" if live.records else ""
            raise InterruptedRunError(
                f"interrupted after {len(live.records)} of {len(sweep.runs)} runs{so_far}",
                hint=GO_ON,
            ) from None
    return publish(out, sweep.name)


def _print_result(sweep: "Sweep", out: Path, paths: "list[Path]", as_json: bool) -> None:
    from stsm_cli.analysis.paper import load_paper_table
    from stsm_cli.analysis.reading import verdicts
    from stsm_cli.analysis.records import read_records
    from stsm_cli.analysis.summary import Group, summarise
    from stsm_cli.analysis.tables import main_table

    wanted = (sweep.experiment, sweep.budget)
    records = read_records(out, sweep.table)
    group = Group(tuple(r for r in records if (r.experiment, r.budget) == wanted))
    paper = load_paper_table(sweep.ablation.table)
    rows = summarise(sweep.ablation, paper, group)
    files = [str(path) for path in paths]
    if as_json:
        head = {"schema": "stsm.ablation/1", "name": sweep.name, "table": sweep.ablation.table}
        head |= {"dataset": sweep.dataset, "budget": sweep.budget, "epochs": group.epochs}
        head |= {"protocol": group.first.protocol, "experiment": sweep.experiment}
        body = {"rows": [_row_record(row) for row in rows], "verdicts": verdicts(rows)}
        output.current().json(head | body | {"files": files})
        return
    title = f"Table {paper.table}: {sweep.ablation.title} ({sweep.budget} budget)"
    notes = [*verdicts(rows), "", f"written: {', '.join(files)}"]
    output.current().table(title, *main_table(rows, paper, group), notes)


def _row_record(row: "RowSummary") -> dict[str, Any]:
    top1, pair = row.top1, row.pair_accuracy
    return {
        "name": row.row.name,
        "overrides": row.row.overrides,
        "paper": [line.model_dump(include={"setting", "top1", "source"}) for line in row.paper],
        "top1": top1 and top1.mean,
        "sd": top1 and top1.sd,
        "seeds": {record.seed: record.score.top1 for record in row.records},
        "pair_accuracy": pair and pair.mean,
        "macs": row.records[0].network.macs if row.records else None,
        "params": row.records[0].network.params if row.records else None,
    }


def _print_plan(sweep: "Sweep", out: Path, as_json: bool) -> None:
    from stsm_cli.analysis.plan import describe_sweep

    plan, console = describe_sweep(sweep, out), output.current()
    if as_json:
        console.json(_plan_record(sweep, plan))
        return
    console.table(
        f"Table {sweep.ablation.table}: {sweep.ablation.title}",
        ["setting", "overrides of " + sweep.base, "finished"],
        [
            [row.row.name, " ".join(row.row.overrides), f"{row.num_finished} of {row.num_seeds}"]
            for row in plan.rows
        ],
    )
    console.text("")
    console.table(
        "Channels that move (from the next + from the previous position), by width of the layer",
        ["setting", "width", "layers", "moved", "of which"],
        [
            [row.row.name, f"{m.channels}", f"{m.num_sites}", f"{m.moved}", m.parts or "-"]
            for row in plan.rows
            for m in row.moved
        ],
        _cost_notes(sweep, plan),
    )


def _cost_notes(sweep: "Sweep", plan: "Plan") -> list[str]:
    from stsm_cli.analysis.tables import adds

    missing = sum(row.num_seeds - row.num_finished for row in plan.rows)
    time = "no record tells how long that takes"
    if plan.seconds is not None:
        time = (
            f"about {timedelta(seconds=round(plan.seconds * missing))} by the runs recorded so far"
        )
    shared = sweep.ablation.shared.get(sweep.dataset)
    return [
        *([f"every setting also has {' '.join(shared)}"] if shared else []),
        f"a run, {sweep.budget} budget: {adds(plan.macs)} multiply-adds a view × "
        f"{plan.num_videos:,} training videos × {plan.epochs} epochs = {adds(plan.macs_run)} "
        "forward, the same in every setting",
        f"{missing} of {len(sweep.runs)} runs to do; {time}",
    ]


def _plan_record(sweep: "Sweep", plan: "Plan") -> dict[str, Any]:
    return {
        "schema": "stsm.ablation_plan/1",
        "name": sweep.name,
        "table": sweep.ablation.table,
        "dataset": sweep.dataset,
        "budget": sweep.budget,
        "base": sweep.base,
        "shared": sweep.ablation.shared.get(sweep.dataset, ()),
        "experiment": sweep.experiment,
        "macs": plan.macs,
        "num_train_videos": plan.num_videos,
        "epochs": plan.epochs,
        "macs_run": plan.macs_run,
        "seconds_run": plan.seconds,
        "rows": [
            {
                "name": row.row.name,
                "overrides": row.row.overrides,
                "finished": row.num_finished,
                "seeds": row.num_seeds,
                "moved": [asdict(moved) for moved in row.moved],
            }
            for row in plan.rows
        ],
    }
