import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.engine.opening import (
    check_crop,
    check_precision,
    gpu_meant,
    opening_lines,
    seconds_left,
)
from stsm_cli.errors import RecipeError, UsageError
from stsm_cli.models.build import build_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def shipped(name="synth/stsm", *edits):
    return load_recipe(name, edits).recipe


def epoch(number, seconds, seconds_val=0.0):
    return {"epoch": number, "seconds": seconds, "seconds_val": seconds_val}


def test_the_time_left_is_that_of_the_measured_epochs():
    assert seconds_left([], 10) is None
    assert seconds_left([epoch(1, 50.0, 10.0)], 10) == 540
    assert seconds_left([epoch(6, 50.0), epoch(7, 70.0)], 10) == 180  # a resumed run's two
    assert seconds_left([epoch(10, 50.0)], 10) == 0


def test_a_run_opens_with_what_it_is(train_videos, val_videos):
    model, splits = torch.nn.Linear(1000, 1234), (train_videos, val_videos)
    fp32 = shipped("synth/stsm", "precision=fp32")
    (first,) = opening_lines(fp32, CPU, model, splits, [])
    assert first == (
        "CPU, 1 thread: resnet_small of 1.24 M parameters in fp32, 20 training and 11 validation "
        "videos of 16 classes; the time left follows the first epoch"
    )
    (resumed,) = opening_lines(fp32, CPU, model, splits, [epoch(1, 360.0)])
    assert resumed.endswith("; about 1:00:00 left by the epochs so far")


def test_frozen_parts_show_in_what_learns(train_videos, val_videos):
    model = torch.nn.Sequential(torch.nn.Linear(1000, 1234), torch.nn.Linear(10, 1000))
    model[0].requires_grad_(requires_grad=False)
    frozen = shipped("synth/stsm", "precision=fp32", "optim.frozen=[stem]")
    (first,) = opening_lines(frozen, CPU, model, (train_videos, val_videos), [])
    assert "of 1.25 M parameters, 11,000 of them learning, in fp32" in first


def test_a_gpu_s_network_on_a_cpu_opens_with_a_warning(train_videos, val_videos, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    splits, model = (train_videos, val_videos), torch.nn.Linear(1, 1)
    real = shipped("k400/stsm_r50_8f", "model.weights=null")
    _, warning = opening_lines(real, CPU, model, splits, [])
    assert warning == f"warning: {gpu_meant(real, CPU)}"
    (_,) = opening_lines(shipped(), CPU, model, splits, [])


def test_bf16_on_a_gpu_without_it_opens_with_a_warning(train_videos, val_videos, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    splits, model = (train_videos, val_videos), torch.nn.Linear(1, 1)
    warning = "warning: this GPU has no arithmetic for bf16: --set precision=fp16 is faster"
    for has, warnings in ((False, [warning]), (True, [])):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has
        )
        assert opening_lines(shipped(), CUDA, model, splits, [])[1:] == warnings
        half = shipped("synth/stsm", "precision=fp16")
        assert opening_lines(half, CUDA, model, splits, [])[1:] == []


def test_fp16_on_a_cpu_is_refused():
    half = shipped("k400/stsm_r50_8f", "precision=fp16")
    with pytest.raises(UsageError, match="precision fp16: is for a GPU") as error:
        check_precision(half, CPU)
    assert error.value.hint == "`--set precision=fp32`, or bf16"
    check_precision(half, CUDA)
    check_precision(shipped(), CPU)


@pytest.mark.parametrize(
    ("name", "edits", "least"),
    [
        ("scenes/stsm", [], 9),
        ("k400/slowfast_r50_4x16", ["model.weights=null"], 17),
    ],
)
def test_bf16_of_tiny_pictures_on_a_cpu_is_refused(name, edits, least):
    def tiny(pixels, precision="bf16"):
        return shipped(name, f"precision={precision}", f"data.crop_px={pixels}", *edits)

    message = rf"bf16: data.crop_px \({least - 1}\) must be at least {least} with .* on a CPU"
    with pytest.raises(UsageError, match=message) as error:
        check_precision(tiny(least - 1), CPU)
    assert error.value.hint == "`--set precision=fp32`"
    check_precision(tiny(least), CPU)
    check_precision(tiny(least - 1), CUDA)
    check_precision(tiny(least - 1, "fp32"), CPU)


def test_a_new_run_in_fp16_on_a_cpu_does_not_begin(recipe, train_videos, val_videos, tmp_path, run):
    half = recipe.model_copy(update={"precision": "fp16"})
    with pytest.raises(UsageError, match="precision fp16"):
        run(half, train_videos, val_videos, tmp_path / "a")
    assert list((tmp_path / "a").glob("*")) == []


@pytest.mark.parametrize(
    ("cuda", "why"),
    [("12.4", "no CUDA device is found"), (None, "this PyTorch is built without CUDA")],
)
def test_a_cpu_where_a_gpu_was_meant_is_told(monkeypatch, cuda, why):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    real = shipped("folder/stsm_r50_8f")
    assert gpu_meant(real, CPU) == (
        f"training resnet50 on the CPU ({why}) may take days: --set "
        "model.backbone=resnet_small --set model.weights=null is a network for a CPU"
    )
    assert gpu_meant(real, CUDA) is None
    assert gpu_meant(shipped(), CPU) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # then the CPU was chosen
    assert gpu_meant(real, CPU) is None


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("k400/tea_r50_8f", "res2net_small"),
        ("k400/slowfast_r50_8x8", "slowfast_resnet_small"),
        ("sthv2/slowfast_atfr_r50_16x8", "slowfast_resnet_small"),
        ("k400/mmaction2_v1_slowonly_r50_8x8", "slow_resnet_small"),
        ("k400/smallbig_extra_r50_8f", "smallbig_resnet_small"),
        ("k400/r2plus1d_34_flow_32f", "bninception_small"),
    ],
)
def test_the_network_for_a_cpu_fits_the_rest_of_the_recipe(monkeypatch, name, body):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    edits = (f"model.backbone={body}", "model.weights=null")
    told = gpu_meant(shipped(name), CPU)
    assert told.endswith(f": --set {edits[0]} --set {edits[1]} is a network for a CPU")
    assert shipped(name, *edits).model.backbone == body


def test_a_network_for_a_cpu_does_not_start_from_another_s_weights(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    name, started = "folder/finetune_stsm_r50_8f", ("model.weights=null", "model.init=w.pt")
    assert gpu_meant(shipped(name, *started), CPU).endswith(
        ": --set model.backbone=resnet_small --set model.weights=null --set model.init=null, "
        "without --init, is a network for a CPU"
    )
    small = shipped(name, *started, "model.backbone=resnet_small", "model.init=null")
    assert small.model.init is None


def test_where_no_network_for_a_cpu_fits_none_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    old = load_recipe("k400/tsn_r50_8f", ["optim.patience_epochs=999"], of_run=True)
    assert gpu_meant(old.recipe, CPU).endswith(") may take days")


@pytest.mark.parametrize(
    ("edits", "largest"),
    [
        (["model.backbone=bottleneck_small"], 2),
        (["model.backbone=inverted_small"], 3),
        (["model.non_local=true"], 8),
        (["model.backbone=bottleneck_small", "model.non_local=true"], 14),
        (["model.backbone=bottleneck_small", "model.system=tdn"], 5),
    ],
)
def test_pictures_of_which_a_network_has_no_map_are_refused(edits, largest):
    network = build_model(shipped("synth/tsn", "model.num_classes=2", *edits).model).train()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    told = rf"^test\.crop_px \({largest}\): too small for the network \(.+\)$"
    with pytest.raises(RecipeError, match=told):
        check_crop(network, largest, "test.crop_px")
    check_crop(network, largest + 1, "test.crop_px")
    assert network.training
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
