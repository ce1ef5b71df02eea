import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe
from stsm_cli.data.decode import available_decoders
from stsm_cli.data.synth import CLASSES
from stsm_cli.engine import predict, saving
from stsm_cli.engine.runlog import RunFolder
from stsm_cli.errors import DataError, StsmError

A, B = "data/synth/val/00000.mp4", "data/synth/val/00007.mp4"


def problems(capsys):
    kinds = ("error", "hint", "warning")
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(kinds)]


def test_the_newest_run_names_five_classes(small_run, capsys):
    assert run(["predict", A, B]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()[4:]]
    assert [len(row) for row in rows] == [3, 2, 2, 2, 2] * 2
    assert (rows[0][0], rows[5][0]) == (A, B)
    assert {row[-2] for row in rows} <= set(CLASSES)
    assert "runs/small/checkpoints/last.pt under synth-1x1@28" in err


def test_a_run_folder_may_come_first(small_run, capsys):
    small_run.result_file.unlink()  # no finished run
    assert run(["predict", "runs/small", A, "--json"]) == 0
    out, err = capsys.readouterr()
    assert [video["video"] for video in json.loads(out)["videos"]] == [A]
    assert "runs/small/checkpoints/last.pt under" in err
    assert run(["predict", "runs/small"]) == 2
    assert problems(capsys)[0] == "error: no video is named"


def test_predict_and_eval_agree(small_run, capsys):
    """Through the command line, several views, a model that was never told the labels."""
    views = ["--clips", "2", "--crops", "10"]
    assert run(["eval", *views, "--scores", "s.npz", "-q"]) == 0
    capsys.readouterr()
    command = ["predict", A, B, "--run", "runs/small", *views, "--top", "99", "--json"]
    assert run(command) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert predicted["schema"] == "stsm.prediction/1"
    assert (predicted["protocol"], predicted["failed"]) == ("synth-2x10@28", {})
    with np.load("s.npz") as scores:
        rows = dict(zip(scores["paths"].tolist(), scores["probabilities"], strict=True))
    for video in predicted["videos"]:
        row = rows[video["video"].removeprefix("data/synth/")]
        found = {entry["class"]: entry["probability"] for entry in video["classes"]}
        assert [found[name] for name in CLASSES] == pytest.approx(row.tolist(), abs=1e-6)
        ranked = [entry["probability"] for entry in video["classes"]]
        assert ranked == sorted(ranked, reverse=True)


def test_top_says_how_many(small_run, capsys):
    assert run(["predict", A, "--top", "2", "--json"]) == 0
    (video,) = json.loads(capsys.readouterr().out)["videos"]
    assert len(video["classes"]) == 2


@pytest.mark.parametrize("decoder", available_decoders())
def test_bad_files_are_one_line_each_and_the_others_are_predicted(small_run, capfd, decoder):
    Path("text.mp4").write_text("no video")
    Path("empty").mkdir()
    words = ["gone.mp4", A, "text.mp4", "empty", "--json", "--decoder", decoder]
    assert run(["predict", *words]) == 1
    out, err = capfd.readouterr()  # what libraries write, too
    found = json.loads(out)
    assert [video["video"] for video in found["videos"]] == [A]
    assert list(found["failed"]) == ["gone.mp4", "empty", "text.mp4"]
    errors = [line for line in err.splitlines() if line.startswith("error")]
    assert errors[0] == "error: gone.mp4: no such file"
    assert errors[1] == "error: empty: is empty"
    assert "text.mp4: does not open (moov atom not found)" in errors[2]


def test_without_a_single_file_json_is_told_too(small_run, capsys):
    assert run(["predict", "gone.mp4", "away.mp4", "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["videos"], list(found["failed"])) == ([], ["gone.mp4", "away.mp4"])
    assert err.splitlines()[-2:] == [
        "error: gone.mp4: no such file",
        "error: away.mp4: no such file",
    ]


def test_all_that_is_wrong_with_a_file_is_told(small_run, capsys, monkeypatch):
    def probe(path):
        found = replace(whole(path), num_damaged=num_damaged, shortfall="ends after 9 frames")
        return replace(found, faults=("2 frames do not come",))

    whole, num_damaged = predict.probe, 3
    monkeypatch.setattr(predict, "probe", probe)
    assert run(["predict", A, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["damaged_frames"], found["short"]) == ({A: 3}, {A: "ends after 9 frames"})
    assert f"warning: {A}: 3 of its frames are damaged" in err
    assert f"warning: {A}: ends after 9 frames" in err
    assert found["faults"] == {A: ["2 frames do not come"]}
    assert f"warning: {A}: 2 frames do not come" in err
    num_damaged = 1
    assert run(["predict", A]) == 0
    assert f"warning: {A}: 1 of its frames is damaged" in capsys.readouterr().err


def test_nothing_is_printed_where_nothing_was_read(small_run, capsys):
    assert run(["predict", "gone.mp4"]) == 1
    assert capsys.readouterr().out == ""


def test_weights_by_themselves_go_with_a_recipe(small_run, capsys):
    weights = ["--checkpoint", str(small_run.checkpoint), "--recipe", str(small_run.recipe_file)]
    assert run(["predict", A, *weights, "--json"]) == 0
    (alone,) = json.loads(capsys.readouterr().out)["videos"]
    assert run(["predict", A, "--decoder", "pyav", "--json"]) == 0
    assert [alone] == json.loads(capsys.readouterr().out)["videos"]


def test_without_a_class_list_there_are_numbers_and_a_warning(small_run, capsys):
    path = Path(A).resolve()
    Path("data/synth").unlink()
    alone = small_run.checkpoint.rename("last.pt")
    weights = ["--checkpoint", str(alone), "--recipe", str(small_run.recipe_file)]
    assert run(["predict", str(path), *weights, "--top", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["videos"][0]["classes"][0]["class"].startswith("class ")
    assert "warning: no class list found, classes are numbers" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "a.pt"], "--checkpoint and --recipe belong together, without --run"),
        (["--recipe", "synth/stsm"], "--checkpoint and --recipe belong together"),
        (
            ["--recipe", "synth/stsm", "--checkpoint", "a.pt", "--run", "runs/small"],
            "--checkpoint and --recipe belong together, without --run",
        ),
        (["--set", "model.shift=null"], "would change what was trained"),
        (["--crops", "7"], "test.crops must be 1, 3 or 10, got 7"),
        (["--device", "abacus"], "--device abacus: not available here"),
        (["--window", "8"], "--window 8: belongs to --save DIR"),
        (["--save", "data/synth/val/00000.mp4"], "00000.mp4: is a file, not a folder"),
        (["--save", "data"], "--save data: exists and is not empty"),
    ],
)
def test_bad_options_are_one_line(small_run, capsys, words, message):
    assert run(["predict", A, *words]) == 2
    (line,) = [line for line in problems(capsys) if line.startswith("error")]
    assert message in line


def test_the_best_checkpoint_on_request(small_run, capsys):
    state = torch.load(small_run.checkpoint, weights_only=True)
    state["model"]["fc.bias"][5] = 100.0
    torch.save(state, small_run.best_checkpoint)
    assert run(["predict", A, "--best", "--top", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["checkpoint"].endswith("best.pt")
    assert found["videos"][0]["classes"][0]["class"] == CLASSES[5]


@pytest.fixture
def few(small_run):
    """A folder of two videos, a broken one and a text."""
    Path("clips/deep").mkdir(parents=True)
    shutil.copy(A, "clips/a.mp4")
    shutil.copy(B, "clips/deep/b.mp4")
    Path("clips/broken.avi").write_text("no video")
    Path("clips/notes.md").write_text("no video")


GOOD = ["clips/a.mp4", "clips/deep/b.mp4"]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("named", "found", "code"),
    [
        ("clips", GOOD, 1),
        ("clips/deep", GOOD[1:], 0),
        ("clips/*.mp4", GOOD[:1], 0),
        ("clips/**/*.mp4", GOOD, 0),
        ("list.txt", GOOD, 0),
    ],
)
def test_a_folder_a_pattern_and_a_list_stand_for_videos(capsys, named, found, code):
    Path("list.txt").write_text("".join(f"{name}\n" for name in GOOD))
    assert run(["predict", named, "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert [video["video"] for video in told["videos"]] == found
    assert list(told["failed"]) == ["clips/broken.avi"] * code


@pytest.mark.usefixtures("few")
def test_scores_over_time_are_saved_and_drawn(capsys):
    assert run(["predict", "clips", "--save", "out", "--window", "8"]) == 1
    out, err = capsys.readouterr()
    assert "out/scores.csv has the scores of all classes, out/windows.csv over time" in out
    assert "out/a.predicted.mp4 and 1 more show them" in out
    assert "error: clips/broken.avi: does not open" in err
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("a.predicted.mp4", "b.predicted.mp4", "scores.csv", "windows.csv"),
    ]
    assert len(Path("out/windows.csv").read_text().splitlines()) == 1 + 2 * 3
    assert run(["predict", A, "--save", "out"]) == 2
    assert problems(capsys) == [
        "error: --save out: exists and is not empty",
        "hint: choose another folder, or add --force",
    ]
    assert run(["predict", A, "--save", "one"]) == 0
    assert "one/00000.predicted.mp4 shows them\n" in capsys.readouterr().out
    assert run(["predict", A, "--save", "out", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["saved"] == {
        "scores": "out/scores.csv",
        "windows": "out/windows.csv",
        "drawn": {A: "out/00000.predicted.mp4"},
    }


@pytest.mark.usefixtures("small_run")
def test_what_breaks_while_it_is_drawn_is_told(capsys, monkeypatch):
    def fail(*_):
        raise DataError("a.mp4: broke")

    monkeypatch.setattr(saving, "watch", fail)
    assert run(["predict", A, "--save", "out", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["failed"] == {A: "a.mp4: broke"}
    assert json.loads(out)["saved"]["drawn"] == {}
    assert "error: a.mp4: broke" in err


@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize(
    ("place", "name", "is_saved"), [("draw", A, True), ("_write_csv", "out", False)]
)
def test_a_full_disk_takes_no_answer(capsys, monkeypatch, place, name, is_saved):
    def fail(*_):
        raise StsmError("out/x: cannot be written (No space left on device)")

    monkeypatch.setattr(saving, place, fail)
    assert run(["predict", A, "--save", "out", "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [video["video"] for video in told["videos"]] == [A]
    assert told["failed"] == {name: "out/x: cannot be written (No space left on device)"}
    assert ("saved" in told) == is_saved
    assert "error: out/x: cannot be written" in err


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("a.mp4 m.onnx", "m.onnx: is a network, and one stands before", "predict m.onnx VIDEO"),
        ("m.onnx a.mp4 n.onnx", "n.onnx: is a network, and one", "predict n.onnx VIDEO"),
        (
            "m.pt2 a.mp4",
            "m.pt2: is a network for torch.export.load, and not",
            "export RUN -o m.onnx` of its run writes one that is",
        ),
        (
            "m.safetensors a.mp4",
            "m.safetensors: holds weights, which are run under a recipe",
            "predict VIDEO --recipe RECIPE --checkpoint m.safetensors",
        ),
        ("a.mp4 last.pt", "last.pt: holds weights", "RECIPE --checkpoint last.pt"),
    ],
)
def test_a_network_is_not_taken_for_a_video(capsys, words, error, hint):
    for name in words.split():
        Path(name).touch()
    assert run(["predict", *words.split()]) == 2
    lines = problems(capsys)
    assert len(lines) == 2
    assert f"error: {error}" in lines[0]
    assert hint in lines[1]


def test_where_the_newest_run_is_of_flow_another_can_be_named(capsys):
    edits = ["model.backbone=r2plus1d_small", "model.num_classes=2", "model.stream=flow"]
    recipe = load_recipe("synth/tsn", edits).recipe
    folder = RunFolder(Path("runs/flow"))
    folder.create(recipe, {"recipe": "flow", "data": "d", "decoder": "pyav"}, ("a", "b"))
    folder.result_file.write_text("{}")
    for words, wanted in (([], True), (["--run", "runs/flow"], False)):
        assert run(["predict", "a.mp4", *words]) == 2
        error, hint = problems(capsys)
        assert "predict: runs/flow/checkpoints/last.pt takes optical flow" in error
        assert hint.startswith("hint: name a run of RGB with --run RUN; of flow: ") == wanted
        assert hint.endswith("then `stsm eval runs/flow --data ROOT`")
