"""Carries out the runs of `stsm ablate` on this machine, and shows how they get on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stsm_cli.allocator import keep_freed_memory
from stsm_cli.cli import output
from stsm_cli.cli.ablate_streams import run_streams
from stsm_cli.cli.failures import memory_error
from stsm_cli.cli.live import LiveTable, RunProgress
from stsm_cli.cli.submit import Submitter, refuse_queued
from stsm_cli.cores import num_cores
from stsm_cli.errors import (
    CheckpointError,
    DataError,
    DivergedError,
    InterruptedRunError,
    PreemptedError,
    RecipeError,
    StsmError,
    TerminatedExit,
)
from stsm_cli.printable import counted

if TYPE_CHECKING:
    from stsm_cli.analysis.ablation import Run, Sweep
    from stsm_cli.analysis.records import RunRecord
    from stsm_cli.analysis.sweep import Outcome
    from stsm_cli.cli.submit import OpenData
    from stsm_cli.data.dataset import Splits
    from stsm_cli.engine.slurm import Submitted

RUN_AGAIN = "run the same command again: finished runs are kept, unfinished ones continue"


class Runner:
    """Trains and tests runs of any number of sweeps.

    Args:
        open_data: Opens the videos that a recipe reads.
        jobs: How many runs go side by side; None: one a CPU, or one on a GPU.

    Attributes:
        pending: Jobs that a sweep waits for: none, runs are done here.
    """

    pending: "tuple[Submitted, ...]" = ()

    def __init__(
        self,
        open_data: "OpenData",
        device: str,
        workers: int | None,
        jobs: int | None,
    ) -> None:
        from stsm_cli.engine.device import choose_device, choose_workers

        keep_freed_memory()  # the runs are forks of this process
        self._device, self._workers = device, choose_workers(workers)
        if jobs is None:  # otherwise leave CUDA alone: it does not survive a fork
            jobs = num_cores() if choose_device(device).type == "cpu" else 1
        self._jobs, self._open = jobs, open_data

    def run_all(
        self, sweep: "Sweep", tasks: "Sequence[tuple[Run, Path]]", live: LiveTable
    ) -> "Iterator[tuple[int, Outcome]]":
        """Do runs of `sweep` side by side, each inside its folder.

        Raises:
            UsageError: Another process does this sweep, or a job one of its runs.
        """
        from stsm_cli.engine.lock import alone_in

        if not tasks:
            return
        refuse_queued([folder for _, folder in tasks])
        with alone_in(tasks[0][1].parent):  # else two would take each other's runs
            for group in _by_draw(tasks):
                numbers, same_draw = zip(*group, strict=True)
                for place, outcome in self._run_side_by_side(same_draw, live):
                    yield numbers[place], outcome

    def _run_side_by_side(
        self, tasks: "Sequence[tuple[Run, Path]]", live: LiveTable
    ) -> "Iterator[tuple[int, Outcome]]":
        from stsm_cli.engine.parallel import run_side_by_side

        splits = [self._open(run.recipe) for run, _ in tasks]

        def work(number: int, tell: "Callable[[Any], None]") -> "Outcome":
            try:
                return self._run(*tasks[number], splits[number], tell)
            except (MemoryError, RuntimeError) as error:
                if (told := memory_error(error)) is None:
                    raise
                raise StsmError(f"{_called(tasks[number])}: {told}", hint=told.hint) from None

        yield from run_side_by_side(
            len(tasks),
            work,
            jobs=self._jobs,
            on_news=lambda number, news: live.news(tasks[number][0], news),
            on_ctrl_c=partial(live.message, output.STOPPING),
            called=lambda number: _called(tasks[number]),
        )

    def _run(
        self, run: "Run", folder: Path, splits: "Splits", tell: "Callable[[Any], None]"
    ) -> "Outcome":
        from stsm_cli.analysis.sweep import Outcome
        from stsm_cli.engine.device import choose_device
        from stsm_cli.engine.resuming import changed_start
        from stsm_cli.engine.runlog import RunFolder
        from stsm_cli.engine.train import train
        from stsm_cli.stored import result_record

        say_stopping = partial(output.current().at_once, output.STOPPING)
        files = RunFolder(folder)
        is_begun = files.recipe_file.exists() and not files.is_half_made
        try:
            if is_begun and (changed := changed_start(files)):
                raise CheckpointError(changed, hint="choose another --out to begin anew")
            progress = RunProgress(run.recipe.optim.epochs, len(files.metrics()), tell)
            result = train(
                run.recipe,
                splits.train,
                splits.val,
                out=folder,
                test_videos=splits.test,
                name=run.title,
                device=choose_device(self._device),
                workers=self._workers,
                resume=is_begun,
                progress=progress,
                on_epoch=progress.epoch,
                on_ctrl_c=say_stopping if self._jobs == 1 else lambda: None,  # told once, for all
            )
            return Outcome(result_record(result), files.finished_metrics(), files.environment())
        except DivergedError as error:
            others = f"{error.hint}; of one table `--row` runs the other rows without it"
            raise DivergedError(f"{_called((run, folder))}: {error}", hint=others) from None
        except (CheckpointError, DataError, RecipeError) as error:
            if not is_begun:
                raise
            raise CheckpointError(
                str(error),
                hint=(f"{error.hint}\n" if error.hint else "")
                + f"move {folder} away; the same command then does the run anew",
            ) from None


def _called(task: "tuple[Run, Path]") -> str:
    run, folder = task
    return f"row {run.row.name}, seed {run.seed} ({folder})"


def _by_draw(
    tasks: "Sequence[tuple[Run, Path]]",
) -> "Iterator[list[tuple[int, tuple[Run, Path]]]]":
    """Numbered runs of one draw of the data, then those of the next: each is read once."""
    for _, group in groupby(sorted(enumerate(tasks), key=_draw_of), _draw_of):
        yield list(group)


def _draw_of(task: "tuple[int, tuple[Run, Path]]") -> int:
    return task[1][0].recipe.data.draw


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """A block around the runs; Ctrl-C where none of them hears it says what is kept.

    Raises:
        InterruptedRunError: Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted between runs", hint=RUN_AGAIN) from None


def carry_out(sweep: "Sweep", out: Path, runner: Runner | Submitter) -> list[Path]:
    """Do what is missing of `sweep`; the files of its table.

    Raises:
        InterruptedRunError: Ctrl-C; what is finished is recorded and in the table.
        PreemptedError: SIGTERM; the same.
    """
    from stsm_cli.analysis.paper import load_paper_table
    from stsm_cli.analysis.publish import publish, table_file
    from stsm_cli.analysis.records import finished
    from stsm_cli.analysis.sweep import run_sweep

    missing = sweep.missing(finished(out, sweep))
    if not missing:
        told = f"{counted(len(sweep.runs), 'run')} recorded in {out / 'records'}, none missing"
        output.current().message(f"nothing to train: {told}; another --out begins anew")
    paper = load_paper_table(sweep.ablation.table)
    num_missing = len({run.folder for run in missing})
    with LiveTable(sweep, paper, num_missing, output.current()) as live:

        def on_record(run: "Run", record: "RunRecord", is_new: bool) -> None:
            live.finish(run, record)
            if is_new:
                publish(out, sweep.name, figures=False)

        try:
            each = partial(runner.run_all, sweep, live=live)
            run_sweep(sweep, out, partial(run_streams, each), on_record=on_record)
            return publish(out, sweep.name)
        except (KeyboardInterrupt, InterruptedRunError, PreemptedError, TerminatedExit) as error:
            publish(out, sweep.name, figures=False)  # they take seconds
            so_far = f"; the table so far is {out / table_file(sweep)}" if live.records else ""
            done = f"{len(live.records)} of {counted(len(sweep.runs), 'run')}"
            after = f"after {done} of {sweep.name}{so_far}"
            if isinstance(error, (PreemptedError, TerminatedExit)):
                raise PreemptedError(f"stopped by SIGTERM {after}", hint=RUN_AGAIN) from None
            raise InterruptedRunError(f"interrupted {after}", hint=RUN_AGAIN) from None
