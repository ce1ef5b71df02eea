"""Reading of the numbers of a table: sentences computed from them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from stsm_cli.analysis.comparison import (
    RowComparison,
    RowPair,
    Verdict,
    compare,
    judge,
    meaning,
    name_pairs,
)
from stsm_cli.analysis.paper import PaperTable
from stsm_cli.analysis.planned import question_of
from stsm_cli.analysis.statistics import LEAST, Spread, agreement
from stsm_cli.analysis.summary import LABELS, Group, RowSummary, by_network, claimed
from stsm_cli.printable import counted


@dataclass(frozen=True)
class Conclusion:
    """The paper's claim by a table, and its verdict in the measurement."""

    claim: str
    """For example `row T+H+W is the best`."""
    verdict: Verdict
    sentence: str
    """Both, with the counts behind them."""
    test: str
    """Meaning of `clearly` in it; empty if no row is run."""
    comparisons: tuple[RowComparison, ...]
    """The pairs of rows that the claim orders."""

    @property
    def counts(self) -> str:
        """Counts of the pairs by what came of them, in words."""
        return _counts(self.comparisons)


def verdicts(rows: Sequence[RowSummary]) -> list[str]:
    """Sentences on the paper's numbers, on the measured ones, and last on the claim."""
    rows = claimed(rows)
    measured = [row for row in rows if row.top1 is not None]
    conclusion, networks = conclude(rows), by_network(rows)
    sentences = [_paper_best(rows)]
    if len(measured) < len(rows):
        sentences.append(f"{len(rows) - len(measured)} of {len(rows)} rows are not run.")
    for name, members in networks.items():
        sentences.append(_one_network(name, members, conclusion.comparisons))
    sentences += _across_networks(measured) if networks else []
    if len(measured) > 1 and not networks:  # rows of several networks have no common order
        sentences += _measured(measured, rows)
    if known := [pair for pair in conclusion.comparisons if pair.is_run]:
        sentences.append(f"The pairs of the claim: {name_pairs(known)}.")
    return [*sentences, f"{conclusion.sentence} {conclusion.test}".rstrip()]


def conclude(rows: Sequence[RowSummary]) -> Conclusion:
    """The paper's claim against the measurement.

    In a table of several networks the claim is the paper's order within each of them; in any other
    it is the paper's best row.
    """
    rows = claimed(rows)
    claim, pairs = _claim(rows)
    comparisons = compare(pairs)
    verdict = judge(comparisons)
    known = [pair for pair in comparisons if pair.is_run]
    text = f"The paper's claim ({claim}) {verdict}"
    if known:
        data = LABELS[known[0].better.records[0].dataset]
        sentence = f"{text} here ({data}): of {len(pairs)} pairs of rows, {_counts(comparisons)}."
    else:
        sentence = f"{text}: of {len(pairs)} pairs of rows, none is run."
    return Conclusion(claim, verdict, sentence, meaning(rows), tuple(comparisons))


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


def _counts(comparisons: Sequence[RowComparison]) -> str:
    counts = Counter(_outcome(pair) for pair in comparisons)
    return "; ".join(f"{counts[what]} {what}" for what in _OUTCOMES if counts[what])


_OUTCOMES = (
    "clearly as claimed",
    "as claimed, but not clearly",
    "as claimed by one seed",
    "tied",
    "against it by one seed",
    "against it, but not clearly",
    "clearly against it",
    "not run",
)


def _outcome(pair: RowComparison) -> str:
    """Which of `_OUTCOMES` came of a pair of rows."""
    if not pair.is_run:
        return "not run"
    if pair.is_tied:
        return "tied"
    way = "as claimed" if pair.gap > 0 else "against it"
    return {
        "clearly": f"clearly {way}",
        "not clearly": f"{way}, but not clearly",
        "by one seed": f"{way} by one seed",
    }[pair.certainty]


def built(rows: Sequence[RowSummary], paper: PaperTable) -> list[str]:
    """Which row is best of all that the paper prints; nothing if TSN, TSM and STSM are all."""
    num_built = sum(len(row.paper) for row in claimed(rows))
    if num_built == len(paper.rows):
        return []
    most = max(row.percent for row in paper.rows)
    best = [row for row in paper.rows if row.percent == most]
    labels = " and ".join(f"{row.label} frames" for row in best)
    return [
        f"That is of the {num_built} rows that are TSN, TSM or STSM; of all {len(paper.rows)} that "
        f"the paper prints, best is {labels} ({best[0].top1})."
    ]


def _paper_best(rows: Sequence[RowSummary]) -> str:
    best, second = sorted(rows, key=_printed, reverse=True)[:2]
    return (
        f"Paper: {best.row.name} is best ({_printed(best):g}), "
        f"{_printed(best) - _printed(second):.2f} points above {second.row.name} "
        f"({_printed(second):g}); the paper gives no spread."
    )


def _one_network(
    name: str, rows: Sequence[RowSummary], comparisons: Sequence[RowComparison]
) -> str:
    """The order of TSN, TSM and STSM in one network: the paper's and the measured one."""
    order = sorted(rows, key=_printed)
    printed = " < ".join(
        f"{row.method} {row.strongest.top1}" for row in order if row.strongest is not None
    )
    if not any(row.records for row in order):
        return f"{name}: paper {printed}; not run."
    means = [f"{row.top1.mean:.1f}" if row.top1 else "not run" for row in order]
    measured = ", ".join(f"{row.method} {mean}" for row, mean in zip(order, means, strict=True))
    text = f"{name}: paper {printed}; measured {measured}"
    if len(order) < 2 or not all(row.records for row in order):
        return f"{text}."
    last = [_gap(pair) for pair in comparisons if pair.better is order[-1]]
    return "; ".join([f"{text}: {_order([_top1(row).mean for row in order])}", *last]) + "."


def _across_networks(rows: Sequence[RowSummary]) -> list[str]:
    """Which rows of one method, in different networks, are ordered otherwise than in the paper."""
    methods = dict.fromkeys(row.method for row in rows)
    orders = [sorted((r for r in rows if r.method == m), key=_printed) for m in methods]
    pairs = compare([(b, a) for order in orders for a, b in pairwise(order)])
    turned = [
        f"{pair.better.row.name} is {-pair.gap:.1f} points below {pair.other.row.name}, "
        f"{pair.certainty}"
        for pair in pairs
        if pair.gap <= -LEAST and _printed(pair.better) > _printed(pair.other)
    ]
    if not turned:
        return []
    return [
        "Between networks, which no claim orders, neighbours in the paper's order of one method "
        f"that stand the other way round here, {len(turned)} of {len(pairs)}: {'; '.join(turned)}."
    ]


def against_longer(short: Sequence[RowSummary], longer: Sequence[RowSummary]) -> list[str]:
    """Whether rows of the short budget stand in the order that the longer one tells clearly."""
    here = {row.row.name: _top1(row).mean for row in short if row.records}
    there = [row for row in longer if row.records and row.row.name in here]
    clear = [
        (pair.better, pair.other) if pair.gap > 0 else (pair.other, pair.better)
        for pair in compare(list(combinations(there, 2)))
        if pair.is_clear
    ]
    if not clear:
        return []
    names = [(better.row.name, other.row.name) for better, other in clear]
    turned = [f"{b} is above {o} there alone" for b, o in names if here[b] <= here[o]]
    return [
        f"Of the {counted(len(names), 'pair')} of these rows that the longer budget tells apart "
        f"clearly (after Holm's correction for all pairs), {len(names) - len(turned)} stand in its "
        f"order here{'; ' if turned else ''}{', '.join(turned)}."
    ]


def _order(means: Sequence[float]) -> str:
    """Order of means whose rows stand in the paper's order."""
    steps = [round(after - before, 1) for before, after in pairwise(means)]
    if min(steps) > 0:
        return "the same order"
    return "the same order but for ties" if min(steps) == 0 else "another order"


def _gap(pair: RowComparison) -> str:
    text = (
        f"{pair.better.method} is {abs(pair.gap):.1f} points "
        f"{'above' if pair.gap >= 0 else 'below'} {pair.other.method}, {pair.certainty}"
    )
    question = question_of(pair.better.records, pair.other.records) if pair.is_clear else None
    if question is None:
        return text
    return f"{text} by this table's pairs ({question.name} of the plan: see the first page)"


def _measured(measured: Sequence[RowSummary], rows: Sequence[RowSummary]) -> list[str]:
    means = [_top1(row).mean for row in measured]
    if len(set(means)) == 1:
        return ["The measured rows are all equal: there is no order to compare with the paper's."]
    best = _measured_best(measured, [row for row in rows if row not in measured])
    if len(measured) < len(rows):
        return [best]
    names = [row.row.name for row in measured]
    return [best, agreement(names, [_printed(row) for row in measured], means)]


def _measured_best(measured: Sequence[RowSummary], not_run: Sequence[RowSummary]) -> str:
    best, *others = sorted(measured, key=lambda row: -_top1(row).mean)
    # corrected for all of the table's rows, as the claim is
    comparisons = compare([(best, other) for other in (*others, *not_run)])[: len(others)]
    mean, second = f"{_top1(best).mean:.1f}", others[0]
    if ties := [pair.other.row.name for pair in comparisons if pair.is_tied]:
        names = ", ".join([best.row.name, *ties[:-1]])
        text = f"Measured: {names} and {ties[-1]} are best together ({mean})"
        comparisons = [pair for pair in comparisons if not pair.is_tied]
        return f"{text}{_above_others(comparisons, 'they are')}"
    lead = _top1(best).mean - _top1(second).mean
    text = (
        f"Measured: {best.row.name} is best ({mean}), {lead:.1f} points above "
        f"{second.row.name} ({_top1(second).mean:.1f})"
    )
    if any(pair.certainty == "by one seed" for pair in comparisons):
        return f"{text}, {_by_test_videos(comparisons)}"
    return f"{text}{_above_others(comparisons, 'it is')}"


def _above_others(comparisons: Sequence[RowComparison], is_or_are: str) -> str:
    """The end of the sentence on the best row or rows, by the first's pairs with the others."""
    if not comparisons or any(pair.certainty == "by one seed" for pair in comparisons):
        return "."
    close = [pair.other.row.name for pair in comparisons if not pair.holds]
    if not close:
        return f"; {is_or_are} clearly above every other row."
    return f"; {is_or_are} not clearly above {', '.join(close)}."


def _by_test_videos(comparisons: Sequence[RowComparison]) -> str:
    """Verdict of the test videos alone on the best row, where seeds say nothing."""
    low, high = comparisons[0].better.interval
    touching = [pair.other.row.name for pair in comparisons if pair.other.interval[1] >= low]
    text = f"by one seed; the 95 % interval of its test videos, [{low:.1f}, {high:.1f}], "
    if not touching:
        return f"{text}lies above those of all other rows."
    rest = ", and lies above those of the others" if len(touching) < len(comparisons) else ""
    return f"{text}overlaps those of {', '.join(touching)}{rest}."


CLIMBING = 10.0  # ours: points of top-1 in the second half of the epochs


def still_rising(group: Group) -> list[str]:
    """Gains of the last quarter of the epochs, and the rows that took off late."""
    gains = sorted((gain, name) for name, gain in _last_gains(group, 4).items())
    if not gains:
        return []
    (least, slowest), (most, fastest) = gains[0], gains[-1]
    last = f"last {max(1, group.epochs // 4)} of {group.epochs} epochs"
    changed = (
        f"Over the {last if _is_even(group) else 'last quarter of its epochs'} validation top-1 "
        "changed by "
        f"{least:+.1f} points ({slowest}) to {most:+.1f} ({fastest})."
    )
    return [changed, *still_climbing(group)]


def still_climbing(group: Group) -> list[str]:
    """Which rows were on the way when the budget ended, so that the order is not settled.

    Their last epochs do not tell: the learning rate falls to zero with the budget, whatever a row
    could still have learnt.
    """
    gains = _last_gains(group, 2)
    late = sorted((-gain, name) for name, gain in gains.items() if gain > CLIMBING)
    if not late:
        return []
    rows = [f"{name} ({-gain:+.1f})" for gain, name in late]
    half = f"the second half of {f'the {group.epochs}' if _is_even(group) else 'its'} epochs"
    return [
        f"Taken off late, by points of validation top-1 gained over {half}: {', '.join(rows)}. "
        "Where these rows would end, and so their place in the order, this budget does not settle."
    ]


def _is_even(group: Group) -> bool:
    return len({record.num_epochs for record in group.records}) == 1


def _last_gains(group: Group, parts: int) -> dict[str, float]:
    """By row, the mean change of validation top-1 over the last of so many parts of its epochs.

    Nothing of a row of a single epoch.
    """
    return {
        name: Spread(tuple(r.curve.gain(_last(r.num_epochs, parts)) for r in group.of(name))).mean
        for name in dict.fromkeys(record.row for record in group.records if record.num_epochs > 1)
    }


def _last(num_epochs: int, parts: int) -> int:
    """Epochs of the last part: of a half the middle one, too, of any one at least."""
    return num_epochs - num_epochs // 2 if parts == 2 else max(1, num_epochs // parts)


def _printed(row: RowSummary) -> float:
    return row.paper_top1 or 0


def _top1(row: RowSummary) -> Spread:
    assert row.top1 is not None  # only measured rows come here
    return row.top1
