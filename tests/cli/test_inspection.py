import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stsm_cli.cli.app import run
from stsm_cli.data.dataset import open_split
from stsm_cli.data.loader import TrainLoader
from stsm_cli.data.manifest import read_manifest, write_manifest
from stsm_cli.engine import inspection
from stsm_cli.engine.accuracy import summarise
from stsm_cli.engine.identity import weights_sha256
from stsm_cli.engine.runlog import write_result
from stsm_cli.engine.score_files import write_scores
from stsm_cli.engine.scores import Scores
from stsm_cli.engine.testing import Evaluation, load_model
from stsm_cli.errors import DataError
from stsm_cli.stored import Result

A, B = "data/synth/val/00000.mp4", "data/synth/val/00007.mp4"
PAGE = Path("small.html")


def problems(capsys):
    kinds = ("error", "hint", "warning")
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(kinds)]


@pytest.fixture
def tested_run(small_run):
    """The run with a test: class 0 is never an answer, the last video does not decode."""
    manifest = read_manifest(Path("data/synth"), "val")
    labels = torch.tensor([record.label for record in manifest.records])
    rows = 0.01 + 0.9 * torch.eye(len(manifest.classes))[labels]
    rows[labels == 0] = (
        rows[labels == 1][:1] * torch.linspace(0.5, 1, int((labels == 0).sum()))[:, None]
    )
    count = len(labels) - 1
    broken = {count: int(labels[count])}
    scores = Scores(rows[:count], labels[:count], tuple(range(count)), broken)
    about = vars(summarise(scores, None)) | {"broken": (manifest.records[count].path,)}
    model = load_model(small_run.recipe().model, small_run.checkpoint, torch.device("cpu"))
    result = Result(
        **about,
        name="synth/stsm",
        recipe_hash="0",
        protocol="synth-1x1@28",
        weights_sha256=weights_sha256(model),
        seconds_eval=1.0,
    )
    file = small_run.path / "eval-synth-1x1@28"
    write_scores(file.with_suffix(".npz"), Evaluation(result, scores, manifest))
    write_result(file.with_suffix(".json"), result)
    return small_run


def pictures(html, chapter):
    """The pixels of the pictures in a chapter."""
    text = html.split(f'<section id="{chapter}">')[1].split("</section>")[0]
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_a_run_s_page_shows_what_training_saw_and_what_is_confused(tested_run, capsys):
    assert run(["inspect", "--samples", "9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["page"]) == ("stsm.inspection/1", "small.html")
    html = PAGE.read_text(encoding="utf-8")
    recipe = tested_run.recipe()
    videos = open_split(recipe.data, Path("data/synth"), "train", decoder="pyav")
    optim = recipe.optim.model_copy(update={"batch_size": 1})  # there are few videos
    loader = TrainLoader(
        videos, recipe.data, view=recipe.model.view, optim=optim, seed=recipe.seed, workers=0
    )
    batches = list(loader.epoch(0))[:9]
    pixels = torch.cat([batch.pixels[0] for batch in batches]).movedim(1, -1).numpy()
    shown = pictures(html, "training")
    assert len(shown) == len(pixels) > 0
    assert all((one == other).all() for one, other in zip(shown, pixels, strict=True))
    classes = videos.manifest.classes
    labels = [classes[int(batch.labels)] for batch in batches]
    assert [sample["class"] for sample in found["samples"]] == labels
    (worst,) = found["confusions"]
    assert (worst["class"], worst["taken_for"]) == classes[:2]
    first = found["classes"][0]
    assert (first["correct"], first["answers"], first["confused"]) == (0, 0, worst["videos"])
    assert f"Never an answer: {classes[0]}." in html
    assert re.search(r"Did not decode in the test, and count as wrong: val/\d+.mp4.", html)
    assert len(pictures(html, "confusions")) == 3 * 4  # frames, and under two classes
    assert len(pictures(html, "right")) == 4 * 2 * 4
    assert html.count("<tr><td>") == len(classes)
    assert "<script" not in html


def test_scores_of_weights_that_are_gone_are_refused(tested_run, capsys):
    """Of a run that goes on: its test was of an earlier epoch."""
    (tested_run.path / "result.json").unlink()
    file = tested_run.path / "eval-synth-1x1@28.json"
    result = json.loads(file.read_text())
    file.write_text(json.dumps(result | {"weights_sha256": "ab"}))
    scores = dict(np.load(file.with_suffix(".npz")))
    np.savez(file.with_suffix(".npz"), **scores | {"weights_sha256": np.array("ab")})
    assert run(["inspect", "runs/small"]) == 1
    assert problems(capsys) == [
        "warning: runs/small: its training has not finished",
        "error: runs/small: its scores of synth-1x1@28 are not of the weights in last.pt",
        "hint: `stsm eval runs/small --protocol synth-1x1@28` keeps new ones",
    ]


def test_an_example_that_broke_since_is_told_on_the_page(tested_run, capsys, monkeypatch):
    def broken(*_):
        return replace(whole(*_), pixels=None, error="val/00000.mp4: broke")

    whole = inspection.middle_crop
    monkeypatch.setattr(inspection, "middle_crop", broken)
    assert run(["inspect", "runs/small", "-o", "a.html", "--samples", "1"]) == 0
    out = capsys.readouterr().out
    assert "Commonest confusions" in out
    assert "a.html shows all" in out
    html = Path("a.html").read_text(encoding="utf-8")
    assert "was not read (val/00000.mp4: broke)" in html
    assert pictures(html, "confusions") == []


def test_a_run_without_scores_says_what_keeps_them(small_run, capsys):
    assert run(["inspect", "runs/small"]) == 1
    error, hint = problems(capsys)
    assert error == "error: runs/small: keeps no scores of synth-1x1@28"
    assert hint == "hint: `stsm eval runs/small` keeps them"
    assert run(["inspect", "--crops", "3"]) == 1
    assert problems(capsys)[1] == (
        "hint: `stsm eval runs/small --protocol synth-1x3@28` keeps them"
    )


def test_data_that_moved_is_named_by_data_and_must_be_the_same(tested_run, capsys):
    file = tested_run.environment_file
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"data": "moved"}))
    recipe = tested_run.recipe_file
    recipe.write_text(recipe.read_text().replace("dataset: synth", "dataset: folder"))
    text = re.sub(r"\n  synth:\n(    .*\n)+", "\n", recipe.read_text())
    recipe.write_text(text)
    for name in ("npz", "json"):
        kept = tested_run.path / f"eval-synth-1x1@28.{name}"
        kept.rename(kept.with_name(f"eval-folder-1x1@28.{name}"))
    with np.load(kept.with_name("eval-folder-1x1@28.npz")) as opened:
        scores = dict(opened) | {"protocol": np.array("folder-1x1@28")}
    np.savez(kept.with_name("eval-folder-1x1@28.npz"), **scores)
    kept = tested_run.path / "eval-folder-1x1@28.json"
    kept.write_text(kept.read_text().replace("synth-1x1@28", "folder-1x1@28"))
    assert run(["inspect"]) == 1
    error, hint = problems(capsys)
    assert error == "error: moved: no such data root"
    assert "--data" in hint
    whole = read_manifest(Path("data/synth"), "val")
    other = Path("other")
    for split in ("train", "val"):
        write_manifest(replace(whole, root=other, split=split, classes=whole.classes[::-1]))
    assert run(["inspect", "--data", "other"]) == 1
    assert f"is not the one of the training ({whole.class_hash})" in problems(capsys)[0]
    write_manifest(replace(whole, root=other, split="train"))
    write_manifest(replace(whole, root=other, records=whole.records[1:]))
    assert run(["inspect", "--data", "other"]) == 1
    assert problems(capsys) == [
        "error: other: its split val is not the one that runs/small was tested on",
        "hint: `stsm eval runs/small --data other` tests it on this one",
    ]
    assert not PAGE.exists()


def test_a_page_is_not_replaced_unless_forced(small_run, capsys):
    page = Path("00000.html")
    page.write_text("mine")
    words = ["inspect", A, "--recipe", str(small_run.recipe_file), "-q"]
    assert run(words) == 2
    assert problems(capsys) == [
        "error: --out 00000.html: exists",
        "hint: choose another name, or add --force",
    ]
    assert page.read_text() == "mine"
    assert run([*words, "--force"]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_video_is_read_by_a_recipe_before_any_training(small_run, capsys):
    words = ["--recipe", str(small_run.recipe_file), "--set", "data.flip=label_aware"]
    words += ["--clips", "2", "--crops", "3", "-o", "a.html"]
    small_run.result_file.unlink()  # no finished run
    assert run(["inspect", A, "--video", "gone.mp4", *words, "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["failed"] == {"gone.mp4": "gone.mp4: no such file"}
    assert "error: gone.mp4: no such file" in err
    (video,) = found["videos"]
    assert (video["video"], video["frames"], video["faults"]) == (A, 12, [])
    clips = video["test"]["clips"]
    assert [clip["frames"] for clip in clips] == [[1, 4, 7, 10], [0, 3, 6, 9]]
    assert clips[0]["seconds"] == [frame / video["fps"] for frame in (1, 4, 7, 10)]
    assert len(video["test"]["crops"]) == 3
    assert len(video["training"]) == 4
    for draw in video["training"]:  # one of each segment of three frames
        assert [frame // 3 for frame in draw["frames"]] == [0, 1, 2, 3]
    assert "probabilities" not in video
    html = Path("a.html").read_text(encoding="utf-8")
    assert len(pictures(html, "video0")) == 4 * 4 + 2 * 4  # the crops are drawn on larger ones
    assert run(["inspect", A, *words, "--force"]) == 0
    table = capsys.readouterr().out
    assert re.search(r"test, clip 2 +0, 3, 6, 9 +0.00-[\d.]+ +3 crops", table)
    assert "differ" not in table


def test_a_video_that_is_short_for_the_sampling_is_told(small_run, capsys):
    words = ["--recipe", str(small_run.recipe_file), "--set", "data.sampling=dense"]
    assert run(["inspect", A, *words]) == 0
    table = capsys.readouterr().out  # a window of 64 frames on 12
    assert re.search(r"test, clip 1 +0, 4, 8, 0 ", table)
    told = "of the 4 frames of a clip 3 differ: it is short for this sampling"
    assert told in table
    assert f" pixels; crops are of the picture at a short side of 32 pixels; {told}.</p>" in Path(
        "00000.html"
    ).read_text(encoding="utf-8")


def test_a_run_says_of_a_video_what_predict_says(small_run, capsys):
    assert run(["predict", A, "--top", "99", "--json"]) == 0
    (predicted,) = json.loads(capsys.readouterr().out)["videos"]
    assert run(["inspect", "runs/small", "--video", A, "--video", B, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["videos"]
    assert (first["video"], second["video"]) == (A, B)
    known = {entry["class"]: entry["probability"] for entry in predicted["classes"]}
    assert first["probabilities"] == pytest.approx(known)
    html = Path("00000.html").read_text(encoding="utf-8")
    assert "What runs/small/checkpoints/last.pt says" in html
    assert f"<td>{predicted['classes'][0]['class']}</td>" in html
    assert f"Grad-CAM of {predicted['classes'][0]['class']}" in html
    assert run(["inspect", "runs/small", "--video", A, "--force"]) == 0
    first, second = predicted["classes"][:2]
    said = ", ".join(f"{one['class']} {100 * one['probability']:.1f} %" for one in (first, second))
    assert f"\nruns/small/checkpoints/last.pt says {said}, " in capsys.readouterr().out


def test_weights_that_come_along_are_asked_as_a_run_is(small_run, capsys):
    assert run(["inspect", "order/stsm", "--video", A]) == 0
    assert re.search(r"^order/stsm says \w+ [\d.]+ %, ", capsys.readouterr().out, re.M)


def test_where_no_video_is_read_no_page_is_written(small_run, capsys, monkeypatch):
    assert run(["inspect", "runs/small", "--video", "gone.mp4"]) == 1
    assert capsys.readouterr().out == ""

    def fails(*_):
        raise DataError("a: broke")

    monkeypatch.setattr(inspection, "heat_of", fails)
    assert run(["inspect", A, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["page"] is None
    assert not Path("00000.html").exists()


@pytest.mark.parametrize("place", ["middle_crop", "training"])
def test_a_view_that_cannot_be_read_fails_its_video(small_run, capsys, monkeypatch, place):
    def broken(*given):
        return replace(whole(*given), pixels=None, error="a.mp4: broke")

    owner, name = (
        (inspection, "middle_crop")
        if place == "middle_crop"
        else (inspection.TrainingSet, "__getitem__")
    )
    whole = getattr(owner, name)
    monkeypatch.setattr(owner, name, broken)
    assert run(["inspect", A, "--recipe", str(small_run.recipe_file)]) == 1
    assert problems(capsys) == ["error: a.mp4: broke"]


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("synth/stsm", "synth/stsm: is a recipe, not a run", "stsm inspect VIDEO --recipe synth/s"),
        ("order/stsm", "order/stsm: keeps no test that", "`stsm inspect VIDEO --run order/stsm`"),
        ("order/stsn", "order/stsn: no such run folder", "did you mean `order/stsm`?"),
        ("gone.mp4", "gone.mp4: no such run folder or video", ""),
        ("runs", "runs: not a run folder", "name one that `stsm train` made"),
        (
            "--run order/stsm",
            "order/stsm: keeps no test that",
            "`stsm inspect VIDEO --run order/st",
        ),
        (
            "runs/small/result.json",
            "runs/small/result.json: is a file of the run runs/small, not a video",
            "`stsm inspect runs/small`; of a fusion, each run by itself",
        ),
        ("runs/small/checkpoints/last.pt", "last.pt: is a file of the run runs/small", "runs/smal"),
        ("a.onnx", "a.onnx: is a network, not a video", "`stsm inspect RUN` looks at its run"),
        ("--recipe synth/stsm", "--recipe synth/stsm: belongs to a VIDEO", "inspect VIDEO --reci"),
        ("a.mp4 --recipe synth/stsm --run runs/small", "--recipe synth/stsm: excludes a run", ""),
        ("runs/small --run runs/b", "runs/small: names a run, and --run runs/b is", ""),
        ("--set seed=1", "--set seed=1: belongs to a VIDEO, and none is named", "`stsm eval`"),
        ("a.mp4 --samples 3", "--samples 3: belongs to a run's own set, not to a VIDEO", ""),
        ("a.mp4 --recipe synth/stsm --data d", "--data d: belongs to a run, and --re", "leave it"),
        ("a.mp4 --recipe synth/stsm --device cpu", "--device cpu: belongs to a run", "leave it"),
        (
            "a.mp4 --recipe synth/i3d_flow",
            "synth/i3d_flow: takes optical flow, which prepared sets alone have",
            "a recipe of RGB reads video files",
        ),
        ("a.mp4 -o a.png", "--out a.png: must end in .html", ""),
        ("a.mp4 -o runs/small/result.json/a.html", "a.html: cannot be written (Not a dir", ""),
    ],
)
def test_what_cannot_be_looked_at_is_told_with_the_way(small_run, capsys, words, error, hint):
    for name in ("a.mp4", "a.onnx"):
        Path(name).touch()
    assert run(["inspect", *words.split()]) in (1, 2)
    lines = problems(capsys)
    assert error in lines[0]
    assert hint in "".join(lines[1:])
    assert len(lines) == 1 + bool(hint)


def test_without_any_run_a_recipe_is_pointed_to(capsys):
    Path("a.mp4").touch()
    assert run(["inspect", "a.mp4"]) == 2
    assert problems(capsys) == [
        "error: runs/: holds no finished run",
        "hint: by a recipe none is needed: `stsm inspect a.mp4 --recipe synth/stsm`",
    ]
