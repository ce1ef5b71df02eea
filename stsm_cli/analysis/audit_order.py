"""What the paper says about the order of rows of its ablations: in its numbers and in ours."""

from dataclasses import dataclass
from pathlib import Path

from stsm_cli.analysis.ablation import load_ablation, table_name
from stsm_cli.analysis.comparison import Comparison, compare, judge, name_pairs
from stsm_cli.analysis.finding import Finding
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, comparable, summarise


@dataclass(frozen=True)
class OrderClaim:
    """A sentence about which settings are better than which."""

    ablation: str
    claim: str
    quote: str
    pairs: tuple[tuple[str, str], ...]
    """Names of an ablation's rows, the better one first."""


def _each_above(better: str, *others: str) -> tuple[tuple[str, str], ...]:
    return tuple((better, other) for other in others)


SPATIAL = ("H", "W", "H+W", "HW")
SPATIOTEMPORAL = ("T+H+W", "T+HW", "T+H+W+HW", "TH+TW+HW", "T+H+W+TH+TW+HW")
CLAIMS = (
    OrderClaim(
        "alpha",
        "accuracy rises with α up to 3/8",
        "“When α<3/8, the accuracy will decrease as α decreases”",
        (("3/8", "1/4"), ("1/4", "1/8"), ("1/8", "0")),
    ),
    OrderClaim(
        "alpha",
        "accuracy falls with α above 3/8",
        "“When α>3/8, the accuracy will decrease with the increase of α”",
        (("3/8", "1/2"), ("1/2", "3/4"), ("3/4", "1")),
    ),
    OrderClaim(
        "spatial",
        "every shift in space improves on TSN",
        "“improved compared to the backbone network TSN”",
        tuple((setting, "TSN") for setting in SPATIAL),
    ),
    OrderClaim(
        "spatial",
        "the shift in time is better than every shift in space",
        "“not as good as the network using only time Shift”",
        _each_above("T", *SPATIAL),
    ),
    OrderClaim(
        "spatial",
        "H and W one by one are better than both at once",
        "“H and W is slightly higher than” HW",
        (("H+W", "HW"), ("H", "HW"), ("W", "HW")),
    ),
    OrderClaim(
        "spatiotemporal",
        "every shift in space and time is better than T alone",
        "“better than that of 2D CNNs with temporal shift only”",
        tuple((setting, "T") for setting in SPATIOTEMPORAL),
    ),
    OrderClaim(
        "spatiotemporal",
        "T+H+W is the best of them",
        "“the best performance and the simplest Shift operation”",
        _each_above("T+H+W", *SPATIOTEMPORAL[1:]),
    ),
)


NETWORKS = ("R-50", "R-50+NL", "MobileNetV2")
SETTINGS_OF_TABLE_7 = ("R-50 8f", "R-50 16f", "MobileNetV2 8f")
ABOVE_TSM = "“all due to the TSM [17] under the same backbone and input frame numbers” (sic)"
BACKBONE_CLAIMS = (
    OrderClaim(
        "backbones-k400",
        "STSM improves on TSN with every network",
        "“our STSM is effective under different backbones”",
        tuple((f"STSM {network}", f"TSN {network}") for network in NETWORKS),
    ),
    OrderClaim(
        "backbones-k400",
        "STSM is better than TSM with every network",
        ABOVE_TSM,
        tuple((f"STSM {network}", f"TSM {network}") for network in NETWORKS),
    ),
    OrderClaim(
        "backbones-sthv2",
        "STSM is better than TSM at every number of frames",
        ABOVE_TSM,
        tuple((f"STSM {network}", f"TSM {network}") for network in SETTINGS_OF_TABLE_7),
    ),
)
"""Of section 5.3; against the paper's own numbers they stand in `audit_something`."""


def printed_order() -> list[Finding]:
    """The sentences of section 5.1 against the paper's own tables."""
    return [_printed(claim) for claim in CLAIMS]


def measured_order(out: Path) -> list[Finding]:
    """The sentences against the records below `out`; of each table the first group that compares.

    Raises:
        DataError: A record is broken.
    """
    return [_measured(claim, _group(out, claim.ablation)) for claim in (*CLAIMS, *BACKBONE_CLAIMS)]


def _group(out: Path, name: str) -> Group | None:
    records = read_records(out, table_name(name, load_ablation(name)))
    groups = comparable([record for record in records if record.budget != "custom"])
    return groups[0] if groups else None


def _rows(claim: OrderClaim, group: Group | None) -> dict[str, RowSummary]:
    ablation = load_ablation(claim.ablation)
    rows = summarise(ablation, load_paper_table(ablation.table), group)
    return {row.row.name: row for row in rows}


def _printed(claim: OrderClaim) -> Finding:
    rows = _rows(claim, None)
    steps = [(_paper(rows[a]) - _paper(rows[b]), a, b) for a, b in claim.pairs]
    least, better, other = min(steps)
    num_true = sum(step > 0 for step, _, _ in steps)
    return Finding(
        f"section 5.1, Table {load_ablation(claim.ablation).table}",
        claim.claim,
        claim.quote,
        f"true of {num_true} of {len(steps)} pairs; the least is {better} against {other}: "
        f"{least:+.2f} points",
        "holds: in its own numbers" if num_true == len(steps) else "inexact: not for every pair",
    )


def _paper(row: RowSummary) -> float:
    assert row.paper_top1 is not None  # every row of an ablation is the paper's
    return row.paper_top1


def _measured(claim: OrderClaim, group: Group | None) -> Finding:
    rows = _rows(claim, group)
    comparisons = compare([(rows[better], rows[other]) for better, other in claim.pairs])
    known = [pair for pair in comparisons if pair.is_run]
    file = f"{table_name(claim.ablation, load_ablation(claim.ablation))}.md"
    where = f"[{file}]({file})"
    if group is None or not known:
        return Finding(where, claim.claim, claim.quote, "not run", "open: nobody has measured it")
    return Finding(
        where,
        claim.claim,
        claim.quote,
        f"{LABELS[group.first.dataset]}, {group.extent}: true of "
        f"{sum(pair.gap > 0 for pair in known)} of {len(known)} pairs, clearly in "
        f"{sum(pair.holds for pair in known)}, clearly the other way in "
        f"{sum(pair.is_contradicted for pair in known)}: {name_pairs(known)}",
        _verdict(comparisons),
    )


def _verdict(comparisons: list[Comparison]) -> str:
    verdict = judge(comparisons)
    if verdict == "holds":
        return "holds: clearly, in every pair"
    if verdict == "does not hold":
        return "does not hold: here, on this data"
    known = [pair for pair in comparisons if pair.is_run]
    same = "the order is the same" if all(pair.gap > 0 for pair in known) else "the order differs"
    missing = len(comparisons) - len(known)
    return f"open: {same}, {missing} pairs not run" if missing else f"undecided: {same}"
