"""Checkpoints of other projects: their networks, and the tensors that become ours."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import get_model

from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.errors import CheckpointError, StsmError
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import load_weights, rules
from stsm_cli.models.weights_convert import Converted, convert, save_converted
from stsm_cli.models.weights_file import read_header

FRAMES, CLASSES = 2, 7  # of the networks in conftest.py
TSM = ShiftConfig(dims="T", alpha="1/4")
EMBEDDED = """model = dict(backbone=dict(type='ResNetTSM', style='pytorch', shift_div=8,
    non_local_cfg=dict(sub_sample=True, use_scale=False, norm_cfg=dict(type='BN3d'),
        mode='embedded_gaussian')))"""


def settled(network, videos):
    """Random everywhere, with signals and logits of scale 1, in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = 1.0
        if isinstance(module, nn.BatchNorm3d):  # what it sees hardly varies: keep its scale
            nn.init.normal_(module.running_mean)
            module.momentum = 0.0
        if isinstance(module, nn.Conv3d) and module.bias is not None:
            nn.init.normal_(module.bias)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.05)
    with torch.no_grad():
        network.train()(videos)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("source", "name", "shift", "non_local"),
    [
        ("mit", "resnet18", False, False),
        ("mit", "resnet50", True, True),
        ("mit", "mobilenet_v2", True, False),
        ("mmaction2", "resnet18", True, False),
        ("mmaction2", "resnet50", True, True),
        ("mmaction2", "mobilenet_v2", True, False),
        ("mmaction2", "mobilenet_v2", False, False),
    ],
)
def test_converted_weights_give_the_source_s_logits(
    source, name, shift, non_local, network_of, tmp_path
):
    videos = torch.randn(3, FRAMES, 3, 32, 32)
    theirs = settled(network_of(source, name, shift=shift, non_local=non_local), videos)
    state = theirs.state_dict()
    if source == "mit":
        state = {f"module.{key}": value for key, value in state.items()}
    meta = {"CLASSES": None, "cfg": EMBEDDED if non_local and source == "mmaction2" else ""}
    torch.save({"state_dict": state, "epoch": 3, "meta": meta}, tmp_path / "theirs.pth")
    converted = convert(tmp_path / "theirs.pth", source)
    assert (converted.backbone, converted.shifted) == (name, shift)
    assert (converted.non_local, converted.num_classes) == (non_local, CLASSES)
    save_converted(tmp_path / "ours.safetensors", converted, original=tmp_path / "theirs.pth")
    model = build_model(
        ModelConfig(
            backbone=name,
            num_classes=CLASSES,
            num_frames=FRAMES,
            shift=TSM if shift else None,
            non_local=non_local,
        )
    ).eval()
    load_weights(model, tmp_path / "ours.safetensors")
    with torch.no_grad():  # in float64: random deep networks multiply rounding
        expected, logits = theirs.double()(videos.double()), model.double()(videos.double())
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def shapes(state):
    return {key: tuple(value.shape) for key, value in state.items()}


def plain_shapes(name, non_local, num_classes):
    config = ModelConfig(backbone=name, num_classes=num_classes, non_local=non_local)
    with torch.device("meta"):
        return shapes(build_model(config).state_dict())


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("source", ["mit", "mmaction2"])
@pytest.mark.parametrize(
    ("name", "non_local"),
    [
        ("resnet34", False),
        ("resnet50", False),
        ("resnet50", True),
        ("resnet101", False),
        ("wide_resnet50_2", False),
        ("resnext101_32x8d", False),
        ("mobilenet_v2", False),
    ],
)
def test_network_is_told_from_its_tensors(source, name, non_local, shift, read, state_of):
    state = state_of(source, name, shift=shift, non_local=non_local)
    converted = read(state, source, meta={"cfg": EMBEDDED})
    assert (converted.backbone, converted.shifted) == (name, shift)
    assert (converted.non_local, converted.num_classes) == (non_local, CLASSES)
    assert shapes(converted.weights) == plain_shapes(name, non_local, CLASSES)


@pytest.mark.parametrize("name", ["resnet18", "resnet152", "mobilenet_v2"])
def test_torchvision_s_own(name, read, state_of):
    converted = read(state_of("torchvision", name), "torchvision")
    assert (converted.backbone, converted.shifted, converted.num_classes) == (name, False, 1000)
    assert shapes(converted.weights) == plain_shapes(name, False, 1000)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_tsm_trained_without_dropout_has_its_classifier_in_the_backbone(name, read, state_of):
    classifier = "base_model.fc" if name == "resnet50" else "base_model.classifier"
    state = {
        key.replace("new_fc", classifier): value for key, value in state_of("mit", name).items()
    }
    assert read(state, "mit").num_classes == CLASSES


def test_weights_become_float32_and_their_own(tmp_path):
    state = get_model("resnet18", num_classes=3).half().state_dict()
    state["bn1.bias"] = torch.zeros(1).half().expand(64)  # no memory of its own
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "a.safetensors")
    converted = convert(tmp_path / "a.safetensors", "torchvision")
    save_converted(tmp_path / "b.safetensors", converted, original=tmp_path / "a.safetensors")
    saved = load_file(tmp_path / "b.safetensors")
    assert saved["backbone.bn1.num_batches_tracked"].dtype == torch.int64
    assert {value.dtype for value in saved.values()} == {torch.float32, torch.int64}
    assert torch.equal(saved["backbone.conv1.weight"], state["conv1.weight"].float())


def test_counters_of_batches_may_be_absent_altogether(read, state_of):
    state = state_of("mit")
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    weights = read(old, "mit").weights
    assert shapes(weights) == plain_shapes("resnet18", False, CLASSES)
    assert weights["backbone.bn1.num_batches_tracked"] == 0
    del state["base_model.bn1.num_batches_tracked"]
    with pytest.raises(
        CheckpointError, match=r"1 missing \(backbone.bn1.num_batches_tracked from base_model.bn1"
    ):
        read(state, "mit")


def test_header_says_where_the_weights_come_from(tmp_path):
    torch.save(get_model("resnet18", num_classes=3).state_dict(), tmp_path / "r18.pth")
    converted = convert(tmp_path / "r18.pth", "torchvision")
    out = tmp_path / "new" / "folder" / "r18.safetensors"
    sha256 = save_converted(out, converted, original=tmp_path / "r18.pth")
    assert sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    with safe_open(out, "pt") as file:
        assert file.metadata() == {
            "format": "stsm.weights/1",
            "source": "torchvision",
            "source_file": "r18.pth",
            "source_sha256": hashlib.sha256((tmp_path / "r18.pth").read_bytes()).hexdigest(),
            "backbone": "resnet18",
            "shifted": "false",
            "non_local": "false",
            "num_classes": "3",
            "classes": "unknown",
            "model.statistics": "own",
            "model.shift.shortcut": "false",
            "model.slowfast.slow_frames": "spread",
        }


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("k400/slowonly_r50_4x16", ("own", "false", "spread")),
        ("k400/mmaction2_v1_slowfast_r50_4x16", ("imagenet", "false", "every")),
        ("sthv2/tsm_tpn_r50_8f", ("own", "true", "spread")),
        ("sthv2/mmaction2_v1_tsm_tpn_r50_8f", ("own", "false", "spread")),
    ],
)
def test_the_header_holds_the_rules_that_no_tensor_tells(recipe, expected, tmp_path):
    found = rules(load_recipe(recipe).recipe.model)
    assert tuple(found.values()) == expected
    made = Converted({"n": torch.ones(1)}, "mit", "resnet50", True, False, 3, recipe, found)
    (tmp_path / "theirs.pth").touch()
    save_converted(tmp_path / "a.safetensors", made, original=tmp_path / "theirs.pth")
    header = read_header(tmp_path / "a.safetensors")
    assert {key: header[key] for key in ("recipe", *found)} == {"recipe": recipe, **found}


def test_a_place_that_cannot_be_written_is_named(read, tmp_path, state_of):
    converted = read({key: torch.zeros(v.shape) for key, v in state_of("mit").items()}, "mit")
    (tmp_path / "theirs.pth").touch()
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(StsmError, match=r"a.safetensors: cannot be written \(Is a dir"):
        save_converted(tmp_path / "a.safetensors", converted, original=tmp_path / "theirs.pth")


def test_the_same_weights_give_the_same_bytes(tmp_path):
    weights = {"fc.weight": torch.randn(3, 2), "fc.bias": torch.randn(3), "n": torch.tensor(1)}
    converted = Converted(weights, "mit", "resnet18", False, False, 3)
    theirs = tmp_path / "é.pth"
    theirs.touch()
    sums = {save_converted(tmp_path / "a.safetensors", converted, original=theirs) for _ in "12345"}
    assert len(sums) == 1
    content = (tmp_path / "a.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    assert start % 8 == 0
    assert [*json.loads(content[8:start])["__metadata__"]][:2] == ["format", "source"]
    saved = load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(saved[name], tensor) for name, tensor in weights.items())
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata()["source_file"] == "é.pth"


def test_other_weights_in_the_file_are_told(read, state_of):
    state = {key: torch.zeros(tensor.shape) for key, tensor in state_of("mit").items()}
    around = {"state_dict_ema": dict(state), "optimizer": {"state": {0: {}}}, "none": {}}
    assert read(state, epoch=3, **around).beside == {"state_dict_ema": len(state)}
    assert read(state).beside == {}


def test_the_average_that_mmcv_keeps_beside_the_weights_is_left_out(read, state_of):
    state = {key: torch.zeros(tensor.shape) for key, tensor in state_of("mmaction2").items()}
    average = {f"ema_{key.replace('.', '_')}": tensor for key, tensor in state.items()}
    converted = read(state | average)
    assert converted.dropped.keys() == average.keys()
    assert converted.weights.keys() == read(state).weights.keys()
