"""`stsm train` and `stsm eval`, the whole chain on a tiny embedded set."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stsm_cli.cli.app import run
from stsm_cli.cli.train import print_result
from stsm_cli.stored import Pair, Result


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """A folder with a prepared set (`data/synth`) and a finished run (`runs/synth-stsm-001`)."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", *tiny, "-q"]) == 0
    return folder


@pytest.fixture
def here(trained, tmp_path):
    """The current folder, with the set and a copy of the run."""
    shutil.copytree(trained / "runs", "runs")
    Path("data").mkdir()
    Path("data/synth").symlink_to(trained / "data" / "synth")
    return tmp_path


def last_error(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]


def test_train_without_a_recipe_makes_the_set_trains_and_tests(trained):
    folder = trained / "runs" / "synth-stsm-001"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "recipe.yaml",
        "classes.txt",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "result.json",
        "result.npz",
    }
    result = json.loads((folder / "result.json").read_text())
    assert result["name"].startswith("synth/stsm + model.num_frames=2, data.synth.train=16")
    assert result["num_listed"] == 16
    assert (trained / "data" / "synth" / "manifest" / "train.csv").is_file()


def test_train_prints_a_row_and_takes_the_next_number(here, capsys, tiny):
    assert run(["train", "synth/tsm", *tiny]) == 0
    assert run(["train", "synth/tsm", *tiny, "--json"]) == 0
    out, err = capsys.readouterr()
    table, _, document = out.partition("{")
    assert "synth/tsm" in table
    assert "synth-1x1@32" in table
    assert "run folder runs/synth-tsm-001" in err
    assert "epoch 1/1  loss" in err
    assert json.loads("{" + document)["run"] == "runs/synth-tsm-002"


def test_dry_run_tells_where_each_value_comes_from(capsys, tmp_path):
    assert run(["train", "k400/stsm_r50_8f", "--dry-run", "--set", "optim.lr=0.1"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "optim.lr 0.1 --set" in lines
    assert any(
        line.startswith("model.shift.alpha 3/8 ") and "stsm_r50_8f.yaml:" in line for line in lines
    )
    assert list(tmp_path.iterdir()) == []


def test_dry_run_as_json(capsys):
    assert run(["train", "synth/tsn", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["schema"], plan["recipe"]["model"]["shift"]) == ("stsm.plan/1", None)


def test_resume_of_a_finished_run_shows_its_result(here, capsys):
    assert run(["train", "--resume", "--out", "runs/synth-stsm-001", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    first = json.loads(Path("runs/synth-stsm-001/result.json").read_text())
    assert again == first | {"run": "runs/synth-stsm-001"}


def test_resume_goes_on_with_the_newest_unfinished_run(here, capsys):
    Path("runs/synth-stsm-001/result.json").unlink()
    Path("runs/synth-stsm-001/checkpoints/last.pt").unlink()
    assert run(["train", "--resume"]) == 0
    assert "continuing runs/synth-stsm-001" in capsys.readouterr().err
    assert Path("runs/synth-stsm-001/result.json").is_file()


def test_eval_tests_the_newest_run_and_says_which(here, capsys):
    assert run(["eval", "--crops", "3"]) == 0
    out, err = capsys.readouterr()
    assert "testing runs/synth-stsm-001/checkpoints/last.pt under synth-1x3@32" in err
    assert "synth-1x3@32" in out
    kept = json.loads(Path("runs/synth-stsm-001/eval-synth-1x3@32.json").read_text())
    assert kept["num_listed"] == 16


def test_eval_under_the_runs_own_protocol_repeats_its_result(here, capsys):
    assert run(["eval", "runs/synth-stsm-001", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first = json.loads(Path("runs/synth-stsm-001/result.json").read_text())
    for key in ("correct", "top1", "top5", "mean_class", "pair_accuracy", "protocol"):
        assert result[key] == first[key]


def test_eval_of_a_checkpoint_under_a_recipe(here, capsys):
    Path("mine.yaml").write_text(Path("runs/synth-stsm-001/recipe.yaml").read_text())
    checkpoint = "runs/synth-stsm-001/checkpoints/last.pt"
    command = ["eval", "mine.yaml", "--checkpoint", checkpoint, "--protocol", "2x10@32", "--json"]
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == "synth-2x10@32"


def test_a_broken_test_video_is_listed(here, trained, capsys):
    shutil.copytree(trained / "data" / "synth", "copy")
    Path("copy/val/00003.mp4").write_bytes(b"no video")
    assert run(["eval", "--data", "copy"]) == 0
    out = capsys.readouterr().out
    line = "videos: 16 usable, 15 decoded in this test; did not decode and count as wrong, 1: "
    assert f"{line}val/00003.mp4" in " ".join(out.split())


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["eval", "nowhere"], 1, "nowhere: not a run folder"),
        (["eval", "synth/tsm"], 1, "synth/tsm: is a recipe, not a run folder"),
        (["eval", "--checkpoint", "x.pt"], 2, "--checkpoint x.pt: needs a recipe"),
        (["eval", "synth/stsm", "--checkpoint", "x.pt"], 1, "x.pt: no such file of weights"),
        (["eval", "--crops", "4"], 2, "the protocol does not fit the recipe: test.crops"),
        (["eval", "--protocol", "synth-1x3@99-test"], 2, "test.crop_px (99) must be at most"),
        (["train", "k400/tsn_r50_8f", "--data", "empty"], 1, "empty/manifest"),
        (["eval", "--device", "abacus"], 2, "--device abacus: not available here"),
        (["eval", "--decoder", "eyes"], 2, "--decoder: 'eyes' is not available here"),
        (["train", "synth/stmm"], 2, "synth/stmm"),
        (["train", "k400/stsm_r50_8f"], 1, "data/k400"),
        (["train", "--out", "runs/synth-stsm-001"], 2, "exists and is not empty"),
        (["train", "--set", "model.shift.alpha=5/4"], 2, "5/4"),
        (["train", "--resume"], 2, "runs/: holds no unfinished run"),
        (
            ["train", "--resume", "--out", "runs/synth-stsm-001", "--set", "seed=3"],
            1,
            "belongs to another recipe",
        ),
    ],
)
def test_bad_input_is_one_line(here, capsys, command, code, message):
    if "empty" in command:
        Path("empty").mkdir()
    assert run(command) == code
    (line,) = last_error(capsys)
    assert message in line


def test_eval_refuses_another_class_list(here, trained, capsys):
    shutil.copytree(trained / "data" / "synth", "copy")
    classes = Path("copy/manifest/classes.txt")
    lines = classes.read_text().splitlines()
    classes.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    assert run(["eval", "--data", "copy"]) == 1
    (line,) = last_error(capsys)
    assert "copy: its class list (" in line
    assert "is not the one of the training (" in line
    assert line.endswith(f"): class 0 is {lines[1]!r}, it was {lines[0]!r}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 1}, "neither a file of `stsm convert` nor a checkpoint of `stsm train`"),
        (
            {"model": {"fc.bias": torch.zeros(16), "backbone.conv1.net.weight": torch.zeros(1)}},
            "does not fit the recipe's network: ",
        ),
    ],
)
def test_eval_refuses_foreign_weights(here, capsys, content, message):
    torch.save(content, "runs/synth-stsm-001/checkpoints/last.pt")
    assert run(["eval"]) == 1
    (line,) = last_error(capsys)
    assert message in line


def test_a_truncated_checkpoint_is_named(here, capsys):
    path = Path("runs/synth-stsm-001/checkpoints/last.pt")
    path.write_bytes(path.read_bytes()[:1000])
    assert run(["eval"]) == 1
    (line,) = last_error(capsys)
    assert "last.pt: not a readable checkpoint" in line


@pytest.mark.parametrize("num_classes", [5, 6])
def test_a_table_names_the_recipe_and_below_it_what_was_changed(capsys, num_classes):
    score = {"num_videos": 4, "num_listed": 4, "correct": 2, "top1_interval": (15.0, 85.0)}
    score |= {"top1": 50.0, "top5": 75.0, "mean_class": 50.0, "pair_accuracy": None}
    name = "folder/a + model.backbone=resnet_small, optim.epochs=3"
    whose = {"name": name, "protocol": "folder-1x1@32", "recipe_hash": "0", "broken": ()}
    result = Result(**score, **whose, seconds_eval=1.0)
    print_result(result, Path("runs/a"), num_classes=num_classes, record=None)
    lines = capsys.readouterr().out.splitlines()
    assert ("top-5" in lines[2]) == (num_classes > 5)
    assert lines[4].startswith("folder/a  folder-1x1@32")
    assert lines[6] == "recipe folder/a with model.backbone=resnet_small, optim.epochs=3"


def test_a_set_of_several_factors_has_a_table_of_each(capsys):
    score = {"num_videos": 8, "num_listed": 8, "correct": 5, "top1_interval": (30.6, 86.3)}
    score |= {"top1": 62.5, "top5": 75.0, "mean_class": 62.5, "pair_accuracy": 75.0}
    pairs = (Pair(("a", "b"), 4, 3, 4, "motion"), Pair(("c", "d"), 4, 2, 2, "both"))
    whose = {"name": "a", "protocol": "scenes-1x1@32", "recipe_hash": "0", "broken": ()}
    result = Result(**score, **whose, pairs=pairs, seconds_eval=1.0)
    print_result(result, Path("runs/a"), num_classes=4, record=None)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["motion", "4", "75.0", "100.0"] in lines
    assert ["both", "4", "50.0", "50.0"] in lines
    one = replace(result, pairs=pairs[:1])
    print_result(one, Path("runs/a"), num_classes=4, record=None)
    assert "told apart by" not in capsys.readouterr().out
