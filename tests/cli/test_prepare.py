import json

import pytest

from stsm_cli.cli.app import run
from stsm_cli.config.schema import SynthConfig

TINY = ["--train", "16", "--val", "16", "--short-side", "32", "--frames", "4", "--workers", "1"]


def prepare(*arguments):
    return run(["prepare", *arguments])


def test_it_fills_the_folder_and_says_so(tmp_path, capsys):
    assert prepare("synth", "set", *TINY) == 0
    text = capsys.readouterr().out
    assert "16" in text
    assert "32 videos made" in text
    assert len(list((tmp_path / "set").glob("*/*.mp4"))) == 32
    assert (tmp_path / "set" / "manifest" / "val.csv").is_file()


def test_json_holds_the_configuration(capsys):
    options = ["--difficulty", "0.9", "--seed", "5", "--json"]
    assert prepare("synth", "set", *TINY, *options) == 0
    report = json.loads(capsys.readouterr().out)
    wanted = SynthConfig(train=16, val=16, short_side_px=32, frames=4, difficulty=0.9, seed=5)
    assert report["config"] == wanted.model_dump()
    assert (report["root"], report["made"]) == ("set", 32)


def test_preview_draws_the_set_that_is_made(tmp_path, capsys):
    assert prepare("synth", "set", *TINY, "--preview", "sheet.png") == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "set" / "manifest" / "train.csv").is_file()
    assert "contact sheet sheet.png" in capsys.readouterr().err


def test_another_configuration_fails(capsys):
    assert prepare("synth", "set", *TINY) == 0
    assert prepare("synth", "set", *TINY, "--seed", "2") == 1
    assert "set/synth.json: the set was made with seed 0, not 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--train", 0), ("--val", -1), ("--short-side", 0), ("--frames", 0), ("--seed", -1)],
)
def test_a_number_out_of_range_is_named(capsys, option, value):
    assert prepare("synth", "set", f"{option}={value}") == 2
    assert f"error: {option}: must be greater than" in capsys.readouterr().err


def test_all_wrong_options_are_named_at_once(tmp_path, capsys):
    assert prepare("synth", "set", "--difficulty", "1.5", "--val", "0") == 2
    text = capsys.readouterr().err
    assert "error: --difficulty: must be less than or equal to 1, got 1.5" in text
    assert "error: --val: must be greater than 0, got 0" in text
    assert not (tmp_path / "set").exists()


def test_an_unknown_data_set_is_named(capsys):
    assert prepare("k400", "set") == 2
    assert "DATASET: this version prepares synth only, got 'k400'" in capsys.readouterr().err


def test_the_examples_in_the_help_are_options_that_exist(capsys):
    assert prepare("--help") == 0
    lines = (line.strip() for line in capsys.readouterr().out.splitlines())
    examples = [line.split()[1:] for line in lines if line.startswith("stsm prepare")]
    assert len(examples) == 2
    for example in examples:
        assert run([*example, "--train", "0"]) == 2
        assert "--train: must be greater than 0" in capsys.readouterr().err
