from dataclasses import replace

import pytest

from stsm_cli.analysis.ablation import load_ablation
from stsm_cli.analysis.comparison import TEST_OF_SEEDS
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.publish import publish
from stsm_cli.analysis.reading import (
    against_longer,
    built,
    conclude,
    still_climbing,
    still_rising,
    verdicts,
)
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import Group, by_network, comparable, summarise


@pytest.fixture
def read(measure, tmp_path):
    def do(name, correct, **options):
        sweep = measure(name, correct, **options)
        (group,) = comparable(read_records(tmp_path))
        return verdicts(summarise(sweep.ablation, load_paper_table(sweep.ablation.table), group))

    return do


PAPER = "Paper: 3/8 is best (75.04), 0.23 points above 1/2 (74.81); the paper gives no spread."
MEANS = {"0": 20, "1/8": 30, "1/4": 40, "3/8": 50, "1/2": 60, "3/4": 70, "1": 80}


def test_clear_where_seeds_do_not_mix(read):
    # ranks differ by 0 2 2 3 1 3 5: ρ = 1 − 6·52 / (7·48)
    sentences = read("alpha", lambda run: MEANS[run.row.name] + run.seed, seeds=3)
    assert sentences == [
        PAPER,
        "Measured: 1 is best (81.0), 10.0 points above 3/4 (71.0); it is clearly above every other "
        "row.",
        "The paper's best row, 3/8, is number 4 of 7 as measured. Spearman's rank correlation with "
        "the paper's rows is +0.07 (+1: the same order); of all orders of 7 rows, 45 % agree at "
        "least as well.",
        "The pairs of the claim: 3/8 above 0 (p 3.3e-06), 3/8 above 1/8 (p 1.6e-05), 3/8 above 1/4 "
        "(p 0.00026), 1/2 above 3/8 (p 0.00026), 3/4 above 3/8 (p 1.6e-05), 1 above 3/8 (p "
        "3.3e-06).",
        "The paper's claim (row 3/8 is the best) does not hold here (set of order): of 6 pairs of "
        "rows, 3 clearly as claimed; 3 clearly against it. "
        f"{TEST_OF_SEEDS}",
    ]


def test_not_clear_where_seeds_scatter(read):
    scatter = {0: -5, 1: 0, 2: 5}  # t of 1 above 3/4: 10 / √(25/3 + 25/3) = 2.45, p 0.07
    best = read("alpha", lambda run: MEANS[run.row.name] + scatter[run.seed], seeds=3)[1]
    assert best.endswith("; it is not clearly above 3/4.")


def test_a_single_seed_is_never_clear(read):
    _, best, _, pairs, claim = read("alpha", lambda run: MEANS[run.row.name])
    assert pairs.startswith("The pairs of the claim: 3/8 above 0, 3/8 above 1/8, ")
    assert "clearly" not in best
    assert claim == (
        "The paper's claim (row 3/8 is the best) is undecided by these seeds here (set of order): "
        "of 6 pairs of rows, 3 as claimed by one seed; 3 against it by one seed. One seed does "
        "not tell how far another would move a row: `--seeds 3` adds two."
    )


@pytest.mark.parametrize(
    ("others", "best"),
    [
        (
            {"3/8": 85},
            "Measured: 1 is best (93.0), 8.0 points above 3/8 (85.0), by one seed; the 95 % "
            "interval of its test videos, [86.3, 96.6], overlaps those of 3/8, and lies above "
            "those of the others.",
        ),
        (
            {},
            "Measured: 1 is best (93.0), 33.0 points above 0 (60.0), by one seed; the 95 % "
            "interval of its test videos, [86.3, 96.6], lies above those of all other rows.",
        ),
        (
            dict.fromkeys(("0", "1/8", "1/4", "3/8", "1/2", "3/4"), 92),
            "Measured: 1 is best (93.0), 1.0 points above 0 (92.0), by one seed; the 95 % interval "
            "of its test videos, [86.3, 96.6], overlaps those of 0, 1/8, 1/4, 3/8, 1/2, 3/4.",
        ),
    ],
)
def test_by_one_seed_the_intervals_of_the_test_videos_are_compared(read, others, best):
    # by conftest 93 of 100 are in [86.3, 96.6], 85 in [75.5, 93.5], 60 in [50.5, 68.5]
    correct = {"1": 93} | others
    assert read("alpha", lambda run: correct.get(run.row.name, 60))[1] == best


def test_rows_of_a_single_seed_are_named_beside_others(read):
    claim = read(
        "alpha",
        lambda run: None if run.row.name == "0" and run.seed else MEANS[run.row.name] + run.seed,
        seeds=2,
    )[-1]
    assert "Welch's t-test" in claim
    assert claim.endswith(
        "One seed does not tell how far another would move a row: `--seeds 3` adds two."
    )


def test_ties_are_not_another_order(read):
    _, first, *_ = read(
        "backbones-k400", lambda run: 50 if run.row.name == "STSM R-50" else in_networks(run)
    )
    assert "TSM 50.0, STSM 50.0: the same order but for ties; STSM is 0.0 points above TSM" in first


def test_the_papers_order_is_recognised(read):
    papers = {"0": 1, "1/8": 3, "1/4": 4, "3/8": 6, "1/2": 5, "3/4": 2.5, "1": 2}
    order = read("alpha", lambda run: int(10 * papers[run.row.name]))[2]
    assert "3/8, is number 1 of 7" in order
    assert "is +1.00" in order
    assert order.endswith("of all orders of 7 rows, less than 1 % agree at least as well.")


def test_a_part_of_the_rows_has_no_order_of_the_papers(read):
    correct = {"0": 20, "1/4": 40, "1": 80}
    _, missing, best, claim = read("alpha", lambda run: correct.get(run.row.name))
    assert missing == "4 of 7 rows are not run."
    assert best.startswith("Measured: 1 is best (80.0), 40.0 points above 1/4")
    assert claim.endswith(
        "One seed does not tell how far another would move a row: `--seeds 3` adds two."
    )


@pytest.mark.parametrize(
    ("names", "listed"), [(("0", "1"), "0 and 1"), (("0", "1/4", "1"), "0, 1/4 and 1")]
)
def test_several_best_rows(read, names, listed):
    best = read("alpha", lambda run: 50 if run.row.name in names else 40)[1]
    assert best == f"Measured: {listed} are best together (50.0)."


def test_what_the_best_rows_are_not_clearly_above_is_said(read):
    means = {"3/8": 60, "1/2": 60, "1/4": 59}
    best = read("alpha", lambda run: means.get(run.row.name, 20) + run.seed, seeds=3)[1]
    assert best == (
        "Measured: 3/8 and 1/2 are best together (61.0); they are not clearly above 1/4."
    )


def test_clearly_best_is_corrected_for_rows_that_are_not_run_too(read):
    means = {"T": 50, "TSN": 47}  # p 0.02 by Welch's test, of five pairs
    told = read(
        "spatial", lambda run: (mean := means.get(run.row.name)) and mean + run.seed, seeds=3
    )
    assert told[2].endswith("it is not clearly above TSN.")


def test_rows_that_are_missing_are_counted(read):
    sentences = read("alpha", lambda run: 50 if run.row.name == "0" else None)
    assert sentences == [
        PAPER,
        "6 of 7 rows are not run.",
        "The paper's claim (row 3/8 is the best) is open: of 6 pairs of rows, none is run. One "
        "seed does not tell how far another would move a row: `--seeds 3` adds two.",
    ]


def test_equal_rows_have_no_order(read):
    assert read("alpha", lambda run: 50)[1] == (
        "The measured rows are all equal: there is no order to compare with the paper's."
    )


@pytest.mark.parametrize(
    ("best", "others", "verdict", "counts"),
    [
        (90, 50, "holds", "5 clearly as claimed"),
        (52, 50, "is undecided by these seeds", "5 as claimed, but not clearly"),
        (None, 50, "is open", "none is run"),
    ],
)
def test_the_claim_is_the_best_row(read, best, others, verdict, counts):
    def correct(run):
        mean = best if run.row.name == "T" else others
        return mean and mean + run.seed

    claim = read("spatial", correct, seeds=3)[-1]
    assert claim.startswith(f"The paper's claim (row T is the best) {verdict}")
    assert f"of 5 pairs of rows, {counts}." in claim


def test_a_claim_that_is_not_contradicted_is_open_until_all_rows_are_run(read):
    correct = {"T": 90, "H": 50}
    claim = read(
        "spatial",
        lambda run: correct[run.row.name] + run.seed if run.row.name in correct else None,
        seeds=3,
    )[-1]
    assert (
        "is open here (set of order): of 5 pairs of rows, 1 clearly as claimed; 4 not run." in claim
    )


SYSTEMS = {"TSN": 10, "TSM": 50, "STSM": 57}
NETWORKS = {"R-50": 0, "R-50+NL": 10, "MobileNetV2": -5}


def in_networks(run):
    system, network = run.row.name.split()
    return SYSTEMS[system] + NETWORKS[network] + run.seed


def test_within_each_network(read):
    sentences = read("backbones-k400", in_networks, seeds=3)
    assert sentences[1:4] == [
        "R-50: paper TSN 70.6 < TSM 74.1 < STSM 75.0; measured TSN 11.0, TSM 51.0, STSM 58.0: the "
        "same order; STSM is 7.0 points above TSM, clearly.",
        "R-50+NL: paper TSN 74.6 < TSM 75.7 < STSM 75.9; measured TSN 21.0, TSM 61.0, STSM 68.0: "
        "the same order; STSM is 7.0 points above TSM, clearly.",
        "MobileNetV2: paper TSN 66.5 < TSM 69.5 < STSM 69.9; measured TSN 6.0, TSM 46.0, STSM "
        "53.0: the same order; STSM is 7.0 points above TSM, clearly.",
    ]
    assert sentences[-1].startswith(
        "The paper's claim (TSN < TSM < STSM with the same network and frames) holds here "
        "(set of scenes): of 6 pairs of rows, 6 clearly as claimed. "
    )


def test_a_clear_gap_that_the_plan_asks_for_names_its_question(read):
    means = {"TSN": 40, "TSM": 70, "STSM": 80}
    sentences = read(
        "backbones-sthv2",
        lambda run: means[run.row.name.split()[0]] + run.seed % 3,
        seeds=9,
        full=True,
        dataset="order",
    )
    told = "STSM is 10.0 points above TSM, clearly"
    by_plan = f"{told} by this table's pairs (P2 of the plan: see the first page)."
    assert [told in s for s in sentences].count(True) == 3
    assert [s.startswith("R-50 8f: ") for s in sentences if s.endswith(by_plan)] == [True]


def test_another_order_within_a_network(read):
    def correct(run):
        return 45 if run.row.name == "STSM R-50" else in_networks(run) - run.seed

    _, first, _, third, *_, claim = read("backbones-k400", correct)
    assert first.endswith(
        "measured TSN 10.0, TSM 50.0, STSM 45.0: another order; STSM is 5.0 points below TSM, "
        "by one seed."
    )
    assert third.endswith("the same order; STSM is 7.0 points above TSM, by one seed.")
    assert "of 6 pairs of rows, 5 as claimed by one seed; 1 against it by one seed." in claim


def test_networks_that_stand_the_other_way_round_than_in_the_paper_are_told(read):
    means = {"STSM R-50 8f": 80, "STSM R-50 16f": 70, "TSM R-50 8f": 60, "TSM R-50 16f": 60}
    sentences = read("backbones-sthv2", lambda run: means.get(run.row.name))
    assert [sentence for sentence in sentences if "Between networks" in sentence] == [
        "Between networks, which no claim orders, neighbours in the paper's order of one method "
        "that stand the other way round here, 1 of 2: STSM R-50 16f is 10.0 points below STSM R-50 "
        "8f, by one seed."
    ]


def test_networks_in_the_paper_s_order_are_not_told(read):
    means = {"STSM R-50 8f": 70, "STSM R-50 16f": 80}
    sentences = read("backbones-sthv2", lambda run: means.get(run.row.name))
    assert not any("Between networks" in sentence for sentence in sentences)


def test_the_short_budget_is_held_against_what_the_longer_one_decides(measure, tmp_path):
    longer = {"0": 20, "1/8": 30, "1/4": 40, "3/8": 50, "1/2": 50}
    short = {"0": 20, "1/8": 45, "1/4": 40, "3/8": 50, "1/2": 60}
    sweep = measure("alpha", lambda run: short.get(run.row.name))

    def of_longer(run):
        mean = longer.get(run.row.name)
        return None if mean is None else mean + run.seed

    measure("alpha", of_longer, full=True, seeds=3)
    full, quick = comparable(read_records(tmp_path))
    rows, wanted = (
        summarise(sweep.ablation, load_paper_table(1), group) for group in (quick, full)
    )
    assert against_longer(rows, wanted) == [
        "Of the 9 pairs of these rows that the longer budget tells apart clearly (after Holm's "
        "correction for all pairs), 8 stand in its order here; 1/4 is above 1/8 there alone."
    ]
    assert against_longer(rows, [row for row in wanted if row.row.name in ("3/8", "1/2")]) == []


def test_a_gap_that_seeds_blur_is_not_clear(read):
    def correct(run):
        return in_networks(run) + (7 * run.seed if run.row.name == "STSM R-50" else run.seed)

    first = read("backbones-k400", correct, seeds=3)[1]
    assert first.endswith("points above TSM, not clearly.")


def test_the_best_of_several_baselines_is_the_papers(read):
    sentences = read("backbones-sthv2", lambda run: 50 if run.row.name == "TSN R-50 8f" else None)
    assert sentences[2:5] == [
        "R-50 8f: paper TSN 27.8 < TSM 59.1 < STSM 61.3; measured TSN 50.0, TSM not run, STSM not "
        "run.",
        "R-50 16f: paper TSN 30.0 < TSM 63.4 < STSM 63.5; not run.",
        "MobileNetV2 8f: paper TSM 54.9 < STSM 56.3; not run.",
    ]


def test_the_best_of_all_printed_rows():
    def sentences(name):
        ablation = load_ablation(name)
        paper = load_paper_table(ablation.table)
        return built(summarise(ablation, paper, None), paper)

    assert sentences("backbones-sthv2") == []
    assert sentences("sota-sthv2") == [
        "That is of the 9 rows that are TSN, TSM or STSM; of all 24 that the paper prints, best is "
        "ACTION-Net [33], 3D R-50, 16 frames and TDN [30], 2D R-50, 8 frames (64)."
    ]


def test_a_row_alone_in_its_network_has_no_order(read):
    sentences = read("sota-sthv2", lambda run: 50)
    assert sentences[4] == "MobileNetV2 16f: paper STSM 59.2; measured STSM 50.0."


@pytest.mark.parametrize("name", ["sota-k400", "sota-sthv2", "backbones-k400", "backbones-sthv2"])
def test_in_every_network_the_papers_order_is_the_one_claimed(name):
    ablation = load_ablation(name)
    rows = summarise(ablation, load_paper_table(ablation.table), None)
    for members in by_network(rows).values():
        systems = [row.row.name.split()[0] for row in sorted(members, key=lambda r: r.paper_top1)]
        assert systems == [s for s in ("TSN", "TSM", "STSM") if s in systems]
    assert conclude(rows).claim == "TSN < TSM < STSM with the same network and frames"
    assert conclude(rows).verdict == "is open"


def test_what_the_last_quarter_added(measure, tmp_path):
    measure("alpha", lambda run: 50)
    (group,) = comparable(read_records(tmp_path))
    assert still_rising(group) == [
        "Over the last 2 of 10 epochs validation top-1 changed by +2.0 points (0) to +2.0 (3/8)."
    ]


def test_other_systems_train_for_other_lengths(measure, tmp_path):
    """SlowFast's recipe has 22 epochs, TDN's 60, those of the table's own rows 50."""
    names = ("TSM R-50 8f", "STSM R-50 8f", "SlowFast", "TDN")
    measure(
        "sota-sthv2",
        lambda run: 50 if run.row.name in names else None,
        dataset="sthv2",
        systems=True,
    )
    (group,) = comparable(read_records(tmp_path))
    assert (group.epochs, group.extent) == (50, "50 epochs, 1 seed")
    assert still_rising(group) == [
        "Over the last quarter of its epochs validation top-1 changed by +5.0 points (SlowFast) to "
        "+15.0 (TDN).",
        "Taken off late, by points of validation top-1 gained over the second half of its epochs: "
        "TDN (+30.0), STSM R-50 8f (+25.0), TSM R-50 8f (+25.0), SlowFast (+11.0). Where these "
        "rows would end, and so their place in the order, this budget does not settle.",
    ]
    publish(tmp_path, "sota-sthv2")
    assert "; 22 epochs, sgd, lr " in (tmp_path / "table5_sota-sthv2.md").read_text()


def test_rows_that_took_off_late_are_named(measure, tmp_path):
    measure("alpha", lambda run: 50)
    (group,) = comparable(read_records(tmp_path))
    assert still_climbing(group) == []  # one point an epoch: 5.0 in the second half

    def steep(record):  # 2.2 points an epoch, or 2.4
        factor = 2.2 if record.row == "1/8" else 2.4
        rising = tuple(factor * value for value in record.curve.val_top1)
        return replace(record, curve=replace(record.curve, val_top1=rising))

    records = tuple(steep(r) if r.row in ("1/8", "1") else r for r in group.records)
    sentence = (
        "Taken off late, by points of validation top-1 gained over the second half of the 10 "
        "epochs: 1 (+12.0), 1/8 (+11.0). Where these rows would end, and so their place in the "
        "order, this budget does not settle."
    )
    assert still_climbing(Group(records)) == [sentence]
    assert still_rising(Group(records))[1:] == [sentence]
