"""`--slurm` of `stsm train` and `stsm ablate`: runs become jobs, the same command collects them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.cli import output
from stsm_cli.cli.live import LiveTable
from stsm_cli.errors import UsageError

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Run, Sweep
    from stsm_cli.analysis.sweep import Outcome
    from stsm_cli.engine.cluster import Cluster
    from stsm_cli.engine.slurm import Submitted

Slurm = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Submit to a SLURM cluster: options of sbatch, such as "
        "`partition=gpu,gpus_per_node=8,time=48:00:00`. `cluster=local` starts the jobs here.",
        show_default=False,
    ),
]
LOGS = "slurm"  # beside the run folders
WAIT = "with --slurm the same command leaves such runs alone; without it, cancel the jobs first"


class Submitter:
    """Carries out runs as jobs: gives the outcomes of those that are finished, submits the others.

    Args:
        sweep: What the runs are part of.
        settings: What `--slurm` was given.
        at_once: How many jobs may run side by side.
    """

    def __init__(
        self,
        sweep: "Sweep",
        settings: str,
        data: Path | None,
        device: str,
        workers: int | None,
        decoder: str | None,
        at_once: int | None,
    ) -> None:
        from stsm_cli.data.decode import choose_decoder
        from stsm_cli.engine.cluster import parse_cluster

        self._base, self._at_once = sweep.base, at_once
        self._cluster = parse_cluster(settings, workers=workers)
        self._data, self._decoder = data, choose_decoder(decoder)
        self._options = ["--device", device, "--workers", str(self._cluster.workers)]
        self._options += ["--data", str(data)] if data else []
        self._options += ["--decoder", decoder] if decoder else []
        self.jobs: list[Submitted] = []

    def run_all(
        self, tasks: "Sequence[tuple[Run, Path]]", live: LiveTable
    ) -> "Iterator[tuple[int, Outcome]]":
        """Outcomes of the runs that have finished; `jobs` are those of the others."""
        from stsm_cli.analysis.sweep import Outcome
        from stsm_cli.data.dataset import open_splits
        from stsm_cli.engine.runlog import RunFolder
        from stsm_cli.engine.slurm import submit, train_job

        missing = []
        for number, (run, folder) in enumerate(tasks):
            files = RunFolder(folder)
            result = files.result()
            if result is None:
                sets = [word for override in run.overrides for word in ("--set", override)]
                missing.append(train_job([self._base, *sets, *self._options], folder))
            else:
                files.check_same(run.recipe)
                yield number, Outcome(result, files.metrics(), files.environment())
        if missing:  # what is wrong with the data is better told now than after days in the queue
            recipe, console = tasks[0][0].recipe, output.current()
            open_splits(recipe.data, self._data, decoder=self._decoder, progress=console)
            logs = missing[0].out.parent / LOGS
            self.jobs = submit(missing, self._cluster, logs, at_once=self._at_once)


def refuse_queued(folders: Collection[Path]) -> None:
    """Refuse to do runs here that jobs do elsewhere.

    Raises:
        UsageError: Names the first and its job.
    """
    from stsm_cli.engine.runlog import RunFolder
    from stsm_cli.engine.slurm import queued

    jobs = {parent: queued(parent / LOGS) for parent in {folder.parent for folder in folders}}
    for folder in folders:
        job = jobs[folder.parent].get(folder.name)
        if job is not None and RunFolder(folder).result() is None:
            raise UsageError(f"{folder}: is being run by job {job}", hint=WAIT)


def typed_words(context: typer.Context, *, without: Collection[str]) -> list[str]:
    """The arguments that the user typed for this command, but for the parameters `without`."""
    words: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(parameter.opts[0])
        else:
            values = value if isinstance(value, (list, tuple)) else [value]  # by typer's version
            words += [word for item in values for word in (parameter.opts[0], str(item))]
    return words


def submit_training(context: typer.Context, out: Path, cluster: "Cluster") -> "Submitted":
    """Submit the `stsm train` that the user typed, as a job into the run folder `out`."""
    from stsm_cli.engine.slurm import submit, train_job

    words = typed_words(context, without=("slurm", "out", "resume", "workers", "as_json"))
    words += ["--workers", str(cluster.workers)]
    (job,) = submit([train_job(words, out)], cluster, out.parent / LOGS)
    return job


def print_jobs(jobs: "Sequence[Submitted]", hint: str, *, as_json: bool) -> None:
    """Show jobs: a table, or with `as_json` one object."""
    console, logs = output.current(), jobs[0].out.parent / LOGS
    if as_json:
        records: list[dict[str, Any]] = [asdict(job) | {"out": str(job.out)} for job in jobs]
        console.json({"schema": "stsm.jobs/1", "jobs": records, "logs": str(logs)})
        return
    rows = [[job.out.name, job.job_id, _state(job)] for job in jobs]
    console.table("Jobs", ["run", "job", "state"], rows, [f"their output is in {logs}", hint])


def _state(job: "Submitted") -> str:
    if not job.is_new:
        return "in the queue since before"
    return f"submitted again; {job.failed_id} left no result" if job.failed_id else "submitted"
