"""`--slurm` of `stsm train` and `stsm ablate`: runs become jobs, the same command collects them."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stsm_cli.cli import output
from stsm_cli.cli.live import LiveTable
from stsm_cli.cli.options import typed_words
from stsm_cli.errors import UsageError

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Run, Sweep
    from stsm_cli.analysis.sweep import Outcome
    from stsm_cli.config.schema import Recipe
    from stsm_cli.data.dataset import Splits
    from stsm_cli.engine.slurm import Submitted
    from stsm_cli.engine.slurm_options import Cluster

    OpenData = Callable[[Recipe], Splits]

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
WAIT = (
    "with --slurm the same command leaves such runs alone; without it, cancel the jobs first: "
    "scancel ID, for cluster=local kill -INT ID"
)


class Submitter:
    """Carries out runs as jobs: gives the outcomes of those that are finished, submits the others.

    Args:
        settings: What `--slurm` was given.
        open_data: Opens the videos that a recipe reads.
        at_once: How many jobs of a sweep may run side by side.

    Attributes:
        pending: The jobs that the last sweep waits for, those of runs that it shares with an
            earlier one among them.
    """

    def __init__(
        self,
        settings: str,
        open_data: "OpenData",
        data: Path | None,
        device: str,
        workers: int | None,
        decoder: str | None,
        at_once: int | None,
    ) -> None:
        from stsm_cli.engine.slurm import refuse_device
        from stsm_cli.engine.slurm_options import parse_cluster

        self._at_once, self._open, self._data = at_once, open_data, data
        self._cluster = parse_cluster(settings, workers=workers)
        refuse_device(self._cluster, device)
        self._options = ["--device", device, "--workers", str(self._cluster.workers)]
        self._options += ["--decoder", decoder] if decoder else []
        self._jobs: dict[str, Submitted] = {}  # by the recipe's hash
        self.pending: tuple[Submitted, ...] = ()

    def run_all(
        self, sweep: "Sweep", tasks: "Sequence[tuple[Run, Path]]", live: LiveTable
    ) -> "Iterator[tuple[int, Outcome]]":
        """Outcomes of the runs of `sweep` that have finished; the others are then `pending`."""
        from stsm_cli.analysis.sweep import Outcome
        from stsm_cli.engine.resuming import check_origin, check_same
        from stsm_cli.engine.runlog import RunFolder

        missing = []
        for number, (run, folder) in enumerate(tasks):
            files = RunFolder(folder)
            result = files.result()
            if result is None:
                missing.append((run, folder))
            else:
                check_same(files, run.recipe)
                if (known_as := sweep.data_of(run)) is not None:
                    check_origin(files, known_as)
                yield number, Outcome(result, files.finished_metrics(), files.environment())
        self._submit(sweep, [task for task in missing if task[0].recipe_hash not in self._jobs])
        self.pending = tuple(self._jobs[run.recipe_hash] for run, _ in missing)

    def _submit(self, sweep: "Sweep", tasks: "Sequence[tuple[Run, Path]]") -> None:
        from stsm_cli.config.batch import check_processes
        from stsm_cli.engine.slurm import submit, train_job

        if not tasks:
            return
        # what is wrong is better told now than after days in the queue
        for run, _ in tasks:
            check_processes(run.recipe, self._cluster.num_processes)
            self._open(run.recipe)
        new = []
        for run, folder in tasks:
            sets = [word for override in run.overrides for word in ("--set", override)]
            data = ["--data", str(run.recipe.data.place(self._data))] if self._data else []
            new.append(train_job([run.base, *sets, *data, *self._options], folder))
        logs = new[0].out.parent / LOGS
        jobs = submit(new, self._cluster, logs, at_once=self._at_once)
        hashes = [run.recipe_hash for run, _ in tasks]
        self._jobs |= dict(zip(hashes, jobs, strict=True))


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


def refuse_nproc(nproc: int) -> None:
    """Refuse a number of processes that is not the cluster's.

    Raises:
        UsageError: It is more than one.
    """
    if nproc > 1:
        raise UsageError(
            f"--nproc {nproc}: a job has as many processes as --slurm asks for",
            hint="`gpus_per_node` or `ntasks_per_node` and `nodes` say how many",
        )


def submit_training(context: typer.Context, out: Path, cluster: "Cluster") -> "Submitted":
    """Submit the `stsm train` that the user typed, as a job into the run folder `out`."""
    from stsm_cli.engine.slurm import submit, train_job

    words = typed_words(context, without=("slurm", "out", "resume", "workers", "as_json"))
    words += ["--workers", str(cluster.workers)]
    out = out if out.name else out.absolute()  # a job is called after its folder
    (job,) = submit([train_job(words, out)], cluster, out.parent / LOGS)
    return job


def print_jobs(jobs: "Sequence[Submitted]", hint: str, *, as_json: bool = False) -> None:
    """Show jobs: a table, or with `as_json` one object."""
    if as_json:
        output.current().json(jobs_record(jobs))
        return
    rows = [[f"{job.out.parent.name}/{job.out.name}", job.job_id, _state(job)] for job in jobs]
    logs = dict.fromkeys(f"their output is in {_logs(job)}" for job in jobs)
    output.current().table("Jobs", ["run", "job", "state"], rows, [*logs, hint])


def jobs_record(jobs: "Sequence[Submitted]") -> dict[str, Any]:
    """Jobs as an object of JSON."""
    records = [asdict(job) | {"out": str(job.out), "logs": str(_logs(job))} for job in jobs]
    return {"schema": "stsm.jobs/2", "jobs": records}


def _logs(job: "Submitted") -> Path:
    return job.out.parent / LOGS


def _state(job: "Submitted") -> str:
    if not job.is_new:
        return "in the queue since before"
    return f"submitted again; {job.failed_id} left no result" if job.failed_id else "submitted"
