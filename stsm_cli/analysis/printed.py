"""Questions to the paper's tables: what a row reaches, which rows are above it, how far apart."""

from collections.abc import Callable
from decimal import Decimal

from stsm_cli.analysis.finding import Finding
from stsm_cli.analysis.paper import PaperRow, load_paper_table


def top1(table: int, label: str) -> Decimal:
    """A printed accuracy, in percent.

    Raises:
        KeyError: The table has no row with this label.
    """
    return load_paper_table(table).row(label).percent


def rows_above(table: int, row: PaperRow, keep: Callable[[PaperRow], bool]) -> list[str]:
    """Other systems' rows that are better than `row`, as model and top-1, the best first."""
    rows = [
        other
        for other in load_paper_table(table).rows
        if other.cited and keep(other) and other.percent > row.percent
    ]
    rows.sort(key=lambda other: -other.percent)
    return [f"{other.setting} {other.top1}" for other in rows]


def best_of_ours(table: int) -> PaperRow:
    """The best of the paper's own rows."""
    rows = [row for row in load_paper_table(table).rows if not row.cited]
    return max(rows, key=lambda row: row.percent)


def difference(table: int, claim: str, printed: str, better: str, other: str) -> Finding:
    """A sentence of 5.2 that says how much one row is above another, in percent."""
    high, low = top1(table, better), top1(table, other)
    agrees = high - low == Decimal(printed.rstrip("%"))
    return Finding(
        f"section 5.2, Table {table}",
        claim,
        f"“{printed}”",
        f"{high} − {low} = {high - low} points",
        "holds: meant as points, not as a share" if agrees else "does not hold: by the table",
    )
