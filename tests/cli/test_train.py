"""What `stsm train` offers beyond one process; the whole chain is in test_train_eval.py."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe, recipe_names
from stsm_cli.data.manifest import Manifest, VideoRecord, write_manifest
from stsm_cli.engine import board, launch, wandb_board


def errors(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]


def test_the_plan_tells_batch_learning_rate_and_steps(capsys):
    videos = tuple(VideoRecord(f"{i}.mp4", 0, 9, 8.0, 9, 9) for i in range(500))
    write_manifest(Manifest(Path("there"), "train", tuple(map(str, range(400))), videos))
    plan = ["train", "k400/stsm_r50_8f", "--dry-run", "--nproc", "2"]
    plan += ["--set", "optim.accumulate=4", "--data", "there"]
    assert run(plan) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "batch 48 = 2 processes x 4 parts x 6 videos, lr 0.0075; 10 steps an epoch, each epoch "
        "without 20 videos"
    )
    assert run([*plan, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["steps_per_epoch"], told["batch"]["lr"]) == (10, 0.0075)
    assert run([*plan[:-1], "nowhere"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("; no videos at nowhere yet")
    Path("raw").mkdir()
    assert run([*plan[:-1], "raw"]) == 0
    told = "; raw is not prepared yet: `stsm prepare k400 raw`"
    assert capsys.readouterr().out.splitlines()[-1].endswith(told)
    assert run([*plan, "--slurm", "a"]) == 2
    assert "error: --slurm a: must be KEY=VALUE" in capsys.readouterr().err


def test_the_plan_of_a_flow_recipe_says_that_its_flow_is_missing(capsys):
    videos = (VideoRecord("a.mp4", 0, 9, 8.0, 9, 9),)
    for split in ("train", "val"):
        write_manifest(Manifest(Path("there"), split, tuple(map(str, range(400))), videos))
    plan = ["train", "k400/r2plus1d_34_flow_32f", "--dry-run", "-q"]
    assert run([*plan, "--data", "there"]) == 0
    out, err = capsys.readouterr()
    assert "1 step an epoch" in out.splitlines()[-1]
    assert err.splitlines() == [
        "warning: there: has no optical flow by farneback, which the recipe reads",
        "hint: `stsm prepare flow there --method farneback`",
    ]


@pytest.mark.parametrize("planned", [[], ["--dry-run"]])
def test_parts_of_one_value_are_refused(planned, capsys):
    edits = ("model.num_frames=1", "data.crop_px=32", "optim.accumulate=24")
    plan = ["train", "k400/tsn_r50_8f", "--nproc", "2", *planned]
    assert run([*plan, *(word for edit in edits for word in ("--set", edit))]) == 2
    assert errors(capsys) == [
        "error: data.crop_px (32) must be more than 32 with one video of one frame at a time: "
        "batch normalisation needs more than one value"
    ]


def test_the_plan_of_a_flow_recipe_is_of_the_videos_that_have_flow(capsys):
    videos = tuple(VideoRecord(f"{i}.mp4", 0, 9, 8.0, 9, 9) for i in range(3))
    for split in ("train", "val"):
        write_manifest(Manifest(Path("there"), split, tuple(map(str, range(400))), videos))
    plan = ["train", "k400/r2plus1d_34_flow_32f", "--dry-run", "--data", "there"]
    report = {"method": "farneback", "short_side_px": 128, "version": 1, "bytes": 7}
    path = Path("there/manifest/flow_farneback.json")
    path.write_text(json.dumps(report | {"without_flow": {"train": ["0.mp4", "old.mp4"]}}))
    assert run(plan) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("batch 2 (all training videos")
    assert "1 of 3 train videos has no optical flow by farneback and is left out: 0.mp4 " in err
    lacking = [video.path for video in videos]
    path.write_text(json.dumps(report | {"without_flow": {"train": lacking}}))
    assert run(plan) == 1
    assert errors(capsys) == [
        "error: there: none of its 3 train videos has optical flow by farneback"
    ]


def test_the_plan_says_that_a_generated_set_has_other_settings(small_run, capsys):
    assert run(["train", "synth/tsm", "--dry-run"]) == 0
    warning, hint, *_ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: data/synth/synth.json: the set was made with train 1, not ")
    assert "to train on this set: `--set data.synth.train=1 --set data.synth.val=21" in hint


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_plan(name, capsys):
    assert run(["train", name, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["recipe"]["model"]["weights"] is None) == (
        name,
        load_recipe(name).recipe.model.weights is None,
    )


def test_a_plan_warns_of_weights_that_the_recipe_names_and_that_will_not_do(capsys, tmp_path):
    (tmp_path / "text.pt").write_text("none")
    for name, problem in {"no.pt": "no such file of weights", "text.pt": "not a "}.items():
        edits = ["--set", "model.weights=null", "--set", f"model.init={name}"]
        assert run(["train", "synth/tsn", *edits, "--dry-run"]) == 0
        warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        assert any(f"{name}: {problem}" in line for line in warnings)


@pytest.mark.parametrize("name", ["k400/tea_r50_8f", "k400/tdn_r50_8f", "k400/smallbig_r50_8f"])
def test_networks_of_8_frames_have_a_plan_of_16(name, capsys):
    assert run(["train", name, "--set", "model.num_frames=16", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["model"]["num_frames"] == 16


def test_the_plan_of_a_continued_run_is_of_its_own_recipe(small_run, capsys, tmp_path):
    small_run.result_file.unlink()
    plan = ["train", "--resume", "--dry-run", "--json"]
    assert run(plan) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "synth/stsm"
    assert told["recipe"] == small_run.recipe().model_dump(mode="json")
    assert told["steps_per_epoch"] == 1  # of the one video where its data lie
    assert run([*plan, "--set", "seed=5"]) == 1
    assert "another recipe: seed is 0 there, 5 here" in capsys.readouterr().err
    assert run([*plan, "--out", str(tmp_path)]) == 1
    assert "not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("left", [[], ["checkpoints/"], ["checkpoints/", "recipe.yaml.7.tmp"]])
def test_the_plan_of_a_run_that_is_begun_again_is_of_the_recipe_that_is_named(capsys, left):
    Path("cut").mkdir()
    for name in left:
        path = Path("cut", name)
        path.mkdir() if name.endswith("/") else path.touch()
    plan = ["train", "--resume", "--out", "cut", "--dry-run"]
    assert run([*plan, "synth/stsm", "--set", "optim.epochs=4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    begun = load_recipe("synth/stsm", ["optim.epochs=4"])
    assert (told["name"], told["recipe"]) == ("synth/stsm", begun.recipe.model_dump(mode="json"))
    assert told["origins"]["optim.epochs"] == "--set"
    assert run(plan) == 2
    assert errors(capsys) == [
        "error: cut: nothing was trained in it, and it does not say what was to be"
    ]


def test_init_is_recorded_as_an_absolute_path_and_replaces_imagenet(capsys, small_run, tmp_path):
    shutil.copy(small_run.checkpoint, "a file: #1.pt")
    plan = ["train", "--dry-run", "--json", "--init", "a file: #1.pt"]
    assert run(plan) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    model, origins = found["recipe"]["model"], found["origins"]
    assert (model["init"], model["weights"]) == (str(tmp_path / "a file: #1.pt"), None)
    assert err.splitlines()[0] == f"starts from {tmp_path / 'a file: #1.pt'}"
    assert (origins["model.init"], origins["model.weights"]) == ("--init", "--init")


def test_init_may_be_called_in_any_characters(small_run, capsys, tmp_path):
    name = "😀é\x7f\u2028'\"\n.pt"
    shutil.copy(small_run.checkpoint, name)
    assert run(["train", "--dry-run", "--json", "--init", name]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recipe"]["model"]["init"] == str(tmp_path / name)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["--init", "none.pt", "--set", "optim.lrr=1"], "error: --init none.pt: no such file"),
        (["--nproc", "2", "--set", "optim.lrr=1"], "error: --set: optim.lrr: unknown key"),
        (
            ["--nproc", "5"],
            "error: optim.batch_size (16) cannot be shared equally among 5 processes x 1 part",
        ),
    ],
)
def test_bad_input_is_one_line(capsys, command, message, tmp_path):
    assert run(["train", *command]) == 2
    (line,) = errors(capsys)
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_must_be_installed_before_anything_begins(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    assert run(["train", "--tensorboard"]) == 2
    assert errors(capsys) == ["error: --tensorboard: the package tensorboard is not installed"]
    assert list(tmp_path.iterdir()) == []


def test_wandb_must_be_installed_before_anything_begins(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(wandb_board, "find_spec", lambda name: None)
    assert run(["train", "--wandb", "actions"]) == 2
    assert errors(capsys) == ["error: --wandb: the package wandb is not installed"]
    assert list(tmp_path.iterdir()) == []


def test_what_keeps_a_network_from_learning_by_heart_is_set_as_any_key(tiny, capsys):
    settings = {
        "loss.label_smoothing": "0.1",
        "loss.class_weights": "balanced",
        "loss.mixup_alpha": "0.4",
        "data.rand_augment": "{ops: 1}",
        "optim.ema_decay": "0.9",
        "optim.epochs": "4",
        "optim.patience_epochs": "1",
        "optim.frozen": "[backbone]",
        "optim.lr": "1e-9",
    }
    words = [word for setting in settings.items() for word in ("--set", "=".join(setting))]
    command = ["train", *tiny, *words, "--out", "a"]
    assert run([*command, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert re.search(r"loss\.mixup_alpha\s+0\.4\s+--set", plan)
    assert re.search(r"data\.rand_augment\.magnitude\s+9\s+default", plan)
    for form in ([], ["--json"]):
        assert run([*command, "--dry-run", "--nproc", "8", *form]) == 0
        assert "warning: loss.mixup_alpha 0.4 has no effect" in capsys.readouterr().err
    assert run([*command, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["stopped_epoch"] == 2
    assert "stops after epoch 2 of 4" in told.err
    assert run(["train", "--resume", "--out", "a"]) == 0
    assert "the training stopped early, after epoch 2" in capsys.readouterr().out


def test_fp16_on_a_cpu_is_refused_before_a_set_is_made(capsys, tmp_path):
    assert run(["train", "--set", "precision=fp16", "--device", "cpu"]) == 2
    assert "precision fp16: is for a GPU" in errors(capsys)[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("planned", [[], ["--dry-run"]])
def test_a_board_that_is_not_installed_is_told_before_a_set_is_made(
    planned, capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr("stsm_cli.engine.board.find_spec", lambda name: None)
    assert run(["train", "--tensorboard", *planned]) == 2
    assert errors(capsys)[0] == "error: --tensorboard: the package tensorboard is not installed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("planned", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--device", "tpu"], "error: --device tpu: not available here"),
        (["--decoder", "eyes"], "error: --decoder: 'eyes' is not available here"),
        (["--out", "taken"], "error: --out taken: exists and is not empty"),
    ],
)
def test_what_keeps_any_run_from_starting_is_told_of_a_plan_too(planned, words, told, capsys):
    Path("taken").mkdir()
    Path("taken", "mine.txt").touch()
    assert run(["train", *words, *planned]) == 2
    assert errors(capsys)[0] == told


@pytest.mark.parametrize("planned", [[], ["--dry-run"]])
def test_parts_that_a_network_has_not_are_refused_before_a_set_is_made(planned, capsys, tmp_path):
    assert run(["train", "--set", "optim.frozen=[stem, layer9]", *planned]) == 2
    assert errors(capsys)[0] == "error: optim.frozen: the network has no part layer9 with weights"
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused_before_a_set_is_made(small_run, capsys, tmp_path):
    start = ["train", "--init", str(small_run.checkpoint), "--data", "other"]
    there = {path.name for path in tmp_path.iterdir()}
    assert run([*start, "--set", "model.backbone=mobilenet_v2_small"]) == 1
    assert f"{small_run.checkpoint}: does not fit the recipe's network" in errors(capsys)[0]
    assert {path.name for path in tmp_path.iterdir()} == there


def test_a_dry_run_looks_into_the_weights_as_the_start_does(small_run, capsys, tmp_path):
    file = str(small_run.checkpoint)
    plan = ["train", "--dry-run", "--init"]
    assert run([*plan, file, "--set", "model.backbone=mobilenet_v2_small"]) == 1
    assert f"{small_run.checkpoint}: does not fit the recipe's network" in errors(capsys)[0]
    Path("page.pt").write_text("<!DOCTYPE html>")
    assert run([*plan, "page.pt"]) == 1
    (line,) = errors(capsys)
    assert line.endswith("page.pt: not a readable checkpoint (it is a web page)")
    edits = ["model.num_classes=7", "data.dataset=folder"]
    assert run([*plan, file, *(word for edit in edits for word in ("--set", edit))]) == 0
    assert "; new: the classifier (7 classes, the file has 16)" in capsys.readouterr().err
    assert run([*plan, file, "--set", "data.dataset=folder"]) == 0  # classes are not known yet
    assert "starts from" not in capsys.readouterr().err


def test_nproc_has_no_place_under_torchrun(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert run(["train", "--nproc", "2"]) == 2
    assert errors(capsys) == ["error: --nproc 2: this is one of 4 processes already"]


def test_processes_get_the_same_command(monkeypatch):
    started = []
    monkeypatch.setattr(launch, "launch", lambda *what, hint: started.append((*what, hint)) or 75)
    command = ["train", "synth/tsm", "--set", "seed=1", "--set", "optim.batch_size=8"]
    assert run([*command, "--nproc", "2", "--workers", "3", "--tensorboard", "-q"]) == 75
    ((words, nproc, hint),) = started
    assert words[:4] == [sys.executable, "-m", "stsm_cli", "train"]
    assert sorted(words[4:]) == sorted([*command[1:], "--workers", "3", "--tensorboard", "-q"])
    assert (nproc, hint) == (2, "`--resume` goes on from the last checkpoint")


def test_a_continued_run_is_not_measured_by_the_default_recipe(monkeypatch):
    monkeypatch.setattr(launch, "launch", lambda command, nproc, hint: 0)
    assert run(["train", "--resume", "--nproc", "3"]) == 0  # 16 videos are no multiple of 3


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_of_two_processes_one_that_is_killed_is_named(tiny):
    command = [sys.executable, "-m", "stsm_cli", "train", *tiny, "--device", "cpu"]
    command += ["--set", "data.synth.val=5", "--set", "optim.epochs=9999", "--nproc", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        lines = iter(started.stderr.readline, "")
        said = [next(lines)]
        while not said[-1].startswith("epoch 1/9999"):
            said.append(next(lines))
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        rest = [line for line in lines if not line.startswith("epoch ")]
    assert "batch 8 = 2 processes x 1 part x 4 videos, lr 0.004; 2 steps an epoch\n" in said
    assert rest == [
        "error: process 1 of 2 was killed by SIGKILL; the others were stopped\n",
        "hint: `--resume` goes on from the last checkpoint\n",
    ]
    assert started.returncode == 1
    assert Path("runs/synth-stsm-001/checkpoints/last.pt").is_file()


def test_a_run_that_cannot_begin_leaves_no_folder(small_run, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    edits = ["data.synth={train: 1, val: 21, frames: 12, short_side_px: 32}", "model.num_classes=9"]
    edits += ["model.num_frames=4", "data.short_side_px=32", "data.crop_px=28", "test.crop_px=28"]
    words = [word for edit in edits for word in ("--set", edit)]
    assert run(["train", "synth/stsm", *words, "--device", "cpu", "--workers", "0"]) == 1
    assert "the recipe's model.num_classes is 9" in capsys.readouterr().err.replace("\n", " ")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]
