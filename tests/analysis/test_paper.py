import re
from decimal import Decimal

import pytest

from stsm_cli.analysis.definition import read_definition
from stsm_cli.analysis.paper import TABLES, PaperRow, PaperTable, load_paper_table
from stsm_cli.errors import RecipeError

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
# Once more, column by column: top-1, GFLOPs, #Para, #F.
TABLE_4 = {
    "top1": "71.1 74.2 72.0 73.9 72.6 75.6 76.3 73.5 75.8 "
    "70.6 66.5 74.1 75.7 69.5 75.0 76.6 75.0 75.9 69.9",
    "flops": "108×N/A 216×N/A 152×115 304×115 27.3×3×10 36.1×3×10 57×3×10 - 20.8×3×10 "
    "33×3×10 2.55×3×10 33×3×10 - 2.55×3×10 35×3×10 36×3×10 33×3×10 - 2.55×3×10",
    "params": "12M 24M 63.6M 127.2M - 34.4M - - 34.4M 24.3M 2.33M 24.3M - 2.33M - - 24.3M - 2.33M",
    "num_frames": "64 64 16 16 4 4×16 8 8 4×16 8 8 8 8 8 8 8 8 8 8",
    "source": "[1] [1] [28] [28] [4] [4] [15] [36] [3] "
    "[17] [17] [17] [17] [17] [16] [30] STSM STSM STSM",
}
TABLE_5 = {
    "top1": "48.8 55.5 59.7 62.3 55.2 61.7 61.8 62.5 64 58.5 62.7 "
    "27.8 30 58.7 61.2 54.9 64.0 60.1 62.5 63.8 61.3 63.5 56.3 59.2",
    "flops": "16×3×2 32×3×2 52×3×2 105×3×2 - 132.8 87.8 34.75×3×2 - 2.57×3×2 37×3×2 "
    "33×3×2 65×3×2 33×3×2 65×3×2 2.55×3×2 36×3×2 - - - 33×3×2 65×3×2 2.55×3×2 5.1×3×2",
    "params": "18.3M 36.6M - - - 34.4M 34.4M 28.08M 28.08M 2.36M - "
    "24.3M 24.3M 24.3M 24.3M 2.33M - - - - 24.3M 24.3M 2.33M 2.33M",
    "num_frames": "8 8+8 8 16 8 4×16 4×16 8 16 8 8 8 16 8 16 8 8 8 8 16 8 16 8 16",
    "source": "[40] [40] [15] [15] [36] [3] [3] [33] [33] [33] [14] "
    "[33] [33] [33] [33] [33] [30] [38] [38] [38] STSM STSM STSM STSM",
}
TABLE_6 = {"top1": "70.6 74.1 75.0 74.6 75.7 75.9 66.5 69.5 69.9", "num_frames": "8 " * 9}
TABLE_7 = {
    "top1": "27.8 59.1 57.8 61.3 30.0 63.4 61.2 63.5 54.9 56.3",
    "num_frames": "8 8 8 8 16 16 16 16 8 8",
}
BACKBONES = {
    4: {"3D BNInception": 2, "(2+1)D R-50": 2, "3D R-50": 5, "2D R-50": 7, "2D Mb_V2": 3},
    5: {"3D BNInception": 2, "3D R-50": 8, "3D Mb_V2": 1, "2D R-50": 10, "2D Mb_V2": 3},
    6: {"R-50": 6, "Mb_V2": 3},
    7: {"R-50": 8, "Mb_V2": 2},
}


def cells(row: PaperRow):
    return [row.setting, row.num_frames, row.flops, row.params, row.top1]


def column(number, name):
    return [getattr(row, name) for row in load_paper_table(number).rows]


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


@pytest.mark.parametrize(
    ("number", "columns"), [(4, TABLE_4), (5, TABLE_5), (6, TABLE_6), (7, TABLE_7)]
)
def test_tables_4_to_7_are_the_papers(number, columns):
    for name, printed in columns.items():
        assert column(number, name) == printed.split()
    backbones = column(number, "backbone")
    assert {name: backbones.count(name) for name in backbones} == BACKBONES[number]
    assert (load_paper_table(number).table, load_paper_table(number).dataset) == (
        number,
        "k400" if number in (4, 6) else "sthv2",
    )


def test_rows_and_sums():
    rows = [len(load_paper_table(number).rows) for number in TABLES]
    assert rows == [7, 7, 8, 19, 24, 9, 10]
    sums = [sum(row.percent for row in load_paper_table(number).rows) for number in TABLES]
    expected = "519.72 508.83 593.14 1393.8 1376.0 651.8 535.3"
    assert sums == [Decimal(total) for total in expected.split()]


def test_streams_and_pretraining():
    two_streams = ["Two-Stream I3D [1]", "Two-Stream R(2+1)D [28]", "Two-Stream TRN [40]"]
    rows = [row for number in (4, 5) for row in load_paper_table(number).rows]
    assert [row.setting for row in rows if row.stream == "RGB+Flow"] == two_streams
    assert {row.stream for row in rows} == {"RGB", "RGB+Flow"}
    others = {(row.setting, row.pretrain) for row in rows if row.pretrain != "ImageNet"}
    assert others == {
        ("R(2+1)D [28]", "none"),
        ("Two-Stream R(2+1)D [28]", "none"),
        *((name, "Kinetics-400") for name in ("SlowFast from [3]", "SlowFast+ATFR [3]")),
        *((name, "Kinetics-400") for name in ("TSN from [33]", "TSM from [33]")),
    }


@pytest.mark.parametrize("number", TABLES)
def test_a_row_cites_what_its_first_column_names(number):
    for row in load_paper_table(number).rows:
        named = re.findall(r"\[\d+\]|MMAction2", row.setting)
        assert named == ([row.source] if row.cited else [])


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_networks_of_this_suite_are_tsn_tsm_and_stsm(number):
    for row in load_paper_table(number).rows:
        ours = row.setting.startswith(("TSN", "TSM", "STSM")) and "TPN" not in row.setting
        assert (row.network is not None) == ours
        if ours:
            assert ("Mb_V2" in (row.backbone or "")) == (row.network == "mbv2")
            assert ("NL" in row.setting) == (row.network == "r50-nl")


def test_every_row_of_tables_1_to_3_is_resnet50():
    assert {name for number in (1, 2, 3) for name in column(number, "network")} == {"r50"}


def test_a_row_is_found_by_its_label():
    assert load_paper_table(2).row("T(TSM [17])").top1 == "74.1"
    assert load_paper_table(5).row("STSM+TSN, 2D R-50, 16").percent == Decimal("63.5")
    with pytest.raises(KeyError, match="THW"):
        load_paper_table(2).row("THW")


def test_two_rows_of_one_label(tmp_path):
    row = '  - {setting: H, top1: "1.0", source: STSM}\n'
    path = tmp_path / "table8.yaml"
    path.write_text(f"table: 8\ncaption: none\ndataset: k400\nrows:\n{row}{row}")
    with pytest.raises(RecipeError, match="two rows are H"):
        read_definition(path, PaperTable)


@pytest.mark.parametrize("number", [4, 5])
def test_every_row_of_several_systems_names_its_recipes(number):
    table = load_paper_table(number)
    networks = {"r50": "r50", "r50-nl": "r50_nl", "mbv2": "mobilenet_v2"}
    for row in table.rows:
        assert len(row.recipes) == (2 if row.stream == "RGB+Flow" else 1)
        assert {name.partition("/")[0] for name in row.recipes} == {table.dataset}
        if row.network:
            method = re.match("STSM|TSM|TSN", row.setting)[0].lower()
            name = f"{table.dataset}/{method}_{networks[row.network]}_{row.num_frames}f"
            assert row.recipes == (name,)
            assert row.is_built


def test_a_row_is_built_once_all_of_its_recipes_exist():
    row = load_paper_table(4).rows[0]
    for names, is_built in (
        ((), False),
        (("k400/tea_r50_8f",), True),
        (("k400/tea_r50_8f", "k400/nothing"), False),
    ):
        assert row.model_copy(update={"recipes": names}).is_built == is_built


@pytest.mark.parametrize("number", [4, 5])
def test_a_reason_names_its_source_and_no_cost_that_could_be_counted(number):
    for row in load_paper_table(number).rows:
        for reason in row.reasons:
            assert reason.source
            assert not re.search(r"\d\.\d+ (G|M)", reason.text)
            assert reason.text.format(macs="1 G", params="1 M")
