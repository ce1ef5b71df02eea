"""Tables as lines: columns as wide as their cells, and narrower where the terminal is.

Cells are folded at spaces first. Where even their longest words do not fit side by side, each row
becomes a block of its own, a line a column.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import cell_len  # a letter of Chinese is as wide as two

GAP = "  "
# What is never torn apart: a quoted command, which is to be copied; a number and its unit; a word.
_WORD = re.compile(r"`[^`]*`\S*|\S+(?: [A-Z%](?!\S))?")
# In a cell paths are, between their folders.
_CELL_WORD = re.compile(rf"[^\s/`]{{3,}}/|{_WORD.pattern}")


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], room: int | None
) -> list[str]:
    """A table with its heading, in at most `room` characters a line; None: as many as it takes."""
    table = [list(columns), *map(list, rows)]
    widths = [max(map(cell_len, cells)) for cells in zip_longest(*table, fillvalue="")]
    right = [_is_numeric(cells[1:]) for cells in zip_longest(*table, fillvalue="")]
    if room is not None:
        narrowed = _narrowed(table, widths, room)
        if narrowed is None:
            return _blocks(columns, rows, room)
        widths = narrowed
    table.insert(1, ["-" * width for width in widths])
    return [line for row in table for line in _row_lines(row, widths, right)]


def fold(text: str, width: int, word_form: re.Pattern[str] = _WORD) -> list[str]:
    """`text` in lines of at most `width` characters, but for words that are longer."""
    lines, start = [""], 0
    for word in word_form.finditer(text):
        if lines[-1] and cell_len(text[start : word.end()]) > width:
            lines.append("")
            start = word.start()
        lines[-1] = text[start : word.end()]
    return lines


def _narrowed(table: Sequence[Sequence[str]], widths: list[int], room: int) -> list[int] | None:
    """Widths that fit, taken from the widest columns; None: the longest words do not."""
    least = [
        max(cell_len(word) for cell in cells for word in (_CELL_WORD.findall(cell) or [""]))
        for cells in zip_longest(*table, fillvalue="")
    ]
    widths, room = list(widths), room - len(GAP) * (len(widths) - 1)
    while sum(widths) > room:
        spare = [number for number, width in enumerate(widths) if width > least[number]]
        if not spare:
            return None
        widths[max(spare, key=lambda number: widths[number])] -= 1
    return widths


def _row_lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    folded = [fold(cell, width, _CELL_WORD) for cell, width in zip(row, widths, strict=False)]
    for line in zip_longest(*folded, fillvalue=""):
        yield GAP.join(map(_pad, line, widths, right)).rstrip()


def _blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """Each row as lines of column and cell, an empty line between rows."""
    width = max(map(cell_len, columns))
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for column, cell in zip(columns, row, strict=False):
            first, *rest = fold(cell, max(room - width - len(GAP), 1), _CELL_WORD)
            lines.append(f"{_pad(column, width)}{GAP}{first}".rstrip())
            lines += [" " * width + GAP + line for line in rest]
    return lines


def _is_numeric(cells: Sequence[str]) -> bool:
    """Numbers, among them perhaps `not run` and its kin."""
    words = [cell for cell in cells if cell[:1].isalpha() and not cell.startswith("not ")]
    return not words and any(cell.lstrip("+-−")[:1].isdigit() for cell in cells)


def _pad(cell: str, width: int, right: bool = False) -> str:
    room = " " * (width - cell_len(cell))
    return room + cell if right else cell + room
