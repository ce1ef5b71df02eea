"""From a data set to a two-stream result, on tiny videos: prepare, flow, train, eval, fuse."""

import json
from pathlib import Path

import pytest

from stsm_cli.cli import output
from stsm_cli.cli.app import run

OVERRIDES = (
    *("data.synth.train=16", "data.synth.val=16", "data.synth.frames=6"),
    *("data.synth.short_side_px=32", "data.short_side_px=32", "data.crop_px=24"),
    *("test.crop_px=24", "model.backbone=r2plus1d_small", "model.num_frames=3"),
    *("optim.epochs=1", "optim.warmup_epochs=0", "optim.batch_size=8", "optim.lr_batch_size=8"),
    "precision=fp32",
)
RECIPE = ["synth/tsn", *(word for override in OVERRIDES for word in ("--set", override))]
FLOW = [*RECIPE, "--set", "model.stream=flow"]


@pytest.fixture
def prepared():
    options = ["--train", "16", "--val", "16", "--frames", "6", "--short-side", "32", "-q"]
    assert run(["prepare", "synth", "data/synth", *options, "--workers", "1"]) == 0


def error(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]


def test_a_flow_run_on_a_set_without_flow_is_told_with_the_cure(prepared, capsys):
    assert run(["train", *FLOW, "--out", "flow"]) == 1
    text = capsys.readouterr().err
    assert "error: data/synth: has no optical flow by dis, which the recipe reads\n" in text
    assert "hint: `stsm prepare flow data/synth`" in text
    assert not Path("flow").exists()


def test_flow_of_another_method_is_not_taken_for_it(prepared, capsys):
    assert run(["prepare", "flow", "data/synth", "--workers", "1"]) == 0
    assert run(["train", *FLOW, "--set", "data.flow=farneback", "--out", "flow"]) == 1
    text = capsys.readouterr().err
    assert "error: data/synth: has no optical flow by farneback" in text
    assert "hint: `stsm prepare flow data/synth --method farneback`" in text


def test_two_streams_from_the_data_set_to_their_fusion(prepared, capsys):
    assert run(["prepare", "flow", "data/synth", "--workers", "1"]) == 0
    assert run(["train", *RECIPE, "--out", "rgb"]) == 0
    assert run(["train", *FLOW, "--out", "flow"]) == 0
    assert run(["fuse", "rgb", "flow"]) == 0  # the tests that end the trainings
    assert json.loads(Path("rgb/fuse-flow-synth-1x1@24.json").read_text())["num_videos"] == 16
    for name in ("rgb", "flow"):
        assert run(["eval", name, "--crops", "10"]) == 0
    capsys.readouterr()
    assert run(["fuse", "rgb", "flow", "--protocol", "1x10@24", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["protocol"], result["num_videos"]) == ("synth-1x10@24", 16)
    assert run(["predict", "data/synth/val/00000.mp4", "--run", "flow"]) == 2
    assert "takes optical flow, which prepared sets alone have" in error(capsys)[0]
    corrupt = Path("data/synth/flow_dis/val/00003.mp4.mp4")
    corrupt.write_bytes(corrupt.read_bytes()[:900])
    Path("data/synth/flow_dis/val/00007.mp4.mp4").unlink()
    capsys.readouterr()
    assert run(["eval", "flow", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["broken"] == ["val/00003.mp4", "val/00007.mp4"]
    assert (result["num_videos"], result["num_listed"]) == (14, 16)


def test_flow_of_a_set_that_was_prepared_again_is_refused(prepared, capsys):
    assert run(["prepare", "flow", "data/synth", "--workers", "1"]) == 0
    manifest = Path("data/synth/manifest/val.csv")
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]))
    capsys.readouterr()
    assert run(["train", *FLOW, "--out", "flow"]) == 1
    text = capsys.readouterr().err
    assert "its optical flow by dis is of another list of val videos than" in text
    assert "hint: `stsm prepare flow data/synth` makes what is missing" in text
    assert not Path("flow").exists()
    assert run(["prepare", "flow", "data/synth", "--workers", "1"]) == 0
    assert run(["train", *FLOW, "--out", "flow", "--dry-run"]) == 0


def test_a_run_is_known_by_the_size_of_its_flow(prepared, capsys):
    assert run(["prepare", "flow", "data/synth", "--workers", "1"]) == 0
    assert run(["train", *FLOW, "--out", "flow"]) == 0
    known = json.loads(Path("flow/environment.json").read_text())
    assert known["data_id"] == "synth/1+flow:dis@256/1"
    report = Path("data/synth/manifest/flow_dis.json")
    report.write_text(report.read_text().replace('"short_side_px": 256', '"short_side_px": 24'))
    capsys.readouterr()
    assert run(["eval", "flow"]) == 1
    text = capsys.readouterr().err
    assert "(flow:dis@24/1) is not computed as that of the training (flow:dis@256/1)" in text
    assert "data/synth --short-side 256` computes flow of that size" in text
    Path("flow/result.json").unlink()
    assert run(["train", *FLOW, "--out", "flow", "--resume"]) == 1
    text = capsys.readouterr().err
    assert "known as synth/1+flow:dis@256/1, the data set's are synth/1+flow:dis@24/1" in text
    known["data_id"] = "synth/1"  # as stsm 0.6 wrote it
    Path("flow/environment.json").write_text(json.dumps(known))
    assert run(["train", *FLOW, "--out", "flow", "--resume"]) == 0


def test_videos_listed_without_flow_are_left_out_and_told_in_one_line(prepared, capsys):
    for path in ("train/00002.mp4", "train/00009.mp4", "val/00005.mp4"):
        Path("data/synth", path).write_text("no video")
    assert run(["prepare", "flow", "data/synth", "--workers", "1"]) == 0
    assert run(["train", *FLOW, "--out", "flow", "--dry-run"]) == 0
    assert "each epoch without 6 videos" in capsys.readouterr().out
    output.use(output.Output())  # the fixture's is quiet
    assert run(["train", *FLOW, "--out", "flow"]) == 0  # two of 16 are more than 0.5 %
    text = capsys.readouterr().err
    assert (
        "2 of 16 train videos have no optical flow by dis and are left out: train/00002.mp4, "
        "train/00009.mp4 (data/synth/manifest/flow_dis_problems.csv says why)"
    ) in text
    assert "1 of 16 val videos has no optical flow by dis and is counted as wrong" in text
    assert "14 training and 16 validation videos" in text
    known = json.loads(Path("flow/environment.json").read_text())["data_id"]
    assert known.startswith("synth/1+flow:dis@256/1/without-3-")
    result = json.loads(Path("flow/result.json").read_text())
    assert (result["num_videos"], result["num_listed"]) == (15, 16)
    assert result["broken"] == ["val/00005.mp4"]
    capsys.readouterr()
    assert run(["inspect", "flow", "--samples", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["samples"]) == 3
    assert sum(entry["videos"] for entry in found["classes"]) == 16
    html = Path(found["page"]).read_text(encoding="utf-8")
    assert "Did not decode in the test, and count as wrong: val/00005.mp4." in html
    assert "as optical flow, 4 times as strong" in html
    assert run(["inspect", "data/synth/val/00000.mp4", "--run", "flow"]) == 2
    text = capsys.readouterr().err
    assert "error: flow: takes optical flow, which prepared sets alone have" in text
    assert "hint: `stsm inspect flow` shows its own set's" in text
