import json
import shlex

import pytest

from stsm_cli.printable import (
    command_line,
    counted,
    csv_cell,
    either,
    harmless,
    markdown,
    one_line,
    size,
)

NASTY = "\x1b[2Ja\x07\r\n\tb\x9bc\u202ed\u2028e\udce9f é"


def test_what_a_terminal_would_obey_is_spelled_out_as_json_does():
    assert harmless(NASTY) == "\\u001b[2Ja\\u0007\\r\n\tb\\u009bc\\u202ed\\u2028e\\udce9f é"
    assert one_line(NASTY) == r"\u001b[2Ja\u0007\r\n\tb\u009bc\u202ed\u2028e\udce9f é"


def test_json_stays_what_it_says():
    assert json.loads(harmless(json.dumps([NASTY], ensure_ascii=False))) == [NASTY]


@pytest.mark.parametrize("text", ["", "a b", "été 跳 👍🏽", "a\\b", "±1.0 – α"])
def test_other_texts_stay(text):
    assert harmless(text) == one_line(text) == csv_cell(text) == text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff20"])
def test_what_a_spreadsheet_would_run_is_text(start):
    assert csv_cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize(("text", "cell"), [("\t=1", r"\t=1"), ("\r=1", r"\r=1"), ("a=b", "a=b")])
def test_a_cell_is_one_line(text, cell):
    assert csv_cell(text) == cell


def test_a_command_can_be_pasted():
    words = ["train", "my runs/recipe.yaml", "--init", "it's.pt", "--set", "optim.steps=[1, 2]", 3]
    assert shlex.split(command_line(*words)) == ["stsm", *map(str, words)]
    assert command_line("train", "RECIPE", "--out", "runs/a") == "stsm train RECIPE --out runs/a"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((0, "view"), "0 views"),
        ((1, "view"), "1 view"),
        ((1200, "part"), "1,200 parts"),
        ((1, "process", "processes"), "1 process"),
        ((2, "bias", "biases"), "2 biases"),
    ],
)
def test_what_is_counted_stands_in_the_plural_but_for_one(words, text):
    assert counted(*words) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 kB"), (1_499, "1 kB"), (999_000, "999 kB"), (1e6, "1 MB"), (1_234_567_890, "1,235 MB")],
)
def test_a_size_below_a_megabyte_is_in_kilobytes(num_bytes, text):
    assert size(num_bytes) == text


def test_one_of_some():
    assert [either(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a or b",
        "a, b or c",
    ]


def test_a_table_in_markdown():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
