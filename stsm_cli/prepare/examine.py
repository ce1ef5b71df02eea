"""Examination of a data set's videos: the ledger's findings, and the rest in parallel."""

import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stsm_cli.data.decode import DEADLINE_SECONDS
from stsm_cli.errors import InterruptedRunError, PreemptedError, TerminatedExit
from stsm_cli.prepare.check import MISSING, Check
from stsm_cli.prepare.ledger import FileVersion, Ledger
from stsm_cli.prepare.transcode import Encoding, reencode
from stsm_cli.prepare.verify import verify, verify_quick
from stsm_cli.prepare.workers import Alive, FileWork, Lost, work_apart
from stsm_cli.progress import SILENT, Progress

GO_ON = "run the same command again to go on from there"

# The number rises when findings may differ from earlier ones, which then no longer count.
FULL, QUICK = "full 2", "quick 2"


@dataclass(frozen=True)
class Task:
    """A way to look at videos.

    Attributes:
        label: What is done, for the progress bar.
        how: What the ledger calls it.
        believed: Which entries of the ledger answer, the first of these that there is: how they
            call it, and whether what they say of a path can still be relied upon.
        work: Does it to one video.
        how_broken: What the ledger calls it that a video cannot be used. Tasks that find it by
            decoding the file strictly from its start agree with all others.
    """

    label: str
    how: str
    believed: Mapping[str, Callable[[str, Check], bool]]
    work: FileWork[Check]
    how_broken: str = FULL


def verification(root: Path, *, quick: bool, motion: bool = False) -> Task:
    """Decode the videos below `root`: whole, if asked for with their motion, or ends and middle."""
    look = partial(verify_quick, root) if quick else partial(verify, root, motion=motion)
    work = partial(_read, look)
    ways = (FULL, QUICK) if quick else (FULL,)
    return Task("verifying", ways[-1], dict.fromkeys(ways, _always), work)


def _always(path: str, check: Check) -> bool:
    return True


def _read(work: FileWork[Check], path: str, alive: Alive) -> Check:
    """The finding of `work`, which only reads: an error of the disk is about this file alone."""
    try:
        return work(path, alive)
    except OSError as error:
        return Check("corrupt", f"cannot be read ({error.strerror or error})", lasting=False)


def reencoding(root: Path, encoding: Encoding) -> Task:
    """Re-encode the videos below `root`, but those that are known to be broken."""

    def is_made(path: str, check: Check) -> bool:
        made = root / encoding.made_path(path)
        return check.status == "ok" and made.exists() and made.stat().st_size == check.made_bytes

    def is_broken(path: str, check: Check) -> bool:
        return check.status != "ok"

    believed = {encoding.how: is_made, FULL: is_broken}
    return Task("re-encoding", encoding.how, believed, partial(reencode, root, encoding))


def examine(
    root: Path,
    paths: Iterable[str],
    task: Task,
    *,
    workers: int,
    deadline_seconds: float = DEADLINE_SECONDS,
    progress: Progress = SILENT,
) -> dict[str, Check]:
    """The finding on each video, in no particular order; kept in the ledger as it comes.

    Args:
        root: The data root.
        paths: The videos, relative to it.
        task: How to look at them.
        workers: Processes.
        deadline_seconds: How long one frame may take before its video is given up.
        progress: Told about every video.

    Raises:
        OSError: The ledger, or a video that is made, cannot be written.
        InterruptedRunError: Ctrl-C; what was found so far is kept.
        PreemptedError: SIGTERM; the same.
    """
    with Ledger(root / "manifest" / "ledger.jsonl") as ledger:
        checks, unknown = _recall(root, paths, task, ledger)
        total = len(checks) + len(unknown)
        if checks and unknown:
            progress.message(f"{len(unknown):,} of {total:,} videos are still to be looked at")
        found = work_apart(task.work, unknown, workers=workers, deadline_seconds=deadline_seconds)
        try:
            with closing(found), progress.bar(task.label, total) as bar:
                bar.advance(len(checks))
                for path, outcome in found:
                    check = _judge(outcome)
                    if check.lasting:
                        how = task.how if check.status == "ok" else task.how_broken
                        ledger.add(unknown[path], how, check)
                    checks[path] = check
                    bar.advance()
        except (KeyboardInterrupt, TerminatedExit) as stop:
            done = f"{len(checks):,} of {total:,} videos are done"
            if isinstance(stop, TerminatedExit):
                raise PreemptedError(f"stopped by SIGTERM: {done}", hint=GO_ON) from None
            raise InterruptedRunError(f"interrupted: {done}", hint=GO_ON) from None
    return checks


def _recall(
    root: Path, paths: Iterable[str], task: Task, ledger: Ledger
) -> tuple[dict[str, Check], dict[str, FileVersion]]:
    """The findings that are known without opening a file; and the files to open."""
    checks: dict[str, Check] = {}
    unknown: dict[str, FileVersion] = {}
    for path in dict.fromkeys(paths):
        version = _version(root, path)
        if isinstance(version, Check):
            checks[path] = version
            continue
        known = ((stands, ledger.find(version, how)) for how, stands in task.believed.items())
        check = next((check for stands, check in known if check and stands(path, check)), None)
        if check is None:
            unknown[path] = version
        else:
            checks[path] = check
    return checks, unknown


def _version(root: Path, path: str) -> FileVersion | Check:
    """The file as it is now, or what is wrong with it from outside."""
    if set(path) & {"\n", "\r"}:
        return Check("corrupt", "its path holds a line break, which lists cannot")
    try:
        status = (root / path).stat()
    except FileNotFoundError:
        is_link = (root / path).is_symlink()
        return Check("missing", "is a link that leads nowhere") if is_link else MISSING
    except OSError as error:  # a link in a circle, a folder that is closed to us, a name too long
        return Check("corrupt", f"cannot be read ({error.strerror})", lasting=False)
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for somebody to write
        return Check("corrupt", "is no file but a folder, a pipe, a socket or a device")
    if not status.st_size:
        return Check("corrupt", "is empty")
    return FileVersion(path, status.st_size, status.st_mtime_ns)


def _judge(outcome: Check | Lost) -> Check:
    """The finding of an outcome: a video whose process hung, died or failed is corrupt."""
    if isinstance(outcome, Lost):
        return Check("corrupt", outcome.reason, lasting=outcome.lasting)
    return outcome
