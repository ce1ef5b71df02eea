import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from stsm_cli.cli.app import run
from stsm_cli.cli.convert import _commands, _notes, untold
from stsm_cli.config.load import load_recipe
from stsm_cli.models import weights_convert
from stsm_cli.models.weights import read_weights
from stsm_cli.models.weights_convert import Converted
from stsm_cli.models.weights_names import SOURCES


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
    notes = found.pop("notes")
    assert notes[0] == "every tensor of tsm.pth.tar has its place, and no place is left empty"
    start = (
        "start from it with `stsm train folder/finetune_tsm_r50_8f --set model.backbone=resnet18"
    )
    assert notes[-1] == f"{start} --init weights/ours.safetensors`"
    assert found == {
        "schema": "stsm.convert/1",
        "source": "tsm.pth.tar",
        "format": "mit",
        "backbone": "resnet18",
        "system": None,
        "shifted": True,
        "non_local": False,
        "num_classes": 5,
        "num_tensors": 122,
        "num_parameters": 11_179_077,
        "recipe": None,  # none has a ResNet-18
        "also": [],
        "relatives": [],
        "frames": None,
        "for_frames": None,
        "sampling": None,
        "rules": {
            "model.statistics": "own",
            "model.shift.shortcut": "false",
            "model.slowfast.slow_frames": "spread",
            "model.shift.dims": "T",
        },
        "missing": [],
        "unexpected": [],
        "dropped": [],
        "beside": [],
        "num_dropped_parameters": 0,
        "training_only": [],
        "num_training_only_parameters": 0,
        "folded": [],
        "num_folded_parameters": 0,
        "output": "weights/ours.safetensors",
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }
    assert torch.equal(read_weights(out)["fc.bias"], tsm["module.new_fc.bias"])


def test_table_says_what_it_is_and_how_to_start_from_it(theirs, capsys):
    assert run([*MIT, "-o", "ours.safetensors"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "ours.safetensors"
    assert [line.split() for line in out.splitlines()[2:5:2]] == [
        ["network", "shift", "classes", "tensors", "parameters"],
        ["resnet18", "T,", "1/4", "5", "122", "11,179,077"],
    ]
    assert "every tensor of tsm.pth.tar has its place" in out
    assert "no shipped recipe has its backbone (resnet18)" in out
    setting = "--set model.backbone=resnet18"
    assert f"test it with `stsm eval folder/tsm_r50_8f {setting} --checkpoint ours.safe" in out
    assert f"start from it with `stsm train folder/finetune_tsm_r50_8f {setting} --init ours" in out


def test_of_other_classes_the_network_s_recipe_is_named_for_a_folder(tmp_path, monkeypatch, capsys):
    tdn = replace(TPN, num_classes=101, relatives=("k400/tdn_r50_8f", "sthv2/tdn_r50_8f"))
    monkeypatch.setattr(weights_convert, "convert", lambda *_, **__: replace(tdn, **OF_TDN))
    monkeypatch.setattr(weights_convert, "save_converted", lambda *_, **__: "0")
    torch.save({"w": torch.zeros(1)}, tmp_path / "tdn.pth")
    assert run(["convert", "tdn.pth", "-o", "ours.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    recipe = "k400/tdn_r50_8f --set data.dataset=folder"
    assert lines == [
        "no shipped recipe has this network with its classes (101); for those of a folder:",
        f"test it with `stsm eval {recipe} --checkpoint ours.safetensors --data ROOT`",
        "no tensor tells the number of frames: 8 in this recipe, other ones with `--set "
        "model.num_frames=T`",
        f"start from it with `stsm train {recipe} --init ours.safetensors`",
    ]


def test_of_other_classes_the_folder_s_own_recipe_is_named(theirs, capsys, monkeypatch):
    tsm = replace(TPN, num_classes=7, relatives=("k400/tsm_r50_8f", "sthv2/tsm_r50_8f"))
    monkeypatch.setattr(
        weights_convert, "convert", lambda *_, **__: replace(tsm, **OF_TDN | {"system": None})
    )
    monkeypatch.setattr(weights_convert, "save_converted", lambda *_, **__: "0")
    assert run(["convert", "tsm.pth.tar", "-o", "ours.safetensors"]) == 0
    told = capsys.readouterr().out
    assert "test it with `stsm eval folder/tsm_r50_8f --checkpoint ours.safetensors" in told
    start = "stsm train folder/finetune_tsm_r50_8f --init ours.safetensors"
    assert f"start from it with `{start}`" in told


OF_TDN = {"source": "tdn", "system": "tdn", "shifted": False, "tells_frames": False}


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


def test_a_head_that_training_alone_uses_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights_convert, "convert", lambda *_, **__: TPN)
    monkeypatch.setattr(weights_convert, "save_converted", lambda *_, **__: "0")
    torch.save({"w": torch.zeros(1)}, tmp_path / "tpn.pth")
    assert run(["convert", "tpn.pth", "-o", "ours.safetensors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["num_parameters"] == 10
    assert found["training_only"] == ["auxiliary.fc.weight", "auxiliary.fc.bias"]
    assert found["num_training_only_parameters"] == 12
    assert run(["convert", "tpn.pth", "-o", "ours.safetensors"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    named = "auxiliary.fc.weight, auxiliary.fc.bias"
    assert f"beside them 2 tensors (12 parameters) that training alone uses: {named}" in text


TPN = Converted(
    weights={
        "fc.weight": torch.zeros(2, 5),
        "auxiliary.fc.weight": torch.zeros(2, 5),
        "auxiliary.fc.bias": torch.zeros(2),
    },
    source="tpn",
    backbone="resnet50",
    shifted=True,
    non_local=False,
    num_classes=2,
)


def test_a_dropped_tensor_fails_and_writes_nothing(theirs, tsm, tmp_path, capsys):
    rest = {key: value for key, value in tsm.items() if key != "module.new_fc.bias"}
    torch.save({"state_dict": rest}, theirs)
    assert run([*MIT, "-o", "ours.safetensors", "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: tsm.pth.tar: not mit's resnet18")
    assert printed.err.endswith(": 1 missing (fc.bias from module.new_fc.bias)\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tsm.pth.tar"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--from", "mit", "-o", "ours.pth"], 2, "--out ours.pth: must end in .safetensors"),
        (
            ["--from", "tsm", "-o", "ours.safetensors"],
            2,
            f"--from must be one of {', '.join(SOURCES)}, got",
        ),
        (
            ["--from", "mmaction2", "-o", "ours.safetensors"],
            1,
            "tsm.pth.tar: looks like mit, not mmaction2\nhint: use --from mit",
        ),
        (["--from", "mit"], 2, "missing option '--out' / '-o'"),
    ],
)
def test_wrong_commands(arguments, code, text, theirs, capsys):
    assert run(["convert", "tsm.pth.tar", *arguments]) == code
    assert text in capsys.readouterr().err


def test_without_a_project_the_names_tell(theirs, capsys):
    assert run(["convert", "tsm.pth.tar", "-o", "ours.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "mit"


@pytest.fixture
def kinetics():
    """MMAction2's TSM-ResNet-50 of 400 classes, a file without its configuration."""
    state = {}
    for key, value in get_model("resnet50", num_classes=400).state_dict().items():
        name = re.sub(r"\bconv(\d)\.", r"conv\1.conv.", key)
        name = re.sub(r"\bbn(\d)\.", r"conv\1.bn.", name)
        name = name.replace("downsample.0", "downsample.conv")
        name = name.replace("downsample.1", "downsample.bn")
        name = re.sub(r"^(layer.*\.conv1\.conv)\.", r"\1.net.", name)
        state[f"cls_head.fc_cls.{key[3:]}" if key.startswith("fc.") else f"backbone.{name}"] = value
    torch.save({"state_dict": state}, "tsm.pth")


def test_the_recipe_is_named_and_those_that_no_tensor_tells_from_it(kinetics, capsys):
    command = ["convert", "tsm.pth", "-o", "a.safetensors"]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"] == "k400/mmaction2_v1_tsm_r50_8f"
    assert found["also"] == ["k400/mmaction2_v0_tsm_r50_8f", "k400/tsm_r50_8f"]
    assert run([*command, "--force"]) == 0
    out = capsys.readouterr().out
    test, others, sampling, frames = out.splitlines()[-5:-1]
    assert test == (
        "test it with `stsm eval k400/mmaction2_v1_tsm_r50_8f --checkpoint a.safetensors "
        "--data ROOT`"
    )
    assert others == ("no tensor tells it from `k400/mmaction2_v0_tsm_r50_8f`, `k400/tsm_r50_8f`")
    assert sampling == UNIFORM_OR_DENSE.format("uniform", "dense")
    assert frames == (
        "no tensor tells the number of frames: 8 in this recipe, other ones with `--set "
        "model.num_frames=T`"
    )


UNIFORM_OR_DENSE = (
    "no tensor tells uniform from dense sampling: {} in this recipe, the other with `--set "
    "data.sampling={}`"
)
V1_OR_V2 = "no tensor tells Something-Something V1 from V2: both have 174 classes"


def test_other_frames_than_a_recipe_s_are_said_with_their_setting(tmp_path):
    trn = {"weights": {}, "source": "trn", "backbone": "bninception", "system": "trn"}
    trn |= {"shifted": False, "non_local": False, "num_classes": 174, "frames": 16}
    recipe = "sthv2/trn_bninception_8f"
    setting, out = f"{recipe} --set model.num_frames=16", tmp_path / "a.safetensors"
    assert _commands(Converted(**trn, for_frames=recipe), out) == [
        "no shipped recipe has this network for 16 frames",
        f"test it with `stsm eval {setting} --checkpoint {out} --data ROOT`",
        V1_OR_V2,
        f"start from it with `stsm train {setting} --init {out}`",
    ]
    assert _commands(Converted(**trn), out) == [
        "no shipped recipe has this network with its classes (174) and frames (16)",
        f"start from it with `stsm train RECIPE --init {out}`",
    ]


def test_the_ratio_of_slowfast_is_said_to_be_the_recipe_s():
    model = {"weights": {}, "source": "pyslowfast", "backbone": "slowfast_resnet50"}
    model |= {"shifted": False, "non_local": False, "num_classes": 174}
    converted = Converted(**model, recipe="sthv2/slowfast_r50_16x8", tells_frames=False)
    assert untold(converted, "sthv2/slowfast_r50_16x8") == [
        V1_OR_V2,
        "no tensor tells the number of frames: 16 in this recipe, other ones with `--set "
        "model.num_frames=T`",
        "no tensor tells the number of fast frames for each slow one: 4 in this recipe, other ones "
        "with `--set model.slowfast.ratio=R`",
    ]

    stated = replace(converted, frames=16, dataset="sthv2", rules={"model.slowfast.ratio": "4"})
    assert untold(stated, "sthv2/slowfast_r50_16x8") == []


TSM = Converted({}, "mmaction2", "resnet50", True, False, 400, tells_frames=False)


def test_frames_and_ratio_that_a_configuration_states_are_set(tmp_path):
    recipe, out = "k400/mmaction2_v1_tsm_r50_8f", tmp_path / "a.safetensors"
    setting = f"{recipe} --set model.num_frames=16"
    assert _commands(replace(TSM, for_frames=recipe, frames=16, sampling="uniform"), out) == [
        "no shipped recipe has this network for 16 frames, uniform sampling, as its configuration "
        "states",
        f"test it with `stsm eval {setting} --checkpoint {out} --data ROOT`",
        f"start from it with `stsm train {setting} --init {out}`",
    ]
    recipe, ratio = "k400/slowfast_r50_4x16", {"model.slowfast.ratio": "4"}
    setting = f"{recipe} --set model.num_frames=8 --set model.slowfast.ratio=4"
    slowfast = replace(TSM, backbone="slowfast_resnet50", shifted=False, rules=ratio)
    untested, test, _ = _commands(replace(slowfast, for_frames=recipe, frames=8), out)
    assert untested == (
        "no shipped recipe has this network for 8 frames, 4 fast frames for each slow one, as its "
        "configuration states"
    )
    assert test == f"test it with `stsm eval {setting} --checkpoint {out} --data ROOT`"


def test_frames_of_a_relative_are_set_where_they_are_other(tmp_path):
    tsm = replace(TSM, num_classes=7, relatives=("k400/tsm_r50_8f",))
    for frames, setting in ((8, ""), (16, " --set model.num_frames=16")):
        untested, test, *_ = _commands(replace(tsm, frames=frames), tmp_path / "a.safetensors")
        assert untested.endswith("with its classes (7); for those of a folder:")
        assert f"`stsm eval folder/tsm_r50_8f{setting} --checkpoint " in test


def test_frames_of_a_mean_are_told_and_not_set():
    tsn = replace(TSM, recipe="k400/tsn_r50_8f", stated_frames=3)
    assert untold(tsn, "k400/tsn_r50_8f") == [
        UNIFORM_OR_DENSE.format("dense", "uniform"),
        "trained on 3 frames, and the mean takes any number: 8 in this recipe, other ones with "
        "`--set model.num_frames=T`",
    ]


@pytest.mark.parametrize(
    ("recipe", "sampling", "settings", "test"),
    [
        (
            "k400/tsm_r50_nl_8f",
            "uniform",
            "--set data.sampling=uniform",
            "uniform sampling, 10 clips × 3 crops of 256² pixels",
        ),
        (
            "sthv2/tsm_r50_8f",
            "dense",
            "--set data.sampling=dense --set test.clips=10",
            "dense sampling, 10 clips × 3 crops of 256² pixels",
        ),
    ],
)
def test_sampling_that_a_configuration_states_is_set(recipe, sampling, settings, test, tmp_path):
    of, out = load_recipe(recipe).model, tmp_path / "a.safetensors"
    tsm = replace(TSM, num_classes=of.num_classes, frames=8, dataset="sthv2", sampling=sampling)
    assert _commands(replace(tsm, for_frames=recipe), out) == [
        f"no shipped recipe has this network for 8 frames, {sampling} sampling, as its "
        "configuration states",
        f"test it with `stsm eval {recipe} {settings} --checkpoint {out} --data ROOT`",
        f"that is a test of {test}; other ones with `--set test.clips=N` and `--set test.crops=N`",
        f"start from it with `stsm train {recipe} {settings} --init {out}`",
    ]
    edits = settings.replace("--set ", "").split()
    assert load_recipe(recipe, edits).recipe.data.sampling == sampling


@pytest.mark.parametrize(
    ("changes", "recipe"),
    [
        ({"num_classes": 174}, "sthv2/tsm_r50_8f"),
        ({"num_classes": 174, "shifted": False}, "sthv2/tsn_r50_8f"),
        ({"num_classes": 174, "dataset": "sthv1"}, "folder/tsm_r50_8f"),
        ({"num_classes": 101}, "ucf101/tsm_r50_8f"),
        ({"num_classes": 101, "shifted": False}, "folder/tsn_r50_8f"),
    ],
)
def test_a_backbone_of_no_recipe_is_set_in_one_of_as_many_classes(changes, recipe, tmp_path):
    out = tmp_path / "a.safetensors"
    found = _commands(replace(TSM, backbone="resnet101", frames=8, **changes), out)
    command = f"{recipe} --set model.backbone=resnet101 --checkpoint {out} --data ROOT"
    assert found[:2] == [
        "no shipped recipe has its backbone (resnet101)",
        f"test it with `stsm eval {command}`",
    ]
    assert found[-1].endswith(f"_r50_8f --set model.backbone=resnet101 --init {out}`")
    assert (V1_OR_V2 in found) == recipe.startswith("sthv2/")


def test_a_classifier_of_pictures_has_no_test(tmp_path):
    pictures = replace(TSM, source="torchvision", shifted=False, num_classes=1000)
    assert _commands(pictures, tmp_path / "a.safetensors") == [
        "it is written as a classifier of pictures, which tells no recipe of videos",
        f"start from it with `stsm train RECIPE --init {tmp_path / 'a.safetensors'}`",
    ]


def test_weights_of_something_v1_are_for_a_folder(tmp_path):
    v1 = replace(TSM, num_classes=174, relatives=("sthv2/tsm_r50_8f",), dataset="sthv1", frames=8)
    untested, test, *_ = _commands(v1, tmp_path / "a.safetensors")
    assert untested == (
        "no shipped recipe is of Something-Something V1, which its configuration names; for those "
        "of a folder:"
    )
    assert test.startswith("test it with `stsm eval folder/tsm_r50_8f --checkpoint ")


def test_a_share_that_is_known_needs_no_note():
    says = "no tensor tells the share of shifted channels: 1/4 is TSM's default"
    known = replace(TSM, rules={"model.shift.dims": "T", "model.shift.alpha": "1/4"})
    out = Path("a.safetensors")
    assert says in _notes(Path("a.pth"), TSM, out)
    assert says not in _notes(Path("a.pth"), known, out)


def test_the_file_itself_is_never_replaced(tmp_path, capsys):
    own = tmp_path / "r18.safetensors"
    save_file(get_model("resnet18", num_classes=2).state_dict(), own)
    before = own.read_bytes()
    (tmp_path / "link.safetensors").symlink_to(own)
    for out in ("r18.safetensors", "./r18.safetensors", "link.safetensors"):
        assert run(["convert", "r18.safetensors", "-o", out, "--force"]) == 2
        error, hint = capsys.readouterr().err.splitlines()
        assert error.endswith(".safetensors: is the file to convert, which stays as it is")
        assert hint == "hint: choose another name"
    assert own.read_bytes() == before


def test_a_file_of_nobody_known_is_one_line_and_a_list(tmp_path, capsys):
    torch.save({"encoder.weight": torch.ones(2)}, "theirs.pth")
    assert run(["convert", "theirs.pth", "-o", "a.safetensors"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: theirs.pth: its tensors are called as in no project known here"
    assert hint.startswith(
        "hint: known: action (ACTION-Net); bninception (classifiers of pictures, ported from "
        "Caffe); i3d (I3D of its ports to PyTorch); mit (TSN and TSM of TSM's authors); mmaction2 ("
    )


def test_no_file(capsys):
    assert run([*MIT, "-o", "ours.safetensors"]) == 1
    assert "tsm.pth.tar: cannot be read (No such file" in capsys.readouterr().err
