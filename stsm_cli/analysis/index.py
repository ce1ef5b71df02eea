"""The first page of the results: what there is, and what each table says in a sentence or two."""

from pathlib import Path

from stsm_cli.analysis.ablation import ablation_names, load_ablation, table_name
from stsm_cli.analysis.paper import TABLES, load_paper_table
from stsm_cli.analysis.reading import verdicts
from stsm_cli.analysis.records import read_records, write_whole
from stsm_cli.analysis.summary import LABELS, comparable, summarise

HEAD = """\
# Results

Made by `stsm report` from the run records below `records/`; nothing here is written by hand.
Numbers of the embedded set are of small videos that `stsm` generates: they are no Kinetics or
Something-Something numbers.
"""
PAGES = """\
## The paper itself

- [The audit](audit.md): the paper's statements against its own tables, its sources, and what is
  counted and measured here.
- [Figure 1](figure1.svg): accuracy against multiply-adds. [Figure 4](figure4.svg): which channel
  takes its value from where, read off the operator's own output.
"""


def write_index(out: Path) -> Path:
    """Write `README.md` into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    path = out / "README.md"
    write_whole(path, index_text(out))
    return path


def index_text(out: Path) -> str:
    """The page as Markdown.

    Raises:
        DataError: A record is broken.
    """
    sections, shown = [HEAD], set()
    for name in ablation_names():
        shown.add(load_ablation(name).table)
        sections.append(_section(out, name))
    absent = [number for number in TABLES if number not in shown]
    sections.append(PAGES)
    if absent:
        sections.append(
            "## Not run\n\n"
            + "\n".join(f"- Table {n}: {load_paper_table(n).caption}" for n in absent)
            + "\n"
        )
    return "\n".join(sections)


def _section(out: Path, name: str) -> str:
    ablation = load_ablation(name)
    file = table_name(name, ablation)
    lines = [f"## [Table {ablation.table}: {ablation.title}]({file}.md)", ""]
    groups = comparable([r for r in read_records(out, file) if r.budget != "custom"])
    for group in groups:
        rows = summarise(ablation, load_paper_table(ablation.table), group)
        label = LABELS[group.first.dataset]
        lines.append(f"{label[0].upper()}{label[1:]}, {group.extent}:")
        lines += ["", *(f"- {sentence}" for sentence in verdicts(rows)), ""]
    if not groups:
        lines += [f"Not run: `stsm ablate {name}`.", ""]
    return "\n".join(lines)
