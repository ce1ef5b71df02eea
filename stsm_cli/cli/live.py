"""The table of a sweep that fills in while its runs go on, side by side or one by one."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from stsm_cli.cli.output import Output, can_draw
from stsm_cli.printable import counted, harmless, one_line
from stsm_cli.progress import Bar, is_warning

if TYPE_CHECKING:
    from rich.console import Group as Picture

    from stsm_cli.analysis.ablation import Row, Run, Sweep
    from stsm_cli.analysis.paper import PaperTable
    from stsm_cli.analysis.records import RunRecord

REDRAW_SECONDS = 0.2
LINE_SECONDS = 60.0  # between two lines elsewhere than on a terminal
TELL_SECONDS = 0.5


class Clock:
    """Time left of a sweep, in runs: how fast they go, and how much of them is left to do."""

    def __init__(self, num_missing: int, now: float) -> None:
        self.num_missing, self.started = num_missing, now
        self._shares: dict[str, tuple[float, float]] = {}  # at the start and now, 0 to 1
        self._is_measured = False

    def update(self, run: str, share: float, *, an_epoch: float = 0.0) -> None:
        """`share` of a run is done; what was done when it is first told is not this sweep's.

        Args:
            an_epoch: Its share of the run: nothing is known before one is measured.
        """
        before, _ = self._shares.get(run, (share, share))
        self._shares[run] = before, share
        self._is_measured |= share - before >= an_epoch - 1e-9

    def left(self, now: float) -> float | None:
        """Seconds left; None while nothing is known."""
        done = sum(share - before for before, share in self._shares.values())
        if done <= 0 or not self._is_measured:
            return None
        before = sum(before for before, _ in self._shares.values())
        return (now - self.started) / done * (self.num_missing - before - done)


class RunProgress:
    """Tells of one run, wherever it runs: the share that is done, and a line about now.

    Args:
        epochs: Of the whole run.
        epochs_done: Before this process.
        tell: Takes (share, line), at most every `TELL_SECONDS`.
    """

    def __init__(
        self, epochs: int, epochs_done: int, tell: Callable[[tuple[float, str]], None]
    ) -> None:
        self._epochs, self._epochs_done, self._tell = epochs, epochs_done, tell
        self._label, self._done, self._total = "", 0, 1
        self._next = 0.0
        self.advance(0)

    def message(self, text: str) -> None:
        """Tell a warning; a table has no place for anything else."""
        if is_warning(text):
            self._tell((self._share(), text))

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """The advance of one part of the run."""
        self._label, self._done, self._total = label, 0, max(1, total)
        yield self

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Move the current part on."""
        self._done += steps
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + TELL_SECONDS
            self._tell((self._share(), f"{self._label}  {status}".strip()))

    def epoch(self, metrics: Mapping[str, Any]) -> None:
        """An epoch is finished."""
        self._epochs_done, self._label = metrics["epoch"], ""

    def _share(self) -> float:
        in_epoch = {"epoch": self._done / self._total, "validating": 1.0}
        inside = in_epoch.get(self._label.partition(" ")[0], 0.0)
        return min(1.0, (self._epochs_done + inside) / self._epochs)


class LiveTable:
    """Shows a sweep: on a terminal a table that is redrawn, elsewhere a line now and then.

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
        self._num_missing = num_missing
        self.clock: Clock | None = None  # from the first news on: data are made before
        self._running: dict[str, tuple[Run, float, str]] = {}  # by folder: run, share, line
        self._warned: set[str] = set()
        self._live: Any = None
        self._next = time.monotonic() + LINE_SECONDS  # line; a picture comes at once

    def __enter__(self) -> "LiveTable":
        if self.output.verbosity >= 0 and can_draw(sys.stderr):
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
            self._live.start()
            self._next = 0.0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def message(self, text: str) -> None:
        """Say one line above the table."""
        if self._live is None:
            self.output.message(text)
        else:
            self._live.console.print(harmless(one_line(text)), soft_wrap=True)

    def news(self, run: "Run", news: tuple[float, str]) -> None:
        """A run has got on: the share that is done, and a line about now; or it warns."""
        share, line = news
        if is_warning(line):
            self._warn(run, line)
            return
        self._running[run.folder] = run, share, line
        self.clock = self.clock or Clock(self._num_missing, time.monotonic())
        self.clock.update(run.folder, share, an_epoch=1 / run.recipe.optim.epochs)
        if time.monotonic() < self._next:
            return
        if self._live is not None:
            self._draw()
        else:
            self._next = time.monotonic() + LINE_SECONDS
            self.output.message("; ".join([self._left(), *self._shares()]))

    def _warn(self, run: "Run", line: str) -> None:
        """Say what a run warns of, and of what several warn once."""
        known = re.sub(r"epoch \d+", "epoch", line)  # a broken video is met in each
        if known not in self._warned:
            self._warned.add(known)
            text = line.removeprefix("warning: ")
            self.message(f"warning: {run.row.name}, seed {run.seed}: {text}")

    def finish(self, run: "Run", record: "RunRecord") -> None:
        """A run is finished, now or by an earlier command."""
        streams = [stream.folder for stream in run.streams]
        was_running = [name for name in streams if self._running.pop(name, None)]
        for name in was_running:
            if self.clock is not None:
                self.clock.update(name, 1.0)
        self.records.append(record)
        if self._live is not None:
            self._draw()
        else:
            how = f"{record.seconds:.0f} s" if was_running else "finished before"
            self.output.message(f"{run.row.name}, {_scores(record)} ({how}); {self._left()}")

    def _draw(self) -> None:
        self._next = time.monotonic() + REDRAW_SECONDS
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
        lines = [f"{run.row.name}, seed {run.seed}: {line}" for run, _, line in self._now()]
        return Picture(table, *map(Text, lines), Text(self._left()))

    def _rows(self) -> list[list[str]]:
        from stsm_cli.analysis.summary import Group, summarise
        from stsm_cli.analysis.tables import mean_cell, paper_cell

        group = Group(tuple(self.records)) if self.records else None
        rows = []
        for row in summarise(self.sweep.ablation, self.paper, group):
            measured = mean_cell(row.top1)
            running = [f"seed {r.seed}: {share:.0%}" for r, share, _ in self._now(row.row)]
            if running:
                measured = ", ".join([measured] * bool(row.records) + running)
            pair = mean_cell(row.pair_accuracy) if row.pair_accuracy else ""
            rows.append(
                [row.row.name, paper_cell(row.paper), measured, pair, str(len(row.records))]
            )
        return rows

    def _now(self, row: "Row | None" = None) -> "list[tuple[Run, float, str]]":
        """The runs under way, of one row or of all."""
        return [now for now in self._running.values() if row is None or now[0].row == row]

    def _shares(self) -> list[str]:
        shares = (
            (run, "testing" if share == 1 else f"{share:.0%}") for run, share, _ in self._now()
        )
        return [f"{run.row.name}, seed {run.seed}: {share}" for run, share in shares]

    def _left(self) -> str:
        text = f"{len(self.records)} of {counted(len(self.sweep.runs), 'run')}"
        seconds = self.clock.left(time.monotonic()) if self.clock else None
        if seconds is None or len(self.records) == len(self.sweep.runs):
            return text
        in_test = [share == 1 for _, share, _ in self._now()]  # shares are of trainings
        if in_test and all(in_test) and len(self.records) + len(in_test) == len(self.sweep.runs):
            return f"{text}, all trained"
        return f"{text}, {timedelta(seconds=round(seconds))} left"


def _scores(record: "RunRecord") -> str:
    text = f"seed {record.seed}: top-1 {record.score.top1:.1f} %"
    pair = record.score.pair_accuracy
    return text if pair is None else f"{text}, in pair {pair:.1f} %"
