"""What the numbers of a table say, as sentences computed from them."""

from collections.abc import Sequence
from itertools import permutations

from stsm_cli.analysis.spread import Spread, rank_correlation, ranks
from stsm_cli.analysis.summary import Group, RowSummary


def verdicts(rows: Sequence[RowSummary]) -> list[str]:
    """Which row is best in the paper and as measured, how clearly, and whether the orders agree."""
    measured = [row for row in rows if row.top1 is not None]
    sentences = [_paper_best(rows)]
    if len(measured) < len(rows):
        sentences.append(f"{len(rows) - len(measured)} of {len(rows)} rows are not run.")
    if len(measured) > 1:
        sentences += _measured(measured)
    return sentences


def _measured(measured: Sequence[RowSummary]) -> list[str]:
    printed = [row.paper_top1 or 0 for row in measured]
    rho = rank_correlation(printed, [_top1(row).mean for row in measured])
    if rho is None:
        return ["The measured rows are all equal: there is no order to compare with the paper's."]
    return [_measured_best(measured), _agreement(measured, printed, rho)]


def _paper_best(rows: Sequence[RowSummary]) -> str:
    printed = sorted(((row.paper_top1 or 0, row.row.name) for row in rows), reverse=True)
    (best, name), (second, runner_up) = printed[:2]
    return (
        f"Paper: {name} is best ({best:g}), {best - second:.2f} points above {runner_up} "
        f"({second:g}); the paper gives no spread."
    )


def _measured_best(measured: Sequence[RowSummary]) -> str:
    ordered = sorted(measured, key=lambda row: -_top1(row).mean)
    best, second = ordered[:2]
    gap = _top1(best).mean - _top1(second).mean
    text = (
        f"Measured: {best.row.name} is best ({_top1(best).mean:.1f}), {gap:.1f} points above "
        f"{second.row.name} ({_top1(second).mean:.1f})"
    )
    close = [row.row.name for row in ordered[1:] if not is_clear(best, row)]
    rule = (
        "the 95 % intervals of single seeds"
        if _top1(best).sd is None
        else "the larger sample standard deviation of the two"
    )
    if not close:
        return f"{text}; by {rule} it is clear of every other row."
    return f"{text}; by {rule} it is not clear of {', '.join(close)}."


def is_clear(best: RowSummary, other: RowSummary) -> bool:
    """Whether `best` is above `other` by more than the spread; both rows are measured.

    ours: more than the larger sd apart; of a single seed, Wilson intervals that do not meet.
    """
    first, second = _top1(best), _top1(other)
    if first.sd is None or second.sd is None:
        low = min(record.score.top1_interval[0] for record in best.records)
        high = max(record.score.top1_interval[1] for record in other.records)
        return low > high
    return first.mean - second.mean > max(first.sd, second.sd)


def _agreement(measured: Sequence[RowSummary], printed: Sequence[float], rho: float) -> str:
    means = [_top1(row).mean for row in measured]
    best = max(range(len(measured)), key=printed.__getitem__)
    share = _share_as_close(printed, means, rho)
    return (
        f"The paper's best row, {measured[best].row.name}, is number {ranks(means)[best]:g} of "
        f"{len(measured)} as measured. Spearman's rank correlation with the paper's rows is "
        f"{rho:+.2f} (+1: the same order); of all orders of {len(measured)} rows, "
        f"{100 * share:.0f} % agree at least as well."
    )


def _share_as_close(printed: Sequence[float], means: Sequence[float], rho: float) -> float:
    """How many of all orders of the rows correlate with the paper's at least as well."""
    orders = [rank_correlation(printed, order) or 0 for order in permutations(ranks(means))]
    return sum(value > rho - 1e-9 for value in orders) / len(orders)


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


def _top1(row: RowSummary) -> Spread:
    assert row.top1 is not None  # only measured rows come here
    return row.top1
