"""What the first page says of controls, of the sets' shortfalls, and of pairs of classes."""

from dataclasses import replace

import pytest

from stsm_cli.analysis import controls as module
from stsm_cli.analysis.contrast import Contrast
from stsm_cli.analysis.controls import by_pair, controls, rows_with_pairs, shortfalls
from stsm_cli.analysis.pairs_page import write_pairs
from stsm_cli.analysis.planned import SECONDARY, PlannedAnswer
from stsm_cli.analysis.records import read_records
from stsm_cli.stored import Pair


def answers(points):
    """Of all secondary contrasts that `points` has, by set and the first words of the question."""
    found = []
    for question in SECONDARY:
        gap = points.get((question.dataset, question.asked.partition(":")[0]))
        contrast = None if gap is None else Contrast(gap, (gap - 1, gap + 1), 0.04, None, 3, (3, 9))
        found.append(PlannedAnswer(question, (3, 9), (3, 9), contrast, contrast and contrast.p))
    return found


POINTS = {
    ("scenes", "Space alone"): 3.0,
    ("order", "Space alone"): 1.4,
    ("scenes", "A field as large without a shift"): 2.0,
    ("order", "A field as large without a shift"): 2.5,
    ("scenes", "What H and W add"): 1.8,
    ("order", "What H and W add"): 4.9,
}


def test_a_shift_in_space_is_set_beside_a_larger_field(monkeypatch):
    monkeypatch.setattr(module, "secondary_answers", lambda records: answers(POINTS))
    (text,) = controls([])
    assert (
        "A shift along H and W gives TSN +3.0 points on the set of scenes (p 0.04) and +1.4 points "
        "on the set of order (p 0.04); dilated convolutions"
    ) in text
    assert (
        " On the set of scenes a shift in space is worth more than a larger field, by 1 point or "
        "more. With as many channels in time, H and W add +1.8 points on the set of scenes"
    ) in text
    less = POINTS | {("scenes", "Space alone"): 2.9}
    monkeypatch.setattr(module, "secondary_answers", lambda records: answers(less))
    (text,) = controls([])
    assert " On neither set is a shift in space worth more than a larger field, by 1" in text


def test_nothing_is_said_of_controls_before_all_are_run(monkeypatch):
    some = dict(list(POINTS.items())[1:])
    monkeypatch.setattr(module, "secondary_answers", lambda records: answers(some))
    assert controls([]) == []


@pytest.fixture
def paired(measure, tmp_path):
    """Rows of Tables 2 and 3 on the set of order, with counts of two pairs, as records."""

    def do():
        rows = ("TSN", "T", "H+W")
        for name in ("spatial", "spatiotemporal"):
            measure(name, lambda run: 50 if run.row.name in rows else None, seeds=2, full=True)
        return [with_counts(record) for record in read_records(tmp_path)]

    return do


def with_counts(record):
    """50 videos a pair: T knows the first one, and nobody the second."""
    known = {"TSN": 20, "T": 49 + record.seed, "H+W": 30}[record.row]
    pairs = (Pair(("up", "down"), 50, known, known), Pair(("in", "out"), 50, 24, 26))
    score = replace(record.score, pairs=pairs, top1=float(known), correct=known)
    return replace(record, score=score)


def test_a_setting_of_several_tables_is_one_row_best_first(paired):
    rows = rows_with_pairs(paired(), "order")
    assert list(rows) == ["T (Table 3)", "H+W (Table 2)", "TSN (Table 3)"]
    assert [len(runs) for runs in rows.values()] == [2, 2, 2]
    top1, in_pair = by_pair(rows["T (Table 3)"])
    assert top1 == {"up/down": 99.0, "in/out": 48.0}
    assert in_pair == {"up/down": 99.0, "in/out": 52.0}
    assert rows_with_pairs(paired(), "scenes") == {}


def test_what_is_too_easy_and_what_nobody_knows(paired):
    assert shortfalls(paired()) == [
        "Of all 3 rows on the set of order the best is T (Table 3), 49.5 %. In 1 of the 2 pairs of "
        "classes it stands at 97 % or more (`up/down`), where no row can be much better. Least "
        "known is `in/out`: no row has more than 52.0 % in pair (chance: 50). [Pair by "
        "pair](pairs.md) has all rows."
    ]


@pytest.mark.parametrize(("top1", "told"), [(54, True), (55, False), (70, False), (71, True)])
def test_tsn_is_told_where_it_is_not_as_was_wanted(measure, tmp_path, top1, told):
    measure(
        "spatiotemporal",
        lambda run: top1 if run.row.name == "TSN" else None,
        dataset="scenes",
        full=True,
    )
    sentences = shortfalls(read_records(tmp_path))
    wanted = "Of TSN 55 to 70 % were wanted on the set of scenes; on its test videos it has"
    assert sentences == [f"{wanted} {top1}.0 %."] * told


def test_the_page_of_all_rows(paired, tmp_path, monkeypatch):
    records = paired()
    monkeypatch.setattr("stsm_cli.analysis.pairs_page.read_records", lambda out: records)
    lines = write_pairs(tmp_path).read_text().splitlines()
    start = lines.index("| row | seeds | top-1 | up / down | in / out |")
    assert lines[start + 2] == "| T (Table 3) | 2 | 49.5 | 99.0 (99.0) | 48.0 (52.0) |"
    assert lines[start + 4] == "| TSN (Table 3) | 2 | 20.0 | 40.0 (40.0) | 48.0 (52.0) |"
    assert "No run is recorded." in lines  # on the set of scenes
