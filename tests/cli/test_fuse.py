import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from stsm_cli.cli import output
from stsm_cli.cli.app import run
from stsm_cli.engine import fusion
from stsm_cli.errors import StsmError


@pytest.fixture
def two_runs(small_run):
    """Two runs of other weights, tested."""
    shutil.copytree(small_run.path, "runs/flow")
    checkpoint = torch.load("runs/flow/checkpoints/last.pt", weights_only=True)
    checkpoint["model"]["fc.weight"] = checkpoint["model"]["fc.weight"].flip(1)
    torch.save(checkpoint, "runs/flow/checkpoints/last.pt")
    for name in ("small", "flow"):
        assert run(["eval", f"runs/{name}", "-q"]) == 0


def test_two_runs_become_one_result(two_runs, capsys):
    capsys.readouterr()
    output.use(output.Output())  # the fixture's is quiet
    assert run(["fuse", "runs/small", "runs/flow"]) == 0
    text, err = capsys.readouterr()
    assert "kept as runs/small/fuse-flow-synth-1x1@28.json" in err
    assert "synth/stsm and synth/stsm" in text
    assert "fused by prob, weights 1 and 1" in text
    assert "from runs/small and runs/flow" in " ".join(text.split())
    assert run(["fuse", "runs/small", "runs/flow", "--by", "logits", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["fused"]["by"] == "logits"
    assert (result["protocol"], result["num_listed"]) == ("synth-1x1@28", 21)
    assert len(result["pairs"]) == 8
    kept = json.loads(Path("runs/small/fuse-flow-synth-1x1@28-logits.json").read_text())
    assert result == kept | {"run": "runs/small and runs/flow"}
    other = json.loads(Path("runs/small/fuse-flow-synth-1x1@28.json").read_text())
    assert other["fused"]["by"] == "prob"  # as it was


def test_fusions_with_runs_of_one_folder_name_stay_apart(two_runs, capsys):
    output.use(output.Output())
    file = Path("runs/small/fuse-flow-synth-1x1@28.json")

    def told():
        capsys.readouterr()
        assert run(["fuse", "runs/small", "runs/flow"]) == 0
        return capsys.readouterr().err

    for _ in range(2):
        assert f"kept as {file}\n" in told()
    kept = json.loads(file.read_text())
    first, second = kept["weights_sha256"].split("+")
    file.write_text(json.dumps(kept | {"weights_sha256": f"{first}+{'0' * 64}"}))
    other, before = file.with_stem(f"{file.stem}-{second[:8]}"), file.read_bytes()
    stays = f"{file} stays: it is of another run that was called so\n"
    assert f"{stays}kept as {other}\n" in told()
    assert file.read_bytes() == before
    assert json.loads(other.read_text())["weights_sha256"] == kept["weights_sha256"]
    file.write_text("{")
    assert f"kept as {file}\n" in told()


def test_a_run_that_cannot_be_written_is_fused_all_the_same(two_runs, capsys, monkeypatch):
    def refuse(path, result):
        raise StsmError(f"{path}: cannot be written (Read-only file system)")

    monkeypatch.setattr(fusion, "write_result", refuse)
    capsys.readouterr()
    output.use(output.Output())
    assert run(["fuse", "runs/small", "runs/flow", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["num_listed"] == 21
    file = "runs/small/fuse-flow-synth-1x1@28.json"
    assert f"warning: {file}: cannot be written (Read-only file system)\n" in err
    assert "kept as" not in err


def test_a_run_is_not_fused_with_itself(small_run, capsys):
    assert run(["fuse", "runs/small", "runs/../runs/small"]) == 2
    text = capsys.readouterr().err
    assert "error: runs/../runs/small: is the first run, too" in text


def test_weights_decide_and_the_classes_are_written(two_runs, capsys):
    alone = {}
    for name in ("small", "flow"):
        alone[name] = json.loads(Path(f"runs/{name}/eval-synth-1x1@28.json").read_text())
    for weights, name in ((("1", "1e-9"), "small"), (("1e-9", "1"), "flow")):
        capsys.readouterr()
        options = ["--weights", *weights, "--per-class", "classes.csv", "--json"]
        assert run(["fuse", "runs/small", "runs/flow", *options]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["correct"] == alone[name]["correct"]
        with Path("classes.csv").open() as file:
            assert sum(int(row["correct"]) for row in csv.DictReader(file)) == result["correct"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--by", "scores"], "--by: must be prob or logits, got 'scores'"),
        (["--weights", "1", "0"], "--weights: must be from 1e-09 to 1,000,000,000, got 1 0"),
        (["--weights", "-1", "1"], "--weights: must be from 1e-09 to 1,000,000,000, got -1 1"),
        (["--weights", "nan", "1"], "--weights: must be from 1e-09 to 1,000,000,000, got nan 1"),
        (
            ["--weights", "1e308", "1e308"],
            "--weights: must be from 1e-09 to 1,000,000,000, got 1e+308",
        ),
        (["--per-class", "a.txt"], "--per-class a.txt: the name must end in .csv"),
    ],
)
def test_what_cannot_be_meant_is_refused(capsys, options, problem):
    assert run(["fuse", "a", "b", *options]) == 2
    assert f"error: {problem}" in capsys.readouterr().err


def test_the_examples_in_the_help_are_options_that_exist(capsys):
    assert run(["fuse", "--help"]) == 0
    lines = (line.split() for line in capsys.readouterr().out.splitlines())
    examples = [line[1:] for line in lines if line[:2] == ["stsm", "fuse"]]
    assert len(examples) == 2
    for example in examples:
        assert run(example) == 1
        assert "error: runs/rgb: not a run folder" in capsys.readouterr().err
