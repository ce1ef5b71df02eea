"""The table of a sweep that fills in while it runs; a `Progress` for the runs inside it."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from stsm_cli.cli.output import Output
from stsm_cli.progress import Bar

if TYPE_CHECKING:
    from rich.console import Group as Picture

    from stsm_cli.analysis.ablation import Run, Sweep
    from stsm_cli.analysis.paper import PaperTable
    from stsm_cli.analysis.records import RunRecord

DRAW_SECONDS = 0.2


class Clock:
    """Time left of a sweep, from its finished runs and the done share of the current one."""

    def __init__(self, num_missing: int) -> None:
        self.num_missing = num_missing
        self._seconds: list[float] = []  # of whole runs
        self._started: float | None = None
        self._share_before = 0.0

    def start(self, now: float, share: float = 0.0) -> None:
        """A run begins, or continues with `share` of it done, 0 to 1."""
        self._started, self._share_before = now, share

    def finish(self, now: float) -> None:
        """The current run is finished."""
        if self._started is None:
            return
        if self._share_before < 1:
            self._seconds.append((now - self._started) / (1 - self._share_before))
        self.num_missing -= 1
        self._started = None

    def left(self, now: float, share: float) -> float | None:
        """Seconds left when `share` of the current run is done; None while nothing is known."""
        if self._started is None:
            share = 0.0
        if self._seconds:
            a_run = sum(self._seconds) / len(self._seconds)
        elif self._started is not None and share > self._share_before:
            a_run = (now - self._started) / (share - self._share_before)
        else:
            return None
        return a_run * (self.num_missing - share)


class LiveTable:
    """Shows a sweep: on a terminal a table that is redrawn, elsewhere one line a finished run.

    Args:
        sweep: What is run.
        paper: The paper's table.
        num_missing: Runs that are not finished yet.
        output: Where messages go.
    """

    def __init__(
        self, sweep: "Sweep", paper: "PaperTable", num_missing: int, output: Output
    ) -> None:
        self.sweep, self.paper, self.output = sweep, paper, output
        self.records: list[RunRecord] = []
        self.clock = Clock(num_missing)
        self._run: Run | None = None
        self._epochs_done = 0
        self._label, self._done, self._total, self._status = "", 0, 1, ""
        self._next_picture = 0.0
        self._live: Any = None

    def __enter__(self) -> "LiveTable":
        if self.output.verbosity >= 0 and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, markup=False, highlight=False, emoji=False)
            self._live = Live(
                console=console,
                auto_refresh=False,  # no thread: data workers fork
                transient=True,  # the final table goes to stdout
                redirect_stdout=False,
                redirect_stderr=False,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def start(self, run: "Run", epochs_done: int) -> None:
        """A run begins, or continues after `epochs_done` epochs."""
        self._run, self._epochs_done = run, epochs_done
        self._label = ""
        self.clock.start(time.monotonic(), self._share())
        if self._live is not None:
            self._live.start()

    def epoch(self, metrics: Mapping[str, Any]) -> None:
        """The current run has finished an epoch."""
        self._epochs_done = metrics["epoch"]

    def finish(self, run: "Run", record: "RunRecord") -> None:
        """A run is finished, now or by an earlier command."""
        was_running, self._run = self._run is not None, None
        self.records.append(record)
        self.clock.finish(time.monotonic())
        if self._live is not None:
            self._draw()
        else:
            how = f"{record.seconds:.0f} s" if was_running else "finished before"
            self.output.message(f"{run.row.name}, {_scores(record)} ({how}); {self._left()}")

    def message(self, text: str) -> None:
        """Say one line, above the table."""
        if self._live is not None:
            self._live.console.print(text)
        else:
            self.output.message(text)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """The advance of one part of the current run, told in its row."""
        self._label, self._done, self._total, self._status = label, 0, max(1, total), ""
        yield self

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Move the current part on."""
        self._done += steps
        self._status = status
        if self._live is not None and time.monotonic() >= self._next_picture:
            self._draw()

    def _draw(self) -> None:
        self._next_picture = time.monotonic() + DRAW_SECONDS
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> "Picture":
        from rich.console import Group as Picture
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"Table {self.paper.table}: {self.sweep.ablation.title}", box=None)
        for column in ("setting", "paper", "measured", "in pair", "seeds"):
            table.add_column(column)
        for cells in self._rows():
            table.add_row(*cells)
        running = f"{self._label}  {self._status}" if self._run is not None else ""
        return Picture(table, Text(running), Text(self._left()))

    def _rows(self) -> list[list[str]]:
        from stsm_cli.analysis.summary import Group, summarise
        from stsm_cli.analysis.tables import mean_cell, paper_cell

        group = Group(tuple(self.records)) if self.records else None
        rows = []
        for row in summarise(self.sweep.ablation, self.paper, group):
            measured = mean_cell(row.top1)
            if self._run is not None and self._run.row == row.row:
                before = f"{measured}, " if row.records else ""
                measured = f"{before}seed {self._run.seed}: {self._share():.0%}"
            pair = mean_cell(row.pair_accuracy) if row.pair_accuracy else ""
            rows.append([row.row.name, paper_cell(row), measured, pair, str(len(row.records))])
        return rows

    def _share(self) -> float:
        """How much of the current run is done, by epochs."""
        if self._run is None:
            return 0.0
        inside = self._done / self._total if self._label.startswith("epoch") else 0.0
        return min(1.0, (self._epochs_done + inside) / self._run.recipe.optim.epochs)

    def _left(self) -> str:
        text = f"{len(self.records)} of {len(self.sweep.runs)} runs"
        seconds = self.clock.left(time.monotonic(), self._share())
        if seconds is None or not self.clock.num_missing:
            return text
        return f"{text}, {timedelta(seconds=round(seconds))} left"


def _scores(record: "RunRecord") -> str:
    text = f"seed {record.seed}: top-1 {record.score.top1:.1f} %"
    pair = record.score.pair_accuracy
    return text if pair is None else f"{text}, in pair {pair:.1f} %"
