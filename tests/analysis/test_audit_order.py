import pytest

from stsm_cli.analysis.ablation import load_ablation
from stsm_cli.analysis.audit_order import measured_order, order_claims, printed_order

RISES, FALLS = 0, 1  # of the claims, both about α


def test_claims_name_rows_that_exist():
    for claim in order_claims():
        names = {row.name for row in load_ablation(claim.ablation).rows}
        assert {name for pair in claim.pairs for name in pair} <= names


def test_an_order_is_a_chain_or_several():
    rises, _, over_tsn, *_ = order_claims()
    assert rises.pairs == [("3/8", "1/4"), ("1/4", "1/8"), ("1/8", "0")]
    assert over_tsn.pairs == [("H", "TSN"), ("W", "TSN"), ("H+W", "TSN"), ("HW", "TSN")]
    assert sum(len(claim.pairs) for claim in order_claims()) == 35


def test_printed_order_of_every_claim():
    kinds = [finding.kind for finding in printed_order()]
    assert kinds == ["holds"] * 4 + ["inexact"] + ["holds"] * 2


@pytest.mark.parametrize(
    ("means", "computed", "verdict"),
    [
        ((10, 30, 50, 70), "true of 3 of 3 pairs, clearly in 3", "holds: clearly"),
        ((10, 30, 50, 51), "true of 3 of 3 pairs, clearly in 2", "undecided: the order is"),
        ((10, 30, 50, 49), "true of 2 of 3 pairs, clearly in 2", "undecided: the order d"),
        ((10, 30, 50, 20), "other way in 1", "does not hold: here"),
    ],
)
def test_a_measured_order(measure, tmp_path, means, computed, verdict):
    at = dict(zip(("0", "1/8", "1/4", "3/8"), means, strict=True))
    measure("alpha", lambda run: at.get(run.row.name, 5) + 4 * run.seed, seeds=3)  # sd 4
    finding = measured_order(tmp_path)[RISES]
    assert finding.computed.startswith("set of order, 10 epochs, 3 seeds: ")
    assert computed in finding.computed
    assert f"{finding.kind}: {finding.because}".startswith(verdict)
    assert finding.where == "[table1_alpha.md](table1_alpha.md)"


def test_only_rows_that_were_run_are_compared(measure, tmp_path):
    measure("alpha", lambda run: 50 if run.row.name in ("3/8", "1/2") else None)
    rises, falls = measured_order(tmp_path)[: FALLS + 1]
    assert (rises.kind, rises.because) == ("open", "nobody has measured it")
    assert "true of 0 of 1 pairs" in falls.computed


def test_each_set_has_a_finding_of_its_own(measure, tmp_path):
    for dataset in ("order", "scenes"):
        measure("spatial", lambda run: 50, dataset=dataset)
        measure("spatial", lambda run: 60, dataset=dataset, full=True)
    found = [one for one in measured_order(tmp_path) if one.where.startswith("[table2")]
    assert [one.computed.split(":")[0] for one in found] == [
        "set of scenes, 32 epochs, 1 seed",
        "set of order, 20 epochs, 1 seed",
    ] * 3


def test_networks_are_compared_with_themselves(measure, tmp_path):
    top1 = {"TSN": 30, "TSM": 60, "STSM": 70}
    measure(
        "backbones-k400",
        lambda run: top1[run.row.name.split()[0]] + 20 * ("NL" in run.row.name) + run.seed,
        seeds=3,
    )
    over_tsn, over_tsm, frames = measured_order(tmp_path)[-3:]
    assert "true of 3 of 3 pairs, clearly in 3" in over_tsn.computed
    assert over_tsm.where == "[table6_backbones-k400.md](table6_backbones-k400.md)"
    assert over_tsm.kind == "holds"
    assert frames.computed == "not run"


def test_runs_with_overrides_do_not_count(measure, tmp_path):
    measure("alpha", lambda run: 50, overrides=["optim.lr=1"])
    assert {finding.computed for finding in measured_order(tmp_path)} == {"not run"}
