"""A generated set of videos on disk: drawn one by one, and continued where that was interrupted.

Leaves `ROOT/SPLIT/00000.mp4`..., `NAME.json` (what the set is made from, written first),
`report.json`, and `manifest/` (written last: where it stands, the set is whole). A video depends
only on the settings, its split and its number, and takes its name when it is complete, so the
files are the same however many workers made them and however often they were stopped.

A `RenderedSet` is what `generated.py` asks for; `synth.py` is one.
"""

import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from shlex import quote
from typing import Any, Generic, TypeVar

import numpy as np

from stsm_cli.atomic import draft_name, try_file, whole_file
from stsm_cli.config.generated_sets import GeneratedConfig
from stsm_cli.cores import num_cores
from stsm_cli.data.frames import Frames
from stsm_cli.data.interrupts import children_ignore_ctrl_c
from stsm_cli.data.manifest import Manifest, VideoRecord, has_manifest, write_manifest
from stsm_cli.data.render import QUANTISER, encode
from stsm_cli.errors import DataError
from stsm_cli.lifeline import end_with_parent
from stsm_cli.printable import counted, size
from stsm_cli.progress import SILENT, Progress

FPS = 16
NUM_DEMO = 4
_PREVIEW_FRAMES = 7
STALE_SECONDS = 600  # after which a half-written video (10 ms of work) is abandoned
_CHUNK = 8  # videos a worker makes at a time: a fifth of a second, which Ctrl-C has to wait for

Settings = TypeVar("Settings", bound=GeneratedConfig)
MakeFrames = Callable[[Settings, str, int], tuple[Frames, int]]
_Job = tuple[str, int]  # split, number of the video


def _not_measured(settings: GeneratedConfig) -> float | None:
    return None


@dataclass(frozen=True)
class RenderedSet(Generic[Settings]):
    """A generated set whose video i of a split is of class i modulo the number of classes.

    Attributes:
        name: As recipes call it.
        label: As people call it, behind `the`.
        version: Of the code that draws it; raised whenever the same settings give other videos.
        settings: Its section of a recipe; what is left out is the set that `stsm prepare` makes.
        classes: Their names, in label order.
        frame_shape: From settings to the videos' frames, height and width, both of these even.
        make_frames: From settings, split and number to a video, frames (T, H, W, 3) uint8 RGB, and
            its label. It depends on nothing else, and stands at the top of a module: workers call
            it, too.
        quantiser: Of the coding, from 0 (exact) to 51.
        video_bytes: From settings to about what a video takes on disk; None where not known.
    """

    name: str
    label: str
    version: int
    settings: type[Settings]
    classes: tuple[str, ...]
    frame_shape: Callable[[Settings], tuple[int, int, int]]
    make_frames: MakeFrames[Settings]
    quantiser: int = QUANTISER
    video_bytes: Callable[[Settings], float | None] = _not_measured

    def identify(self) -> str:
        """Name and version of the generator; the bytes of its videos differ with the encoder."""
        return f"{self.name}/{self.version}"

    def extent(self, settings: Settings) -> str:
        """The amount to be made: videos, and megabytes where they are known."""
        num_bytes = self.video_bytes(settings)
        num_videos = sum(map(settings.num_videos, settings.splits))
        if num_bytes is None:
            return counted(num_videos, "video")
        return f"{counted(num_videos, 'video')}, about {size(num_videos * num_bytes)}"

    def is_at(self, root: Path) -> bool:
        """Tell whether `root` was begun as this set, whatever its settings."""
        return _claim_path(self, root).is_file()

    def check(self, root: Path, settings: Settings) -> bool:
        """Tell whether the set lies whole at `root`; if not, it can be made there.

        Raises:
            DataError: `root` is a file, cannot be made, or holds something else, or the set of
                other settings or of another version.
        """
        if root.exists() and not root.is_dir():
            raise DataError(f"{root}: must be a folder, is a file")
        if root.is_dir() and any(root.iterdir()):
            _check_claim(self, root, settings)
        else:
            _check_can_be_made(root)
        return all(has_manifest(root, split) for split in settings.splits)

    def make(
        self,
        root: Path,
        settings: Settings,
        *,
        workers: int | None = None,
        progress: Progress = SILENT,
    ) -> dict[str, Any]:
        """Make the set's missing videos and its manifests.

        More than one worker are spawned: a script that calls this needs the usual
        `if __name__ == "__main__"`.

        Args:
            root: The folder to fill: new, empty, or one begun with the same settings.
            settings: What the set is made from.
            workers: Processes; None: one a CPU.
            progress: Told about every video.

        Returns:
            What `ROOT/report.json` holds.

        Raises:
            DataError: `root` is a file, holds something else or another set, or cannot be written.
        """
        started = time.monotonic()
        try:
            _claim(self, root, settings)
            jobs = [job for job in _jobs(settings) if not _is_made(root / _video_path(job))]
            _make_videos(self, root, settings, jobs, workers or num_cores(), progress)
            _remove_remains(root)
            if hasattr(os, "sync"):  # manifests that outlive a power cut must not be of torn videos
                os.sync()
            report = _report(self, root, settings, len(jobs), time.monotonic() - started)
            _write_json(root / "report.json", report)
        except OSError as error:
            path = error.filename or root
            raise DataError(f"{path}: cannot be written ({error.strerror})") from error
        for split in settings.splits:
            write_manifest(_manifest(self, root, split, settings))
        return report

    def demo(self, folder: Path, settings: Settings) -> list[Path]:
        """Draw four videos of the last split, which no training sees, each named by its class.

        Raises:
            DataError: `folder` cannot be written.
        """
        labels = range(0, len(self.classes), len(self.classes) // NUM_DEMO)
        paths = [folder / f"{self.classes[label]}.mp4" for label in labels]
        for label, path in zip(labels, paths, strict=True):
            frames, _ = self.make_frames(settings, settings.splits[-1], label)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _write(path, encode(frames, FPS, self.quantiser))
            except OSError as error:
                raise DataError(f"{path}: cannot be written ({error.strerror})") from None
        return paths

    def preview(self, path: Path, settings: Settings) -> None:
        """Draw a contact sheet of the set: two classes a row, each its first training video.

        Args:
            path: The picture to write; its ending decides the format, PNG without one.
            settings: What the set is (or would be) made from; the set itself is not needed.

        Raises:
            DataError: `path` cannot be written.
        """
        from matplotlib.figure import Figure

        num_frames, height, width = self.frame_shape(settings)
        num_shown = min(_PREVIEW_FRAMES, num_frames)
        unit = 1 / max(height, 64)  # inches a pixel: small pictures are enlarged
        num_rows = -(-len(self.classes) // 2)
        size = 2 * (num_shown + 0.5) * width * unit, 1.3 * num_rows * height * unit
        figure = Figure(size, dpi=110)
        strips = figure.subplots(num_rows, 2, squeeze=False)
        for label, axes in enumerate(strips.flat):
            axes.axis("off")
            if label < len(self.classes):
                frames, _ = self.make_frames(settings, "train", label)
                shown = np.linspace(0, num_frames - 1, num_shown).round().astype(int)
                axes.imshow(np.hstack([_framed(frame) for frame in frames[shown]]))
                name = self.classes[label].replace("_", " ")
                axes.set_title(name, loc="left", fontsize=11, pad=3)
        figure.subplots_adjust(0.01, 0.01, 0.99, 0.97, wspace=0.03, hspace=0.25)
        try:
            with whole_file(path) as file:
                figure.savefig(file, format=path.suffix[1:] or "png")
        except (OSError, ValueError) as error:  # ValueError: a format that matplotlib knows not
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{path}: the preview cannot be written ({reason})") from error


def _framed(frame: Frames) -> Frames:
    """A frame with a white gap at its right."""
    return np.pad(frame, ((0, 0), (0, max(2, len(frame) // 32)), (0, 0)), constant_values=255)


def _origin(made: RenderedSet[Settings], settings: Settings) -> dict[str, Any]:
    return {"generator": made.version, **settings.model_dump(mode="json")}


def _claim_path(made: RenderedSet[Settings], root: Path) -> Path:
    return root / f"{made.name}.json"


def _claim(made: RenderedSet[Settings], root: Path, settings: Settings) -> None:
    """Mark `root` as this set's, before the first video lies in it."""
    made.check(root, settings)
    root.mkdir(parents=True, exist_ok=True)
    _write_json(_claim_path(made, root), _origin(made, settings))
    for split in settings.splits:
        (root / split).mkdir(exist_ok=True)


def _check_can_be_made(root: Path) -> None:
    try:
        try_file(root / "manifest")
    except OSError as error:
        raise DataError(f"{root}: cannot be written ({error.strerror})") from None


def _check_claim(made: RenderedSet[Settings], root: Path, settings: Settings) -> None:
    path = _claim_path(made, root)
    try:
        found = dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise DataError(
            f"{root}: holds files, but no {made.label}", hint="choose another folder"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error})", hint="delete the folder to make the set anew"
        ) from error
    wanted = _origin(made, settings)
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if not differing:
        return
    hint = "choose another folder, or delete this one"
    if "generator" not in differing:
        keys = (f"data.{made.name}.{key}={found.get(key)}" for key in differing)
        edits = " ".join(f"--set {quote(key)}" for key in keys)
        hint = f"to train on this set: `{edits}`\n"
        hint += "to make the other one: name another folder, in training with `--data FOLDER`, or "
        hint += f"delete {root}"
    values = ", ".join(f"{key} {found.get(key)}, not {wanted[key]}" for key in differing)
    raise DataError(f"{path}: the set was made with {values}", hint=hint)


def _jobs(settings: GeneratedConfig) -> list[_Job]:
    return [(split, i) for split in settings.splits for i in range(settings.num_videos(split))]


def _video_path(job: _Job) -> str:
    split, index = job
    return f"{split}/{index:05d}.mp4"


def _make_videos(
    made: RenderedSet[Settings],
    root: Path,
    settings: Settings,
    jobs: list[_Job],
    workers: int,
    progress: Progress,
) -> None:
    shape, num_classes = made.frame_shape(settings), len(made.classes)
    make = partial(
        _make_video, made.make_frames, made.quantiser, shape, num_classes, root, settings
    )
    num_workers = min(workers, -(-len(jobs) // _CHUNK))
    with progress.bar("rendering videos", len(jobs)) as bar:
        for _ in map(make, jobs) if num_workers <= 1 else _parallel(make, jobs, num_workers):
            bar.advance()


def _parallel(make: "partial[None]", jobs: list[_Job], num_workers: int) -> Iterator[None]:
    pickle.dumps(make)  # trap: where it cannot be sent, the pool raises nothing and waits for ever
    # Spawned, not forked: the caller may run threads (torch, a progress bar).
    pool = ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=end_with_parent
    )
    try:
        with children_ignore_ctrl_c():
            results = pool.map(make, jobs, chunksize=_CHUNK)
        yield from results
    except BrokenProcessPool as error:
        raise DataError(
            "a process that rendered videos was killed",
            hint="run the command again to continue, with fewer --workers if memory was short",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _make_video(
    draw: MakeFrames[Settings],
    quantiser: int,
    shape: tuple[int, int, int],
    num_classes: int,
    root: Path,
    settings: Settings,
    job: _Job,
) -> None:
    path = root / _video_path(job)
    if _is_made(path):  # another run on the same folder may have been here meanwhile
        return
    frames, label = draw(settings, *job)
    if (label, *frames.shape[:3]) != (job[1] % num_classes, *shape):
        raise ValueError(
            f"{_video_path(job)}: drawn as class {label} of shape {frames.shape[:3]}, its place in "
            f"the set is class {job[1] % num_classes} of shape {shape}"
        )
    _write(path, encode(frames, FPS, quantiser))


def _is_made(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0  # a power cut may leave an empty one


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(draft_name(path))
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write(path, json.dumps(content, indent=2).encode())


def _remove_remains(root: Path) -> None:
    """Delete half-written files that killed processes left; not those that others write now."""
    for remains in root.glob("**/*.tmp"):
        with suppress(OSError):  # gone, or another user's
            if time.time() - remains.stat().st_mtime > STALE_SECONDS:
                remains.unlink()


def _manifest(made: RenderedSet[Settings], root: Path, split: str, settings: Settings) -> Manifest:
    num_frames, height, width = made.frame_shape(settings)
    records = tuple(
        VideoRecord(
            _video_path((split, i)), i % len(made.classes), num_frames, float(FPS), width, height
        )
        for i in range(settings.num_videos(split))
    )
    return Manifest(root, split, made.classes, records)


def _report(
    made: RenderedSet[Settings], root: Path, settings: Settings, num_made: int, seconds: float
) -> dict[str, Any]:
    import av

    codec_version = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "schema": "stsm.prepare/1",
        "dataset": made.name,
        "config": settings.model_dump(mode="json"),
        "generator": made.version,
        "encoder": f"libx264 by PyAV {av.__version__}, libavcodec {codec_version}",
        "videos": {split: settings.num_videos(split) for split in settings.splits},
        "made": num_made,
        "bytes": sum((root / _video_path(job)).stat().st_size for job in _jobs(settings)),
        "seconds": round(seconds, 1),
    }
