"""Pages on rows that came after the plan of the experiment, each pair of them a contrast."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stsm_cli.analysis.ablation import command_words, load_ablation
from stsm_cli.analysis.cells import adds, joined, mega
from stsm_cli.analysis.contrast import contrast_of
from stsm_cli.analysis.planned import OTHER_SEEDS, PRIMARY_ROWS, runs_of
from stsm_cli.analysis.records import RunRecord, read_records, write_whole
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import LABELS
from stsm_cli.analysis.template import fill
from stsm_cli.config.schema import DatasetName
from stsm_cli.printable import markdown

DATASET: DatasetName = "order"
_HEAD = ["row", "top-1", "spread", "seeds", "in pair", "multiply-adds", "parameters"]
_CONTRAST_HEAD = ["contrast", "points of top-1", "95 % interval", "p"]


class Page(NamedTuple):
    """What a page compares.

    Attributes:
        file: Its name, and that of its template.
        ablation: The table that its rows stand in.
        pairs: Rows of it: the first is compared with the second.
    """

    file: str
    ablation: str
    pairs: tuple[tuple[str, str], ...]

    def rows(self) -> list[str]:
        """All of them, in the order of the table."""
        named = {name for pair in self.pairs for name in pair}
        return [row.name for row in load_ablation(self.ablation).rows if row.name in named]

    def command(self) -> str:
        """What runs them."""
        words = [*command_words(self.ablation, DATASET), "--full", "--seeds", str(OTHER_SEEDS)]
        return shlex.join([*words, *(word for name in self.rows() for word in ("--row", name))])


PAGES = (
    Page(
        "shift_in_3d.md",
        "backbones-sthv2",
        (
            ("SlowOnly T", "SlowOnly"),
            ("SlowOnly T+H+W", "SlowOnly"),
            ("SlowOnly T+H+W", "SlowOnly T"),
        ),
    ),
    Page("causal.md", "spatiotemporal", (("T-", "T"), ("T-+H+W", "T+H+W"))),
)


def write_added_rows(out: Path) -> list[Path]:
    """Write the pages into the folder of results; their paths.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    records = read_records(out)
    for page in PAGES:
        write_whole(out / page.file, _text(page, records))
    return [out / page.file for page in PAGES]


def _text(page: Page, records: Sequence[RunRecord]) -> str:
    runs = {
        name: [
            run
            for run in runs_of((page.ablation, name), DATASET, records)
            if run.seed < OTHER_SEEDS  # rows of the plan's contrasts have more
        ]
        for name in page.rows()
    }
    contrasts = _contrasts(page, runs, records)
    return fill(
        page.file,
        command=page.command(),
        label=LABELS[DATASET],
        epochs=next((len(run.curve.val_top1) for row in runs.values() for run in row), None),
        table=markdown(_HEAD, [[name, *_cells(row)] for name, row in runs.items()]),
        missing=[name for name, row in runs.items() if len(row) < OTHER_SEEDS],
        contrasts=markdown(_CONTRAST_HEAD, contrasts) if contrasts else "",
    )


def _cells(runs: Sequence[RunRecord]) -> list[str]:
    if not runs:
        return ["not run", *("–",) * 5]
    top1 = Spread(tuple(run.score.top1 for run in runs))
    in_pair = [run.score.pair_accuracy for run in runs if run.score.pair_accuracy is not None]
    return [
        f"{top1.mean:.1f}",
        "–" if top1.sd is None else f"± {top1.sd:.1f} ({top1.low:.1f} – {top1.high:.1f})",
        str(len(runs)),
        f"{Spread(tuple(in_pair)).mean:.1f}" if in_pair else "–",
        joined(adds(run.network.macs) for run in runs),
        joined(mega(run.network.params) for run in runs),
    ]


def _contrasts(
    page: Page, runs: Mapping[str, Sequence[RunRecord]], records: Sequence[RunRecord]
) -> list[list[str]]:
    """Each pair whose rows have all their seeds, as cells; with all that the plan has of one."""
    cells = []
    for first, other in page.pairs:
        if not len(runs[first]) == len(runs[other]) == OTHER_SEEDS:
            continue
        cells += _contrast(f"{first} against {other}", runs[first], runs[other])
        own = {run.recipe_hash for run in runs[other]}
        primary = (runs_of(row, DATASET, records) for row in PRIMARY_ROWS)
        planned = next((row for row in primary if own < {run.recipe_hash for run in row}), [])
        if planned:
            name = f"{first} against {other}, its {len(planned)} seeds"
            cells += _contrast(name, runs[first], planned)
    return cells


def _contrast(name: str, first: Sequence[RunRecord], other: Sequence[RunRecord]) -> list[list[str]]:
    found = contrast_of(first, other)
    return [] if found is None else [[name, *found.cells, f"{found.p:.2g}"]]
