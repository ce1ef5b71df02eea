"""What a data set holds: `ROOT/manifest/{train,val}.csv` and `ROOT/manifest/classes.txt`.

One line a video: path,label,frames,fps,width,height. Every data set, downloaded or generated, is
brought into this form once; everything after it reads nothing else. Reading is strict and names
file and line; writing replaces a file whole or not at all.
"""

import csv
import hashlib
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from stsm_cli.atomic import whole_file
from stsm_cli.errors import DataError

_COLUMNS = ("path", "label", "frames", "fps", "width", "height")
_PROBLEMS_SHOWN = 5
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


@dataclass(frozen=True)
class Manifest:
    """One split of a data set.

    Attributes:
        root: The data root.
        split: `train` or `val`.
        classes: Names of the classes; a label is an index into them.
        records: The videos, in the order of the file.
    """

    root: Path
    split: str
    classes: tuple[str, ...]
    records: tuple[VideoRecord, ...]

    @property
    def class_hash(self) -> str:
        """First 12 hex digits of the SHA-256 of the class list, one name a line."""
        return hashlib.sha256("\n".join(self.classes).encode()).hexdigest()[:12]


def read_manifest(root: Path, split: str) -> Manifest:
    """The manifest of a split.

    Raises:
        DataError: The root or a file is missing, empty or wrong; names file and line.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such data root", hint=_PREPARE_HINT)
    classes = _read_classes(_folder(root) / "classes.txt")
    path = _folder(root) / f"{split}.csv"
    records = _parse_records(path, _read_text(path), len(classes))
    if not records:
        raise DataError(f"{path}: lists no videos", hint=_PREPARE_HINT)
    return Manifest(root, split, classes, records)


def write_manifest(manifest: Manifest) -> None:
    """Write the split's CSV and the class list, each whole or not at all.

    Raises:
        DataError: The files cannot be written.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        (r.path, r.label, r.num_frames, r.fps, r.width, r.height) for r in manifest.records
    )
    folder = _folder(manifest.root)
    _replace(folder / "classes.txt", "".join(f"{name}\n" for name in manifest.classes))
    _replace(folder / f"{manifest.split}.csv", table.getvalue())


def _folder(root: Path) -> Path:
    return root / "manifest"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a byte-order mark
    except FileNotFoundError:
        raise DataError(f"{path}: not found", hint=_PREPARE_HINT) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _read_classes(path: Path) -> tuple[str, ...]:
    names = _read_text(path).removesuffix("\n").split("\n")
    first_line: dict[str, int] = {}
    problems = []
    for line, name in enumerate(names, 1):
        if not name.strip():
            problems.append(f"{path}:{line}: class name is empty")
        elif name in first_line:
            problems.append(f"{path}:{line}: class {name!r} stands on line {first_line[name]} too")
        first_line.setdefault(name, line)
    _raise_problems(problems)
    return tuple(names)


def _parse_records(path: Path, text: str, num_classes: int) -> tuple[VideoRecord, ...]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: dict[str, VideoRecord] = {}
    problems = []
    try:
        header = next(reader, [])
        if tuple(header) != _COLUMNS:
            expected = ",".join(_COLUMNS)
            raise DataError(f"{path}:1: columns must be {expected}, got {','.join(header)!r}")
        for row in reader:
            try:
                record = _parse_record(row, num_classes)
                if record.path in records:
                    raise ValueError(f"path {record.path!r} is listed twice")
                records[record.path] = record
            except ValueError as error:
                problems.append(f"{path}:{reader.line_num}: {error}")
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: not CSV ({error})")
    _raise_problems(problems)
    return tuple(records.values())


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


def _whole_number(column: str, text: str, low: int, high: int | None = None) -> int:
    number = int(text) if re.fullmatch("[0-9]{1,18}", text) else None
    if number is None or number < low or (high is not None and number > high):
        rule = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{column} must be a whole number, {rule}, got {text!r}")
    return number


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise ValueError(f"fps must be a number, at least 0, got {text!r}")
    return rate


def _raise_problems(problems: list[str]) -> None:
    if len(problems) > _PROBLEMS_SHOWN:
        more = len(problems) - _PROBLEMS_SHOWN
        problems = [*problems[:_PROBLEMS_SHOWN], f"... and {more} more"]
    if problems:
        raise DataError("\n".join(problems))


def _replace(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
