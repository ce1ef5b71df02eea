"""`stsm predict` of a camera or a stream: its scores while it goes on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stsm_cli.cli import output
from stsm_cli.cli.predict import ranked
from stsm_cli.printable import counted, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stsm_cli.data.live import Source
    from stsm_cli.engine.live import Moment
    from stsm_cli.engine.predict import Predictor

LINE_SECONDS = 1.0  # between two lines, where nothing is drawn
BAR_WIDTH = 30


@dataclass
class _Shown:
    """Scores as people or programs read them.

    Attributes:
        name: Of the camera or stream.
        classes: In label order.
        top: Classes a score.
        as_json: One object a score and line.
        live: What is redrawn; None: lines are printed.
    """

    name: str
    classes: tuple[str, ...]
    top: int
    as_json: bool
    live: Any = None
    last: "Moment | None" = None
    next_line: float = 0.0

    def show(self, moment: "Moment") -> None:
        """Show a score."""
        self.last = moment
        if self.as_json:
            output.current().text(output.json_text(self._record(moment)))
        elif self.live is not None:
            self.live.update(self._picture(moment), refresh=True)
        elif moment.seconds >= self.next_line:
            self.next_line = moment.seconds + LINE_SECONDS
            output.current().text(self._line(moment))

    def ranked(self, moment: "Moment") -> list[tuple[str, float]]:
        """Class names and probabilities, the likeliest first."""
        return ranked(moment.probabilities, self.classes, self.top)

    def _record(self, moment: "Moment") -> dict[str, Any]:
        classes = [{"class": name, "probability": value} for name, value in self.ranked(moment)]
        return {
            "schema": "stsm.live/1",
            "source": self.name,
            "seconds": round(moment.seconds, 3),
            "frames": moment.num_frames,
            "dropped": moment.num_dropped,
            "classes": classes,
        }

    def _line(self, moment: "Moment") -> str:
        likeliest = ", ".join(
            f"{one_line(name)} {100 * value:.1f} %" for name, value in self.ranked(moment)
        )
        return f"{output.duration(moment.seconds)}  {likeliest}  ({rates(moment)})"

    def _picture(self, moment: "Moment") -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False)
        for name, value in self.ranked(moment):
            bar = "█" * round(BAR_WIDTH * value)
            table.add_row(Text(one_line(name)), f"{100 * value:5.1f} %", bar)
        heading = f"{one_line(self.name)}  {output.duration(moment.seconds)}"
        return Group(Text(heading), table, Text(f"{rates(moment)}; Ctrl-C ends it"))


def rates(moment: "Moment") -> str:
    """How fast frames come and are looked at, and how many were dropped."""
    frames, scores = moment.frames_per_second, moment.scores_per_second
    text = f"{frames:.1f} frames/s, {scores:.1f} scores/s"
    if moment.num_dropped:
        share = 100 * moment.num_dropped / moment.num_frames
        text += f", {share:.0f} % of the frames dropped"
    return text


def predict_live(
    make: Callable[[], tuple["Predictor", "Predictor"]],
    source: "Source",
    *,
    window: int,
    top: int,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Show the scores of a camera or a stream until it ends, or Ctrl-C is pressed.

    Args:
        make: Makes what looks at whole videos, and at windows, which is what is taken.
        source: What to look at.
        window: Frames that a score is about.
        top: Classes a score.
        seconds: After which it is left.
        as_json: Print an object a line.

    Raises:
        DataError: It does not open, or breaks off.
        UsageError: The network cannot look at a stream.
    """
    from stsm_cli.data.live import LiveVideo

    video = LiveVideo(source)  # what is most likely wrong is told first
    _, predictor = make()
    from stsm_cli.engine.live import looker, watch_live

    look = looker(predictor, window)
    with _shown(_Shown(source.name, predictor.classes, top, as_json)) as shown:
        for moment in watch_live(predictor, look, video, seconds=seconds):
            shown.show(moment)


@contextmanager
def _shown(shown: _Shown) -> Iterator[_Shown]:
    """A block that shows scores; however it ends, its last line says how the stream went."""
    console = output.current()
    if output.can_draw(sys.stdout) and not shown.as_json:
        from rich.console import Console
        from rich.live import Live

        plain = Console(markup=False, highlight=False, emoji=False)
        shown.live = Live(console=plain, auto_refresh=False, redirect_stderr=False)
        shown.live.start()
    try:
        yield shown
    finally:
        if shown.live is not None:
            shown.live.stop()
        if shown.last is None:
            console.message(f"{shown.name}: no frame came")
        else:
            seen = counted(shown.last.num_frames, "frame")
            console.message(f"{shown.name}: {seen}, {rates(shown.last)}")
