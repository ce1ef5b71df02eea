"""Texts for people: counts, commands, and names of others that no terminal, shell or sheet obeys.

What is spelled out is written as JSON escapes it, so that JSON stays what it says. Files that are
read again, such as the manifest, have every name as it is.
"""

import json
import re
import shlex
from collections.abc import Sequence

# Control characters other than tab and line feed, line and paragraph separators, what turns the
# direction of writing, and the bytes of names that are not UTF-8.
_OBEYED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last are wide


def harmless(text: str) -> str:
    """The text with what a terminal would obey spelled out; its lines stay lines."""
    return _OBEYED.sub(lambda match: json.dumps(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """The text with line breaks and tabs spelled out too."""
    return harmless(text).replace("\n", r"\n").replace("\t", r"\t")


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what is counted, in the plural where it is not one."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def either(words: Sequence[str]) -> str:
    """For example `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without a line break at its end."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def size(num_bytes: float) -> str:
    """A size for people, in MB, or in kB where it is less than one."""
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:,.0f} kB"


def command_line(*words: object) -> str:
    """A command of this program, its words quoted where a shell would tear or obey them."""
    return shlex.join(["stsm", *map(str, words)])


def csv_cell(text: str) -> str:
    """The text as one line, behind an apostrophe where a spreadsheet would see a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULAS) else line
