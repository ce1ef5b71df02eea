"""Sentences of the paper on the order of rows of its ablations: in its numbers and in ours."""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from stsm_cli.analysis.ablation import load_ablation, table_name
from stsm_cli.analysis.comparison import RowComparison, compare, judge, name_pairs
from stsm_cli.analysis.definition import read_definition
from stsm_cli.analysis.finding import Finding, FindingKind
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import (
    LABELS,
    Group,
    RowSummary,
    comparable,
    standard,
    summarise,
)
from stsm_cli.config.kinds import Section
from stsm_cli.config.schema import DatasetName
from stsm_cli.resources import resource_dir


class OrderClaim(Section):
    """A sentence about which settings are better than which."""

    ablation: str
    claim: str
    quote: str
    order: tuple[str, ...]
    """Names of an ablation's rows, the better one first: `3/8 > 1/4 > 1/8`."""
    measured_only: bool = False
    """True if a statement of its own checks it on the paper's tables."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Neighbours of the order, the better one first."""
        return [pair for chain in self.order for pair in pairwise(chain.split(" > "))]


class _Claims(Section):
    claims: tuple[OrderClaim, ...]


@lru_cache
def order_claims() -> tuple[OrderClaim, ...]:
    """The sentences of `datasets/paper/order.yaml`."""
    return read_definition(resource_dir("datasets") / "paper" / "order.yaml", _Claims).claims


def printed_order() -> list[Finding]:
    """The sentences of section 5.1 against the paper's own tables."""
    return [_printed(claim) for claim in order_claims() if not claim.measured_only]


def measured_order(out: Path) -> list[Finding]:
    """The sentences against the records below `out`, on each data set that their table was run on.

    Of each data set the first group that compares.

    Raises:
        DataError: A record is broken.
    """
    return [
        _measured(claim, group)
        for claim in order_claims()
        for group in _groups(out, claim.ablation)
    ]


def _groups(out: Path, name: str) -> list[Group | None]:
    """Of each data set the first group that compares; None alone where nothing is measured."""
    records = read_records(out, table_name(name, load_ablation(name)))
    groups: dict[DatasetName, Group] = {}
    for group in comparable(standard(records)):
        groups.setdefault(group.first.dataset, group)
    return [*groups.values()] or [None]


def _rows(claim: OrderClaim, group: Group | None) -> dict[str, RowSummary]:
    ablation = load_ablation(claim.ablation)
    rows = summarise(ablation, load_paper_table(ablation.table), group)
    return {row.row.name: row for row in rows}


def _printed(claim: OrderClaim) -> Finding:
    rows = _rows(claim, None)
    steps = [(_paper(rows[a]) - _paper(rows[b]), a, b) for a, b in claim.pairs]
    least, better, other = min(steps)
    num_true = sum(step > 0 for step, _, _ in steps)
    all_true = num_true == len(steps)
    return Finding(
        where=f"section 5.1, Table {load_ablation(claim.ablation).table}",
        claim=claim.claim,
        printed=claim.quote,
        computed=f"true of {num_true} of {len(steps)} pairs; the least is {better} against "
        f"{other}: {least:+.2f} points",
        kind="holds" if all_true else "inexact",
        because="in its own numbers" if all_true else "not for every pair",
    )


def _paper(row: RowSummary) -> float:
    assert row.paper_top1 is not None  # every row of an ablation is the paper's
    return row.paper_top1


def _measured(claim: OrderClaim, group: Group | None) -> Finding:
    rows = _rows(claim, group)
    comparisons = compare([(rows[better], rows[other]) for better, other in claim.pairs])
    known = [pair for pair in comparisons if pair.is_run]
    computed = "not run"
    if group is not None and known:
        computed = (
            f"{LABELS[group.first.dataset]}, {group.extent}: true of "
            f"{sum(pair.is_above for pair in known)} of {len(known)} pairs, clearly in "
            f"{sum(pair.holds for pair in known)}, clearly the other way in "
            f"{sum(pair.is_contradicted for pair in known)}: {name_pairs(known)}"
        )
    kind, because = _verdict(comparisons)
    file = f"{table_name(claim.ablation, load_ablation(claim.ablation))}.md"
    return Finding(
        where=f"[{file}]({file})",
        claim=claim.claim,
        printed=claim.quote,
        computed=computed,
        kind=kind,
        because=because,
    )


def _verdict(comparisons: list[RowComparison]) -> tuple[FindingKind, str]:
    verdict = judge(comparisons)
    if verdict == "holds":
        return "holds", "clearly, in every pair"
    if verdict == "does not hold":
        return "does not hold", "here, on this data"
    known = [pair for pair in comparisons if pair.is_run]
    if not known:
        return "open", "nobody has measured it"
    same = "the order is the same" if all(pair.is_above for pair in known) else "the order differs"
    missing = len(comparisons) - len(known)
    return ("open", f"{same}, {missing} pairs not run") if missing else ("undecided", same)
