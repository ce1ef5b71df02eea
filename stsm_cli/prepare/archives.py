"""Gzipped tar archives, whole or in parts, unpacked so that it can be interrupted at any moment.

Nothing is written outside the given folder, no link or device at all, and no more than an archive
of videos can hold. A file gets its name when it is whole; one that is there already is kept. An
archive that is done is noted in `.unpacked.json` of the folder and not read again: deleting that
file forgets it.
"""

import errno
import gzip
import io
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from stsm_cli.atomic import whole_file
from stsm_cli.errors import DataError, raise_problems
from stsm_cli.prepare.megabytes import megabytes
from stsm_cli.progress import SILENT, Progress

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from typing_extensions import Self

_RECORD = ".unpacked.json"
_CHUNK = 1 << 16
_DAMAGED = (gzip.BadGzipFile, zlib.error, tarfile.TarError)
_UNFORESEEN = (ValueError, LookupError, ArithmeticError, RecursionError)  # by tarfile, in headers
_UNFIT = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL)
_MOST_LEVELS = 32  # ours: of folders; the data sets have two
_MOST_TIMES = 100  # ours: an archive's size, unpacked; videos hardly compress
_ROOM = 1 << 20  # ours: bytes besides; a small archive is zeros for the most part
_MOST_HEADER_BYTES = 1 << 20  # ours: of a header's extension, a name or a comment
_NAME_SHOWN = 100  # characters of a member's name
_EXTENSIONS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


@dataclass(frozen=True)
class Archive:
    """An archive and where it belongs.

    Attributes:
        parts: Its files, in order: one, or the pieces that `split` made of one.
        into: The folder that its members are unpacked into.
    """

    parts: tuple[Path, ...]
    into: Path

    @property
    def key(self) -> str:
        """The archive as the folder's record calls it: valid wherever both are moved together."""
        return Path(os.path.relpath(self.parts[0], self.into)).as_posix()

    @property
    def num_bytes(self) -> int:
        """Size of all parts."""
        return sum(part.stat().st_size for part in self.parts)


def was_unpacked(archive: Archive) -> bool:
    """Tell whether an archive of this name was unpacked here once, even if it is gone since."""
    return archive.key in _read_record(archive.into)


def unpack(
    archives: Sequence[Archive], *, keep: Container[str] = (), progress: Progress = SILENT
) -> int:
    """Unpack the archives that are not yet unpacked.

    Args:
        archives: What to unpack.
        keep: File names that are not to be unpacked: they are elsewhere already.
        progress: Shows how much has been read.

    Returns:
        How many archives were unpacked now.

    Raises:
        DataError: An archive is not there, truncated, damaged or no gzip file, holds what must not
            be unpacked, or its files cannot be written. What was unpacked before stays, but not
            what came from a damaged one in this call.
    """
    gone = [part for archive in archives for part in archive.parts if not part.is_file()]
    raise_problems([f"{part}: no such file" for part in gone], hint="links must lead to a file")
    pending = [archive for archive in archives if not _is_done(archive)]
    with megabytes(progress, "unpack", sum(archive.num_bytes for archive in pending)) as meter:
        for archive in pending:
            meter.status = archive.parts[0].name
            _unpack_one(archive, keep, meter.add)
    return len(pending)


def _unpack_one(archive: Archive, keep: Container[str], on_read: Callable[[int], None]) -> None:
    written: list[Path] = []
    with (
        _clear_errors(archive, written),
        io.BufferedReader(_Parts(archive.parts, on_read)) as packed,
        gzip.GzipFile(fileobj=packed) as stream,
    ):
        most = _MOST_TIMES * archive.num_bytes + _ROOM
        for tar, member in _members(stream):
            _check(archive, member)
            most -= member.size
            _check_room(archive, most)
            target = _target(archive, member)
            with _name_member(archive, member):
                if target and target.name not in keep and not _is_there(target):
                    _write(tar, member, target)
                    written.append(target)
        while chunk := stream.read(_CHUNK):  # the checksum comes at the very end
            most -= len(chunk)
            _check_room(archive, most)
        _note_done(archive)


def _is_there(target: Path) -> bool:
    """Tell of a video whether it is there; a power cut may have left an empty one."""
    return target.exists() and target.stat().st_size > 0


class _Header(tarfile.TarInfo):
    """A member's header, of which an extension may not fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Self":
        """The header in a block of bytes."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENSIONS and header.size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


def _members(stream: gzip.GzipFile) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members, each to be read before the next."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, tarinfo=_Header) as tar:
            for member in tar:
                yield tar, member
    except _UNFORESEEN as error:
        raise tarfile.ReadError(f"{type(error).__name__}: {error}") from error


def _check(archive: Archive, member: tarfile.TarInfo) -> None:
    """Refuse what no archive of videos holds."""
    path, on_windows = PurePosixPath(member.name), PureWindowsPath(member.name)
    if path.is_absolute() or on_windows.anchor or ".." in on_windows.parts:
        raise _refused(archive, "leads out of the folder", member)
    if not (member.isreg() or member.isdir()):
        raise _refused(archive, "is a link or a device", member)
    if member.issparse():
        raise _refused(archive, "is a file with holes", member)
    if "\0" in member.name:
        raise _refused(archive, "has a name with a zero byte", member)
    if len(path.parts) > _MOST_LEVELS:
        raise _refused(archive, f"lies {len(path.parts) - 1} folders deep", member)


def _check_room(archive: Archive, most: int) -> None:
    if most < 0:
        raise _refused(archive, f"holds more than {_MOST_TIMES} times its size")


def _refused(archive: Archive, why: str, member: tarfile.TarInfo | None = None) -> DataError:
    name = repr(member.name) if member else ""
    name = f"{name[:_NAME_SHOWN]}..." if len(name) > _NAME_SHOWN else name
    return DataError(
        f"{archive.parts[0]}: {f'member {name} ' if member else ''}{why}",
        hint="this archive is not what it should be: delete it and download it again",
    )


@contextmanager
def _name_member(archive: Archive, member: tarfile.TarInfo) -> Iterator[None]:
    """Tell the errors that are about the name of one member, such as one too long, by that name."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        raise _refused(archive, f"cannot be written ({error.strerror})", member) from error


def _target(archive: Archive, member: tarfile.TarInfo) -> Path | None:
    """The path that a member is written to; None for folders and hidden files."""
    path = PurePosixPath(member.name)
    if member.isdir() or any(part.startswith(".") for part in path.parts):
        return None
    return archive.into / path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None, "only regular files come here"
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    try:
        with source, draft.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        draft.replace(target)  # not synced one by one: `_note_done` syncs all
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def _clear_errors(archive: Archive, written: Sequence[Path]) -> Iterator[None]:
    """Name the archive, and take back what a damaged one gave: any of it may be wrong."""
    first, last = archive.parts[0], archive.parts[-1]
    hint = "delete it and download it again"
    try:
        yield
    except EOFError:
        if re.search(r"-\d+$", last.name):  # as `split` names pieces
            hint = "it is not whole, or a part after it is missing: download or unzip what is"
        raise DataError(f"{last}: ends too early", hint=hint) from None
    except _DAMAGED as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise DataError(f"{first}: is damaged ({error})", hint=hint) from error
    except OSError as error:
        reason = f"cannot be unpacked into {archive.into} ({error.strerror})"
        raise DataError(f"{first}: {reason}") from error


class _Parts(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: Sequence[Path], on_read: Callable[[int], None]) -> None:
        self._paths, self._on_read = list(paths), on_read
        self._file: io.FileIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while self._file is not None or self._paths:
            self._file = self._file or self._paths.pop(0).open("rb", buffering=0)
            if count := self._file.readinto(buffer):
                self._on_read(count)
                return count
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _identity(archive: Archive) -> list[list[int]]:
    return [[stat.st_size, stat.st_mtime_ns] for stat in (part.stat() for part in archive.parts)]


def _is_done(archive: Archive) -> bool:
    """Tell whether it was unpacked, whole; later parts may be gone since."""
    identity = _identity(archive)
    known = _read_record(archive.into).get(archive.key)
    return isinstance(known, list) and known[: len(identity)] == identity


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / _RECORD).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # a broken record is as good as none
        return {}


def _note_done(archive: Archive) -> None:
    if hasattr(os, "sync"):  # a note that outlives a power cut must not be of files that do not
        os.sync()
    record = _read_record(archive.into) | {archive.key: _identity(archive)}
    archive.into.mkdir(parents=True, exist_ok=True)
    with whole_file(archive.into / _RECORD) as file:
        file.write(json.dumps(record, indent=1).encode())
