import hashlib
import json
from pathlib import Path

import pytest
import torch

from stsm_cli.cli.app import run
from stsm_cli.config.load import load_recipe
from stsm_cli.engine import export, onnx_session
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import read_weights


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(export, "LATENCY_RUNS", 1)


def test_json_is_one_object_with_the_promised_keys(small_run, capsys):
    assert run(["export", "runs/small", "-o", "out/a.safetensors", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    content = Path("out/a.safetensors").read_bytes()
    card = found.pop("card")
    bound = found.pop("bound")
    assert found == {
        "schema": "stsm.export/1",
        "checkpoint": "runs/small/checkpoints/last.pt",
        "output": "out/a.safetensors",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "max_difference": 0.0,
        "latency_ms": None,
    }
    assert bound > 0
    assert (card["schema"], len(card["classes"]), card["protocol"]) == (
        *("stsm.card/1", 16),
        "synth-1x1@28",
    )
    state = torch.load(small_run.checkpoint, weights_only=True)["model"]
    assert torch.equal(read_weights(Path("out/a.safetensors"))["fc.bias"], state["fc.bias"])
    assert "exporting runs/small/checkpoints/last.pt" in err


def test_the_table_tells_what_was_found(small_run, capsys):
    assert run(["export", "-o", "a.pt2", "--with-preprocessing", "--crops", "3"]) == 0
    out = capsys.readouterr().out
    rows = dict(line.split("  ", 1) for line in out.splitlines()[4:] if "  " in line)
    cells = {name: cell.strip() for name, cell in rows.items()}
    assert out.splitlines()[0] == "a.pt2"
    assert cells["takes"] == "frames, uint8 (N, 3, 4, 28, 28, 3)"
    assert cells["gives"] == "probabilities, float32 (N, 16)"
    assert (cells["classes"], cells["protocol"], cells["accuracy"]) == (
        *("16", "synth-1x3@28"),
        "not tested",
    )
    assert "ms; the network in PyTorch" in cells["one video here"]
    assert "it has been read back and compared with the network" in out
    assert "it computes in float32, its recipe in bf16" in out


def test_weights_by_themselves_go_with_a_recipe(small_run, capsys):
    recipe = ["--recipe", str(small_run.recipe_file)]
    assert run(["export", str(small_run.checkpoint), *recipe, "-o", "a.safetensors"]) == 0
    assert run(["export", "a.safetensors", *recipe, "-o", "b.safetensors"]) == 0
    assert read_weights(Path("b.safetensors")).keys() == read_weights(Path("a.safetensors")).keys()


def test_a_file_of_weights_takes_and_gives_nothing(small_run, capsys):
    assert run(["export", "-o", "a.safetensors"]) == 0
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    assert "network" in words
    assert not {"takes", "gives"} & set(words)


def test_a_network_that_differs_by_the_video_is_refused_with_the_command_for_its_weights(capsys):
    Path("w.pt").write_text("never read")
    words = ["export", "w.pt", "--recipe", "synth/slowfast_atfr", "--set", "seed=1"]
    assert run([*words, "-o", "a b.pt2", "--with-preprocessing"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --out a b.pt2: is one graph for all videos, and system atfr drops time steps by "
        "what each video shows",
        "hint: its weights alone: `stsm export w.pt --recipe synth/slowfast_atfr --set seed=1 "
        "--out 'a b.safetensors'`",
    ]


def test_predict_is_named_for_what_it_runs(capsys, monkeypatch):
    made = export.Exported(b"", 0.0, 1.0, None)
    monkeypatch.setattr(export, "to_onnx", lambda *_: made)  # takes seconds
    for stream, is_run in (("rgb", True), ("flow", False)):
        edits = ["model.backbone=r2plus1d_small", "model.num_classes=2", f"model.stream={stream}"]
        model = load_recipe("synth/tsn", edits).recipe.model
        torch.save({"model": build_model(model).state_dict()}, "a.pt")
        words = ["a.pt", "--recipe", "synth/tsn", *(w for edit in edits for w in ("--set", edit))]
        assert run(["export", *words, "-o", f"{stream}.onnx"]) == 0
        assert (f"`stsm predict {stream}.onnx VIDEO` runs it" in capsys.readouterr().out) == is_run


def test_what_exists_is_kept_unless_forced(small_run, capsys):
    Path("a.safetensors").write_text("mine")
    assert run(["export", "-o", "a.safetensors"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --out a.safetensors: exists",
        "hint: choose another name, or add --force",
    ]
    assert Path("a.safetensors").read_text() == "mine"
    assert run(["export", "-o", "a.safetensors", "--force", "-q"]) == 0
    assert len(read_weights(Path("a.safetensors"))) > 10


@pytest.mark.parametrize("name", ["a.safetensors", "link.safetensors"])
def test_the_weights_that_are_read_are_not_replaced(small_run, capsys, name):
    words = ["--recipe", str(small_run.recipe_file), "-q"]
    assert run(["export", "-o", "a.safetensors", "-q"]) == 0
    Path("link.safetensors").symlink_to("a.safetensors")
    before = Path("a.safetensors").read_bytes()
    capsys.readouterr()
    assert run(["export", "a.safetensors", *words, "-o", name, "--force"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: --out {name}: is the file to export, which stays as it is",
        "hint: choose another name",
    ]
    assert Path("a.safetensors").read_bytes() == before


def test_a_run_that_has_not_finished_is_exported_with_a_warning(small_run, capsys):
    small_run.result_file.unlink()
    assert run(["export", "runs/small", "-o", "a.safetensors", "-q"]) == 0
    assert capsys.readouterr().err == "warning: runs/small: its training has not finished\n"


def test_the_default_is_onnx_under_the_run_s_name(small_run, capsys):
    Path("small.onnx").touch()
    assert run(["export"]) == 2
    assert "error: --out small.onnx: exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["runs/none", "-o", "a.pt2"], 1, "runs/none: not a run folder (no recipe.yaml)"),
        (["data", "-o", "a.pt2"], 1, "data: not a run folder (no recipe.yaml)"),
        (["a.txt", "-o", "a.pt2"], 2, "a.txt: is a file, and weights need a recipe"),
        (["none.pt", "--recipe", "synth/stsm", "-o", "a.pt2"], 1, "none.pt: no such file of wei"),
        (["a.txt", "--recipe", "synth/stsm", "-o", "a.pt2"], 1, "a.txt: not a readable checkpoi"),
        (["--recipe", "synth/stsm", "-o", "a.pt2"], 2, "--recipe synth/stsm: belongs to a file"),
        (["-o", "a.pth"], 2, "--out a.pth: must end in .onnx or .pt2 or .safetensors"),
        (["runs/none", "-o", "a.pth"], 2, "--out a.pth: must end in"),  # before anything is read
        (["-o", "a"], 2, "--out a: must end in .onnx"),
        (["-o", "folder.pt2"], 2, "--out folder.pt2: is a folder, not a file"),
        (["-o", "a.txt/b.pt2"], 2, "--out a.txt/b.pt2: cannot be written (Not a directory)"),
        (
            ["-o", "a.safetensors", "--with-preprocessing"],
            2,
            "--with-preprocessing: a.safetensors holds weights and computes nothing",
        ),
        (["-o", "a.pt2", "--crops", "7"], 2, "test.crops must be 1, 3 or 10, got 7"),
        (["-o", "a.pt2", "--best"], 1, "best.pt: no such file of weights"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(small_run, capsys, words, code, message):
    Path("a.txt").write_text("no weights")
    Path("folder.pt2").mkdir()
    before = set(Path().iterdir())
    assert run(["export", *words]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert message in line
    assert set(Path().iterdir()) == before


def test_without_the_packages_the_command_is_told(small_run, capsys, monkeypatch):
    find = onnx_session.find_spec
    monkeypatch.setattr(
        onnx_session, "find_spec", lambda name: None if name == "onnxruntime" else find(name)
    )
    assert run(["export", "-o", "a.onnx"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: ONNX: the package onnxruntime is not installed",
        "hint: pip install 'stsm[export]'",
    ]
