"""The plan's contrasts, on runs whose right answers are chosen."""

from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest

from stsm_cli.analysis import limits as module
from stsm_cli.analysis.contrast import Contrast
from stsm_cli.analysis.index import _overruled, _table
from stsm_cli.analysis.limits import limits, on_other_processors, opening
from stsm_cli.analysis.planned import (
    PRIMARY,
    SECONDARY,
    SETS,
    TSM,
    PlannedAnswer,
    exploratory,
    primary_answers,
    progress,
    runs_of,
    secondary_answers,
)
from stsm_cli.analysis.records import read_records
from stsm_cli.stored import Pair

NOT_RUN = {
    0: " the two are equal, to within 1 point (by an interval of -0.50 to +0.50).",
    1: " Of P1 nothing is concluded: runs of it are missing.",
    2: " Of P1, P2 nothing is concluded: runs of them are missing.",
    6: " None of the six is answered: runs of each are missing, and none is judged before.",
}
MEANS = {"0": 30, "1/4": 90, "3/8": 90, "1/2": 88, "T": 60}


def told(record):
    """The record, with the videos that it had right; 1/4 has those of 3/8."""
    name = "3/8" if record.row == "1/4" else record.row
    rng = np.random.default_rng([record.seed, list(MEANS).index(name)])
    right = rng.permutation(100) < MEANS[name]
    hits = b64encode(np.packbits(right).tobytes()).decode()
    half = MEANS[name] // 2
    pairs = (
        Pair(("up", "down"), 50, MEANS[name] - half, 49, "order"),
        Pair(("in", "out"), 50, half, 25, "order"),
    )
    return replace(record, score=replace(record.score, hits=hits, pairs=pairs))


@pytest.fixture
def recorded(measure, tmp_path):
    """The plan's runs on the set of order, of so many seeds, and of TSM's row so many."""

    def do(seeds=9, of_tsm=9, **options):
        known = {"full": True, "dataset": "order"} | options
        measure("alpha", lambda run: MEANS.get(run.row.name), seeds=seeds, **known)
        measure("spatiotemporal", lambda run: MEANS.get(run.row.name), seeds=of_tsm, **known)
        return [told(record) for record in read_records(tmp_path)]

    return do


def test_before_a_run_nothing_is_judged():
    answers = [*primary_answers([]), *secondary_answers([])]
    assert {answer.verdict for answer in answers} == {"not yet run"}
    assert {answer.num_runs for answer in answers} == {(0, 0)}
    assert {answer.p for answer in answers} == {None}
    assert progress([]) == {"scenes": (0, 54), "order": (0, 54)}
    assert opening([])[0] == (
        "No run of the plan (`docs/plan.md`) is recorded yet, so nothing can be concluded: neither "
        "that a shift helps nor that it does not."
    )


def test_the_plan_has_six_contrasts_of_nine_seeds_and_the_controls_of_three():
    assert [question.name for question in PRIMARY] == ["P1", "P2", "P3", "P4", "P5", "P6"]
    assert {answer.num_seeds for answer in primary_answers([])} == {(9, 9)}
    assert {answer.num_seeds for answer in secondary_answers([])} == {(9, 9), (3, 9), (3, 3)}
    assert [question.dataset for question in SECONDARY] == [*SETS] * 6
    printed = [question.printed for question in PRIMARY]
    assert printed[:2] == [(0.61, 3), (2.2, 7)]
    assert printed[2:] == [(0.27, 1), (0.23, 1)] * 2


def test_what_is_whole_is_judged_and_p_is_corrected_for_all_six(recorded):
    records = recorded()
    answers = {answer.question.name: answer for answer in primary_answers(records)}
    verdicts = {name: answer.verdict for name, answer in answers.items()}
    assert verdicts == {
        **dict.fromkeys(("P1", "P3", "P4"), "not yet run"),
        "P2": "better",
        "P5": "equal",
        "P6": "no difference called",
    }
    better = answers["P2"]
    assert better.contrast.difference == pytest.approx(30)
    assert better.contrast.num_draws == 3
    assert better.p == pytest.approx(6 * better.contrast.p)
    assert answers["P6"].p == pytest.approx(min(1, 5 * answers["P6"].contrast.p))
    first, second = opening(records)
    assert first == (
        "A plan written before the first run (`docs/plan.md`) asks six questions. Of the 54 runs "
        "that its rows of nine seeds have on a set, TSN and T 1/8 included, none are recorded on "
        "the set of scenes and 45 on the set of order. P2, STSM (T+H+W, α = 3/8) against TSM (T, "
        "α = 1/4) on the set of order: the former is better. P5, T+H+W, α = 3/8 against 1/4 on "
        "the set of order: the two are equal, to within 1 point (by an interval of +0.00 to "
        "+0.00). P6, T+H+W, α = 3/8 against 1/2 on the set of order: no difference is called. Of "
        "P1, P3, P4 nothing is concluded: runs of them are missing."
    )
    assert "where 3 of the 4 that the paper prints for these contrasts are smaller." in second
    least = {name: (high - low) / 2 * 2.6383 / 1.96 for name, (low, high) in intervals(answers)}
    told = ", ".join(f"{max(1, points):.1f} ({name})" for name, points in least.items())
    assert f"of the spread that these runs have, it takes about {told} points." in second
    # of 9 × 100 videos STSM has 45 + 45 right and TSM 30 + 30
    assert limits(records)[-1] == (
        "Pair by pair, which the plan does not ask: of the 2 pairs of classes of the set of order, "
        "0 stand at 97 % of top-1 or more for both TSM and STSM, and in 1 neither scores a class "
        "above its other in more than 55 %. Most differs `up` with `down`: top-1 60.0 % with TSM, "
        "90.0 % with STSM. Of STSM's difference from TSM that pair makes +15.00 [+15.0, +15.0] "
        "points, all others together +15.00 [+15.0, +15.0] (95 % intervals, by the spread over "
        "seeds alone)."
    )


@pytest.mark.parametrize("other", [{"cpu": "Another"}, {"cpu_capability": "another"}])
def test_rows_on_other_kinds_of_cpu_are_named(recorded, other):
    records = recorded()
    answers = [*primary_answers(records), *secondary_answers(records)]
    assert on_other_processors(answers, records) == []
    moved = [
        replace(record, environment=record.environment | other) if record.row == "1/2" else record
        for record in records
    ]
    assert on_other_processors(answers, moved) == ["P6"]


def test_what_a_table_calls_clear_and_the_plan_does_not_is_named(recorded, measure, tmp_path):
    answers = primary_answers(recorded())
    measure(
        "spatiotemporal",
        lambda run: {"T+H+W": 90}.get(run.row.name),
        seeds=9,
        full=True,
        dataset="order",
    )
    rows = {"T": "T", "T+H+W": "3/8"}
    records = [
        replace(told(replace(record, row=rows[record.row])), row=record.row)
        for record in read_records(tmp_path)
        if record.row in rows
    ]
    tables = [_table("spatiotemporal", records)]
    assert _overruled(tables, answers) == []
    uncalled = [replace(answer, p=None if answer.p is None else 1.0) for answer in answers]
    assert _overruled(tables, uncalled) == ["P2 in Table 3"]


def test_nothing_is_called_missing_where_nothing_is(monkeypatch):
    contrast = Contrast(0.0, (-0.5, 0.5), 1.0, None, 3, (9, 9))
    every = [PlannedAnswer(question, (9, 9), (9, 9), contrast, 1.0) for question in PRIMARY]
    counts = {"scenes": (54, 54), "order": (54, 54)}
    monkeypatch.setattr(module, "progress", lambda records: counts)
    for missing, told in NOT_RUN.items():
        answers = [
            *every[missing:],
            *(replace(one, contrast=None, p=None) for one in every[:missing]),
        ]
        monkeypatch.setattr(module, "primary_answers", lambda records, found=answers: found)
        first, _ = opening([])
        assert (
            "included, all are recorded on the set of scenes and all on the set of order." in first
        )
        assert first.endswith(told)
    counts["scenes"] = (1, 54)
    assert "included, 1 is recorded on the set of scenes and all on" in opening([])[0]


def intervals(answers):
    """The names and the intervals of what is judged."""
    return [(name, a.contrast.interval) for name, a in answers.items() if a.contrast]


def test_a_run_that_is_missing_leaves_its_contrasts_open(recorded):
    answers = {a.question.name: a for a in primary_answers(recorded(of_tsm=8))}
    assert (answers["P2"].verdict, answers["P2"].num_runs) == ("not yet run", (9, 8))
    assert answers["P2"].contrast is None
    assert answers["P5"].verdict == "equal"


def test_what_the_plan_has_not_is_exploratory_and_counts_for_nothing(recorded):
    records = recorded(seeds=10)
    assert {place: len(runs) for place, runs in exploratory(records).items()} == {
        f"`table1_alpha`, {row}, order": 1 for row in ("0", "1/2", "1/4", "3/8")
    }
    answers = {a.question.name: a for a in primary_answers(records)}
    assert answers["P5"].num_runs == (9, 9)
    elsewhere = [replace(r, environment=r.environment | {"device": "cuda"}) for r in records]
    assert progress(elsewhere)["order"] == (0, 54)
    assert len(exploratory(elsewhere)) == 5
    newer = [replace(r, environment=r.environment | {"data_id": "order/3"}) for r in records]
    assert progress(newer)["order"] == (0, 54)


def test_of_a_run_with_two_scores_the_record_of_the_first_table_counts(recorded):
    third = [record for record in recorded() if record.row == "T"]
    worse = [replace(run.score, correct=50, top1=50.0) for run in third]
    second = [
        replace(run, table="table2_spatial", score=score)
        for run, score in zip(third, worse, strict=True)
    ]
    assert len(third) == 9
    for records in ([*second, *third], [*third, *second], [*third, *second][::-1]):
        assert runs_of(TSM, "order", records) == second


def test_the_short_budget_is_none_of_it(recorded):
    records = recorded(seeds=1, of_tsm=1, full=False)
    assert progress(records)["order"] == (0, 54)
    assert exploratory(records) == {}


@pytest.mark.parametrize(
    ("difference", "interval", "p", "verdict"),
    [
        (1.0, (0.1, 1.9), 0.05, "better"),
        (-1.0, (-1.9, -0.1), 0.05, "worse"),
        (1.0, (0.1, 1.9), 0.051, "no difference called"),
        (0.99, (0.1, 1.9), 0.001, "no difference called"),
        (0.5, (0.1, 1.0), 0.001, "equal"),
        (-0.5, (-1.0, 0.2), 1.0, "equal"),
        (-0.5, (-1.01, 0.2), 1.0, "no difference called"),
    ],
)
def test_the_rule(difference, interval, p, verdict):
    contrast = Contrast(difference, interval, p, None, 3, (9, 9))
    assert PlannedAnswer(PRIMARY[0], (9, 9), (9, 9), contrast, p).verdict == verdict
