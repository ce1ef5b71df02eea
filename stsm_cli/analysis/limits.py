"""What the measurements can show, and what they cannot, for the first page of the results.

Nothing here is typed that hangs on a record: where runs are missing, the sentences say so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from stsm_cli.analysis.ablation import names_with, plan_sweep
from stsm_cli.analysis.planned import (
    SEEDS,
    SETS,
    STSM,
    STSM_1_2,
    STSM_1_4,
    TSM,
    PlannedAnswer,
    PlannedContrast,
    PlannedRow,
    primary_answers,
    progress,
    runs_of,
    seeds_of,
)
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import LEAST, LEVEL, Spread, mean_interval
from stsm_cli.analysis.summary import LABELS, SHIFTS, Group, method_of, pair_group
from stsm_cli.config.schema import DatasetName
from stsm_cli.stored import Pair

Place = tuple[int, str]
"""A table's number and the name of a row."""
SATURATED = 97.0  # ours: percent; what both reach leaves nothing to tell them apart by
BLIND = 55.0  # ours: percent in pair; nobody tells these two classes apart, but for luck
SOLVED = {
    "better": "the former is better",
    "worse": "the former is worse",
    "equal": f"the two are equal, to within {LEAST:g} point",
    "no difference called": "no difference is called",
}


def opening(records: Sequence[RunRecord]) -> list[str]:
    """Paragraphs on what can be concluded of the plan's contrasts and what cannot."""
    answers = primary_answers(records)
    is_begun = any(found for found, _ in progress(records).values())
    judged = [*_decided(answers), *_undecided(answers)] if is_begun else []
    return [" ".join([_how_far(records), *judged]), " ".join(_beyond_reach(records, answers))]


def _how_far(records: Sequence[RunRecord]) -> str:
    done = progress(records)
    if not any(found for found, _ in done.values()):
        return (
            "No run of the plan (`docs/plan.md`) is recorded yet, so nothing can be concluded: "
            "neither that a shift helps nor that it does not."
        )
    (first, (found, wanted)), (other, (found_there, _)) = done.items()
    are = "is" if found == 1 else "are"
    return (
        "A plan written before the first run (`docs/plan.md`) asks six questions. Of the "
        f"{wanted} runs that its rows of nine seeds have on a set, TSN and T 1/8 included, "
        f"{_some(found, wanted)} {are} recorded on the {LABELS[first]} and "
        f"{_some(found_there, wanted)} on the {LABELS[other]}."
    )


def _some(found: int, wanted: int) -> str:
    return {0: "none", wanted: "all"}.get(found, str(found))


def _decided(answers: Sequence[PlannedAnswer]) -> Iterator[str]:
    """Verdicts alone: the numbers stand in the table of the contrasts."""
    for answer in answers:
        question, verdict = answer.question, SOLVED.get(answer.verdict)
        if verdict is not None and answer.contrast is not None:
            low, high = answer.contrast.interval
            by = f" (by an interval of {low:+.2f} to {high:+.2f})"
            sure = by if answer.verdict == "equal" else ""
            on = LABELS[question.dataset]
            yield f"{question.name}, {question.asked} on the {on}: {verdict}{sure}."


def _undecided(answers: Sequence[PlannedAnswer]) -> Iterator[str]:
    names = [answer.question.name for answer in answers if answer.contrast is None]
    if names and len(names) < len(answers):
        these = "it" if len(names) == 1 else "them"
        yield f"Of {', '.join(names)} nothing is concluded: runs of {these} are missing."
    elif names:
        yield "None of the six is answered: runs of each are missing, and none is judged before."


def _beyond_reach(records: Sequence[RunRecord], answers: Sequence[PlannedAnswer]) -> Iterator[str]:
    printed = {answer.question.printed for answer in answers}  # two questions share one
    small = sum(abs(difference) < LEAST for difference, _ in printed)
    yield (
        "Whatever comes of them is of small videos that are made here and of a small network. It "
        "cannot say whether the paper's accuracies are reached, nor whether what holds here holds "
        "of ResNet-50 on Kinetics-400 or Something-Something V2. No difference below "
        f"{LEAST:g} point of top-1 is called one, where {small} of the {len(printed)} that the "
        "paper prints for these contrasts are smaller."
    )
    if told := [f"{least:.1f} ({answer.question.name})" for answer, least in _called(answers)]:
        yield (
            "Nor could every larger one have been called: of the spread that these runs have, it "
            f"takes about {', '.join(told)} points."
        )
    if gains := _late_gains(records):
        yield (
            "And the rows of these contrasts have one budget, over whose second half their "
            f"validation top-1 still changed by {min(gains):+.1f} to {max(gains):+.1f} points: "
            "where they would end is not measured."
        )


def _called(answers: Sequence[PlannedAnswer]) -> Iterator[tuple[PlannedAnswer, float]]:
    """Contrasts with the points from which each, if it were the clearest, would be called."""
    normal = NormalDist()
    level, first_step = (normal.inv_cdf(1 - LEVEL / 2 / of) for of in (1, len(answers)))
    for answer in answers:
        if answer.contrast is not None:
            low, high = answer.contrast.interval
            yield answer, max(LEAST, (high - low) / 2 * first_step / level)


def on_other_processors(
    answers: Sequence[PlannedAnswer], records: Sequence[RunRecord]
) -> list[str]:
    """Contrasts whose two rows ran on other kinds of CPU; those without a name count as one."""
    return [
        _in_short(answer.question)
        for answer in answers
        if answer.contrast is not None
        and _processors(answer.question.first, answer.question.dataset, records)
        != _processors(answer.question.other, answer.question.dataset, records)
    ]


def _in_short(question: PlannedContrast) -> str:
    about = question.asked.partition(":")[0]
    return question.name or f"“{about}” on the {LABELS[question.dataset]}"


def _processors(row: PlannedRow, dataset: DatasetName, records: Sequence[RunRecord]) -> set[str]:
    return {run.machine.processor for run in runs_of(row, dataset, records)}


def _late_gains(records: Sequence[RunRecord]) -> list[float]:
    """Points of validation top-1 that rows of the contrasts gained over the second half."""
    gains = []
    for dataset in SETS:
        for row in (TSM, STSM, STSM_1_4, STSM_1_2):
            curves = [run.curve for run in runs_of(row, dataset, records)]
            if curves:
                gained = tuple(c.gain(len(c.val_top1) - len(c.val_top1) // 2) for c in curves)
                gains.append(Spread(gained).mean)
    return gains


def limits(records: Sequence[RunRecord]) -> list[str]:
    """Sentences on single sets: what tells their classes apart, and which pairs decide."""
    sentences = []
    for dataset in SETS:
        group = pair_group(records, dataset)
        if group is not None and _is_whole(group):
            sentences.append(_in_order(group) if dataset == "order" else _by_factor(group))
        tsm, stsm = (runs_of(row, dataset, records) for row in (TSM, STSM))
        if (len(tsm), len(stsm)) == (seeds_of(TSM), seeds_of(STSM)):
            sentences.append(_by_pair(dataset, tsm, stsm))
    return sentences


def _is_whole(group: Group) -> bool:
    """True if all methods are run, with all seeds that the plan has of them."""
    has_all = {method_of(run) for run in group.records} == set(SHIFTS)
    return has_all and (group.first.budget != "full" or len(group.seeds) == SEEDS)


def _in_order(group: Group) -> str:
    ordered = {
        name: Spread(tuple(run.score.pair_accuracy or 0.0 for run in _runs(group, name))).mean
        for name in SHIFTS
    }
    return (
        "On the set of order a video's class scores above its time reversal in "
        f"{ordered['TSN']:.1f} % of the videos with no shift, in {ordered['TSM']:.1f} % with TSM's "
        f"and in {ordered['STSM']:.1f} % with STSM's (chance: 50; {_extent(group)}). Its classes "
        "are each other's time reversals, so no shift in space alone can pass 50 but by chance, "
        "and the order of Table 2 shows on this set only whether T learns."
    )


def _by_factor(group: Group) -> str:
    told = []
    for factor in group.first.score.factors:
        top1 = {
            name: Spread(tuple(run.score.factors[factor].top1 for run in _runs(group, name)))
            for name in SHIFTS
        }
        means = ", ".join(f"{name} {spread.mean:.1f}" for name, spread in top1.items())
        told.append(f"{factor} {means}")
    return (
        "On the set of scenes top-1 by what tells the classes of a pair apart, in percent "
        f"({_extent(group)}): {'; '.join(told)}."
    )


def _extent(group: Group) -> str:
    return f"{group.first.budget} budget, {group.extent}"


@dataclass(frozen=True)
class _Share:
    """A pair of classes: what both methods reach on it in percent, and points of the whole gap."""

    pair: Pair
    tsm: float
    stsm: float
    in_pair: float
    """By the better of the two."""
    points: tuple[float, ...]
    """By seed."""

    @property
    def mean(self) -> float:
        return Spread(self.points).mean


def _by_pair(dataset: DatasetName, tsm: Sequence[RunRecord], stsm: Sequence[RunRecord]) -> str:
    """Which pairs of classes make the difference between TSM and STSM."""
    shares = _shares(tsm, stsm)
    full = [share for share in shares if min(share.tsm, share.stsm) >= SATURATED]
    blind = [share for share in shares if share.in_pair <= BLIND]
    stand = f"{len(full)} stand{'s' if len(full) == 1 else ''}"
    most = max(shares, key=lambda share: abs(share.mean))
    first, second = most.pair.classes
    others = [sum(of) for of in zip(*(s.points for s in shares if s is not most), strict=True)]
    return (
        f"Pair by pair, which the plan does not ask: of the {len(shares)} pairs of classes of the "
        f"{LABELS[dataset]}, {stand} at {SATURATED:g} % of top-1 or more for both TSM "
        f"and STSM, and in {len(blind)} neither scores a class above its other in more than "
        f"{BLIND:g} %. Most differs `{first}` with `{second}`: top-1 {most.tsm:.1f} % with TSM, "
        f"{most.stsm:.1f} % with STSM. Of STSM's difference from TSM that pair makes "
        f"{_points(most.points)} points, all others together {_points(others)} (95 % intervals, by "
        "the spread over seeds alone)."
    )


def _points(by_seed: Sequence[float]) -> str:
    low, high = mean_interval(by_seed)
    return f"{Spread(tuple(by_seed)).mean:+.2f} [{low:+.1f}, {high:+.1f}]"


def _shares(tsm: Sequence[RunRecord], stsm: Sequence[RunRecord]) -> list[_Share]:
    shares = []
    for place, pair in enumerate(tsm[0].score.pairs or ()):
        ours, theirs = (
            [run.score.pairs[place] for run in runs if run.score.pairs] for runs in (stsm, tsm)
        )
        first, second = (_mean([one.correct for one in of]) for of in (ours, theirs))
        in_pair = max(_mean([one.ordered for one in of]) for of in (ours, theirs))
        scale, whole = 100 / pair.videos, 100 / tsm[0].score.num_listed
        points = tuple(whole * (a.correct - b.correct) for a, b in zip(ours, theirs, strict=True))
        shares.append(_Share(pair, scale * second, scale * first, scale * in_pair, points))
    return shares


def _mean(counts: Sequence[int]) -> float:
    return Spread(tuple(map(float, counts))).mean


def _runs(group: Group, method: str) -> list[RunRecord]:
    return [record for record in group.records if method_of(record) == method]


@lru_cache
def shared_settings(dataset: DatasetName) -> tuple[tuple[Place, ...], ...]:
    """Rows of different tables that are one setting: the same recipe, and so the same result.

    Of each setting that several tables try on a data set, all its places, by table.
    """
    places: dict[str, list[Place]] = {}
    for name in names_with(dataset):
        sweep = plan_sweep(name, dataset, full=True, systems=True)  # all rows
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
