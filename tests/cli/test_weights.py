import json
import re
from pathlib import Path

import pytest

from stsm_cli.cli.app import run
from stsm_cli.data.order import CLASSES
from stsm_cli.engine.bundled import bundled_names

DEMO = ["orbit_cw", "left_first", "strong_first", "speeding_up"]


def test_the_weights_that_come_along_are_listed_with_their_cards(capsys):
    assert run(["weights"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^order/stsm +16 +8 +T\+H\+W, α = 3/8 +0 +[\d.]+ +order-2x3@48-test +960$", out, re.M
    )
    assert "`stsm predict order/stsm --demo` tries one" in out
    assert run(["weights", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "stsm.weights/1"
    assert tuple(told["weights"]) == bundled_names()
    assert told["weights"]["order/stsm"]["accuracy"]["num_videos"] == 960


def test_they_are_tried_on_drawn_videos(capsys):
    views = ["--clips", "1", "--crops", "1", "--top", "1"]
    assert run(["predict", "order/stsm", "--demo", "--json", *views]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [video["video"] for video in told["videos"]] == [f"demo/order/{x}.mp4" for x in DEMO]
    assert {video["classes"][0]["class"] for video in told["videos"]} <= set(CLASSES)
    assert "predicting with order/stsm under order-1x1@48-test" in err
    alone = ["predict", "demo/order/left_first.mp4", "--run", "order/stsm", "--json", *views]
    assert run(alone) == 0
    assert json.loads(capsys.readouterr().out)["videos"] == told["videos"][1:2]


def test_they_are_exported_under_their_name(capsys):
    assert run(["export", "order/stsm", "-o", "again.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "% top-1 under order-2x3@48-test" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["order/stsm", "a.mp4", "--run", "runs/small"],
            "order/stsm: is a network, and r",
        ),
        (["order/stsm"], "no video is named"),
        (
            ["order/stsn", "--demo"],
            "order/stsn: no such run folder\nhint: did you mean `order/stsm`?",
        ),
        (["synth/tsn", "a.mp4"], "synth/tsn: is a recipe, not a run folder"),
    ],
)
def test_what_does_not_go_together_is_told(capsys, words, message):
    assert run(["predict", *words]) != 0
    assert f"error: {message}" in capsys.readouterr().err


def test_drawn_videos_are_of_a_drawn_set(capsys):
    words = ["--recipe", "folder/tsm_r50_8f", "--checkpoint", "a.safetensors", "--demo"]
    Path("a.safetensors").write_bytes(b"\x08" + b"\0" * 7 + b"{}      ")
    assert run(["predict", *words]) == 2
    says = "error: --demo: a.safetensors is not of a drawn data set"
    assert says in capsys.readouterr().err


def test_where_they_cannot_be_drawn_is_told(capsys):
    Path("demo").write_text("")
    assert run(["predict", "order/stsm", "--demo"]) == 1
    assert "error: demo/order/orbit_cw.mp4: cannot be written (" in capsys.readouterr().err
