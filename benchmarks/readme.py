"""Writes into README.md what it shows of `results/`, behind the comments that name the sources.

stsm report --out results && python benchmarks/readme.py
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = "<!-- {}; a test compares them -->\n"
QUICK = "the short budget's table of results/table1_alpha.md"
TABLE, TEXT = "the first table of results/README.md", "from results/README.md"


def parts() -> dict[str, str]:
    """What README.md shows, by what its comment says."""
    alpha, page = (
        (ROOT / "results" / name).read_text(encoding="utf-8")
        for name in ("table1_alpha.md", "README.md")
    )
    text = page.split("## What can be concluded\n\n")[1].split("\n\n## ")[0]
    quick = alpha.split(" short budget: ")[1]
    return {QUICK: _first_table(quick), TABLE: _first_table(page), TEXT: f"{text}\n"}


def _first_table(page: str) -> str:
    table = re.search(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert table is not None
    return table[0]


def shown(readme: str) -> str:
    """`readme` with what it shows of today's results; a part ends at a line that begins another."""
    for source, part in parts().items():
        head, rest = readme.split(MARK.format(source))
        end = re.search(r"^(?:With so few|<!-- from|Nobody has trained)", rest, re.MULTILINE)
        assert end is not None
        readme = f"{head}{MARK.format(source)}{part}\n{rest[end.start() :]}"
    return readme


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(shown(readme.read_text(encoding="utf-8")), encoding="utf-8")
