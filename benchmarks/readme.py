"""Writes into README.md what it shows of `results/`, behind the comments that name the sources.

stsm report --out results && python benchmarks/readme.py
"""

import json
import re
from pathlib import Path

from stsm_cli.cores import with_vectors

ROOT = Path(__file__).parents[1]
MARK = "<!-- {}; a test compares them -->\n"
QUICK = "the short budget's table of results/table1_alpha.md"
TABLE, TEXT = "the first table of results/README.md", "from results/README.md"
PRICE = "from results/speed"
TABLES = 6  # of a `bench shift` that ran to its end
ENDS = r"^(?:\[All figures\]|Setting: |Intervals are|<!-- from|Nobody has trained)"


def parts() -> dict[str, str]:
    """What README.md shows, by what its comment says."""
    alpha, page = (
        (ROOT / "results" / name).read_text(encoding="utf-8")
        for name in ("table1_alpha.md", "README.md")
    )
    text = page.split("## What can be concluded\n\n")[1].split("\n\n## ")[0]
    quick = alpha.split(" short budget: ")[1]
    parts = {QUICK: _first_table(quick), TABLE: _first_table(page), TEXT: f"{text}\n"}
    return {PRICE: f"{_price()}\n"} | parts


def _price() -> str:
    """What the shift costs on a CPU, eagerly, by the last measurement with two layouts."""
    found = [json.loads(path.read_text()) for path in (ROOT / "results/speed").glob("shift-cpu-*")]
    settings = {"compiled": False, "layouts": ["contiguous", "channels-last"]}
    fitting = (
        one
        for one in found
        if settings.items() <= one["settings"].items()
        and "allocator" not in one["settings"]
        and (one["clock"], len(one["tables"])) == ("wall", TABLES)
    )
    one = max(fitting, key=lambda one: one["date"])
    rows = {table["title"].partition(",")[::2]: table["rows"]["STSM"] for table in one["tables"]}
    plain, last = " cpu, float32, contiguous, eager", " cpu, float32, channels-last, eager"
    forward, step = rows["forward", plain], rows["training step", plain]
    last_forward, last_step = rows["forward", last], rows["training step", last]
    settings = one["settings"]
    size = f"{settings['frames']} frames of {settings['size_px']}²"
    machine = one["machine"]
    cpu = f"{machine['cores']} cores ({with_vectors(machine['cpu'], machine['cpu_capability'])})"
    return (
        f"On {cpu} a forward of ResNet-50 with STSM's shift ({size}) takes {forward['ms']:.0f} ms, "
        f"{forward['ratio']:.2f} times as long as without a shift "
        f"(channels-last {last_forward['ms']:.0f} ms, {last_forward['ratio']:.2f} times), "
        f"a training step {step['ratio']:.2f} times as long ({last_step['ratio']:.2f} times), with "
        f"{step['mb_ratio']:.2f} times the memory: medians of {one['rounds']} rounds of "
        f"`stsm bench shift`, {one['date'][:10]}."
    )


def _first_table(page: str) -> str:
    table = re.search(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert table is not None
    return table[0]


def shown(readme: str) -> str:
    """`readme` with what it shows of today's results; a part ends at a line that begins another."""
    for source, part in parts().items():
        head, rest = readme.split(MARK.format(source))
        end = re.search(ENDS, rest, re.MULTILINE)
        assert end is not None
        readme = f"{head}{MARK.format(source)}{part}\n{rest[end.start() :]}"
    return readme


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(shown(readme.read_text(encoding="utf-8")), encoding="utf-8")
