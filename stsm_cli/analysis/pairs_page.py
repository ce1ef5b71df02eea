"""The page of all rows, pair by pair of classes."""

from collections.abc import Sequence
from pathlib import Path

from stsm_cli.analysis.controls import by_pair, mean_top1, rows_with_pairs
from stsm_cli.analysis.planned import SETS
from stsm_cli.analysis.records import RunRecord, read_records, write_whole
from stsm_cli.analysis.summary import LABELS
from stsm_cli.analysis.template import fill
from stsm_cli.printable import markdown

PAIRS_PAGE = "pairs.md"


def write_pairs(out: Path) -> Path:
    """Write the page into the folder of results; its path.

    Raises:
        DataError: A record is broken.
        UsageError: `out` cannot be written.
    """
    path, records = out / PAIRS_PAGE, read_records(out)
    tables = {LABELS[on]: _table(rows_with_pairs(records, on)) for on in SETS}
    write_whole(path, fill("pairs.md", tables=tables))
    return path


def _table(rows: dict[str, list[RunRecord]]) -> str:
    """Rows by top-1; empty if none is run."""
    if not rows:
        return ""
    pairs = list(by_pair(next(iter(rows.values())))[0])
    head = ["row", "seeds", "top-1", *(pair.replace("/", " / ") for pair in pairs)]
    return markdown(head, [_cells(name, runs, pairs) for name, runs in rows.items()])


def _cells(name: str, runs: Sequence[RunRecord], pairs: Sequence[str]) -> list[str]:
    top1, in_pair = by_pair(runs)
    cells = [f"{top1[pair]:.1f} ({in_pair[pair]:.1f})" for pair in pairs]
    return [name, str(len(runs)), f"{mean_top1(runs):.1f}", *cells]
