"""What the controls say, and where the generated sets fall short of what was wanted of them.

For the first page of the results, from the records. Of rows that lack runs nothing is said.
"""

from collections.abc import Iterator, Sequence

from stsm_cli.analysis.ablation import DRAWS
from stsm_cli.analysis.contrast import Contrast, contrast_of
from stsm_cli.analysis.limits import SATURATED
from stsm_cli.analysis.planned import (
    SETS,
    STSM,
    TSM_1_8,
    TSN,
    PlannedRow,
    runs_of,
    seeds_of,
)
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import Spread
from stsm_cli.analysis.summary import LABELS, comparable, setting_of, standard
from stsm_cli.config.schema import DatasetName

SPATIAL: PlannedRow = ("spatiotemporal", "H+W 1/4")
DILATED: PlannedRow = ("spatiotemporal", "TSN dilated")
WANTED_OF_TSN = (55.0, 70.0)
"""Top-1 of TSN on the set of scenes in percent, by which its difficulty was set (the plan)."""
HARDLY = 60.0  # ours: percent in pair; of the best of many rows chance alone gives a few points


def controls(records: Sequence[RunRecord]) -> list[str]:
    """A paragraph on what a shift in space adds; none before all of its runs are there."""
    pairs = ((SPATIAL, TSN), (DILATED, TSN), (SPATIAL, DILATED), (STSM, TSM_1_8))
    found = [_contrasts(first, other, records) for first, other in pairs]
    if any(len(contrasts) < len(SETS) for contrasts in found):
        return []
    spatial, dilated, beside, added = map(_told, found)
    return [
        "Beside them stand controls, whose p is not corrected. A shift along H and W gives TSN "
        f"{spatial}; dilated convolutions, by which it sees as much of a picture without a shift, "
        f"give it {dilated}. The former less the latter, which the plan does not ask, is {beside}. "
        f"With as many channels in time, H and W add {added}."
    ]


def _contrasts(
    first: PlannedRow, other: PlannedRow, records: Sequence[RunRecord]
) -> dict[DatasetName, Contrast]:
    """Of two rows, on the sets on which both have all the runs that the plan has of them."""
    found = {}
    for dataset in SETS:
        runs, others = (runs_of(row, dataset, records) for row in (first, other))
        if (len(runs), len(others)) == (seeds_of(first), seeds_of(other)):
            found[dataset] = contrast_of(runs, others)
    return {dataset: contrast for dataset, contrast in found.items() if contrast is not None}


def _told(contrasts: dict[DatasetName, Contrast]) -> str:
    return " and ".join(
        f"{contrast.difference:+.1f} points on the {LABELS[dataset]} (p {contrast.p:.2g})"
        for dataset, contrast in contrasts.items()
    )


def shortfalls(records: Sequence[RunRecord]) -> list[str]:
    """Sentences on what is too easy, too hard, or not as it was wanted, in the long budget."""
    return [*_tsn_on_scenes(records), *(s for on in SETS for s in _of_pairs(records, on))]


def _tsn_on_scenes(records: Sequence[RunRecord]) -> Iterator[str]:
    runs = runs_of(TSN, "scenes", records)
    low, high = WANTED_OF_TSN
    if len(runs) == seeds_of(TSN) and not low <= (mean := mean_top1(runs)) <= high:
        yield (
            f"The set of scenes was made so that TSN would reach {low:g} to {high:g} %; on the "
            f"test videos it reaches {mean:.1f} %."
        )


def _of_pairs(records: Sequence[RunRecord], dataset: DatasetName) -> Iterator[str]:
    """What the best row of all tables leaves to learn, and which pair is known least."""
    rows = {
        name: runs
        for name, runs in rows_with_pairs(records, dataset).items()
        if len({run.recipe.data.draw for run in runs}) == DRAWS
    }
    if not rows:
        return
    name, best = next(iter(rows.items()))
    top1, in_pair = zip(*map(by_pair, rows.values()), strict=True)  # the best row's first
    full = [pair for pair, percent in top1[0].items() if percent >= SATURATED]
    most = {pair: max(of[pair] for of in in_pair) for pair in top1[0]}
    blind = [f"{pair}: {percent:.1f}" for pair, percent in most.items() if percent <= HARDLY]
    yield (
        f"Of all {len(rows)} rows that are run on the {DRAWS} draws of the {LABELS[dataset]} the "
        f"best is {name}, {mean_top1(best):.1f} %. In {len(full)} of the {len(most)} pairs of "
        f"classes it stands at {SATURATED:g} % or more{_named(full)}, where no row can be much "
        f"better; in {len(blind)} no row has more than {HARDLY:g} % in pair{_named(blind)}, where "
        "chance is 50. `results/pairs.md` has all rows."
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
    rows: dict[str, dict[str, RunRecord]] = {}
    for record in groups[0].records if groups else ():
        rows.setdefault(setting_of(record), {})[record.recipe_hash] = record
    named: dict[str, list[RunRecord]] = {}
    for setting, runs in rows.items():
        *_, last = runs.values()
        name = f"{last.row} (Table {_number(last)})"
        named[f"{name}, recipe {setting}" if name in named else name] = list(runs.values())
    return dict(sorted(named.items(), key=lambda row: -mean_top1(row[1])))


def _number(record: RunRecord) -> str:
    """Of its table, from a name such as `table7_backbones-sthv2`."""
    return record.table.partition("_")[0].removeprefix("table")


def by_pair(runs: Sequence[RunRecord]) -> tuple[dict[str, float], dict[str, float]]:
    """By pair of classes, in percent over the runs of a row: top-1, and accuracy in pair."""
    top1: dict[str, float] = {}
    in_pair: dict[str, float] = {}
    for several in zip(*(run.score.pairs or () for run in runs), strict=True):
        name = "/".join(several[0].classes)
        videos = max(1, sum(pair.videos for pair in several))
        top1[name] = 100 * sum(pair.correct for pair in several) / videos
        in_pair[name] = 100 * sum(pair.ordered for pair in several) / videos
    return top1, in_pair


def mean_top1(runs: Sequence[RunRecord]) -> float:
    """Of the runs of a row, in percent."""
    return Spread(tuple(run.score.top1 for run in runs)).mean
