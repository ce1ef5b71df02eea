"""`stsm predict MODEL.onnx`: by its card alone, in a folder that knows nothing else."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe
from stsm_cli.engine import export, onnx_session
from stsm_cli.engine.card import make_card
from stsm_cli.engine.deployed import Port
from stsm_cli.engine.trained import Trained
from stsm_cli.models.weights_kind import CARD
from stsm_cli.progress import SILENT

old_torch = pytest.mark.xfail(
    torch.__version__.startswith("2.6."),
    reason="torch 2.6's exporter makes no ONNX of most networks",
    strict=False,
)
A, B = "00000.mp4", "00007.mp4"
MADE = {}
PIXELS, LOGITS = "pixels.onnx", "logits.onnx"
OPTIONS = {PIXELS: ["--with-preprocessing", "--crops", "10"], LOGITS: []}


@pytest.fixture
def exported(small_run, tmp_path, monkeypatch, capsys):
    """Both kinds of files, two videos, and what the run itself says of these."""
    if not MADE:  # equal weights each time: making them takes long
        monkeypatch.setattr(export, "LATENCY_RUNS", 1)
        for name, options in OPTIONS.items():
            assert run(["export", "-o", name, *options]) == 0
            MADE[name] = Path(name).read_bytes()
    away = tmp_path / "away"
    away.mkdir()
    for name, content in MADE.items():
        (away / name).write_bytes(content)
    for name in (A, B):
        shutil.copy(f"data/synth/val/{name}", away / name)
    capsys.readouterr()

    def by_run(*options):
        with monkeypatch.context() as inside:
            inside.chdir(tmp_path)
            words = ["predict", f"away/{A}", f"away/{B}", "--top", "16", "--json", *options]
            assert run([*words, "--set", "precision=fp32"]) == 0
        return json.loads(capsys.readouterr().out)

    monkeypatch.chdir(away)
    return by_run


def rows(found):
    return [
        {entry["class"]: entry["probability"] for entry in video["classes"]}
        for video in found["videos"]
    ]


@old_torch
@pytest.mark.parametrize(
    ("name", "options", "same"),
    [
        (PIXELS, [], ["--crops", "10"]),
        (LOGITS, [], []),
        (LOGITS, ["--crops", "10", "--clips", "2"], ["--crops", "10", "--clips", "2"]),
    ],
)
def test_a_file_says_what_its_run_says(exported, capsys, name, options, same):
    wanted = exported(*same)
    assert run(["predict", name, A, B, "--top", "16", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["checkpoint"] == name
    assert found["protocol"] == wanted["protocol"].partition("+")[0]
    for own, row in zip(rows(found), rows(wanted), strict=True):
        assert own == pytest.approx(row, abs=1e-5)
    assert max(rows(found)[0].values()) > 0.1  # it knows something


@old_torch
@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize("name", OPTIONS)
def test_its_scores_over_time_are_saved_too(capsys, name):
    assert run(["predict", name, A, "--save", "out", "--window", "8"]) == 0
    lines = Path("out/windows.csv").read_text().splitlines()
    assert len(lines) == 4
    assert Path("out/00000.predicted.mp4").stat().st_size > 1000


@old_torch
@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([PIXELS, A, "--crops", "3"], "pixels.onnx: its protocol, synth-1x10@28, is inside, and"),
        ([LOGITS, A, "--protocol", "1x1@20"], "logits.onnx: takes pictures of 28 pixels, and"),
        ([LOGITS], "logits.onnx: is a network, and no video is named"),
        ([LOGITS, A, "--device", "cuda"], "logits.onnx: is a whole network for the CPU, without"),
        ([LOGITS, A, "--data", "x"], "logits.onnx: is a whole network"),
        ([LOGITS, A, "--crops", "7"], "test.crops must be 1, 3 or 10, got 7"),
    ],
)
def test_what_does_not_fit_the_file_is_one_line(capsys, words, message):
    assert run(["predict", *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert message in line


def test_files_that_are_no_network_of_ours(capsys):
    Path("a.mp4").touch()
    Path("bytes.onnx").write_bytes(b"\x08\x07\xff\xff")
    _write("foreign.onnx")
    for name, message in [
        ("gone.onnx", "gone.onnx: cannot be read (No such file or directory)"),
        ("bytes.onnx", "bytes.onnx: not a readable ONNX file ("),
        ("foreign.onnx", "foreign.onnx: has no card of stsm"),
    ]:
        assert run(["predict", name, "a.mp4"]) == 1
        assert f"error: {message}" in capsys.readouterr().err


def test_a_network_of_flow_is_refused_as_its_run_is(capsys):
    Path("a.mp4").touch()
    edits = ["model.backbone=r2plus1d_small", "model.num_classes=2", "model.stream=flow"]
    subject = Trained("flow", load_recipe("synth/tsn", edits).recipe, Path("flow.pt"), None)
    told = {"takes": "videos", "gives": "logits", "with_preprocessing": False, "progress": SILENT}
    _write("flow.onnx", make_card(subject, ("a", "b"), "0", mirror=None, **told))
    assert run(["predict", "flow.onnx", "a.mp4"]) == 2
    wanted = "error: predict: flow.onnx takes optical flow, which prepared sets alone have"
    assert wanted in capsys.readouterr().err


def _write(name, card=None):
    import onnx
    from onnx import TensorProto, helper

    ports = [helper.make_tensor_value_info(port, TensorProto.FLOAT, [1]) for port in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    if card is not None:
        model.metadata_props.add(key=CARD, value=card.text())
    onnx.save(model, name)


def test_without_the_package_the_command_is_told(capsys, monkeypatch):
    Path("a.onnx").write_bytes(b"\x08")
    monkeypatch.setattr(onnx_session, "find_spec", lambda name: None)
    assert run(["predict", "a.onnx", "a.mp4"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: ONNX: the package onnxruntime is not installed",
        "hint: pip install 'stsm[export]'",
    ]


def test_a_port_is_told_in_a_line():
    assert str(Port("videos", "float32", (8, 3, 32, 32))) == "videos, float32 (N, 8, 3, 32, 32)"
