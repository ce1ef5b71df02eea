"""Files that are whole or absent, whenever a process is killed or a disk is full."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname
from typing import BinaryIO
from zlib import crc32

from stsm_cli.errors import StsmError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file, which takes the name `path` when the block ends without an error.

    A link of that name gives way; what it points to stays as it is.

    Raises:
        OSError: It cannot be written; what was at `path` is still there.
    """
    draft = path.with_name(draft_name(path))
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; missing folders are made.

    Raises:
        StsmError: It cannot be written; what was at `path` is still there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise StsmError(f"{path}: cannot be written ({error.strerror})") from None


def may_replace(path: Path, beginning: str) -> bool:
    """Tell whether nothing of another's is at `path`: no file, or one with this beginning."""
    try:
        return path.read_bytes().startswith(beginning.encode())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def try_file(path: Path) -> None:
    """Make and delete the draft of a file, or of its folder that is to be made.

    So what cannot be written is known before the work: permissions alone do not tell, of a disk
    that is mounted read-only for example.

    Raises:
        OSError: It cannot be written.
    """
    there = next(folder for folder in path.absolute().parents if folder.exists())
    draft = there / draft_name(path)
    draft.touch()
    draft.unlink()


def is_draft(file: Path, of: Path) -> bool:
    """Tell whether `file` is called as a process calls the file `of` while it writes that."""
    name = re.escape(of.name) + r"\.[0-9]+\.tmp"
    return file.parent == of.parent and re.fullmatch(name, file.name) is not None


def draft_name(path: Path) -> str:
    """The name of a file while this process writes it."""
    return f"{path.name}.{process_mark(os.getpid())}.tmp"


def process_mark(pid: int) -> str:
    """Digits that tell a process of this machine from others, whose disk it may share.

    Trap: in containers the same low numbers come back.
    """
    return f"{pid}{crc32(gethostname().encode()):010}"


def end_torn_line(file: BinaryIO) -> None:
    """End the last line of a file that is open in mode `a+b`, where it was left without an end."""
    file.seek(0, os.SEEK_END)
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            file.write(b"\n")


def _sync(folder: Path) -> None:
    """Put the names in `folder` on the disk, so that a power cut leaves a new file its name."""
    with suppress(OSError):  # not every file system can; the content is safe without it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def folder_if_filled(path: Path) -> Iterator[None]:
    """A folder for the block, made with those above it; what is new and stays empty goes again.

    Raises:
        OSError: It cannot be made.
    """
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in new:
            with suppress(OSError):  # it holds something now
                folder.rmdir()
