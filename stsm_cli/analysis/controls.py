"""What the plan's controls say, and where the generated sets fall short of what was wanted of them.

For the first page of the results; computed from the records, and silent where runs are missing.
"""

from collections.abc import Iterator, Sequence

from stsm_cli.analysis.limits import SATURATED
from stsm_cli.analysis.planned import (
    SETS,
    STSM,
    TSM_1_8,
    TSN,
    PlannedAnswer,
    PlannedRow,
    runs_of,
    secondary_answers,
)
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import LEAST, Spread
from stsm_cli.analysis.summary import LABELS, comparable, setting_of, standard
from stsm_cli.config.schema import DatasetName

SPATIAL: PlannedRow = ("spatiotemporal", "H+W 1/4")
DILATED: PlannedRow = ("spatiotemporal", "TSN dilated")
WANTED_OF_TSN = (55.0, 70.0)
"""Top-1 of TSN on the set of scenes in percent, by which its difficulty was set (the plan)."""


def controls(records: Sequence[RunRecord]) -> list[str]:
    """A paragraph on what a shift in space adds; none before all of its runs are there."""
    by_rows: dict[tuple[PlannedRow, PlannedRow], list[PlannedAnswer]] = {}
    for answer in secondary_answers(records):
        if answer.contrast is not None:
            by_rows.setdefault((answer.question.first, answer.question.other), []).append(answer)
    spatial, dilated, added = (
        by_rows.get(rows, []) for rows in ((SPATIAL, TSN), (DILATED, TSN), (STSM, TSM_1_8))
    )
    if not len(spatial) == len(dilated) == len(added) == len(SETS):
        return []
    worth = [
        LABELS[shift.question.dataset]
        for shift, field in zip(spatial, dilated, strict=True)
        if _points(shift) - _points(field) >= LEAST
    ]
    where = f"On the {' and the '.join(worth)} a" if worth else "On neither set is a"
    return [
        "Beside them stand controls, whose p is as it is. A shift along H and W gives TSN "
        f"{_told(spatial)}; dilated convolutions, by which it sees as much of a picture without a "
        f"shift, give it {_told(dilated)}. {where} shift in space {'is ' if worth else ''}worth "
        f"more than a larger field, by {LEAST:g} point or more. With as many channels in time, H "
        f"and W add {_told(added)}."
    ]


def _points(answer: PlannedAnswer) -> float:
    assert answer.contrast is not None
    return answer.contrast.difference


def _told(answers: Sequence[PlannedAnswer]) -> str:
    return " and ".join(
        f"{_points(answer):+.1f} points on the {LABELS[answer.question.dataset]} (p {answer.p:.2g})"
        for answer in answers
    )


def shortfalls(records: Sequence[RunRecord]) -> list[str]:
    """Sentences on what is too easy, too hard, or not as it was wanted, in the long budget."""
    return [*_tsn_on_scenes(records), *(s for on in SETS for s in _of_pairs(records, on))]


def _tsn_on_scenes(records: Sequence[RunRecord]) -> Iterator[str]:
    runs = runs_of(TSN, "scenes", records)
    low, high = WANTED_OF_TSN
    if runs and not low <= (mean := _mean(runs)) <= high:
        yield (
            f"Of TSN {low:g} to {high:g} % were wanted on the set of scenes; on its test videos it "
            f"has {mean:.1f} %."
        )


def _of_pairs(records: Sequence[RunRecord], dataset: DatasetName) -> Iterator[str]:
    """What the best row of all tables leaves to learn, and which pair is known least."""
    rows = rows_with_pairs(records, dataset)
    if not rows:
        return
    name, best = next(iter(rows.items()))
    accuracy, _ = by_pair(best)
    full = [pair for pair, percent in accuracy.items() if percent >= SATURATED]
    most = {pair: max(by_pair(runs)[1][pair] for runs in rows.values()) for pair in accuracy}
    least = min(most, key=most.__getitem__)
    yield (
        f"Of all {len(rows)} rows on the {LABELS[dataset]} the best is {name}, "
        f"{_mean(best):.1f} %. In {len(full)} of the {len(accuracy)} pairs of classes it stands at "
        f"{SATURATED:g} % or more{_named(full)}, where no row can be much better. Least known is "
        f"`{least}`: no row has more than {most[least]:.1f} % in pair (chance: 50). "
        "[Pair by pair](pairs.md) has all rows."
    )


def _named(pairs: Sequence[str]) -> str:
    return f" ({', '.join(f'`{pair}`' for pair in pairs)})" if pairs else ""


def rows_with_pairs(
    records: Sequence[RunRecord], dataset: DatasetName
) -> dict[str, list[RunRecord]]:
    """The rows of all tables in a set's long budget, the best first, with each of their runs once.

    A setting of several tables is one row, under the name that it has in the last of them.
    """
    full = [r for r in standard(records) if (r.dataset, r.budget) == (dataset, "full")]
    groups = comparable([record for record in full if record.score.pairs])
    names: dict[str, str] = {}
    rows: dict[str, dict[str, RunRecord]] = {}
    for record in groups[0].records if groups else ():
        setting = setting_of(record)
        names[setting] = f"{record.row} (Table {_number(record)})"
        rows.setdefault(setting, {})[record.recipe_hash] = record
    named = {names[setting]: list(runs.values()) for setting, runs in rows.items()}
    return dict(sorted(named.items(), key=lambda row: -_mean(row[1])))


def _number(record: RunRecord) -> str:
    """Of its table, from a name such as `table7_backbones-sthv2`."""
    return record.table.partition("_")[0].removeprefix("table")


def by_pair(runs: Sequence[RunRecord]) -> tuple[dict[str, float], dict[str, float]]:
    """By pair of classes, in percent over the runs of a row: top-1, and accuracy in pair."""
    top1: dict[str, float] = {}
    in_pair: dict[str, float] = {}
    for several in zip(*(run.score.pairs or () for run in runs), strict=True):
        name, videos = "/".join(several[0].classes), sum(pair.videos for pair in several)
        top1[name] = 100 * sum(pair.correct for pair in several) / videos
        in_pair[name] = 100 * sum(pair.ordered for pair in several) / videos
    return top1, in_pair


def _mean(runs: Sequence[RunRecord]) -> float:
    return Spread(tuple(run.score.top1 for run in runs)).mean
