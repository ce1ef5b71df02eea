"""The usable videos of a data set: `ROOT/manifest/{train,val}.csv` and `classes.txt` there.

One line a video: path,label,frames,fps,width,height. Where seeks mislead in some videos, their
paths stand in `ROOT/manifest/{train,val}_from_start.csv`, one a line. Every data set, downloaded or
generated, is brought into this form once; everything after it reads nothing else. Reading is strict
and names file and line; writing replaces a file whole or not at all.

Its videos are called *usable*; *listed* are those that the data set's own lists name, which
`prepare` reads.
"""

import csv
import hashlib
import io
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import eq
from pathlib import Path
from typing import overload

from stsm_cli.atomic import whole_file
from stsm_cli.errors import DataError, raise_problems

SPLITS = ("train", "val")
"""Those of every data set; generated ones may have `test`, too."""
_COLUMNS = ("path", "label", "frames", "fps", "width", "height")
_PAIR_COLUMNS = ("class", "mirror_image")
_PREPARE_HINT = "prepare the data set there first, or name its folder with --data"


@dataclass(frozen=True)
class VideoRecord:
    """One video.

    Attributes:
        path: Relative to the data root, with forward slashes.
        label: Index into the class list.
        num_frames: Frames that decode.
        fps: Frames a second; 0 where the file does not say.
        width: In pixels.
        height: In pixels.
    """

    path: str
    label: int
    num_frames: int
    fps: float
    width: int
    height: int


class PackedRecords(Sequence[VideoRecord]):
    """Records in four blocks of memory: a quarter of the room, and nothing to copy one by one.

    Processes that read videos get it as a whole, or share it. A record is made when it is asked
    for. It equals any sequence of the same records.
    """

    def __init__(self, records: Iterable[VideoRecord]) -> None:
        self._paths, self._ends = bytearray(), array("q")
        self._counts, self._rates = array("q"), array("d")
        for record in records:
            self._paths += record.path.encode()
            self._ends.append(len(self._paths))
            self._counts.extend((record.label, record.num_frames, record.width, record.height))
            self._rates.append(record.fps)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> VideoRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[VideoRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> VideoRecord | tuple[VideoRecord, ...]:
        places = range(len(self))[index]
        return self._record(places) if isinstance(places, int) else tuple(map(self._record, places))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    def _record(self, place: int) -> VideoRecord:
        start = self._ends[place - 1] if place else 0
        path = self._paths[start : self._ends[place]].decode()
        label, num_frames, width, height = self._counts[4 * place : 4 * place + 4]
        return VideoRecord(path, label, num_frames, self._rates[place], width, height)


@dataclass(frozen=True)
class Manifest:
    """One split of a data set.

    Attributes:
        root: The data root.
        split: `train`, `val` or `test`.
        classes: Names of the classes; a label is an index into them.
        records: The videos, in the order of the file.
        from_start: Paths of videos that have to be decoded from their start.
    """

    root: Path
    split: str
    classes: tuple[str, ...]
    records: Sequence[VideoRecord]
    from_start: frozenset[str] = frozenset()

    @property
    def class_hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the class list, one name a line."""
        return hash_of(self.classes)


def hash_of(classes: Sequence[str]) -> str:
    """First 12 hex digits of the SHA-256 of a class list, one name a line."""
    return hashlib.sha256("\n".join(classes).encode()).hexdigest()[:12]


def has_manifest(root: Path, split: str) -> bool:
    """Tell whether a split has its manifest, which is written when its videos are there."""
    return (_folder(root) / f"{split}.csv").is_file()


def filled_splits(root: Path) -> tuple[str, ...]:
    """Train and val but one that lists nothing: a set may be prepared to be tested on alone.

    Where neither lists a video both come, and reading them tells why.
    """
    filled = [split for split in SPLITS if not _lists_nothing(_folder(root) / f"{split}.csv")]
    return tuple(filled) or SPLITS


def _lists_nothing(path: Path) -> bool:
    with suppress(OSError):
        heading, *rows = path.read_bytes().splitlines() or [b""]
        return bool(heading) and not any(row.strip() for row in rows)
    return False


def manifest_digest(root: Path, split: str) -> str:
    """A digest of a split's manifest, byte by byte.

    Raises:
        DataError: It is missing, or no text.
    """
    content = _read_bytes(_folder(root) / f"{split}.csv")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_manifest(root: Path, split: str) -> Manifest:
    """The manifest of a split.

    Raises:
        DataError: The root or a file is missing, empty or wrong; names file and line.
    """
    if not root.is_dir():
        what = "is a file, a data root is a folder" if root.is_file() else "no such data root"
        raise DataError(f"{root}: {what}", hint=_PREPARE_HINT)
    classes = read_classes(classes_path(root))
    path = _folder(root) / f"{split}.csv"
    records = _read_records(path, len(classes))
    if not records:
        raise DataError(f"{path}: lists no videos", hint=_PREPARE_HINT)
    return Manifest(root, split, classes, records, _read_from_start(root, split))


def write_manifest(manifest: Manifest) -> None:
    """Write the split's files and the class list, each whole or not at all.

    Raises:
        DataError: The files cannot be written.
    """
    rows = ((r.path, r.label, r.num_frames, r.fps, r.width, r.height) for r in manifest.records)
    folder = _folder(manifest.root)
    _replace(classes_path(manifest.root), "".join(f"{name}\n" for name in manifest.classes))
    note = _from_start_path(manifest.root, manifest.split)
    if manifest.from_start or note.exists():
        _replace(note, _csv([path] for path in sorted(manifest.from_start)))
    _replace(folder / f"{manifest.split}.csv", _csv(chain([_COLUMNS], rows)))


def _csv(rows: Iterable[Iterable[object]]) -> str:
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows(rows)
    return table.getvalue()


def classes_path(root: Path) -> Path:
    """The path of the class list of a data root."""
    return _folder(root) / "classes.txt"


def read_classes(path: Path) -> tuple[str, ...]:
    """The class names in a file, one a line, in the order of their labels.

    Raises:
        DataError: It is missing, or a name is empty or stands there twice.
    """
    names = _open_text(_read_bytes(path), newline=None).read().removesuffix("\n").split("\n")
    first_line: dict[str, int] = {}
    problems = []
    for line, name in enumerate(names, 1):
        if not name.strip():
            problems.append(f"{path}:{line}: class name is empty")
        elif name in first_line:
            problems.append(f"{path}:{line}: class {name!r} stands on line {first_line[name]} too")
        first_line.setdefault(name, line)
    raise_problems(problems)
    return tuple(names)


def _from_start_path(root: Path, split: str) -> Path:
    return _folder(root) / f"{split}_from_start.csv"


def _read_from_start(root: Path, split: str) -> frozenset[str]:
    path = _from_start_path(root, split)
    if not path.exists():
        return frozenset()
    return frozenset(row[0] for row in csv.reader(_open_text(_read_bytes(path), newline="")) if row)


def mirror_pairs_path(root: Path) -> Path:
    """The path of the user's list of classes that a mirror swaps: `class,mirror_image` a line."""
    return _folder(root) / "mirror_pairs.csv"


def read_mirror_pairs(root: Path, classes: Sequence[str]) -> tuple[tuple[str, str], ...] | None:
    """The pairs of classes that a data root's own file names, perhaps none; None without a file.

    Raises:
        DataError: It is no such file, or a line names another class, or one that is paired already.
    """
    path = mirror_pairs_path(root)
    if not path.is_file():
        return None
    reader = csv.reader(_open_text(_read_bytes(path), newline=""), strict=True)
    pairs: dict[int, tuple[str, str]] = {}
    problems = []
    try:
        if tuple(header := next(reader, [])) != _PAIR_COLUMNS:
            expected = ",".join(_PAIR_COLUMNS)
            raise DataError(f"{path}:1: columns must be {expected}, got {','.join(header)!r}")
        for row in filter(None, reader):
            try:
                pairs[reader.line_num] = _parse_pair(row, classes, pairs.values())
            except ValueError as error:
                problems.append(f"{path}:{reader.line_num}: {error}")
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: not CSV ({error})")
    raise_problems(problems)
    return tuple(pairs.values())


def _parse_pair(
    row: Sequence[str], classes: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> tuple[str, str]:
    if len(row) != len(_PAIR_COLUMNS):
        raise ValueError(f"{len(_PAIR_COLUMNS)} columns expected, got {len(row)}")
    first, second = row
    for name in row:
        if name not in classes:
            raise ValueError(f"{name!r} is none of the {len(classes)} classes")
        if any(name in pair for pair in pairs):
            raise ValueError(f"class {name!r} is paired already")
    if first == second:
        raise ValueError(f"class {first!r} is paired with itself")
    return first, second


def _folder(root: Path) -> Path:
    return root / "manifest"


def _read_bytes(path: Path) -> bytes:
    """The content of a file of UTF-8 text."""
    try:
        content = path.read_bytes()
        content.decode()
    except FileNotFoundError:
        raise DataError(f"{path}: not found", hint=_PREPARE_HINT) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return content


def _open_text(content: bytes, *, newline: str | None) -> io.TextIOWrapper:
    # utf-8-sig: spreadsheets write a byte-order mark
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=newline)


def _read_records(path: Path, num_classes: int) -> PackedRecords:
    problems: list[str] = []
    records = PackedRecords(_parse_records(path, num_classes, problems))
    raise_problems(problems)
    return records


def _parse_records(path: Path, num_classes: int, problems: list[str]) -> Iterator[VideoRecord]:
    """The records of a file; what is wrong with the others goes to `problems`."""
    reader = csv.reader(_open_text(_read_bytes(path), newline=""), strict=True)
    seen: set[str] = set()
    try:
        header = next(reader, [])
        if tuple(header) != _COLUMNS:
            expected = ",".join(_COLUMNS)
            raise DataError(f"{path}:1: columns must be {expected}, got {','.join(header)!r}")
        for row in reader:
            try:
                record = _parse_record(row, num_classes)
                if record.path in seen:
                    raise ValueError(f"path {record.path!r} is listed twice")
            except ValueError as error:
                problems.append(f"{path}:{reader.line_num}: {error}")
            else:
                seen.add(record.path)
                yield record
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: not CSV ({error})")


def _parse_record(row: list[str], num_classes: int) -> VideoRecord:
    if len(row) != len(_COLUMNS):
        raise ValueError(f"{len(_COLUMNS)} columns expected, got {len(row)}")
    path, label, frames, fps, width, height = row
    if not path:
        raise ValueError("path is empty")
    return VideoRecord(
        path,
        _whole_number("label", label, 0, num_classes - 1),
        _whole_number("frames", frames, 1),
        _rate(fps),
        _whole_number("width", width, 1),
        _whole_number("height", height, 1),
    )


@lru_cache(maxsize=4096)  # a manifest repeats its labels, lengths and sizes
def _whole_number(column: str, text: str, low: int, high: int | None = None) -> int:
    number = int(text) if re.fullmatch("[0-9]{1,18}", text) else None
    if number is None or number < low or (high is not None and number > high):
        rule = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{column} must be a whole number, {rule}, got {text!r}")
    return number


@lru_cache
def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise ValueError(f"fps must be a number, at least 0, got {text!r}")
    return rate


def _replace(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
