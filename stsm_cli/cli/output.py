"""The only writer: results on stdout, everything else on stderr.

A bar is drawn where stderr is a terminal; elsewhere it is a plain line now and then. Nothing means
anything by colour alone.

Names of files and classes come from anywhere: what a terminal would obey is spelled out.
"""

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from stsm_cli.cli.layout import fold, table_lines
from stsm_cli.errors import StsmError
from stsm_cli.printable import harmless, one_line
from stsm_cli.progress import SILENT, Bar, is_warning

if TYPE_CHECKING:
    import rich.console
    import rich.progress

STDERR = 2
STOPPING = "stopping after this step; again to stop now"
LINE_SECONDS = 10.0  # between two plain lines of a bar
SETTLE_SECONDS = 5.0  # before a bar says what is left: the first steps are slow
DRAW_SECONDS = 0.1  # between two pictures of a bar; the first comes when it has lasted this long


class Output:
    """Printer of the commands; a `Progress` for the work they start.

    Args:
        verbosity: -1 silences messages and bars; 1 adds details; 2 adds tracebacks.
    """

    def __init__(self, verbosity: int = 0) -> None:
        self.verbosity = verbosity

    def message(self, text: str) -> None:
        """Say one line; when quiet, a warning alone."""
        if self.verbosity >= 0 or is_warning(text):
            self._say(one_line(text))

    def at_once(self, text: str) -> None:
        """Say one line, unless quiet, in a signal's handler, whatever is being written."""
        if self.verbosity >= 0:
            line = f"\n{text}\n" if sys.stderr.isatty() else f"{text}\n"  # below a bar
            with suppress(OSError):  # out of a handler it would end what it only tells of
                os.write(STDERR, line.encode())

    def detail(self, text: str) -> None:
        """Say one line that only `-v` asks for."""
        if self.verbosity >= 1:
            self._say(one_line(text))

    def warn(self, text: str) -> None:
        """Say one line that the user should act on, even when quiet."""
        self._say(f"warning: {one_line(text)}")

    def error(self, error: StsmError) -> None:
        """Say what went wrong, one problem a line, then the cures that are known."""
        self._problems(error, "error")
        self._trace(error)

    def warn_of(self, error: StsmError) -> None:
        """Say likewise what will go wrong, even when quiet."""
        self._problems(error, "warning")

    def _problems(self, error: StsmError, kind: str) -> None:
        for line in str(error).split("\n"):
            self._say(f"{kind}: {line}")
        for line in error.hint.split("\n") if error.hint else ():
            self._say(f"hint: {line}")

    def internal_error(self, error: Exception) -> None:
        """Say that the program itself is wrong; the traceback is shown with `-vv`."""
        self._say(one_line(f"internal error: {type(error).__name__}: {error}"))
        if self.verbosity < 2:
            self._say("hint: run the command again with -vv to see where")
        self._trace(error)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """Show the advance over `total` steps: done, rate, time left, status."""
        if self.verbosity < 0:
            with SILENT.bar(label, total) as silent:
                yield silent
        elif not can_draw(sys.stderr):
            yield _PlainBar(label, total, self)
        else:
            drawn = _DrawnBar(label, total, self._display)
            try:
                yield drawn
            finally:
                drawn.close()

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        notes: Sequence[str] = (),
    ) -> None:
        """Print a table and notes below it, narrow enough for the terminal where there is one."""
        room = _room()
        head, *body = ([one_line(cell) for cell in row] for row in (columns, *rows))
        around = [one_line(text) for text in (title, *notes)]
        if room is not None:
            around = ["\n".join(fold(text, room)) for text in around]
        below = ["", *around[1:]] if notes else []
        self.text("\n".join([around[0], "", *table_lines(head, body, room), *below]))

    def json(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object."""
        self.text(json_text(value, indent=2))

    def text(self, text: str) -> None:
        """Print a result."""
        print(harmless(text), flush=True)  # noqa: T201  # a closed pipe must fail here, not at exit

    @cached_property
    def _console(self) -> "rich.console.Console":
        from rich.console import Console  # only when something is said: keeps --help quick

        stream = cast(IO[str], _Stderr())
        return Console(file=stream, markup=False, highlight=False, emoji=False)

    @cached_property
    def _display(self) -> "rich.progress.Progress":
        from rich.progress import BarColumn, Progress, TextColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            auto_refresh=False,  # no thread: data workers fork
            transient=True,
            redirect_stdout=False,  # results stay on stdout
        )

    def _say(self, text: str) -> None:
        self._console.print(harmless(text), soft_wrap=True)

    def _trace(self, error: Exception) -> None:
        if self.verbosity >= 2:
            self._say("".join(traceback.format_exception(error)).rstrip())


class _Stderr:
    """Standard error, whose reader may go, or its disk be full: the work goes on in silence."""

    @property
    def rich_proxied_file(self) -> "_Stderr":
        """What rich writes to, while it draws and has put something else in its place."""
        return self

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._stream(), name)

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            return self._stream().write(text)
        except OSError:
            _fall_silent()
            return len(text)

    def flush(self) -> None:
        """Likewise."""
        try:
            self._stream().flush()
        except OSError:
            _fall_silent()

    def _stream(self) -> TextIO:
        stream: TextIO = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
        return stream


def _fall_silent() -> None:
    """Lead standard error to nowhere, also what waits to be written."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDERR)
        os.close(nowhere)


class _Meter:
    """Counts steps; the rate leaves out the first advance, which may be a resumed run's past."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._base: tuple[float, int] | None = None

    def advance(self, steps: int) -> None:
        self.done += steps
        if self._base is None:
            self._base = (time.monotonic(), self.done)

    def text(self, status: str) -> str:
        seconds, steps = 0.0, 0
        if self._base is not None:
            seconds, steps = time.monotonic() - self._base[0], self.done - self._base[1]
        parts = [f"{self.done}/{self.total}"]
        if seconds > 0 and steps > 0:
            rate = steps / seconds
            parts.append(f"{rate:.3g}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
            if seconds >= SETTLE_SECONDS:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return "  ".join([*parts, status]).rstrip()


class _PlainBar:
    """One line every `LINE_SECONDS`."""

    def __init__(self, label: str, total: int, output: Output) -> None:
        self._label, self._output, self._meter = label, output, _Meter(total)
        self._next_line = time.monotonic() + LINE_SECONDS

    def advance(self, steps: int = 1, status: str = "") -> None:
        self._meter.advance(steps)
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self._output.message(f"{self._label}  {self._meter.text(status)}")


class _DrawnBar:
    """One row of the terminal's display, which all open bars share."""

    def __init__(self, label: str, total: int, display: "rich.progress.Progress") -> None:
        self._display, self._meter = display, _Meter(total)
        self._task = display.add_task(one_line(label), total=total, text="")
        self._next_picture = time.monotonic() + DRAW_SECONDS

    def advance(self, steps: int = 1, status: str = "") -> None:
        self._meter.advance(steps)
        if time.monotonic() >= self._next_picture:
            self._next_picture = time.monotonic() + DRAW_SECONDS
            done, text = self._meter.done, one_line(self._meter.text(status))
            self._display.update(self._task, completed=done, text=text)
            self._display.start()
            self._display.refresh()

    def close(self) -> None:
        self._display.remove_task(self._task)
        if not self._display.tasks:
            self._display.stop()


def json_text(value: Mapping[str, Any], indent: int | None = None) -> str:
    """JSON in characters that stdout has: what it escapes by itself is none."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, indent=indent, ensure_ascii=not is_utf8, allow_nan=False)


def can_draw(stream: TextIO) -> bool:
    """Tell whether lines can be drawn over: on a terminal, but not on a dumb one (Emacs' shell)."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _room() -> int | None:
    """Characters a line of stdout; None where it is no terminal, so that programs find whole lines.

    `COLUMNS` below 80 is heeded in any case; 80 and more are what many environments say unasked.
    """
    columns = os.environ.get("COLUMNS", "")
    if sys.stdout.isatty() or (columns.isdecimal() and 0 < int(columns) < 80):
        return shutil.get_terminal_size().columns
    return None


def duration(seconds: float) -> str:
    """For example `0:41`, or `26:30:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


_current = Output()


def current() -> Output:
    """The process's output."""
    return _current


def use(output: Output) -> None:
    """Make `output` the process's output."""
    global _current
    _current = output
