"""`stsm eval`: files, names, several processes; what it prints is in `test_train_eval.py`."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.cli import output
from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe
from stsm_cli.data.manifest import Manifest, VideoRecord, write_manifest
from stsm_cli.engine.launch import launch
from stsm_cli.engine.trained import edit_protocol
from stsm_cli.errors import UsageError


def last_error(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]


def test_all_that_was_asked_for_is_written(small_run, capsys):
    files = ["--per-class", "t/c.csv", "--confusion", "t/c.png", "--scores", "t/s.npz"]
    assert run(["eval", "--crops", "3", *files, "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert [line for line in err.splitlines() if line.startswith("wrote")] == [
        "wrote t/s.npz",
        "wrote t/c.csv",
        "wrote t/c.png",
    ]
    with np.load("t/s.npz") as scores:
        best = scores["probabilities"].argmax(1)
        assert (best == scores["labels"]).sum() == result["correct"]
        assert scores["weights_sha256"] == result["weights_sha256"]
        assert scores["protocol"] == "synth-1x3@28"
    with Path("t/c.csv").open() as file:
        assert sum(int(row["correct"]) for row in csv.DictReader(file)) == result["correct"]
    assert Path("t/c.png").read_bytes()[:4] == b"\x89PNG"


def test_letters_that_cannot_be_drawn_are_told(small_run, capsys, monkeypatch):
    output.use(output.Output())  # the fixture's is quiet
    lacks = "日本語の文字"
    monkeypatch.setattr(
        "stsm_cli.analysis.figures.fonts_for", lambda text: (["DejaVu Sans"], lacks)
    )
    assert run(["eval", "--confusion", "c.png"]) == 0
    told = "warning: c.png: no font here has 日, 本, 語, の, 文, ...: drawn as boxes\n"
    assert told in capsys.readouterr().err


def test_a_result_says_what_it_is_about(small_run, capsys):
    assert run(["eval", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    hashes = {"weights_sha256": 64, "list_sha256": 64, "class_hash": 12, "recipe_hash": 12}
    assert {key: len(result[key]) for key in hashes} == hashes
    assert (result["decoder"], result["protocol"]) == ("pyav", "synth-1x1@28")


def test_edits_of_the_recipe_rename_the_row(small_run, capsys):
    edits = ["--set", "test.average=score", "--set", "data.short_side_px=40"]
    assert run(["eval", "--crops", "3", *edits]) == 0
    assert "synth-1x3@28-score+data.short_side_px=40" in capsys.readouterr().out


def test_what_is_not_usable_is_said(small_run, capsys):
    shutil.copytree("data/synth", "copy")
    counts = {"listed": 1019, "usable": 21, "missing": 998, "corrupt": 0, "short": 0}
    Path("copy/manifest/report.json").write_text(json.dumps({"splits": {"val": counts}}))
    assert run(["eval", "--data", "copy"]) == 0
    line = "videos: 1,019 in the data set's lists, 21 usable by `stsm prepare`, "
    assert f"{line}21 decoded in this test\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["--set", "model.dropout=0.1"], 2, "--set model.dropout=0.1: would change what was"),
        (["--set", "test.average=max"], 2, "test.average"),
        (["--best"], 1, "best.pt: no such file of weights"),
        (["--best", "--checkpoint", "a.pt"], 2, "--checkpoint a.pt: excludes --best"),
        (["--scores", "a.csv"], 2, "--scores a.csv: the name must end in .npz"),
        (["--per-class", "a.npz"], 2, "--per-class a.npz: the name must end in .csv"),
        (["--confusion", "a.jpg"], 2, "--confusion a.jpg: the name must end in .png"),
        (["--protocol", "k400-10x3@256"], 2, "belongs to k400, the run's data set is synth"),
    ],
)
def test_bad_input_is_one_line(small_run, capsys, command, code, message):
    assert run(["eval", *command]) == code
    (line,) = last_error(capsys)
    assert message in line


def test_too_many_classes_for_a_picture_are_refused_before_the_test(small_run, capsys):
    command = ["eval", "k400/stsm_r50_8f", "--checkpoint", "no.pt", "--confusion", "c.png"]
    assert run(command) == 2
    (line,) = last_error(capsys)
    assert "--confusion: at most 50 classes can be drawn, there are 400" in line


def test_too_many_classes_of_a_folder_are_refused_before_the_test(small_run, capsys):
    record = VideoRecord("a.mp4", 0, 8, 8.0, 20, 20)
    write_manifest(Manifest(Path("mine"), "val", tuple(map(str, range(51))), (record,)))
    command = ["eval", "folder/stsm_r50_8f", "--checkpoint", "runs/small/checkpoints/last.pt"]
    assert run([*command, "--data", "mine", "--confusion", "c.png"]) == 2
    (line,) = last_error(capsys)
    assert line == "error: --confusion: at most 50 classes can be drawn, there are 51"


def test_two_processes_give_one_result(small_run, monkeypatch, capfd):
    command = [sys.executable, "-m", "stsm_cli", "eval", "--crops", "3", "--json"]
    assert launch([*command, "--scores", "two.npz"], 2) == 0
    two = json.loads(capfd.readouterr().out)  # one object: the second process is silent
    assert run([*command[3:], "--scores", "one.npz"]) == 0
    one = json.loads(capfd.readouterr().out)
    for varying in ("seconds_eval", "environment"):
        one.pop(varying)
        two.pop(varying)
    assert two == one
    with np.load("one.npz") as alone, np.load("two.npz") as shared:
        assert shared["paths"].tolist() == alone["paths"].tolist()
        assert len(shared["paths"]) == 21
        assert np.abs(shared["probabilities"] - alone["probabilities"]).max() < 1e-6


def test_nproc_starts_the_same_command_again(small_run, monkeypatch):
    started = []
    monkeypatch.setattr(
        "stsm_cli.engine.launch.launch",
        lambda command, nproc, hint: started.append((command, nproc)) or 7,
    )
    typed = ["eval", "runs/small", "--nproc", "2", "--set", "precision=bf16", "--json", "-q"]
    assert run(typed) == 7
    ((command, nproc),) = started
    assert nproc == 2
    assert command[1:4] == ["-m", "stsm_cli", "eval"]
    assert command[4:] == ["runs/small", "--set", "precision=bf16", "--json", "-q"]


def test_nproc_inside_a_job_is_refused(small_run, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert run(["eval", "--nproc", "2"]) == 2
    (line,) = last_error(capsys)
    assert "--nproc 2: this is one of 3 processes already" in line


def test_a_run_that_has_not_finished_is_tested_with_a_warning(small_run, capsys):
    assert run(["eval", "runs/small", "-q"]) == 0
    assert capsys.readouterr().err == ""
    Path("runs/small/result.json").unlink()
    assert run(["eval", "runs/small", "-q"]) == 0
    assert capsys.readouterr().err == "warning: runs/small: its training has not finished\n"


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "runs/small"],
        ["predict", "data/synth/val/00000.mp4", "--run", "runs/small"],
        ["export", "runs/small"],
        ["inspect", "data/synth/val/00000.mp4", "--run", "runs/small"],
    ],
)
def test_a_protocol_leaves_nothing_of_the_test_to_set(small_run, capsys, command):
    words = ["--protocol", "1x1@28", "--set", "precision=fp32", "--set", "test.average=score"]
    assert run([*command, *words]) == 2
    (message,) = last_error(capsys)
    assert message.endswith(
        "--set test.average=score: means nothing with --protocol, whose name says all of a test"
    )


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("test.clips=2", ["--clips", "1"]),
        ("test.crops=1", ["--crops", "3"]),
        ("test.split=val", ["--split", "test"]),
    ],
)
def test_a_part_of_the_test_is_said_once(small_run, capsys, edit, words):
    assert run(["eval", "runs/small", "--set", edit, *words]) == 2
    (message,) = last_error(capsys)
    assert message == f"error: --set {edit}: means nothing with {' '.join(words)}"


def test_protocols_that_are_shown_can_be_had(capsys):
    """Those without a data set by a run of `stsm train`."""
    for command in ("eval", "fuse"):
        assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    with pytest.raises(UsageError) as told:
        edit_protocol(load_recipe("synth/stsm").recipe, protocol="three")
    shown = set(re.findall(r"(?:\w+-)?\d+x\d+@\d+", f"{text} {told.value.hint}"))
    assert {"1x10@32", "k400-10x3@256"} <= shown
    for protocol in shown:
        name = "k400/stsm_r50_8f" if protocol.startswith("k400") else "synth/stsm"
        assert edit_protocol(load_recipe(name).recipe, protocol=protocol)
