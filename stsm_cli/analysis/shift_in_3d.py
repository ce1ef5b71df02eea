"""The page on what a shift does in a 3D network: three rows beside Table 7, and nothing else."""

import shlex
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from stsm_cli.analysis.ablation import Row, command_words, load_ablation, table_name
from stsm_cli.analysis.cells import adds, joined, markdown, mega
from stsm_cli.analysis.contrast import contrast_of
from stsm_cli.analysis.records import RunRecord, read_records, write_whole
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import LABELS, Group, best_group
from stsm_cli.analysis.template import fill
from stsm_cli.config.schema import DatasetName

PAGE = "shift_in_3d.md"
ABLATION = "backbones-sthv2"
DATASET: DatasetName = "order"
SEEDS = 3


def write_shift_in_3d(out: Path) -> Path:
    """Write the page into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    ablation = load_ablation(ABLATION)
    rows = [row for row in ablation.rows if row.added]
    names = {row.name for row in rows}
    records = read_records(out, table_name(ABLATION, ablation))
    group = best_group(r for r in records if r.row in names and r.dataset == DATASET)
    text = fill(
        PAGE,
        command=_command(rows),
        label=LABELS[DATASET],
        table=markdown(*_rows(rows, group)),
        missing=[row.name for row in rows if group is None or not group.of(row.name)],
        contrasts=markdown(*found) if (found := _contrasts(rows, group))[1] else "",
        group=group,
    )
    write_whole(out / PAGE, text)
    return out / PAGE


def _command(rows: Sequence[Row]) -> str:
    words = [*command_words(ABLATION, DATASET), "--full", "--seeds", str(SEEDS)]
    return shlex.join([*words, *(word for row in rows for word in ("--row", row.name))])


def _rows(rows: Sequence[Row], group: Group | None) -> tuple[list[str], list[list[str]]]:
    head = ["row", "top-1", "spread", "seeds", "in pair", "multiply-adds", "parameters"]
    return head, [[row.name, *_cells(group.of(row.name) if group else [])] for row in rows]


def _cells(runs: Sequence[RunRecord]) -> list[str]:
    if not runs:
        return ["not run", *("–",) * 5]
    top1 = Spread(tuple(run.score.top1 for run in runs))
    in_pair = Spread(tuple(run.score.pair_accuracy or 0.0 for run in runs))
    return [
        f"{top1.mean:.1f}",
        "–" if top1.sd is None else f"± {top1.sd:.1f} ({top1.low:.1f} – {top1.high:.1f})",
        str(len(runs)),
        f"{in_pair.mean:.1f}",
        joined(adds(run.network.macs) for run in runs),
        joined(mega(run.network.params) for run in runs),
    ]


def _contrasts(rows: Sequence[Row], group: Group | None) -> tuple[list[str], list[list[str]]]:
    """Each pair of rows that is run; none of fewer than two seeds, which say nothing of a third."""
    cells = []
    for other, first in combinations(rows, 2):
        runs = [group.of(row.name) if group else [] for row in (first, other)]
        found = contrast_of(*runs) if min(map(len, runs)) > 1 else None
        if found is not None:
            low, high = found.interval
            told = [f"{found.difference:+.1f}", f"{low:+.1f} to {high:+.1f}", f"{found.p:.2g}"]
            cells.append([f"{first.name} against {other.name}", *told])
    return ["contrast", "points of top-1", "95 % interval", "p"], cells
