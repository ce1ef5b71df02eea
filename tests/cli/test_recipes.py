import json
import re
from pathlib import Path

import pytest

from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe, recipe_names


def test_every_recipe_is_listed_below_its_data_set(capsys):
    assert run(["recipes"]) == 0
    text = capsys.readouterr().out
    for name in recipe_names():
        assert text.count(f"\n{name} ") == 1
    lines = text.splitlines()
    sthv2 = lines.index("Something-Something V2")
    assert lines.index("Kinetics-400") < sthv2
    (line,) = (line.split() for line in lines if line.startswith("sthv2/stsm_r50_16f "))
    assert " ".join(line[1:]) == "resnet50 16 T+H+W, α = 3/8 Paper Tables 5 and 7: top-1 63.5."
    (line,) = (line for line in lines if line.startswith("k400/tsn_r50_nl_8f "))
    assert "resnet50 + non-local 8 none Paper Table 6" in " ".join(line.split())
    (line,) = (line.split() for line in lines if line.startswith("sthv2/tdn_r50_8f "))
    assert line[1:5] == ["resnet50", "+", "tdn", "8"]


@pytest.mark.parametrize("words", [["show", "synth/tsm"], ["list"]])
def test_json_before_a_command_is_refused(capsys, words):
    assert run(["recipes", "--json", *words]) == 2
    captured = capsys.readouterr()
    assert f"error: --json: stands behind `{words[0]}`, not before it" in captured.err
    assert captured.out == ""


def test_each_title_is_two_whole_sentences_of_its_card(capsys):
    assert run(["recipes", "--json"]) == 0
    for recipe in json.loads(capsys.readouterr().out)["recipes"]:
        network, _, expected = recipe["title"].removesuffix(".").partition(". ")
        text = " ".join(load_recipe(recipe["name"]).card.split())
        assert text.startswith(f"{network}. {expected}. "), recipe["name"]
        assert re.search(r"\d.* (frames|fields)\b", network), recipe["name"]
        assert re.match(
            r"Paper Table|No table of the paper|MMAction2|Its authors' model zoo|TPN's MODELZOO.md"
            r"|(ImageNet|Kinetics) weights fine-tuned|The small network|The shift in time|No shift",
            expected,
        ), recipe["name"]
        assert len(expected) < 65
        assert recipe["name"] not in expected
        assert expected.count("(") == expected.count(")")


@pytest.mark.parametrize("command", [["recipes"], ["recipes", "list"]])
def test_the_list_as_json(capsys, command):
    assert run([*command, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["schema"] == "stsm.recipes/1"
    assert [recipe["name"] for recipe in listed["recipes"]] == recipe_names()
    (tsn,) = (r for r in listed["recipes"] if r["name"] == "sthv2/tsn_r50_8f")
    assert (tsn["shift"], tsn["protocol"]) == (None, "sthv2-2x3@256-score")
    assert tsn["title"].startswith("TSN, ResNet-50, 8 frames, Something-Something V2. Paper Table")


def test_show_prints_the_card_and_then_every_value_with_its_origin(capsys):
    command = ["recipes", "show", "k400/stsm_mobilenet_v2_8f", "--set", "optim.lr=0.1"]
    assert run(command) == 0
    card, _, table = capsys.readouterr().out.partition("\n\nRecipe ")
    assert card == load_recipe("k400/stsm_mobilenet_v2_8f").card
    assert card.startswith("STSM, MobileNetV2, 8 frames, Kinetics-400. Paper Tables 4 and 6")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line}
    assert rows["model.backbone"][0] == "mobilenet_v2"
    assert rows["model.backbone"][1].startswith("recipes/k400/stsm_mobilenet_v2_8f.yaml:")
    assert rows["optim.lr"] == ["0.1", "--set"]
    assert rows["model.non_local"] == ["false", "default"]

    assert run([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["schema"], shown["card"]) == ("stsm.recipe/1", card)
    assert (shown["recipe"]["optim"]["lr"], shown["origins"]["optim.lr"]) == (0.1, "--set")


def test_an_unknown_name_gets_a_suggestion(capsys):
    assert run(["recipes", "show", "k400/stsm_r50_9f"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: k400/stsm_r50_9f: no such recipe\n"
        "hint: did you mean `k400/stsm_r50_8f`? `stsm recipes` lists the shipped ones\n"
    )


@pytest.mark.parametrize("name", ["synth/tsm", "folder/stsm_r50_8f"])
def test_a_copy_is_the_same_recipe_until_it_is_edited(name):
    assert run(["recipes", "copy", name, "mine.yaml"]) == 0
    assert load_recipe("mine.yaml").recipe == load_recipe(name).recipe
    text = Path("mine.yaml").read_text()
    whole = text.partition("of its sections.\n")
    Path("mine.yaml").write_text(
        whole[0] + whole[1] + "".join(line[2:] + "\n" for line in whole[2].splitlines())
    )
    assert load_recipe("mine.yaml").recipe == load_recipe(name).recipe
    assert load_recipe("mine.yaml").origins["optim.lr"].startswith("mine.yaml:")
    Path("mine.yaml").write_text(text + "optim:\n  lr: 0.5\n")
    assert load_recipe("mine.yaml").recipe.optim.lr == 0.5


def test_a_copy_is_told_as_an_object(capsys):
    assert run(["recipes", "copy", "synth/tsm", "mine.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"schema": "stsm.copy/1", "name": "synth/tsm", "file": "mine.yaml"}


def test_a_copy_never_overwrites_and_is_of_a_shipped_recipe(capsys):
    Path("mine.yaml").write_text("extends: synth/tsm\n")
    assert run(["recipes", "copy", "synth/stsm", "mine.yaml"]) == 2
    assert "error: mine.yaml: cannot be written as a new file (File exists)" in (
        capsys.readouterr().err
    )
    assert Path("mine.yaml").read_text() == "extends: synth/tsm\n"
    assert run(["recipes", "copy", "mine.yaml", "other.yaml"]) == 2
    assert "error: mine.yaml: not a shipped recipe\nhint: `stsm recipes`" in capsys.readouterr().err
    assert not Path("other.yaml").exists()


def test_a_full_disk_leaves_no_part_of_a_copy(capsys, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert run(["recipes", "copy", "synth/stsm", "mine.yaml"]) == 2
    assert "(No space left on device)" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", [["recipes"], ["recipes", "show"], ["recipes", "copy"]])
def test_examples_in_help_stand_on_lines_of_their_own(capsys, command):
    assert run([*command, "-h"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[lines.index("Examples:") + 1].startswith("stsm recipes")
