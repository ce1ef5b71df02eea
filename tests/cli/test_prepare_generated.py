import json
import re

import pytest

from stsm_cli.cli.app import run
from stsm_cli.config.generated_sets import SynthConfig
from stsm_cli.data.generated import GENERATED
from stsm_cli.data.rendered_set import RenderedSet

TINY = ["--train", "16", "--val", "16", "--short-side", "32", "--frames", "4", "--workers", "1"]


def prepare(*arguments):
    return run(["prepare", *arguments])


def test_it_fills_the_folder_and_says_so(tmp_path, capsys):
    assert prepare("synth", "set", *TINY) == 0
    text = capsys.readouterr().out
    assert "16" in text
    assert re.search(r"32 videos made in [\d.]+ s, [1-9]\d+ kB\n", text)
    assert len(list((tmp_path / "set").glob("*/*.mp4"))) == 32
    assert (tmp_path / "set" / "manifest" / "val.csv").is_file()


def test_ctrl_c_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(RenderedSet, "make", interrupted)
    assert prepare("synth", "set", *TINY) == 130
    assert capsys.readouterr().err.splitlines() == [
        "error: interrupted: what is made is kept",
        "hint: run the same command again to go on from there",
    ]


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
    assert "and with it `--set data.synth.train=" in capsys.readouterr().out
    assert prepare("synth", "set", *TINY, "--seed", "2") == 1
    error = capsys.readouterr().err
    assert "set/synth.json: the set was made with seed 0, not 2" in error
    assert "to train on this set: `--set data.synth.seed=0`" in error.replace("\n", " ")


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


@pytest.mark.parametrize("name", GENERATED)
def test_every_setting_is_an_option_with_its_default_and_a_line_that_says_what_it_is(name, capsys):
    assert prepare(name, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Make the " in text
    for key, field in GENERATED[name].settings.model_fields.items():
        assert f" --{key.removesuffix('_px').replace('_', '-')} " in text
        assert f"{field.description} [default: {field.default}]" in text
