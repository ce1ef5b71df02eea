"""The embedded data set on disk: made where it is absent, continued where it was interrupted.

Leaves `ROOT/{train,val}/00000.mp4`..., `synth.json` (what the set is made from, written first),
`report.json`, and `manifest/` (written last: where it stands, the set is whole). A video depends
only on the configuration, its split and its number, and takes its name when it is complete, so the
files are the same however many workers made them and however often they were stopped.
"""

import errno
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from stsm_cli.config.schema import SynthConfig
from stsm_cli.cores import num_cores
from stsm_cli.data.interrupts import children_ignore_ctrl_c
from stsm_cli.data.manifest import Manifest, VideoRecord, write_manifest
from stsm_cli.data.render import Frames, encode
from stsm_cli.data.scenes import CLASSES, SPLITS, frame_size, make_frames
from stsm_cli.errors import DataError
from stsm_cli.lifeline import end_with_parent
from stsm_cli.progress import SILENT, Progress

GENERATOR_VERSION = 1
"""Raised whenever the same configuration gives other videos."""

FPS = 16
_PREVIEW_FRAMES = 7
_BYTES = 9  # a frame and pixel of its short side, at the default difficulty
STALE_SECONDS = 600  # after which a half-written video (10 ms of work) is nobody's
_CHUNK = 8  # videos a worker makes at a time: a fifth of a second, which Ctrl-C has to wait for

_Job = tuple[str, int]  # split, number of the video


def ensure_synth(root: Path, config: SynthConfig, *, progress: Progress = SILENT) -> None:
    """Make sure that `root` holds the set of `config`; prepare or complete it where it does not.

    Raises:
        DataError: `root` holds something else, or cannot be written.
    """
    check_synth(root, config)
    if not all((root / "manifest" / f"{split}.csv").is_file() for split in SPLITS):
        progress.message(f"{root}: making the embedded set here, {_how_much(config)}")
        prepare_synth(root, config, progress=progress)


def check_synth(root: Path, config: SynthConfig) -> None:
    """Refuse a place where the set of `config` neither is nor can be made.

    Raises:
        DataError: `root` is a file, holds something else, or cannot be made.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: must be a folder, is a file")
    if root.is_dir() and any(root.iterdir()):
        _check_config(root, config)
        return
    there = next(place for place in (root, *root.absolute().parents) if place.exists())
    if not there.is_dir():
        raise DataError(f"{root}: cannot be written ({os.strerror(errno.ENOTDIR)})")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DataError(f"{root}: cannot be written ({os.strerror(errno.EACCES)})")


def prepare_synth(
    root: Path,
    config: SynthConfig,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Make the set's missing videos and its manifests.

    More than one worker are spawned: a script that calls this needs the usual
    `if __name__ == "__main__"`.

    Args:
        root: The folder to fill: new, empty, or one begun with the same configuration.
        config: What the set is made from.
        workers: Processes; None: one a CPU.
        progress: Told about every video.

    Returns:
        What `ROOT/report.json` holds.

    Raises:
        DataError: `root` is a file, holds something else or another set, or cannot be written.
    """
    started = time.monotonic()
    try:
        _claim(root, config)
        jobs = [job for job in _jobs(config) if not (root / _video_path(job)).exists()]
        _make_videos(root, config, jobs, workers or num_cores(), progress)
        _remove_remains(root)
        report = _report(root, config, len(jobs), time.monotonic() - started)
        _write_json(root / "report.json", report)
    except OSError as error:
        path = error.filename or root
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    for split in SPLITS:
        write_manifest(_manifest(root, split, config))
    return report


def preview(path: Path, config: SynthConfig) -> None:
    """Draw a contact sheet of the set: a row a pair, each class its first training video.

    Args:
        path: The picture to write; its ending decides the format.
        config: What the set is (or would be) made from; the set itself is not needed.

    Raises:
        DataError: `path` cannot be written.
    """
    from matplotlib.figure import Figure

    height, width = frame_size(config)
    num_shown = min(_PREVIEW_FRAMES, config.frames)
    unit = 1 / max(height, 64)  # inches a pixel: small pictures are enlarged
    figure = Figure((2 * (num_shown + 0.5) * width * unit, 10.4 * height * unit), dpi=110)
    strips = figure.subplots(len(CLASSES) // 2, 2)
    for label, axes in enumerate(strips.flat):
        frames, _ = make_frames(config, "train", label)
        shown = np.linspace(0, config.frames - 1, num_shown).round().astype(int)
        axes.imshow(np.hstack([_framed(frame) for frame in frames[shown]]))
        axes.set_title(CLASSES[label].replace("_", " "), loc="left", fontsize=11, pad=3)
        axes.axis("off")
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.97, wspace=0.03, hspace=0.25)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:  # ValueError: a format that matplotlib does not know
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: the preview cannot be written ({reason})") from error


def _framed(frame: Frames) -> Frames:
    """A frame with a white gap at its right."""
    return np.pad(frame, ((0, 0), (0, max(2, len(frame) // 32)), (0, 0)), constant_values=255)


def _how_much(config: SynthConfig) -> str:
    num_videos = config.train + config.val
    if config.difficulty != SynthConfig().difficulty:
        return f"{num_videos:,} videos"
    megabytes = num_videos * config.frames * config.short_side_px * _BYTES / 1e6
    return f"{num_videos:,} videos, about {max(1, round(megabytes))} MB"


def _identity(config: SynthConfig) -> dict[str, Any]:
    return {"generator": GENERATOR_VERSION, **config.model_dump(mode="json")}


def _claim(root: Path, config: SynthConfig) -> None:
    """Mark `root` as this set's, before the first video lies in it."""
    check_synth(root, config)
    root.mkdir(parents=True, exist_ok=True)
    _write_json(root / "synth.json", _identity(config))
    for split in SPLITS:
        (root / split).mkdir(exist_ok=True)


def _check_config(root: Path, config: SynthConfig) -> None:
    path = root / "synth.json"
    try:
        found = dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise DataError(
            f"{root}: holds files, but no embedded data set", hint="choose another folder"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error})", hint="delete the folder to make the set anew"
        ) from error
    wanted = _identity(config)
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if not differing:
        return
    hint = "choose another folder, or delete this one"
    if "generator" not in differing:
        edits = " ".join(f"--set data.synth.{key}={found.get(key)}" for key in differing)
        hint = f"to train on this set: `{edits}`\n"
        hint += "to make the other one: name another folder, in training with `--data FOLDER`, or "
        hint += f"delete {root}"
    values = ", ".join(f"{key} {found.get(key)}, not {wanted[key]}" for key in differing)
    raise DataError(f"{path}: the set was made with {values}", hint=hint)


def _jobs(config: SynthConfig) -> list[_Job]:
    return [(split, i) for split in SPLITS for i in range(getattr(config, split))]


def _video_path(job: _Job) -> str:
    split, index = job
    return f"{split}/{index:05d}.mp4"


def _make_videos(
    root: Path, config: SynthConfig, jobs: list[_Job], workers: int, progress: Progress
) -> None:
    make = partial(_make_video, root, config)
    num_workers = min(workers, -(-len(jobs) // _CHUNK))
    with progress.bar("rendering videos", len(jobs)) as bar:
        for _ in map(make, jobs) if num_workers <= 1 else _parallel(make, jobs, num_workers):
            bar.advance()


def _parallel(make: "partial[None]", jobs: list[_Job], num_workers: int) -> Iterator[None]:
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


def _make_video(root: Path, config: SynthConfig, job: _Job) -> None:
    path = root / _video_path(job)
    if not path.exists():  # another run on the same folder may have been here meanwhile
        frames, _ = make_frames(config, *job)
        _write(path, encode(frames, FPS))


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
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
        with suppress(FileNotFoundError):
            if time.time() - remains.stat().st_mtime > STALE_SECONDS:
                remains.unlink()


def _manifest(root: Path, split: str, config: SynthConfig) -> Manifest:
    height, width = frame_size(config)
    records = tuple(
        VideoRecord(
            _video_path((split, i)), i % len(CLASSES), config.frames, float(FPS), width, height
        )
        for i in range(getattr(config, split))
    )
    return Manifest(root, split, CLASSES, records)


def _report(root: Path, config: SynthConfig, num_made: int, seconds: float) -> dict[str, Any]:
    import av

    codec_version = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "schema": "stsm.prepare/1",
        "dataset": "synth",
        "config": config.model_dump(mode="json"),
        "generator": GENERATOR_VERSION,
        "encoder": f"libx264 by PyAV {av.__version__}, libavcodec {codec_version}",
        "videos": {split: getattr(config, split) for split in SPLITS},
        "made": num_made,
        "bytes": sum((root / _video_path(job)).stat().st_size for job in _jobs(config)),
        "seconds": round(seconds, 1),
    }
