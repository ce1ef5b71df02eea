"""Limits of what the measurements can show, for the first page of the results.

Tables that share runs must not be read as one finding each, and a mean over classes must not be
read as a difference on all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from stsm_cli.analysis.ablation import names_with, plan_sweep
from stsm_cli.analysis.cells import joined
from stsm_cli.analysis.comparison import RowComparison
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import Spread, welch
from stsm_cli.analysis.summary import SHIFTS, Group, method_of, pair_group
from stsm_cli.config.schema import DatasetName
from stsm_cli.stored import Pair

Place = tuple[int, str]
"""A table's number and the name of a row."""
SATURATED = 95.0  # ours: percent; what both reach leaves nothing to tell them apart by


def limits(
    records: Sequence[RunRecord], claims: Sequence[tuple[int, Sequence[RowComparison]]]
) -> list[str]:
    """Sentences on TSN, TSM and STSM in the small ResNet; none where these are not run.

    Args:
        records: All that is recorded.
        claims: A table's number, and the pairs of rows of the embedded set that its claim orders.
    """
    group = pair_group(records)
    if group is None or {method_of(record) for record in group.records} != set(SHIFTS):
        return []
    return [_what_is_shown(group), *_one_contrast(claims), _by_pair(group)]


def _what_is_shown(group: Group) -> str:
    ordered = {
        name: Spread(tuple(r.score.pair_accuracy or 0.0 for r in _runs(group, name)))
        for name in SHIFTS
    }
    return (
        "The embedded set shows that a shift sees time: a video's class scores above its time "
        f"reversal in {ordered['TSM'].mean:.1f} % of the videos with TSM's shift and in "
        f"{ordered['STSM'].mean:.1f} % with STSM's, in {ordered['TSN'].mean:.1f} % with none "
        "(chance: 50). Its classes are each other's time reversals, so no shift in space alone can "
        "pass 50, and Table 2's claim holds by construction. It cannot rank shifts along time."
    )


def _one_contrast(claims: Sequence[tuple[int, Sequence[RowComparison]]]) -> Iterator[str]:
    """Verdicts of the tables on STSM against TSM, which is one comparison of the same runs."""
    found = [(table, pair) for table, pairs in claims for pair in pairs if _is_contrast(pair)]
    if len(found) < 2:
        return
    by_outcome: dict[str, list[str]] = {}
    for table, pair in found:
        stsm_first = method_of(pair.better.records[0]) == "STSM"
        gap = pair.gap if stsm_first else -pair.gap
        chance = "" if pair.p is None else f", p {pair.p:.2g}"
        outcome = f"{'above' if gap > 0 else 'below'} TSM, {pair.certainty}{chance}"
        by_outcome.setdefault(outcome, []).append(str(table))
    told = "; ".join(
        f"{outcome} in Table{'s' if len(tables) > 1 else ''} {', '.join(tables)}"
        for outcome, tables in by_outcome.items()
    )
    yield (
        f"STSM against TSM in the small ResNet is one comparison, of the same runs in {len(found)} "
        f"tables, and only the number of pairs for which p is corrected differs: STSM is {told}."
    )


def _is_contrast(pair: RowComparison) -> bool:
    methods = {method_of(r) for row in (pair.better, pair.other) for r in row.records}
    return pair.is_run and methods == {"TSM", "STSM"}


@dataclass(frozen=True)
class _Share:
    """A pair of classes: top-1 of both methods on it in percent, and points of the whole gap."""

    pair: Pair
    tsm: float
    stsm: float
    points: float


def _by_pair(group: Group) -> str:
    """Which pairs of classes make the difference between TSM and STSM."""
    shares, tsm, stsm = _shares(group), _runs(group, "TSM"), _runs(group, "STSM")
    full = [s for s in shares if min(s.tsm, s.stsm) >= SATURATED]
    most = max(shares, key=lambda share: abs(share.points))
    name, other = most.pair.classes
    rest = [Spread(tuple(_without(r, most.pair) for r in runs)) for runs in (tsm, stsm)]
    return (
        f"Of the {len(shares)} pairs of classes, {len(full)} stand at {SATURATED:g} % or more for "
        f"both (seeds {joined(map(str, group.seeds))}, of which pairs are counted); `{name}` and "
        f"`{other}` ({most.tsm:.1f} % for TSM, {most.stsm:.1f} % for STSM) make {most.points:+.2f} "
        f"of the {sum(share.points for share in shares):+.2f} points by which TSM differs from "
        f"STSM. Without them {rest[0].mean - rest[1].mean:+.2f} are left"
        + (f" (p {welch(*rest):.2g})." if min(len(tsm), len(stsm)) > 1 else ".")
    )


def _shares(group: Group) -> list[_Share]:
    shares = []
    tsm, stsm = _runs(group, "TSM"), _runs(group, "STSM")
    for place, pair in enumerate(group.first.score.pairs or ()):
        first, second = (
            Spread(tuple(float(r.score.pairs[place].correct) for r in runs if r.score.pairs)).mean
            for runs in (tsm, stsm)
        )
        points = 100 * (first - second) / group.first.score.num_listed
        scale = 100 / pair.videos
        shares.append(_Share(pair, tsm=scale * first, stsm=scale * second, points=points))
    return shares


def _without(record: RunRecord, left_out: Pair) -> float:
    """Top-1 in percent of a run's videos of the other pairs, as points of the whole set."""
    kept = [pair for pair in record.score.pairs or () if pair.classes != left_out.classes]
    return 100 * sum(pair.correct for pair in kept) / record.score.num_listed


def _runs(group: Group, method: str) -> list[RunRecord]:
    return [record for record in group.records if method_of(record) == method]


@lru_cache
def shared_settings(dataset: DatasetName) -> tuple[tuple[Place, ...], ...]:
    """Rows of different tables that are one setting: the same recipe, and so the same result.

    Of each setting that several tables try on a data set, all its places, by table.
    """
    places: dict[str, list[Place]] = {}
    for name in names_with(dataset):
        sweep = plan_sweep(name, dataset)
        for run in sweep.runs:
            places.setdefault(run.recipe_hash, []).append((sweep.ablation.table, run.row.name))
    return tuple(tuple(several) for several in places.values() if len(several) > 1)


def in_words(places: Sequence[Place]) -> str:
    """For example `T in Tables 2, 3; TSM R-50 in Tables 4, 6`."""
    tables: dict[str, list[str]] = {}
    for table, row in places:
        tables.setdefault(row, []).append(str(table))
    return "; ".join(
        f"{row} in Table{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
        for row, numbers in tables.items()
    )
