"""What the numbers of a table say, as sentences computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from stsm_cli.analysis.agreement import agreement
from stsm_cli.analysis.paper import PaperTable
from stsm_cli.analysis.spread import Spread, chance
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, by_network

Verdict = Literal["holds", "does not hold", "is undecided by these seeds", "is open"]

MOST_CHANCE = 0.05

RowPair = tuple[RowSummary, RowSummary]
"""Two rows, the better one by the paper first."""


@dataclass(frozen=True)
class Conclusion:
    """Whether what the paper claims by a table is so in the measurement."""

    claim: str
    """For example `row T+H+W is the best`."""
    verdict: Verdict
    sentence: str
    """Both, with the counts behind them."""
    test: str
    """What `clearly` means in it; empty if nothing is measured."""


def verdicts(rows: Sequence[RowSummary]) -> list[str]:
    """What the paper's numbers say, what the measured ones do, and whether the claim holds."""
    measured = [row for row in rows if row.top1 is not None]
    sentences = [_paper_best(rows)]
    if len(measured) < len(rows):
        sentences.append(f"{len(rows) - len(measured)} of {len(rows)} rows are not run.")
    sentences += [_one_network(name, members) for name, members in by_network(rows).items()]
    if len(measured) > 1:
        sentences += _measured(measured)
    conclusion = conclude(rows)
    return [*sentences, f"{conclusion.sentence} {conclusion.test}".rstrip()]


def conclude(rows: Sequence[RowSummary]) -> Conclusion:
    """The paper's claim against the measurement.

    In a table of several networks the claim is the paper's order within each of them; in any other
    it is the paper's best row. It holds if it is clear in every pair of rows that it is about, and
    does not if any pair is clearly the other way round (`is_clear`).
    """
    claim, pairs = _claim(rows)
    known = [pair for pair in pairs if pair[0].records and pair[1].records]
    against = [pair for pair in known if is_clear(pair[1], pair[0])]
    num_clear = sum(is_clear(*pair) for pair in known)
    verdict = _verdict(len(pairs), len(known), num_clear, len(against))
    text = f"The paper's claim ({claim}) {verdict}"
    if not known:
        sentence = f"{text}: of {len(pairs)} pairs of rows, none is run."
        return Conclusion(claim, verdict, sentence, "")
    data = LABELS[known[0][0].records[0].dataset]
    counts = _counts(len(pairs), len(known), num_clear, against)
    sentence = f"{text} here ({data}): of {len(pairs)} pairs of rows, {counts}."
    test = f"Two rows differ clearly if {_test([row for pair in known for row in pair])}."
    return Conclusion(claim, verdict, sentence, test)


def _claim(rows: Sequence[RowSummary]) -> tuple[str, list[RowPair]]:
    """In words, and as the pairs of rows that it orders."""
    networks = by_network(rows)
    if networks:
        orders = [sorted(members, key=_printed) for members in networks.values()]
        pairs = [(better, other) for order in orders for other, better in pairwise(order)]
        names = [" < ".join(row.method for row in order) for order in orders]
        return f"{max(names, key=len)} with the same network and frames", pairs
    best = max(rows, key=_printed)
    return f"row {best.row.name} is the best", [(best, row) for row in rows if row is not best]


def _counts(num_pairs: int, num_known: int, num_clear: int, against: Sequence[RowPair]) -> str:
    counts = [f"{num_clear} clearly so"]
    if within := num_known - num_clear - len(against):
        counts.append(f"{within} not clearly")
    if against:
        names = [f"row {other.row.name} above row {row.row.name}" for row, other in against]
        counts.append(f"{len(against)} clearly the other way round ({', '.join(names)})")
    if num_known < num_pairs:
        counts.append(f"{num_pairs - num_known} not run")
    return ", ".join(counts)


def _verdict(num_pairs: int, num_known: int, num_clear: int, num_against: int) -> Verdict:
    if num_against:
        return "does not hold"
    if num_known < num_pairs:
        return "is open"
    return "holds" if num_clear == num_pairs else "is undecided by these seeds"


def built(rows: Sequence[RowSummary], paper: PaperTable) -> list[str]:
    """Which row is best of all that the paper prints; nothing if this suite builds all of them."""
    num_built = sum(len(row.paper) for row in rows)
    if num_built == len(paper.rows):
        return []
    most = max(row.percent for row in paper.rows)
    best = [row for row in paper.rows if row.percent == most]
    labels = " and ".join(f"{row.label} frames" for row in best)
    return [
        f"That is of the {num_built} rows that are built here; of all {len(paper.rows)} that the "
        f"paper prints, best is {labels} ({best[0].top1})."
    ]


def _paper_best(rows: Sequence[RowSummary]) -> str:
    best, second = sorted(rows, key=_printed, reverse=True)[:2]
    return (
        f"Paper: {best.row.name} is best ({_printed(best):g}), "
        f"{_printed(best) - _printed(second):.2f} points above {second.row.name} "
        f"({_printed(second):g}); the paper gives no spread."
    )


def _one_network(name: str, rows: Sequence[RowSummary]) -> str:
    """The order of TSN, TSM and STSM in one network: the paper's and the measured one."""
    order = sorted(rows, key=_printed)
    printed = " < ".join(
        f"{row.method} {row.strongest.top1}" for row in order if row.strongest is not None
    )
    if not any(row.records for row in order):
        return f"{name}: paper {printed}; not run."
    means = [f"{row.top1.mean:.1f}" if row.top1 else "not run" for row in order]
    measured = ", ".join(f"{row.method} {mean}" for row, mean in zip(order, means, strict=True))
    return f"{name}: paper {printed}; measured {measured}{_order_and_gap(order)}."


def _order_and_gap(order: Sequence[RowSummary]) -> str:
    """Whether measured rows rise in this order, and how far the last is from the one before."""
    if len(order) < 2 or not all(row.records for row in order):
        return ""
    means = [_top1(row).mean for row in order]
    below, last = order[-2:]
    gap = means[-1] - means[-2]
    clear = is_clear(last, below) or is_clear(below, last)
    return (
        f": {'the same order' if means == sorted(set(means)) else 'another order'}; "
        f"{last.method} is {abs(gap):.1f} points {'above' if gap >= 0 else 'below'} "
        f"{below.method}, {'clearly' if clear else 'not clearly'}"
    )


def _measured(measured: Sequence[RowSummary]) -> list[str]:
    means = [_top1(row).mean for row in measured]
    if len(set(means)) == 1:
        return ["The measured rows are all equal: there is no order to compare with the paper's."]
    names = [row.row.name for row in measured]
    return [_measured_best(measured), agreement(names, [_printed(row) for row in measured], means)]


def _measured_best(measured: Sequence[RowSummary]) -> str:
    ordered = sorted(measured, key=lambda row: -_top1(row).mean)
    best, second = ordered[:2]
    gap = _top1(best).mean - _top1(second).mean
    text = (
        f"Measured: {best.row.name} is best ({_top1(best).mean:.1f}), {gap:.1f} points above "
        f"{second.row.name} ({_top1(second).mean:.1f})"
    )
    close = [row.row.name for row in ordered[1:] if not is_clear(best, row)]
    if not close:
        return f"{text}; it is clear of every other row."
    return f"{text}; it is not clear of {', '.join(close)}."


def is_clear(best: RowSummary, other: RowSummary) -> bool:
    """Whether `best` is above `other` beyond the luck of seeds; both rows are measured.

    ours: an exact permutation test over the seeds, p at most 0.05, for which either row needs
    three; of a single seed, Wilson intervals that do not meet.
    """
    first, second = _top1(best), _top1(other)
    if first.sd is None or second.sd is None:
        low = min(record.score.top1_interval[0] for record in best.records)
        high = max(record.score.top1_interval[1] for record in other.records)
        return low > high
    return chance(first.values, second.values) <= MOST_CHANCE


def _test(rows: Sequence[RowSummary]) -> str:
    """The test of `is_clear`, for these rows, in words."""
    seeds = [len(row.records) for row in rows]
    by_interval = "the 95 % Wilson intervals of their test videos do not meet"
    if max(seeds) == 1:
        return by_interval
    by_seeds = (
        f"an exact permutation test over their seeds gives p ≤ {MOST_CHANCE:g} (one-sided; it "
        "takes three seeds a row)"
    )
    return by_seeds if min(seeds) > 1 else f"{by_seeds}, or, with a single seed, {by_interval}"


def still_rising(group: Group) -> list[str]:
    """How much the last quarter of the epochs still added, in the slowest and the fastest row."""
    last = max(1, group.epochs // 4)
    if group.epochs <= last:
        return []
    gains = sorted(
        (Spread(tuple(_gain(r.curve.val_top1, last) for r in group.of(name))).mean, name)
        for name in dict.fromkeys(record.row for record in group.records)
    )
    (least, slowest), (most, fastest) = gains[0], gains[-1]
    return [
        f"Over the last {last} of {group.epochs} epochs validation top-1 changed by "
        f"{least:+.1f} points ({slowest}) to {most:+.1f} ({fastest})."
    ]


def _gain(values: Sequence[float], last: int) -> float:
    return values[-1] - values[-1 - last]


def _printed(row: RowSummary) -> float:
    return row.paper_top1 or 0


def _top1(row: RowSummary) -> Spread:
    assert row.top1 is not None  # only measured rows come here
    return row.top1
