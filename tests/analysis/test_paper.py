import pytest

from stsm_cli.analysis.paper import PaperRow, load_paper_table

# Transcribed once more from the paper: setting, #F, FLOPs, #Para, top-1.
TABLE_1 = {
    "0": "72.16",
    "1/8": "74.62",
    "1/4": "74.77",
    "3/8": "75.04",
    "1/2": "74.81",
    "3/4": "74.49",
    "1": "73.83",
}
TABLE_2 = """
TSN (R-50) from [17] | 8 | 33G | 24.3M | 70.6
T(TSM [17])          | 8 | 33G | 24.3M | 74.1
T(MMAction2)         | 8 | 33G | 24.3M | 74.43
H                    | 8 | 33G | 24.3M | 72.25
W                    | 8 | 33G | 24.3M | 72.56
H+W                  | 8 | 33G | 24.3M | 72.53
HW                   | 8 | 33G | 24.3M | 72.36
"""
TABLE_3 = """
TSN (R-50) from [17] | 8 | 33G | 24.3M | 70.6
T(TSM [17])          | 8 | 33G | 24.3M | 74.1
T(MMAction2)         | 8 | 33G | 24.3M | 74.43
T+H+W                | 8 | 33G | 24.3M | 75.04
T+HW                 | 8 | 33G | 24.3M | 74.68
T+H+W+HW             | 8 | 33G | 24.3M | 74.5
TH+TW+HW             | 8 | 33G | 24.3M | 74.95
T+H+W+TH+TW+HW       | 8 | 33G | 24.3M | 74.84
"""


def cells(row: PaperRow):
    return [row.setting, row.num_frames, row.flops, row.params, row.top1]


def test_table_1_is_the_papers():
    table = load_paper_table(1)
    assert {row.setting: row.top1 for row in table.rows} == TABLE_1
    assert {row.source for row in table.rows} == {"STSM"}
    assert table.caption == (
        "Parameter choices of α about Top-1 accuracy. Backbone: R-50. "
        "Dataset: the validation set of the Kinetics-400 dataset."
    )


@pytest.mark.parametrize(("number", "printed"), [(2, TABLE_2), (3, TABLE_3)])
def test_tables_2_and_3_are_the_papers(number, printed):
    table = load_paper_table(number)
    assert [cells(row) for row in table.rows] == [
        [cell.strip() for cell in line.split("|")] for line in printed.strip().splitlines()
    ]
    sources = [row.source for row in table.rows]
    assert sources == ["[17]", "[17]", "MMAction2"] + ["STSM"] * (len(sources) - 3)
    assert [row.cited for row in table.rows] == [True] * 3 + [False] * (len(sources) - 3)
    assert (table.table, table.dataset) == (number, "k400")


def test_a_row_is_found_by_its_printed_setting():
    assert load_paper_table(2).row("T(TSM [17])").top1 == "74.1"
    with pytest.raises(KeyError, match="THW"):
        load_paper_table(2).row("THW")
