"""From listed videos to usable ones: every video is decoded, or re-encoded, once."""

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stsm_cli.cores import num_cores
from stsm_cli.data.manifest import (
    Manifest,
    VideoRecord,
    filled_splits,
    read_manifest,
    write_manifest,
)
from stsm_cli.data.motion import keep_motion, motion_path, open_motion
from stsm_cli.errors import DataError
from stsm_cli.prepare.check import Check
from stsm_cli.prepare.drafts import remove_drafts
from stsm_cli.prepare.examine import examine, reencoding, verification
from stsm_cli.prepare.findings import (
    Checks,
    build_report,
    check_of,
    write_problems,
    write_report,
)
from stsm_cli.prepare.listing import ListedVideo, Listing
from stsm_cli.prepare.new_lists import check_place, new_lists
from stsm_cli.prepare.split import draw_split
from stsm_cli.prepare.transcode import Encoding
from stsm_cli.progress import SILENT, Progress


def prepare_listing(
    listing: Listing,
    *,
    dataset: str,
    quick: bool = False,
    encoding: Encoding | None = None,
    motion: bool = False,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Verify or re-encode the listed videos, and write the manifest of the usable ones.

    A split that is to be drawn is drawn from the usable videos.

    Leaves `ROOT/manifest/{train,val}.csv`, `classes.txt`, `report.json` and `problems.csv`, all of
    them or those of before. Worker processes are spawned: a script that calls this needs
    `if __name__ == "__main__"`.

    Args:
        listing: The data set.
        dataset: Its name, as recipes call it.
        quick: Decode only the ends and the middle of each video.
        encoding: Make smaller videos with more key frames for the manifest; decodes them whole.
        motion: Measure the motion of videos that are verified whole, for `measure_motion`.
        workers: Processes; None: one for each CPU that this process may use.
        progress: Told about every video.

    Returns:
        What `report.json` holds; `check_usable` says whether it is enough.

    Raises:
        DataError: Files cannot be written, two videos would become one, or `ROOT/manifest` is
            another's.
        InterruptedRunError: Ctrl-C; what was found so far is kept.
        PreemptedError: SIGTERM; the same.
    """
    started = time.monotonic()
    root = listing.root
    check_place(root)
    paths = [v.path for videos in listing.splits.values() for v in videos if v.path is not None]
    if encoding:
        _check_names(paths, encoding)
        task = reencoding(root, encoding)
    else:
        task = verification(root, quick=quick, motion=motion)
    try:
        look = partial(examine, root, task=task, workers=workers or num_cores(), progress=progress)
        checks = look(paths)
        checks |= _check_spares(listing, checks, look)
        listing = listing.with_spares(checks.keys() - _usable(checks), _usable(checks))
        if listing.draw:
            listing = draw_split(listing, listing.draw, _usable(checks))
        curves = {path: check.motion for path, check in checks.items() if check.motion}
        num_measured = 0
        with new_lists(root) as draft:
            for split in listing.splits:
                manifest = _manifest(listing, split, checks, encoding)
                write_manifest(replace(manifest, root=draft))
                num_measured += keep_motion(manifest, curves, progress=progress)
            report = build_report(listing, checks, dataset=dataset, quick=quick, encoding=encoding)
            report |= {"motion_measured": num_measured} if motion else {}
            report["seconds"] = round(time.monotonic() - started, 1)
            write_problems(draft, listing, checks)
            write_report(draft, report)
    except OSError as error:
        raise unwritable(error, root) from error
    finally:
        if encoding:
            remove_drafts(root / encoding.folder)
    return report


def _check_spares(
    listing: Listing, checks: Checks, look: Callable[[list[str]], Checks]
) -> dict[str, Check]:
    """The findings on further files of the videos that are broken, until one of each is usable.

    One after the other: two of a name may be re-encoded into the same file.
    """
    found: dict[str, Check] = {}
    broken = checks.keys() - _usable(checks)
    left = {first: [*paths] for first, paths in listing.spares.items() if first in broken}
    while left:
        turn = {first: paths.pop(0) for first, paths in left.items()}
        found |= look([*turn.values()])
        unsound = found.keys() - _usable(found)
        left = {first: paths for first, paths in left.items() if paths and turn[first] in unsound}
    return found


def _usable(checks: Checks) -> set[str]:
    return {path for path, check in checks.items() if check.status == "ok"}


def check_usable(report: dict[str, Any]) -> None:
    """Refuse a split without a usable video, and one for which none could be drawn.

    Raises:
        DataError: It has none; says what became of the listed ones.
    """
    usable = [split for split, counts in report["splits"].items() if counts["usable"]]
    for split, counts in report["splits"].items():
        if counts["listed"] and not counts["usable"]:
            reasons = ", ".join(f"{counts[why]:,} {why}" for why in ("missing", "corrupt", "short"))
            others = f"; {' and '.join(usable)} can be used as it is" if usable else ""
            raise DataError(
                f"{split}: none of {counts['listed']:,} listed videos can be used ({reasons})",
                hint=f"manifest/problems.csv has each with its reason{others}",
            )
    if report["drawn"] and not report["splits"]["val"]["listed"]:
        raise DataError(
            "val: no class has a second usable video to validate on",
            hint="add videos (copies of one count as one), or name those to validate on: in a "
            "folder val/, or in val.csv",
        )


def measure_motion(
    root: Path, measured: int = 0, *, workers: int | None = None, progress: Progress = SILENT
) -> str:
    """Measure the motion of the usable videos, but of those that it is known of; a line on it.

    Args:
        root: The data root, with its manifests.
        measured: Videos whose motion was measured just now, while they were verified.
        workers: Videos that are decoded at a time; None: one for each CPU.
        progress: Told about every video.

    Raises:
        DataError: A manifest is missing or wrong.
    """
    threads = workers or num_cores()
    found = [
        open_motion(read_manifest(root, split), threads=threads, progress=progress)
        for split in filled_splits(root)
    ]
    total, added, broken = (
        sum(counts)
        for counts in zip(*((len(m.ends), m.num_added, len(m.broken)) for m in found), strict=True)
    )
    told = f"motion of {total - broken:,} of {total:,} videos is in {motion_path(root)}"
    return f"{told}, {measured + added:,} of them measured now"


def _check_names(paths: Sequence[str], encoding: Encoding) -> None:
    first: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        made = encoding.made_path(path)
        if made in first:
            raise DataError(
                f"{first[made]} and {path} would both become {made}", hint="rename one of them"
            )
        first[made] = path


def _manifest(listing: Listing, split: str, checks: Checks, encoding: Encoding | None) -> Manifest:
    usable = [v for v in listing.splits[split] if check_of(v, checks).status == "ok"]
    records = tuple(_record(video, checks, encoding) for video in usable)
    misleading = frozenset(
        record.path
        for video, record in zip(usable, records, strict=True)
        if check_of(video, checks).from_start
    )
    return Manifest(listing.root, split, listing.classes, records, misleading)


def _record(video: ListedVideo, checks: Checks, encoding: Encoding | None) -> VideoRecord:
    assert video.path is not None  # it is usable
    check = checks[video.path]
    path = encoding.made_path(video.path) if encoding else video.path
    fps = round(check.fps, 3)
    return VideoRecord(path, video.label, check.num_frames, fps, check.width, check.height)


def unwritable(error: OSError, root: Path) -> DataError:
    """The error of a data root that cannot be written, with its cure where that is known."""
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space and run the same command again to go on"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "what is found is written below ROOT: prepare a folder of links to what is in it"
    return DataError(
        f"{error.filename or root}: cannot be read or written ({error.strerror or error})",
        hint=hint,
    )
