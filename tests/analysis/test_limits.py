"""The first page's sentences on sets, on runs whose counts of pairs are chosen."""

from dataclasses import replace

import pytest

from stsm_cli.analysis import limits as module
from stsm_cli.analysis.index import index_text
from stsm_cli.analysis.limits import in_words, limits, opening, shared_settings
from stsm_cli.analysis.records import read_records
from stsm_cli.stored import Pair

IN_PAIR = {"TSN": 50.5, "T": 80.0, "T+H+W": 85.0}


@pytest.fixture
def runs(measure, tmp_path):
    """TSN, TSM and STSM of Table 3 on a set, two seeds each, with counts of two pairs."""

    def do(dataset, *, rows=tuple(IN_PAIR), full=False):
        measure(
            "spatiotemporal",
            lambda run: 50 if run.row.name in rows else None,
            seeds=2,
            dataset=dataset,
            full=full,
        )
        return [_in_pairs(record, dataset) for record in read_records(tmp_path)]

    return do


def _in_pairs(record, dataset):
    factors = ("order", "order") if dataset == "order" else ("appearance", "motion")
    easy, hard = {"TSN": (40, 10), "T": (45, 30), "T+H+W": (46, 35)}[record.row]
    pairs = (
        Pair(("up", "down"), 50, easy, easy, factors[0]),
        Pair(("in", "out"), 50, hard + record.seed, hard, factors[1]),
    )
    score = replace(record.score, pairs=pairs, pair_accuracy=IN_PAIR[record.row])
    return replace(record, score=score)


def test_on_the_set_of_order_what_a_shift_sees(runs):
    (sentence,) = limits(runs("order"))
    assert sentence == (
        "On the set of order a video's class scores above its time reversal in 50.5 % of the "
        "videos with no shift, in 80.0 % with TSM's and in 85.0 % with STSM's (chance: 50; short "
        "budget, 10 epochs, 2 seeds). Its classes are each other's time reversals, so no shift in "
        "space alone can pass 50 but by chance, and the order of Table 2 shows on this set only "
        "whether T learns."
    )


def test_on_the_set_of_scenes_by_what_tells_classes_apart(runs):
    (sentence,) = limits(runs("scenes"))
    assert sentence == (
        "On the set of scenes top-1 by what tells the classes of a pair apart, in percent (short "
        "budget, 12 epochs, 2 seeds): appearance TSN 80.0, TSM 90.0, STSM 92.0; motion TSN 21.0, "
        "TSM 61.0, STSM 71.0."
    )


def test_a_single_pair_that_both_know_stands(runs, monkeypatch):
    monkeypatch.setattr(module, "SATURATED", 90)
    monkeypatch.setattr(module, "seeds_of", lambda row: 2)
    sentence = limits(runs("order", full=True))[-1]
    assert "of the 2 pairs of classes of the set of order, 1 stands at 90 % of top-1 or" in sentence


def test_nothing_is_said_where_a_method_is_not_run(runs):
    assert limits(runs("order", rows=("TSN", "T"))) == []


def test_nothing_is_said_of_the_plan_s_budget_before_all_of_its_seeds_are_run(runs):
    assert limits(runs("order", full=True)) == []


def test_the_gain_over_the_second_half_is_told(runs):
    _, second = opening(runs("order", rows=("T",), full=True))
    assert second.endswith(
        "changed by +10.0 to +10.0 points: where they would end is not measured."
    )


def test_the_first_page_holds_the_notes_of_the_records(measure, tmp_path):
    measure("alpha", lambda run: 50)
    (tmp_path / "records" / "notes.md").write_text("- Seeds were seen before.\n")
    assert "\n- Seeds were seen before.\n\n## The plan's contrasts\n" in index_text(tmp_path)


def places(dataset, table, row):
    return [found for found in shared_settings(dataset) if (table, row) in found]


def test_a_setting_of_four_tables_is_one():
    assert places("order", 1, "3/8") == [
        ((1, "3/8"), (3, "T+H+W"), (5, "STSM R-50 8f"), (7, "STSM R-50 8f"))
    ]


def test_a_setting_of_controls_is_one():
    assert places("order", 1, "T 1/8") == [((1, "T 1/8"), (3, "T 1/8"))]


def test_a_setting_of_one_table_is_not_shared():
    assert places("order", 2, "HW") == []


def test_on_real_data_tsn_is_one_setting():
    # tested with the mean of scores everywhere; on Kinetics-400 Table 3 starts elsewhere
    assert [[table for table, _ in found] for found in places("k400", 1, "0")] == [[1, 2, 4, 6]]
    assert [[table for table, _ in found] for found in places("sthv2", 1, "0")] == [[1, 2, 3, 5, 7]]


def test_in_words():
    assert (
        in_words([(2, "T"), (4, "TSM R-50"), (3, "T")]) == "T in Tables 2, 3; TSM R-50 in Table 4"
    )
