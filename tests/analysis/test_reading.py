import pytest

from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.reading import still_rising, verdicts
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import comparable, summarise


@pytest.fixture
def read(measure, tmp_path):
    def do(name, correct, **options):
        sweep = measure(name, correct, **options)
        (group,) = comparable(read_records(tmp_path))
        return verdicts(summarise(sweep.ablation, load_paper_table(sweep.ablation.table), group))

    return do


PAPER = "Paper: 3/8 is best (75.04), 0.23 points above 1/2 (74.81); the paper gives no spread."
MEANS = {"0": 20, "1/8": 30, "1/4": 40, "3/8": 50, "1/2": 60, "3/4": 70, "1": 80}


def test_clear_by_more_than_the_spread(read):
    # ranks differ by 0 2 2 3 1 3 5: ρ = 1 − 6·52 / (7·48)
    paper, best, order = read("alpha", lambda run: MEANS[run.row.name] + 4 * run.seed, seeds=3)
    assert paper == PAPER
    assert best == (
        "Measured: 1 is best (84.0), 10.0 points above 3/4 (74.0); by the larger sample standard "
        "deviation of the two it is clear of every other row."
    )
    assert order.startswith(
        "The paper's best row, 3/8, is number 4 of 7 as measured. Spearman's rank correlation "
        "with the paper's rows is +0.07 (+1: the same order); of all orders of 7 rows, 45 %"
    )


def test_not_clear_within_the_spread(read):
    scatter = {0: -12, 1: 0, 2: 12}
    best = read("alpha", lambda run: MEANS[run.row.name] + scatter[run.seed], seeds=3)[1]
    assert best.endswith("sample standard deviation of the two it is not clear of 3/4.")


def test_single_seeds_are_judged_by_their_intervals(read):
    # intervals reach 9.5 down and 8.5 up: 80 is clear of 60 and below, not of 70
    best = read("alpha", lambda run: MEANS[run.row.name])[1]
    assert best.endswith("by the 95 % intervals of single seeds it is not clear of 3/4.")


def test_the_papers_order_is_recognised(read):
    papers = {"0": 1, "1/8": 3, "1/4": 4, "3/8": 6, "1/2": 5, "3/4": 2.5, "1": 2}
    order = read("alpha", lambda run: int(10 * papers[run.row.name]))[2]
    assert "3/8, is number 1 of 7" in order
    assert "is +1.00" in order
    assert order.endswith("of all orders of 7 rows, 0 % agree at least as well.")


def test_rows_that_are_missing_are_counted(read):
    sentences = read("alpha", lambda run: 50 if run.row.name == "0" else None)
    assert sentences == [PAPER, "6 of 7 rows are not run."]


def test_equal_rows_have_no_order(read):
    assert read("alpha", lambda run: 50)[1:] == [
        "The measured rows are all equal: there is no order to compare with the paper's."
    ]


def test_what_the_last_quarter_added(measure, tmp_path):
    measure("alpha", lambda run: 50)
    (group,) = comparable(read_records(tmp_path))
    assert still_rising(group) == [
        "Over the last 1 of 4 epochs validation top-1 changed by +10.0 points (0) to +10.0 (3/8)."
    ]
