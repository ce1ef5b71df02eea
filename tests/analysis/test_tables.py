import json
import re
from dataclasses import replace

import pytest

from stsm_cli.analysis.ablation import load_ablation
from stsm_cli.analysis.comparison import TEST_OF_SEEDS
from stsm_cli.analysis.cost import ShiftSite
from stsm_cli.analysis.counted import Counted
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.paper_cost import compare
from stsm_cli.analysis.printed_cost import paper_costs
from stsm_cli.analysis.records import read_records
from stsm_cli.analysis.summary import comparable, printed_lines, summarise
from stsm_cli.analysis.system_cost import shifted_cell
from stsm_cli.analysis.tables import cost_legend, cost_table, main_table, render
from stsm_cli.config.load import recipe_names
from stsm_cli.printable import markdown as as_markdown

MAIN = """\
| setting | paper: Kinetics-400 | measured: set of order | spread | seeds | in pair | \
multiply-adds |
| --- | --- | --- | --- | --- | --- | --- |
| TSN | 70.6 [17] | 25.0 | ± 1.4 (24.0 – 26.0) | 2 | 62.5 | 160.4 M |
| T | **74.1 [17], 74.43 MMAction2** | **75.0** | ± 1.4 (74.0 – 76.0) | 2 | 87.5 | 160.4 M |
| H | 72.25 | 24.0 | [16.7, 33.2] | 1 | 62.0 | 160.4 M |
| W | 72.56 | not run | – | – | – | – |
| H+W | 72.53 | not run | – | – | – | – |
| HW | 72.36 | not run | – | – | – | – |
"""
NETWORKS = """\
| model | backbone | #F | row here | paper: Something-Something V2 | measured: set of order | \
spread | seeds | in pair | multiply-adds |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| TSN from [33] | R-50 | 8 | TSN R-50 8f | 27.8 [33] | not run | – | – | – | – |
| TSM+TSN [17], TSM+TSN from [33] | R-50 | 8 | TSM R-50 8f | 59.1 [17], 57.8 [33] | **50.0** | \
[40.4, 59.6] | 1 | 75.0 | 160.4 M |
| STSM+TSN | R-50 | 8 | STSM R-50 8f | 61.3 | **50.0** | [40.4, 59.6] | 1 | 75.0 | 160.4 M |
"""
UNBUILT = ("k400/i3d_64f", "k400/r2plus1d_34_flow_32f", "sthv2/trn_bninception_8f")


@pytest.fixture
def unbuilt(monkeypatch):
    """Recipes without some that systems of Tables 4 and 5 need."""
    names = [name for name in recipe_names() if name not in UNBUILT]
    monkeypatch.setattr("stsm_cli.analysis.paper.recipe_names", lambda: names)
    paper_costs.cache_clear()
    yield
    paper_costs.cache_clear()


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
        groups = comparable(read_records(tmp_path))
        return render(sweep.ablation, paper, groups, [["a.svg"], []][: len(groups)])

    return do


def test_the_table_is_the_papers_beside_the_measured(measure, markdown):
    text = markdown(measure("spatial", some_rows, seeds=2))
    assert re.search(r"(^\|.*\n)+", text, re.MULTILINE).group() == MAIN
    assert "- 3 of 6 rows are not run." in text
    assert "## Cost of the paper's networks" in text
    assert "| T | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | 3,280 of 13,120 |" in text


def test_the_claim_stands_after_the_sentences(measure, markdown):
    means = {"T": 70}
    text = markdown(measure("spatial", lambda run: means.get(run.row.name, 20) + run.seed, seeds=3))
    assert (
        "\n\n**The paper's claim (row T is the best) holds here (set of order): of 5 pairs of "
        "rows, 5 clearly as claimed. "
        f"{TEST_OF_SEEDS}**\n\n- Data set: "
    ) in text


def test_a_row_stands_where_its_first_line_is_printed(measure, markdown):
    text = markdown(measure("backbones-sthv2", lambda run: None if "TSN" in run.row.name else 50))
    assert NETWORKS in text
    assert text.count("TSM+TSN [17], TSM+TSN from [33]") == 2  # at 8 and at 16 frames


def test_other_systems_are_not_run_yet_or_not_built(measure, markdown, unbuilt):
    text = markdown(measure("sota-k400", lambda run: 50))
    assert "| model | backbone | stream | pretrain | #F | row here | paper: Kinetics-400 |" in text
    assert (
        "| Two-Stream R(2+1)D [28] | (2+1)D R-50 | RGB+Flow | none | 16 | – | 73.9 [28] | not "
        "built | – | – | – | – |\n"
    ) in text
    assert "| TDN [30] | 2D R-50 | RGB | ImageNet | 8 | – | **76.6 [30]** | not run yet |" in text
    assert (
        "| STSM+TSN | 2D R-50 | RGB | ImageNet | 8 | STSM R-50 | 75.0 | **50.0** | [40.4, 59.6] |"
        in text
    )
    assert "of all 19 that the paper prints, best is TDN [30], 2D R-50, 8 frames (76.6)." in text


def test_a_system_that_is_measured_stands_in_its_row(measure, markdown):
    correct = {"TSN R-50": 40, "R(2+1)D": 50, "R(2+1)D RGB+flow": 60}
    sweep = measure("sota-k400", lambda run: correct.get(run.row.name), systems=True, seeds=2)
    text = markdown(sweep)
    assert (
        "| R(2+1)D [28] | (2+1)D R-50 | RGB | none | 16 | R(2+1)D | 72.0 [28] | 50.0 | "
        "± 0.0 (50.0 – 50.0) | 2 | 75.0 | 160.4 M |"
    ) in text
    assert (
        "| Two-Stream R(2+1)D [28] | (2+1)D R-50 | RGB+Flow | none | 16 | R(2+1)D RGB+flow | "
        "73.9 [28] | 60.0 | ± 0.0 (60.0 – 60.0) | 2 | 80.0 | 320.7 M |"
    ) in text
    assert "| Two-Stream I3D [1] | 3D BNInception | RGB+Flow | ImageNet | 64 | – |" in text
    assert "`r2plus1d_small`, RGB and flow together, 24 classes" in text
    assert (
        "Command: `stsm ablate sota-k400 --dataset scenes --systems --seeds 2 --row 'TSN R-50' "
        "--row 'R(2+1)D' --row 'R(2+1)D RGB+flow'`"
    ) in text


def test_a_system_that_is_blind_to_order_says_so_in_its_row(measure, markdown):
    sweep = measure(
        "sota-sthv2", lambda run: 50 if "BigNet 8f" in run.row.name else None, systems=True
    )
    text = markdown(sweep)
    assert "| SmallBigNet 8f, blind to order | 59.7 [15] | 50.0 |" in text
    assert (
        "“blind to order”: the network gives a video and its time reversal the same scores" in text
    )


def test_of_atfr_the_most_that_a_view_costs_is_told(measure, markdown):
    names = ("SlowFast", "SlowFast+ATFR")
    sweep = measure("sota-sthv2", lambda run: 50 if run.row.name in names else None, systems=True)
    cells = [line.split(" | ") for line in markdown(sweep).splitlines() if "| 4×16 |" in line]
    plain, most = (row[-1] for row in cells)
    assert not plain.startswith("at most ")
    assert most.startswith("at most ")


def test_claims_are_on_tsn_tsm_and_stsm_whatever_else_is_measured(measure, markdown):
    text = markdown(measure("sota-sthv2", lambda run: 50))
    beside = markdown(
        measure("sota-sthv2", lambda run: 50 if "STSM" in run.row.name else 60, systems=True)
    )
    claim = "Paper: STSM R-50 16f is best (63.5)"
    assert claim in text
    assert claim in beside
    assert "MG-TSM" in beside
    assert "MG-TSM 8f is" not in beside
    assert "uniform sampling (rows TSN" in beside
    assert "motion sampling (rows MG-TSM 8f, MG-TEA 8f, MG-TEA 16f)" in beside


def test_a_row_alone_in_its_network_is_no_best(measure, markdown):
    text = markdown(measure("sota-sthv2", lambda run: 50))
    assert (
        "| STSM+Mb_V2 | 2D Mb_V2 | RGB | ImageNet | 16 | STSM MobileNetV2 16f | 59.2 | 50.0 |"
        in text
    )


def test_the_best_of_each_network_is_bold(measure, markdown):
    text = markdown(measure("backbones-k400", lambda run: len(run.row.name)))
    assert "| STSM+TSN | R-50 | 8 | STSM R-50 | 75.0 | **9.0** |" in text
    assert "| STSM+TSN+NL | R-50 | 8 | STSM R-50+NL | **75.9** | **12.0** |" in text
    assert "| STSM+TSN | Mb_V2 | 8 | STSM MobileNetV2 | 69.9 | **16.0** |" in text
    assert text.count("** |") == 4
    assert "best measured in each network. " in text
    assert "Numbers in brackets: the paper's references." in text


@pytest.mark.parametrize("name", ["alpha", "sota-sthv2", "backbones-k400"])
def test_a_table_that_nobody_ran_is_written_too(name, unbuilt):
    ablation = load_ablation(name)
    paper = load_paper_table(ablation.table)
    text = render(ablation, paper, [], [])
    assert "\n## Not run\n" in text
    assert text.count("| not run | – | – | – | – |") == len(
        [row for row in ablation.rows if row.paper]
    )
    absent = [row for row in paper.rows if row.recipes and not row.is_built]
    others = [row for row in paper.rows if row.is_built and not row.network]
    assert text.count("| not built | – | – | – | – |") == len(absent)
    assert text.count("| not run yet | – | – | – | – |") == len(others)
    assert f"\n- Command: `stsm ablate {name}`\n" in text
    assert "set of order”" not in text


def test_the_same_records_give_the_same_bytes(measure, markdown, tmp_path):
    sweep = measure("alpha", lambda run: 70)
    paper = load_paper_table(1)
    backwards = comparable(read_records(tmp_path)[::-1])
    assert render(sweep.ablation, paper, backwards, [["a.svg"]]) == markdown(sweep)


def test_the_embedded_set_is_never_shown_as_kinetics(measure, markdown):
    text = markdown(measure("alpha", lambda run: 70))
    assert "They are not Kinetics-400 numbers" in text
    assert "measured: set of order" in text
    assert "measured: Kinetics-400" not in text


def test_both_budgets_have_a_section_the_longer_one_first(measure, markdown):
    measure("alpha", lambda run: 50)
    text = markdown(measure("alpha", lambda run: 70, full=True, seeds=2))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Set of order, full budget: 20 epochs, 2 seeds",
        "## Set of order, short budget: 10 epochs, 1 seed",
        "## Cost of the paper's networks",
    ]
    assert text.count("![a.svg](a.svg)") == 1


def test_notes_of_the_ablation_are_shown(measure, markdown):
    text = markdown(measure("spatiotemporal", lambda run: 70))
    assert "Note: The paper's own rows start from MMAction2's TSM checkpoint" in text


def test_without_reversed_classes_there_is_no_pair_accuracy(measure, tmp_path):
    measure("alpha", lambda run: 70)
    for path in tmp_path.glob("records/*/*/*.json"):
        path.write_text(path.read_text().replace('"pair_accuracy": 85.0', '"pair_accuracy": null'))
    (group,) = comparable(read_records(tmp_path))
    sweep = measure("alpha", lambda run: 70)
    paper = load_paper_table(1)
    _, cells = main_table(summarise(sweep.ablation, paper, group), paper, group)
    assert {row[5] for row in cells} == {"–"}


def by_factor(path, **counts):
    """Write pairs of 40 videos into the record at `path`: by factor, the right and the ordered."""
    content = json.loads(path.read_text())
    content["score"]["pairs"] = [
        {"classes": [name, f"{name}s"], "videos": 40, "correct": c, "ordered": o, "factor": name}
        for name, (c, o) in counts.items()
    ]
    ordered = sum(o for _, o in counts.values())
    path.write_text(json.dumps(content | {"score": content["score"] | {"pair_accuracy": ordered}}))


def test_a_set_of_several_factors_has_accuracy_by_each(measure, markdown, tmp_path):
    sweep = measure("alpha", lambda run: 70 if run.row.name == "3/8" else None, seeds=2)
    assert "By what tells" not in markdown(sweep)
    assert "class scores above its time reversal (chance: 50)" in markdown(sweep)
    first, second = sorted(tmp_path.glob("records/*/*/*.json"))
    by_factor(first, look=(30, 36), move=(20, 38))
    by_factor(second, look=(34, 40), move=(20, 36))
    assert (
        "and in brackets “in pair”:\n\n| setting | look | move |\n| --- | --- | --- |\n"
        "| 3/8 | 80.0 ± 7.1 (95.0) | 50.0 ± 0.0 (92.5) |\n\n![a.svg](a.svg)\n"
    ) in markdown(sweep)
    assert "class scores above the other class of its pair (chance: 50)" in markdown(sweep)
    by_factor(second, move=(20, 36))  # what not all runs tell is left out
    assert "By what tells" not in markdown(sweep)


def costs(name):
    ablation = load_ablation(name)
    paper = load_paper_table(ablation.table)
    lines = printed_lines(summarise(ablation, paper, None), paper)
    return as_markdown(*cost_table(ablation, paper, lines)).splitlines()


def test_printed_beside_counted():
    assert costs("spatial")[:5] == [
        "| row | FLOPs printed | a view of 224² | of 256² | #Para printed | parameters | "
        "channels shifted |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| TSN | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | none |",
        "| T | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | 3,280 of 13,120 |",
        "| H | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | 3,280 of 13,120 |",
    ]


def test_where_nothing_is_printed_nothing_stands_beside():
    assert costs("alpha")[:4] == [
        "| row | a view of 224² | of 256² | parameters | channels shifted |",
        "| --- | --- | --- | --- | --- |",
        "| 0 | 32.70 G | 42.71 G | 24.33 M | none |",
        "| 1/8 | 32.70 G | 42.71 G | 24.33 M | 1,640 of 13,120: T 548, H 544, W 548 |",
    ]


def test_what_other_systems_cost_is_counted(unbuilt):
    rows = costs("sota-sthv2")
    assert len(rows) == 2 + 24
    assert rows[2] == (
        "| MultiScale TRN [40], 3D BNInception, 8 | not built | – | – | 16×3×2 | – | – | – | 18.3M "
        "| – | – |"
    )
    assert (
        "| SlowFast from [3], 3D R-50, 4×16 | `slowfast_resnet50` | 64 | 1 × 1 of 256² | 132.8 | "
        "131.42 G of 256² | 100.62 G | 131.42 G | 34.4M | 34.05 M | none |"
    ) in rows
    assert (
        "| TDN [30], 2D R-50, 8 | `resnet50` with TDN | 8 × 5 | 1 × 1 of 224² | 36×3×2 | "
        "35.64 G of 224² | 35.64 G | 46.55 G | - | 24.38 M | none |"
    ) in rows
    assert (
        "| TSN R-50 16f | `resnet50` | 16 | 2 × 3 of 256² | 65×3×2 | 65.40 G of 224² | 65.40 G | "
        "85.42 G | 24.3M | 23.86 M | none |"
    ) in rows
    assert (
        "| TSM R-50+NL | `resnet50` with non-local blocks | 8 | 10 × 3 of 256² | - | "
        "61.10 G of 224² | 61.10 G | 84.59 G | - | 31.68 M | 3,280 of 13,120 |"
    ) in costs("sota-k400")


def test_parameters_that_only_training_uses_are_told_apart(monkeypatch):
    def compared(paper):
        return replace(compare(paper), training_params=19_704_208)

    monkeypatch.setattr("stsm_cli.analysis.system_cost.compare", compared)
    assert "| 24.92 M, 5.22 M in a test |" in "".join(costs("sota-k400"))


def test_rows_with_the_same_reasons_are_explained_together(unbuilt):
    ablation = load_ablation("sota-k400")
    paper = load_paper_table(4)
    text = render(ablation, paper, [], [])
    assert (
        "\n- TSN R-50, TSM R-50, STSM R-50: 33 G is a view of 224² pixels; the tests see 256² "
        "(paper 4.2), where a view costs 42.71 G.\n"
    ) in text
    assert "\n- SlowOnly [4], 3D R-50, 4: 27.3 G is a view of 256² pixels.\n" in text
    assert "\n- I3D" not in text
    assert text.endswith(".\n")


def test_the_shift_of_each_group():
    def site(shifted, **by_group):
        return ShiftSite("conv", 64, shifted, by_group)

    def cell(*sites):
        return shifted_cell(Counted(1, 1, 1, sites))

    assert cell() == "none"
    assert cell(site(16, T=16), site(16, T=16)) == "32 of 128"
    assert cell(site(24, T=8, H=8, W=8)) == "24 of 64, 8 a group"
    assert cell(site(8, T=3, H=2, W=3)) == "8 of 64: T 3, H 2, W 3"


def test_the_legend_names_the_classes_of_the_papers_data():
    assert "at 174 classes (Something-Something V2)" in cost_legend(load_paper_table(5))
    assert "at 400 classes (Kinetics-400)" in cost_legend(load_paper_table(4))
