import hashlib
import json

import pytest
import torch
from torchvision.models import get_model

from stsm_cli.cli.app import run
from stsm_cli.models.weights import read_weights


@pytest.fixture(scope="module")
def tsm():
    """TSM-ResNet-18 of 5 classes under its authors' names."""
    state = {}
    for key, value in get_model("resnet18", num_classes=5).state_dict().items():
        name = key.replace("fc.", "new_fc.") if key.startswith("fc.") else f"base_model.{key}"
        if "layer" in key:
            name = name.replace("conv1.weight", "conv1.net.weight")
        state[f"module.{name}"] = value
    return state


@pytest.fixture
def theirs(tsm, tmp_path):
    """The file that TSM's program leaves; the tests stand beside it."""
    path = tmp_path / "tsm.pth.tar"
    torch.save({"epoch": 50, "arch": "resnet18", "state_dict": tsm, "best_prec1": 71.2}, path)
    return path


MIT = ["convert", "tsm.pth.tar", "--from", "mit"]


def test_json_is_one_object_with_the_promised_keys(theirs, tsm, capsys):
    assert run([*MIT, "-o", "weights/ours.safetensors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    out = theirs.parent / "weights" / "ours.safetensors"
    assert found == {
        "schema": "stsm.convert/1",
        "source": "tsm.pth.tar",
        "format": "mit",
        "backbone": "resnet18",
        "shifted": True,
        "non_local": False,
        "num_classes": 5,
        "num_tensors": 122,
        "missing": [],
        "unexpected": [],
        "output": "weights/ours.safetensors",
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }
    assert torch.equal(read_weights(out)["fc.bias"], tsm["module.new_fc.bias"])


def test_table_says_what_it_is_and_how_to_start_from_it(theirs, capsys):
    assert run([*MIT, "-o", "ours.safetensors"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "ours.safetensors"
    assert [line.split() for line in out.splitlines()[2:5:2]] == [
        ["network", "shift", "classes", "tensors"],
        ["resnet18", "T,", "1/4", "5", "122"],
    ]
    assert "every tensor of tsm.pth.tar has its place" in out
    assert "start from it with `stsm train RECIPE --init ours.safetensors`" in out


def test_what_exists_is_kept_unless_forced(theirs, tmp_path, capsys):
    out = tmp_path / "ours.safetensors"
    out.write_text("mine")
    assert run([*MIT, "-o", "ours.safetensors"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --out ours.safetensors: exists",
        "hint: choose another name, or add --force",
    ]
    assert out.read_text() == "mine"
    assert run([*MIT, "-o", "ours.safetensors", "--force", "-q"]) == 0
    assert len(read_weights(out)) == 122


def test_a_dropped_tensor_fails_and_writes_nothing(theirs, tsm, tmp_path, capsys):
    rest = {key: value for key, value in tsm.items() if key != "module.new_fc.bias"}
    torch.save({"state_dict": rest}, theirs)
    assert run([*MIT, "-o", "ours.safetensors", "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: tsm.pth.tar: not mit's resnet18")
    assert printed.err.endswith(": 1 missing (fc.bias)\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tsm.pth.tar"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--from", "mit", "-o", "ours.pth"], 2, "--out ours.pth: must end in .safetensors"),
        (
            ["--from", "tsm", "-o", "ours.safetensors"],
            2,
            "--from must be one of mmaction2, mit, torchvision, pyslowfast, vmz, smallbig, got",
        ),
        (
            ["--from", "mmaction2", "-o", "ours.safetensors"],
            1,
            "tsm.pth.tar: looks like mit, not mmaction2\nhint: use --from mit",
        ),
        (["-o", "ours.safetensors"], 2, "missing option '--from'"),
    ],
)
def test_wrong_commands(arguments, code, text, theirs, capsys):
    assert run(["convert", "tsm.pth.tar", *arguments]) == code
    assert text in capsys.readouterr().err


def test_no_file(capsys):
    assert run([*MIT, "-o", "ours.safetensors"]) == 1
    assert "tsm.pth.tar: cannot be read (No such file" in capsys.readouterr().err
