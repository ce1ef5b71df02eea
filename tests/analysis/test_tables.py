from dataclasses import replace

import pytest

from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import comparable, summarise
from stsm_cli.analysis.tables import adds, main_table, mega, render

MAIN = """\
| setting | paper: Kinetics-400 | measured: embedded set | spread | seeds | in pair | \
multiply-adds | parameters |
| --- | --- | --- | --- | --- | --- | --- | --- |
| TSN | 70.6 [17] | 25.0 | ± 1.4 (24.0 – 26.0) | 2 | 62.5 | 160.4 M | 0.27 M |
| T | **74.1 [17], 74.43 MMAction2** | **75.0** | ± 1.4 (74.0 – 76.0) | 2 | 87.5 | \
160.4 M | 0.27 M |
| H | 72.25 | 24.0 | [14.5, 32.5] | 1 | 62.0 | 160.4 M | 0.27 M |
| W | 72.56 | not run | – | 0 | – | – | – |
| H+W | 72.53 | not run | – | 0 | – | – | – |
| HW | 72.36 | not run | – | 0 | – | – | – |
"""
NETWORKS = """\
| network | frames × pixels | multiply-adds a view | parameters |
| --- | --- | --- | --- |
| measured: resnet_small, 16 classes | 8 × SIZE² | 160.4 M | 0.27 M |
| the paper's, counted here | 8 × 224² | 32.70 G | 24.33 M |
| the paper's, as printed | 8 | 33G | 24.3M |
"""
CORRECT = {"TSN": 24, "T": 74, "H": 24}


def some_rows(run):
    if run.row.name == "H" and run.seed:
        return None
    correct = CORRECT.get(run.row.name)
    return correct and correct + 2 * run.seed


@pytest.fixture
def markdown(tmp_path):
    def do(sweep):
        paper = load_paper_table(sweep.ablation.table)
        return render(sweep.ablation, paper, comparable(read_records(tmp_path)), ["a.svg"])

    return do


def test_the_table_is_the_papers_beside_the_measured(measure, markdown):
    sweep = measure("spatial", some_rows, seeds=2)
    text = markdown(sweep)
    assert MAIN in text
    assert NETWORKS.replace("SIZE", f"{sweep.runs[0].recipe.test.crop_px}") in text
    assert "- 3 of 6 rows are not run." in text


def test_conditions_stand_below(measure, markdown):
    sweep = measure("spatial", some_rows, seeds=2)
    recipe = sweep.runs[0].recipe
    synth, optim = recipe.data.synth, recipe.optim
    text = markdown(sweep)
    assert (
        f"- Data set: embedded set, 100 test videos; train {synth.train}, val {synth.val}, "
        f"frames {synth.frames}, short_side_px {synth.short_side_px}, "
        f"difficulty {synth.difficulty}, seed 0\n"
        f"- Protocol: `{recipe.protocol}`, 8 frames a view, uniform sampling; videos that did not "
        "decode, counted as wrong: 1\n"
        "- Recipe: `synth/stsm`, short budget: 4 epochs, "
        f"{optim.optimizer}, lr {optim.lr:g}, batch {optim.batch_size}, "
        f"{recipe.precision} (hash {sweep.experiment})\n"
        "- Seeds: 0, 1; 5 runs, 0:04:49 of training and testing\n"
        "- Environment: stsm 0.1.0, commit abc1234, python 3.11.1, torch 2.6.0; Linux x86_64, cpu, "
        "AVX2; decoder decord\n"
        "- Command: `stsm ablate spatial --seeds 2` (finished runs are read from "
        f"`records/table2_spatial/synth-short-{sweep.experiment}/`)\n"
    ) in text


def test_rows_tested_under_another_protocol_are_named(measure, tmp_path):
    sweep = measure("spatial", some_rows, seeds=2)
    records = [
        replace(record, protocol="synth-1x3@48-score") if record.row == "TSN" else record
        for record in read_records(tmp_path)
    ]
    text = render(sweep.ablation, load_paper_table(2), comparable(records), ["a.svg"])
    common = sweep.runs[0].recipe.protocol
    assert f"Protocol: `{common}` (rows H, T); `synth-1x3@48-score` (rows TSN), 8 fr" in text


def test_the_same_records_give_the_same_bytes(measure, markdown, tmp_path):
    sweep = measure("alpha", lambda run: 70)
    paper = load_paper_table(1)
    backwards = comparable(read_records(tmp_path)[::-1])
    assert render(sweep.ablation, paper, backwards, ["a.svg"]) == markdown(sweep)


def test_the_embedded_set_is_never_shown_as_kinetics(measure, markdown):
    text = markdown(measure("alpha", lambda run: 70))
    assert "They are not Kinetics-400 numbers" in text
    assert "measured: embedded set" in text
    assert "measured: Kinetics-400" not in text


def test_both_budgets_have_a_section_the_longer_one_first(measure, markdown):
    measure("alpha", lambda run: 50)
    text = markdown(measure("alpha", lambda run: 70, full=True, seeds=2))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Embedded set, full budget: 4 epochs, 2 seeds",
        "## Embedded set, short budget: 4 epochs, 1 seed",
    ]
    assert text.count("![a.svg](a.svg)") == 1


def test_table_1_prints_no_cost_so_none_is_shown_as_printed(measure, markdown):
    text = markdown(measure("alpha", lambda run: 70))
    assert "as printed" not in text
    assert "the paper's, counted here" in text


def test_notes_of_the_ablation_are_shown(measure, markdown):
    text = markdown(measure("spatiotemporal", lambda run: 70))
    assert "Note: The paper's rows start from MMAction2's TSM checkpoint" in text


def test_without_reversed_classes_there_is_no_pair_accuracy(measure, tmp_path):
    measure("alpha", lambda run: 70)
    for path in tmp_path.glob("records/*/*/*.json"):
        path.write_text(path.read_text().replace('"pair_accuracy": 85.0', '"pair_accuracy": null'))
    (group,) = comparable(read_records(tmp_path))
    sweep = measure("alpha", lambda run: 70)
    paper = load_paper_table(1)
    _, cells = main_table(summarise(sweep.ablation, paper, group), paper, group)
    assert {row[5] for row in cells} == {"–"}


def test_units():
    assert [
        adds(n) for n in (18_345_678, 32_703_643_648, 2_245_189_632_000, 785_731_200 * 10**9)
    ] == [
        "18.3 M",
        "32.70 G",
        "2.25 T",
        "785.73 P",
    ]
    assert mega(24_327_632) == "24.33 M"
