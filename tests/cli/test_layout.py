import pytest

from stsm_cli.cli.layout import fold, table_lines
from stsm_cli.cli.output import Output

COLUMNS = ["recipe", "top-1", "from"]
ROWS = [
    ["synth/stsm", "93.1", "recipes/synth/stsm.yaml"],
    ["folder/stsm_r50_8f", "not run", "a folder of your own"],
]


def test_with_room_a_column_is_as_wide_as_its_widest_cell():
    assert (
        table_lines(COLUMNS, ROWS, None)
        == table_lines(COLUMNS, ROWS, 80)
        == [
            "recipe                top-1  from",
            "------------------  -------  -----------------------",
            "synth/stsm             93.1  recipes/synth/stsm.yaml",
            "folder/stsm_r50_8f  not run  a folder of your own",
        ]
    )


def test_a_narrow_table_is_folded_at_spaces_and_parts_of_paths():
    assert table_lines(COLUMNS, ROWS, 40) == [
        "recipe            top-1  from",
        "--------------  -------  ---------------",
        "synth/stsm         93.1  recipes/synth/",
        "                         stsm.yaml",
        "folder/         not run  a folder of",
        "stsm_r50_8f              your own",
    ]


def test_where_words_do_not_fit_side_by_side_a_row_is_a_block():
    assert table_lines(COLUMNS, ROWS, 22) == [
        "recipe  synth/stsm",
        "top-1   93.1",
        "from    recipes/synth/",
        "        stsm.yaml",
        "",
        "recipe  folder/",
        "        stsm_r50_8f",
        "top-1   not run",
        "from    a folder of",
        "        your own",
    ]


def test_letters_that_are_as_wide_as_two_leave_columns_straight():
    assert table_lines(["class", "%"], [["挥手", "50.0"], ["wave", "50.0"]], None) == [
        "class     %",
        "-----  ----",
        "挥手   50.0",
        "wave   50.0",
    ]
    assert fold("挥手 挥手", 8) == ["挥手", "挥手"]


def test_no_line_is_longer_than_the_room_but_for_long_words():
    for room in range(1, 90):
        for line in table_lines(COLUMNS, ROWS, room):
            assert len(line) <= max(room, len("recipe  stsm_r50_8f"))


@pytest.mark.parametrize("room", [1, 7, 20, 33, 60, 89])
def test_folding_loses_nothing(room):
    text = "start from it with `stsm train RECIPE --init a b.safetensors`: 12.5 G in recipes/k400/a"
    lines = fold(text, room)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert any("`stsm train RECIPE --init a b.safetensors`:" in line for line in lines)
    assert any("12.5 G" in line for line in lines)
    assert any("recipes/k400/a" in line for line in lines)


def test_what_fits_keeps_its_spaces():
    assert fold("1/8   model.shift.alpha=1/8", 40) == ["1/8   model.shift.alpha=1/8"]
    assert fold("", 40) == [""]


@pytest.mark.parametrize(("columns", "is_narrow"), [("60", True), ("80", False), ("x", False)])
def test_a_pipe_is_not_narrowed_unless_columns_asks_for_less_than_80(
    capsys, monkeypatch, columns, is_narrow
):
    monkeypatch.setenv("COLUMNS", columns)
    row = ["a word " * 10]
    Output().table("title " * 20, ["column"], [row], notes=["note " * 20])
    widest = max(map(len, capsys.readouterr().out.splitlines()))
    assert (widest <= 60) is is_narrow


def test_a_terminal_s_width_is_kept(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Output().table("title", ["column"], [["a word " * 30]])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
