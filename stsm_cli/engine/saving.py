"""What `stsm predict --save` leaves: scores as CSV, and videos with their class drawn on them.

scores.csv             one line a video: the file it is drawn into, unless that fails, its class,
                       and the probabilities of all classes
windows.csv            one line a window: from when to when, then likewise
NAME.predicted.mp4     a video, on each frame the class of the window around it

Cells are for people and spreadsheets: no name of a class or file is obeyed as a formula.
"""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path

import torch

from stsm_cli.atomic import write_file
from stsm_cli.data.frames import VideoInfo
from stsm_cli.engine.drawing import DEFAULT_FPS, draw
from stsm_cli.engine.predict import Predictor, look_at
from stsm_cli.engine.saved_files import SCORES, WINDOWS
from stsm_cli.engine.windows import Timeline, watch
from stsm_cli.errors import StsmError
from stsm_cli.printable import csv_cell
from stsm_cli.progress import SILENT, Progress
from stsm_cli.stored import DRAWN

LONGEST_STEM = 200  # bytes; ours: file systems take 255, of which a number and endings are some


@dataclass(frozen=True)
class Saved:
    """Files that were written.

    Attributes:
        scores: The table of videos.
        windows: The table of windows.
        drawn: The copy of each video.
        failed: Why a video has none.
    """

    scores: Path
    windows: Path
    drawn: dict[Path, Path] = field(default_factory=dict)
    failed: dict[Path, StsmError] = field(default_factory=dict)


def save(
    predictor: Predictor,
    probabilities: Mapping[Path, torch.Tensor],
    folder: Path,
    *,
    window: int,
    progress: Progress = SILENT,
) -> Saved:
    """Write what this module's docstring says into `folder`.

    Args:
        predictor: What scores a window.
        probabilities: (K,) of each video as a whole.
        folder: Made where it is not there.
        window: Frames of a window.
        progress: Is told of each video.

    Raises:
        StsmError: A table cannot be written.
    """
    classes, saved = predictor.classes, Saved(folder / SCORES, folder / WINDOWS)
    rows: list[list[str]] = []
    with progress.bar("drawing", len(probabilities)) as bar:
        outs = dict(zip(probabilities, _names(folder, probabilities), strict=True))
        scores = _score_rows(probabilities, outs, classes)
        _write_csv(saved.scores, ["video", "drawn"], classes, scores)
        try:
            for path, out in outs.items():
                try:
                    info = look_at(path)
                    timeline = watch(predictor, path, info, window)
                    rows += _window_rows(path, info, timeline, classes)
                    draw(path, out, info, partial(_caption, timeline, classes))
                    saved.drawn[path] = out
                except StsmError as error:
                    saved.failed[path] = error
                bar.advance()
        finally:  # after Ctrl-C, too
            columns = ["video", "from_frame", "to_frame", "from_seconds", "to_seconds"]
            _write_csv(saved.windows, columns, classes, rows)
    return saved


def _names(folder: Path, videos: Iterable[Path]) -> list[Path]:
    """A file for each video, named after it; a number tells those of one name apart."""
    names: dict[str, None] = {}
    for path in videos:
        stem = _shortened(path.stem)
        numbered = chain([stem], (f"{stem}-{number}" for number in count(2)))
        names[next(name for name in numbered if name not in names)] = None
    return [folder / f"{name}{DRAWN}" for name in names]


def _shortened(stem: str) -> str:
    """The name, cut where no file could be called so with what is added to it."""
    whole = os.fsencode(stem)
    return stem if len(whole) <= LONGEST_STEM else whole[:LONGEST_STEM].decode(errors="ignore")


def _caption(timeline: Timeline, classes: tuple[str, ...], frame: int) -> str:
    label, score = _best(timeline.at(frame), classes)
    return f"{label}  {100 * score:.0f} %"


def _best(row: torch.Tensor, classes: tuple[str, ...]) -> tuple[str, float]:
    value, label = row.max(0)
    return classes[int(label)], float(value)


def _score_rows(
    probabilities: Mapping[Path, torch.Tensor], outs: Mapping[Path, Path], classes: tuple[str, ...]
) -> list[list[str]]:
    return [
        [str(path), outs[path].name, *_cells(row, classes)] for path, row in probabilities.items()
    ]


def _window_rows(
    path: Path, info: VideoInfo, timeline: Timeline, classes: tuple[str, ...]
) -> list[list[str]]:
    """Half-open ranges of frames, and of seconds."""
    rows, fps = [], info.fps or DEFAULT_FPS
    for start, row in zip(timeline.starts, timeline.probabilities, strict=True):
        span = start, start + timeline.length
        seconds = (f"{frame / fps:.3f}" for frame in span)
        rows.append([str(path), *map(str, span), *seconds, *_cells(row, classes)])
    return rows


def _cells(row: torch.Tensor, classes: tuple[str, ...]) -> list[str]:
    label, value = _best(row, classes)
    return [label, f"{value:.6f}", *(f"{score:.6f}" for score in row.tolist())]


def _write_csv(
    path: Path, columns: list[str], classes: tuple[str, ...], rows: list[list[str]]
) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    for row in ([*columns, "class", "probability", *classes], *rows):
        writer.writerow([csv_cell(cell) for cell in row])
    write_file(path, table.getvalue().encode())
