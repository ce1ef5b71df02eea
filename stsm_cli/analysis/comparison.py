"""Rows compared: by more than the luck of their seeds, or not, and what that makes of a claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stsm_cli.analysis.contrast import Contrast, contrast_of
from stsm_cli.analysis.records import RunRecord
from stsm_cli.analysis.statistics import LEAST, LEVEL, holm, welch
from stsm_cli.analysis.summary import RowSummary
from stsm_cli.data.generated import GENERATED

Verdict = Literal["holds", "does not hold", "is undecided by these seeds", "is open"]

_BY_VIDEOS = "a bootstrap over draws of the set, seeds and test videos"
_BY_SEEDS = "Welch's t-test over their seeds"
_CLEARLY = (
    "Two rows differ clearly if {by} gives p ≤ "
    f"{LEVEL:g} (two-sided) after Holm's correction for all pairs of the claim (or of the best row "
    f"with the others) and, on a set that is made here, they lie {LEAST:g} point or more apart; p "
    "is shown as it is, before the correction."
)
TEST = _CLEARLY.format(by=_BY_VIDEOS)
TEST_OF_SEEDS = _CLEARLY.format(by=_BY_SEEDS)
WITHOUT_VIDEOS = f"Where a run does not tell which videos it had right, it is {_BY_SEEDS}."
ONE_SEED = "One seed does not tell how far another would move a row: `--seeds 3` adds two."

RowPair = tuple[RowSummary, RowSummary]
"""Two rows, the better one by a claim first."""


@dataclass(frozen=True)
class RowComparison:
    """Two rows as measured, of which a claim calls the first the better one."""

    better: RowSummary
    other: RowSummary
    contrast: Contrast | None
    """Of the draws that both were run on; None if there are none, or videos are not known."""
    p: float | None
    """That luck alone sets them apart so far, as it is; None if either has fewer than two seeds."""
    corrected: float | None
    """The same, corrected for all pairs of the claim."""

    @property
    def is_run(self) -> bool:
        """True if both are measured."""
        return bool(self.better.records and self.other.records)

    @property
    def gap(self) -> float:
        """By how many points of top-1 the first is above the second; of measured rows.

        As the test has it, on the draws that both were run on: rows of other draws differ by them.
        """
        if self.contrast is not None:
            return self.contrast.difference
        assert self.better.top1 is not None
        assert self.other.top1 is not None
        return self.better.top1.mean - self.other.top1.mean

    @property
    def is_tied(self) -> bool:
        """True if the gap is zero to the digit that tables show, which does not prove equality."""
        return round(abs(self.gap), 1) == 0

    @property
    def is_above(self) -> bool:
        """True if the first is above the second, to that digit."""
        return self.gap > 0 and not self.is_tied

    @property
    def is_clear(self) -> bool:
        """True if they differ clearly, either way."""
        if self.corrected is None or self.corrected > LEVEL:
            return False
        is_made_here = self.better.records[0].dataset in GENERATED
        return not is_made_here or abs(self.gap) >= LEAST

    @property
    def certainty(self) -> Literal["clearly", "not clearly", "by one seed"]:
        """Trust in the gap; a single seed of either row leaves nothing to test."""
        if self.p is None:
            return "by one seed"
        return "clearly" if self.is_clear else "not clearly"

    @property
    def holds(self) -> bool:
        """True if the first is clearly above the second."""
        return self.is_clear and self.gap > 0

    @property
    def is_contradicted(self) -> bool:
        """True if the second is clearly above the first."""
        return self.is_clear and self.gap < 0


def name_pairs(comparisons: Sequence[RowComparison]) -> str:
    """Measured pairs: which row is above which, with p if there is one."""
    texts = []
    for pair in comparisons:
        rows = [pair.better.row.name, pair.other.row.name]
        above, below = rows if pair.gap > 0 else reversed(rows)
        chance = "" if pair.p is None else f" (p {pair.p:.2g})"
        texts.append(f"{above} {'level with' if pair.is_tied else 'above'} {below}{chance}")
    return ", ".join(texts)


def compare(pairs: Sequence[RowPair]) -> list[RowComparison]:
    """The pairs of one claim; p is corrected for all of them, also those that nobody has run."""
    found = [contrast_of(first.records, second.records) for first, second in pairs]
    raw = [_p(*pair, contrast) for pair, contrast in zip(pairs, found, strict=True)]
    corrected = holm([1.0 if p is None else p for p in raw])
    return [
        RowComparison(*pair, contrast, before, None if before is None else after)
        for pair, contrast, before, after in zip(pairs, found, raw, corrected, strict=True)
    ]


def _p(first: RowSummary, second: RowSummary, contrast: Contrast | None) -> float | None:
    if contrast is not None:
        return contrast.p if min(contrast.num_runs) > 1 else None
    if len(first.records) < 2 or len(second.records) < 2:
        return None
    assert first.top1 is not None
    assert second.top1 is not None
    return welch(first.top1, second.top1)


def judge(comparisons: Sequence[RowComparison]) -> Verdict:
    """The claim holds if every pair does, and does not if any is contradicted.

    The correction is for the latter; for the former, where all pairs have to pass, it is strict.
    """
    if any(pair.is_contradicted for pair in comparisons):
        return "does not hold"
    if not all(pair.is_run for pair in comparisons):
        return "is open"
    return "holds" if all(pair.holds for pair in comparisons) else "is undecided by these seeds"


def meaning(rows: Sequence[RowSummary]) -> str:
    """Meaning of `clearly` for these rows; empty if none is run."""
    seeds = [len(row.records) for row in rows if row.records]
    records = [record for row in rows for record in row.records]
    test = [clear_test(records)] if any(number > 1 for number in seeds) else []
    return " ".join(test + [ONE_SEED] * (1 in seeds))


def clear_test(records: Sequence[RunRecord]) -> str:
    """The test by which two rows of `records` differ clearly."""
    tells = {record.score.hits is not None for record in records}
    if tells == {True, False}:
        return f"{TEST} {WITHOUT_VIDEOS}"
    return TEST_OF_SEEDS if tells == {False} else TEST
