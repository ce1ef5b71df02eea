from stsm_cli.analysis.ablation import load_ablation
from stsm_cli.analysis.cells import markdown
from stsm_cli.analysis.cost import ShiftSite
from stsm_cli.analysis.cost_table import cost_legend, cost_table, shifted_cell
from stsm_cli.analysis.counted import Counted
from stsm_cli.analysis.paper import load_paper_table
from stsm_cli.analysis.summary import printed_lines, summarise


def table(name):
    ablation = load_ablation(name)
    paper = load_paper_table(ablation.table)
    lines = printed_lines(summarise(ablation, paper, None), paper)
    return markdown(*cost_table(ablation, paper, lines))


def test_printed_beside_counted():
    assert table("spatial")[:5] == [
        "| row | FLOPs printed | a view of 224² | of 256² | #Para printed | parameters | "
        "channels shifted |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| TSN | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | none |",
        "| T | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | 3,280 of 13,120 |",
        "| H | 33G | 32.70 G | 42.71 G | 24.3M | 24.33 M | 3,280 of 13,120 |",
    ]


def test_where_nothing_is_printed_nothing_stands_beside():
    assert table("alpha")[:4] == [
        "| row | a view of 224² | of 256² | parameters | channels shifted |",
        "| --- | --- | --- | --- | --- |",
        "| 0 | 32.70 G | 42.71 G | 24.33 M | none |",
        "| 1/8 | 32.70 G | 42.71 G | 24.33 M | 1,640 of 13,120: T 548, H 544, W 548 |",
    ]


def test_other_systems_are_not_built():
    rows = table("sota-sthv2")
    assert len(rows) == 2 + 24
    assert rows[2] == (
        "| MultiScale TRN [40], 3D BNInception, 8 | 16×3×2 | not built | – | 18.3M | – | – |"
    )
    assert sum("not built" in row for row in rows) == 15
    assert "| TSN R-50 16f | 65×3×2 | 65.41 G | 85.43 G | 24.3M | 24.33 M | none |" in rows


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
