"""Readers of lists: CSV, `path label` a line, JSON; errors name file and line.

Windows writes paths with backslashes, and its spreadsheets a semicolon between two cells.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stsm_cli.errors import DataError, raise_problems

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class ListLine:
    """A line of a list of videos.

    Attributes:
        where: `file:line`, for errors.
        path: As written, with forward slashes.
        label: The number at its end.
        num_frames: The number in the middle, of lists that count frames; else None.
    """

    where: str
    path: str
    label: int
    num_frames: int | None


def check_file(path: Path) -> None:
    """Refuse what is there and is no file.

    Raises:
        DataError: It is a folder, a device, or a pipe, which would make wait for ever.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no file")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        DataError: It cannot be read or is something else.
    """
    check_file(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a text that are not blank, each with its `file:line`.

    Raises:
        DataError: It cannot be read.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):  # names may hold others
        if line.strip():
            yield f"{path}:{number}", line.strip()


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The rows of a CSV by column name, each with its `file:line`; cells are stripped.

    Args:
        path: The file; its first line names the columns. Between cells stands a comma, or, where
            the first line says so, a semicolon or a tab.
        columns: Those that it must have; there may be more.

    Raises:
        DataError: It cannot be read, lacks a column, or a row is not as long as the first.
    """
    text = read_text(path)
    delimiter = _delimiter(text, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, dict[str, str]]] = []
    problems: list[str] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not set(columns) <= set(header):
            raise DataError(f"{path}:1: needs the columns {','.join(columns)}, got {header}")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if len(row) == len(header):
                rows.append((where, dict(zip(header, map(str.strip, row), strict=True))))
            elif row:
                problems.append(f"{where}: {len(header)} columns expected, got {len(row)}")
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: not CSV ({error})")
    raise_problems(problems)
    return rows


def read_list(path: Path) -> list[ListLine]:
    """The lines of a list `path label` (MMAction2) or `path num_frames label` (TSM, raw frames).

    Raises:
        DataError: It cannot be read, or a line does not end in a label.
    """
    lines = []
    problems = []
    for where, text in read_lines(path):
        try:
            lines.append(_parse_line(where, text))
        except ValueError:
            problems.append(f"{where}: expected `path label` or `path frames label`, got {text!r}")
    raise_problems(problems)
    return lines


def read_json(path: Path) -> Any:  # noqa: ANN401  # whatever the file holds
    """The value in a JSON file.

    Raises:
        DataError: It cannot be read, or is not the JSON of a list.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets without end
        raise DataError(f"{path}: not JSON as lists have it ({error})") from error


def with_slashes(path: str) -> str:
    """A path as Windows may have written it, with forward slashes."""
    return path.replace("\\", "/")


def _delimiter(text: str, columns: Sequence[str]) -> str:
    """The delimiter of the first line's columns; a comma, unless another one finds them."""
    first = text.split("\n", 1)[0]
    for delimiter in DELIMITERS:
        cells = {cell.strip(' \t\r"') for cell in first.split(delimiter)}
        if set(columns) <= cells:
            return delimiter
    return ","


def _parse_line(where: str, text: str) -> ListLine:
    head, label = with_slashes(text).rsplit(maxsplit=1)  # a path may hold spaces
    path, _, count = head.rpartition(" ")
    if path.strip() and count.isdecimal():
        return ListLine(where, path.strip(), int(label), int(count))
    return ListLine(where, head, int(label), None)
