from dataclasses import replace
from fractions import Fraction
from typing import get_args

import pytest

from stsm_cli.analysis.ablation import ablation_names, load_ablation, plan_sweep
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import is_of, read_records
from stsm_cli.analysis.summary import (
    LABELS,
    by_network,
    comparable,
    method_of,
    pair_group,
    printed_lines,
    summarise,
)
from stsm_cli.analysis.tables import render
from stsm_cli.config.schema import DatasetName, ShiftConfig


def groups(tmp_path):
    return comparable(read_records(tmp_path))


def test_real_data_comes_first_then_the_longer_budget(measure, tmp_path):
    measure("alpha", lambda run: 70, overrides=["optim.lr=1"])
    measure("alpha", lambda run: 70)
    measure("alpha", lambda run: 70, full=True)
    order = [(group.first.dataset, group.first.budget) for group in groups(tmp_path)]
    assert order == [("order", "full"), ("order", "short"), ("order", "custom")]


def test_runs_of_different_recipes_are_never_in_one_group(measure, tmp_path):
    measure("alpha", lambda run: 70, overrides=["optim.lr=1"])
    measure("alpha", lambda run: 80, overrides=["optim.lr=2"], seeds=2)
    assert [len(group.records) for group in groups(tmp_path)] == [14, 7]
    assert {record.score.top1 for record in groups(tmp_path)[1].records} == {70.0}


@pytest.mark.parametrize("origin", [{"data_id": "order/0"}, {"numerics": 7}])
def test_runs_on_other_videos_or_of_other_code_are_never_in_one_group(measure, tmp_path, origin):
    sweep = measure("alpha", lambda run: 70)
    old, *new = read_records(tmp_path)
    old = replace(old, environment=old.environment | origin)
    groups = comparable([old, *new])
    assert [len(group.records) for group in groups] == [6, 1]
    known = {"data_id": "order/2", "numerics": 1} | origin
    apart = f", of `{known['data_id']}` and numerics {known['numerics']}"
    assert [group.apart for group in groups] == ["", apart]
    texts = render(sweep.ablation, load_paper_table(1), groups, [[], []])
    assert f"## Set of order, short budget{apart}: 10 epochs, 1 seed\n" in texts
    assert is_of(new[0], replace(sweep, data_id="order/2"))
    assert not is_of(old, replace(sweep, data_id="order/2"))
    assert not is_of(new[0], plan_sweep("alpha", full=True))


def test_runs_of_today_come_before_longer_and_more_ones_of_before(measure, tmp_path):
    measure("alpha", lambda run: 70, full=True, seeds=2)
    old = [
        replace(run, environment=run.environment | {"data_id": "order/1"})
        for run in read_records(tmp_path)
    ]
    measure("alpha", lambda run: 70 if run.row.name == "0" else None)
    new = [run for run in read_records(tmp_path) if run.budget == "short"]
    assert [len(group.records) for group in comparable([*old, *new])] == [1, len(old)]


def test_runs_on_other_devices_are_never_in_one_group(measure, tmp_path):
    sweep = measure("alpha", lambda run: 70)
    old, older, *new = read_records(tmp_path)
    cards = ("NVIDIA A100-SXM4-80GB", "NVIDIA H200")
    on_gpu = [
        replace(run, environment=run.environment | {"device": card})
        for card, run in zip(cards, (old, older), strict=True)
    ]
    found = comparable([*on_gpu, *new])
    assert [len(group.records) for group in found] == [5, 2]
    text = render(sweep.ablation, load_paper_table(1), found, [[], []])
    assert "## Set of order, short budget: 10 epochs, 1 seed\n" in text
    assert "## Set of order, short budget on GPUs: 10 epochs, 1 seed\n" in text


def test_rows_hold_their_seeds_in_order(measure, tmp_path):
    sweep = measure("spatial", lambda run: 60 + run.seed, seeds=3)
    (group,) = groups(tmp_path)
    assert (group.seeds, group.extent) == ([0, 1, 2], "10 epochs, 3 seeds")
    row = summarise(sweep.ablation, load_paper_table(2), group)[3]
    assert (row.row.name, row.top1.values) == ("W", (60.0, 61.0, 62.0))
    assert row.pair_accuracy.mean == 80.5
    assert row.paper_top1 == 72.56


def test_the_extent_names_the_seeds_of_all_rows(measure, tmp_path):
    measure("spatial", lambda run: 60 if run.row.name == "W" or run.seed == 0 else None, seeds=3)
    (group,) = groups(tmp_path)
    assert group.extent == "10 epochs, 1 or 3 seeds"


def test_the_last_of_several_baselines_counts():
    rows = summarise(load_ablation("spatial"), load_paper_table(2), None)
    assert [line.top1 for line in rows[1].paper] == ["74.1", "74.43"]
    assert rows[1].paper_top1 == 74.43


def test_without_records_nothing_is_measured():
    rows = summarise(load_ablation("alpha"), load_paper_table(1), None)
    assert [row.row.name for row in rows] == ["0", "1/8", "1/4", "3/8", "1/2", "3/4", "1"]
    assert all(row.top1 is None and row.pair_accuracy is None for row in rows)


def test_every_data_set_has_a_label():
    assert set(LABELS) == set(get_args(DatasetName))


def test_records_of_own_videos_have_a_place_too(measure, tmp_path):
    measure("alpha", lambda run: 70)
    records = read_records(tmp_path)
    mixed = [*records, replace(records[0], dataset="folder")]
    assert [group.first.dataset for group in comparable(mixed)] == ["folder", "order"]


@pytest.mark.parametrize("name", ablation_names())
def test_every_printed_line_stands_once_in_the_papers_order(name):
    ablation = load_ablation(name)
    paper = load_paper_table(ablation.table)
    rows = summarise(ablation, paper, None)
    lines = printed_lines(rows, paper)
    firsts = [line.printed[0].label for line in lines]
    assert firsts == [row.label for row in paper.rows if row.label in firsts]
    assert sorted(p.label for line in lines for p in line.printed) == sorted(
        row.label for row in paper.rows
    )
    assert sorted(line.row.row.name for line in lines if line.row) == sorted(
        row.name for row in ablation.rows if row.paper
    )
    assert all(line.printed[0].network is None for line in lines if line.row is None)


@pytest.mark.parametrize("name", ablation_names())
def test_a_name_tells_the_network_where_there_are_several(name):
    ablation = load_ablation(name)
    rows = summarise(ablation, load_paper_table(ablation.table), None)
    printed = {}
    for row in rows:
        printed.setdefault((row.paper[0].network, row.paper[0].num_frames), []).append(row)
    wanted = list(printed.values()) if len(printed) > 1 else []
    assert list(by_network(rows).values()) == wanted


def test_runs_of_the_three_methods_are_taken_from_all_tables_once(measure, records):
    measure("spatial", lambda run: 50)
    measure("alpha", lambda run: 50, seeds=2)
    measure("backbones-sthv2", lambda run: 50)
    group = pair_group(records(), "order")
    runs = [(run.recipe.model.shift, run.seed) for run in group.records]
    tsm = ShiftConfig(dims="T", alpha=Fraction(1, 4))
    stsm = ShiftConfig(dims="T+H+W", alpha=Fraction(3, 8))
    assert len(runs) == 3  # seed 1 has no run of TSM
    assert all(run in runs for run in [(None, 0), (tsm, 0), (stsm, 0)])
    assert all(run.recipe.model.num_frames == 8 for run in group.records)


def test_a_run_of_older_videos_does_not_stand_for_one_of_today_s(measure, records):
    measure("spatial", lambda run: 50)
    measure("spatiotemporal", lambda run: 50)
    old = {"data_id": "order/1"}
    kept = ("table2_spatial", "T")
    runs = [
        replace(run, environment=run.environment | old) if (run.table, run.row) == kept else run
        for run in records()
    ]
    assert sum(run.identity.data == "order/1" for run in runs) == 1
    group = pair_group(runs, "order")
    assert {method_of(run) for run in group.records} == {"TSN", "TSM", "STSM"}
    assert {run.identity.data for run in group.records} == {"order/2"}


def test_other_networks_do_not_count(measure, records):
    measure("backbones-sthv2", lambda run: None if "R-50 8f" in run.row.name else 50)
    assert pair_group(records(), "order") is None


def test_runs_without_counts_and_overridden_runs_do_not_count(measure, records, tmp_path):
    measure("spatial", lambda run: 50)
    assert pair_group(read_records(tmp_path), "order") is None
    custom = [replace(record, budget="custom") for record in records()]
    assert pair_group(custom, "order") is None


def test_the_longest_budget_is_shown(measure, records):
    measure("spatial", lambda run: 50, seeds=2)
    measure("spatial", lambda run: 50, full=True)
    group = pair_group(records(), "order")
    assert group.first.budget == "full"
    assert len(group.records) == 2  # TSN and T
