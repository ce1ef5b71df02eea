import pytest

from stsm_cli.analysis.ablation import Ablation
from stsm_cli.analysis.definition import read_definition
from stsm_cli.errors import RecipeError

GOOD = """\
table: 1
title: A table
base: {synth: synth/stsm}
full: {}
rows:
  - {name: a, set: [seed=1]}
  - {name: b, set: [seed=2]}
"""


def read(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return read_definition(path, Ablation)


def test_a_good_file_is_read(tmp_path):
    assert [row.overrides for row in read(tmp_path, GOOD).rows] == [("seed=1",), ("seed=2",)]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("table: 1", "table: one", r"own\.yaml:1: table: Input should be a valid integer.*\"one\""),
        ("[seed=2]", "seed=2", r"own\.yaml:7: rows\.1\.set: .*\"seed=2\""),
        ("name: b", "nam: b", r"own\.yaml:7: rows\.1\.name: Field required"),
        ("title: A table", "titel: A table", r"own\.yaml:2: titel: Extra inputs.*\"A table\""),
        ("{synth:", "{sinth:", r"own\.yaml:3: base\.sinth\..*\"sinth\""),
        ("name: b", "name: a", r"two rows share the name a"),
        ("full: {}", "table: 2\nfull: {}", r"own\.yaml:4: table: duplicate key"),
    ],
)
def test_a_problem_is_told_with_file_line_key_and_value(tmp_path, old, new, problem):
    with pytest.raises(RecipeError, match=problem):
        read(tmp_path, GOOD.replace(old, new))


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, GOOD.replace("table: 1", "table: 0").replace("A table", "7"))
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["1", "2"]
