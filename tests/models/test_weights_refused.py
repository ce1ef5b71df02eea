"""Checkpoints of other projects of which not every tensor finds its place, or that are none."""

import pytest
import torch

from stsm_cli.errors import CheckpointError

CLASSES = 7  # of the networks in conftest.py


@pytest.mark.parametrize("source", ["mit", "mmaction2"])
@pytest.mark.parametrize(
    ("name", "non_local"), [("resnet50", True), ("mobilenet_v2", False), ("resnet18", False)]
)
def test_no_tensor_may_be_dropped(source, name, non_local, read, state_of):
    state = state_of(source, name, non_local=non_local)
    for key in sorted(state)[::23] + [
        key for key in state if key.endswith(("fc.bias", "W.0.bias"))
    ]:
        rest = {other: value for other, value in state.items() if other != key}
        with pytest.raises(
            CheckpointError, match=rf"theirs.pth: not {source}'s {name}.* missing \("
        ):
            read(rest, source)


@pytest.mark.parametrize("source", ["mit", "mmaction2"])
def test_no_tensor_may_be_too_many(source, read, state_of):
    state = state_of(source) | {"n_round": torch.zeros(1), "backbone.layer5.x": torch.zeros(1)}
    with pytest.raises(
        CheckpointError, match=r"resnet18.*: 2 unexpected \(n_round, backbone.layer5"
    ):
        read(state, source)


def test_no_tensor_may_come_twice(read, state_of):
    state = state_of("mit") | {"base_model.fc.bias": torch.zeros(CLASSES)}
    with pytest.raises(CheckpointError, match=r": 1 unexpected \(base_model.fc.bias\)"):
        read(state, "mit")


def test_other_shapes_are_named(read, state_of):
    state = state_of("mmaction2") | {"backbone.conv1.conv.weight": torch.zeros(64, 10, 7, 7)}
    text = r": 1 of another shape \(backbone.conv1.weight from backbone.conv1.conv.weight "
    text += r"\(64, 10, 7, 7\), not \(64, 3, 7, 7\)\)"
    with pytest.raises(CheckpointError, match=text):  # optical flow
        read(state, "mmaction2")


def test_of_many_the_first_five_are_named(read, state_of):
    state = state_of("mit", shift=False)
    rest = {key: value for key, value in state.items() if ".layer4." not in key}
    with pytest.raises(CheckpointError, match=r": 30 missing \(([\w.]+ from [\w.]+, ){5}\.\.\.\)"):
        read(rest, "mit")


@pytest.mark.parametrize("said", ["mit", "mmaction2", "torchvision"])
@pytest.mark.parametrize("source", ["mit", "mmaction2", "torchvision"])
def test_another_project_s_file_is_recognised(source, said, read, state_of):
    if source == said:
        return
    with pytest.raises(CheckpointError, match=f"pth: looks like {source}, not {said}") as caught:
        read({f"module.{key}": value for key, value in state_of(source).items()}, said)
    assert caught.value.hint == f"use --from {source}"


def test_our_own_need_no_conversion(read, state_of):
    weights = read(state_of("mit"), "mit").weights
    for state in (weights, {"model": weights}):
        with pytest.raises(CheckpointError, match="looks like stsm, not mit") as caught:
            read(state, "mit")
        assert "no conversion" in caught.value.hint
        with pytest.raises(CheckpointError, match=r"pth: looks like stsm$"):
            read(state)


def test_names_of_nobody_known_are_refused(read):
    state = {"encoder.weight": torch.zeros(1, 1)}
    with pytest.raises(CheckpointError, match="pth: its tensors are called as in no pro") as caught:
        read(state)
    assert caught.value.hint.startswith("known: action (ACTION-Net); bninception (")
    with pytest.raises(CheckpointError, match=r"not mit's .* 1 unexpected \(encoder.weight\)"):
        read(state, "mit")


def test_a_network_unknown_here_is_refused(read):
    state = {
        "base_model.conv1_7x7_s2.weight": torch.zeros(64, 3, 7, 7),
        "new_fc.bias": torch.ones(4),
    }
    with pytest.raises(
        CheckpointError, match=r"the nearest network known here: .* missing"
    ) as caught:
        read(state, "mit")
    assert "2 unexpected" not in str(caught.value)
    assert "1 unexpected (base_model.conv1_7x7_s2.weight)" in str(caught.value)


def test_other_non_local_blocks_are_refused(read, state_of):
    state = state_of("mmaction2", "resnet50", non_local=True)
    with pytest.raises(CheckpointError, match="mode dot_product, unknown here"):
        read(state, "mmaction2", meta={"cfg": "non_local_cfg=dict(mode='dot_product')"})
    gaussian = {key: v for key, v in state.items() if "theta" not in key and "phi" not in key}
    with pytest.raises(CheckpointError, match=r": 20 missing \(backbone.layer2.non_local0.theta"):
        read(gaussian, "mmaction2")


def configured(mode="embedded_gaussian", use_scale=False):
    return {"cfg": f"non_local_cfg=dict(use_scale={use_scale}, mode='{mode}'), seed=0"}


def test_a_mode_that_nobody_states_is_not_guessed(read, state_of):
    state = state_of("mmaction2", "resnet50", non_local=True)
    for around in ({}, {"meta": None}, {"meta": {"cfg": "non_local_cfg=dict(sub_sample=True)"}}):
        with pytest.raises(CheckpointError, match="pth: has non-local blocks, and no config") as no:
            read(state, "mmaction2", **around)
        assert "`--non-local embedded_gaussian`" in no.value.hint
        assert read(state, "mmaction2", non_local="embedded_gaussian", **around).non_local
    assert read(state, "mmaction2", meta=configured()).non_local
    assert read(state_of("mit", "resnet50", non_local=True), "mit").non_local  # has one mode alone


def test_what_is_stated_of_non_local_blocks_must_be_known(read, state_of):
    state = state_of("mmaction2", "resnet50", non_local=True)
    for meta, says in [
        (configured("gaussian"), "mode gaussian"),
        (configured(use_scale=True), "use_scale True"),
    ]:
        with pytest.raises(CheckpointError, match=f"has non-local blocks of {says}, unknown here"):
            read(state, "mmaction2", meta=meta, non_local="embedded_gaussian")
    with pytest.raises(CheckpointError, match="has non-local blocks of mode dot_product, unknown"):
        read(state, "mmaction2", non_local="dot_product")
    with pytest.raises(CheckpointError, match="no non-local blocks, but --non-local embedded_gau"):
        read(state_of("mit"), "mit", non_local="embedded_gaussian")


@pytest.mark.parametrize(("name", "value"), [("shift_div", "4"), ("style", "caffe")])
def test_another_shift_or_stride_in_the_configuration_is_refused(name, value, read, state_of):
    meta = {"config": f"backbone=dict(type='ResNetTSM', {name}='{value}', depth=18)"}
    with pytest.raises(CheckpointError, match=f"has a network of {name} {value}, unknown here"):
        read(state_of("mmaction2"), "mmaction2", meta=meta)
    if name == "shift_div":
        assert not read(state_of("mmaction2", shift=False), "mmaction2", meta=meta).shifted


def test_integers_are_no_weights(read, state_of):
    state = state_of("mit") | {"base_model.bn1.weight": torch.zeros(64, dtype=torch.int64)}
    with pytest.raises(
        CheckpointError, match=r"type \(backbone.bn1.weight from base_model.bn1.weight torch.int64"
    ):
        read(state, "mit")


def test_a_shift_elsewhere_is_refused(read, state_of):
    state = state_of("mit", "resnet101", shift=False)
    everywhere = {key.replace("conv1.weight", "conv1.net.weight"): v for key, v in state.items()}
    with pytest.raises(CheckpointError, match="pth: shifts 34 convolutions, not the 18 of TSM's"):
        read(everywhere, "mit")
    blocks = {
        key.replace("layer1.0.", "layer1.0.net."): value
        for key, value in state_of("mit", "resnet50", shift=False).items()
    }
    text = r"shifts 4 convolutions, not the 16 .* differ in backbone.layer1.0.conv2.weight"
    with pytest.raises(CheckpointError, match=text):
        read(blocks, "mit")


@pytest.mark.parametrize("content", [{}, {"state_dict": None}, {"state_dict": {}}])
def test_no_state_dict_at_all(content, read):
    with pytest.raises(CheckpointError, match="pth: holds no state dict"):
        read(content, "mit")


@pytest.mark.parametrize("state", [{"epoch": 3, "w": torch.zeros(1)}, {0: torch.zeros(1)}])
def test_what_is_no_named_tensor(state, read):
    with pytest.raises(CheckpointError, match=r"('epoch' is int|0 is Tensor), not a named tensor"):
        read(state, "mit")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("i3d", "Conv3d_1a_7x7.conv3d.weight"),
        ("selfy", "base_model.selfy.x"),
        ("mmaction2", "backbone.slow_path.x"),
    ],
)
def test_a_classifier_of_one_axis_is_refused_and_not_an_error(source, name, read):
    classifier = {"i3d": "logits.conv3d", "selfy": "new_fc", "mmaction2": "cls_head.fc_cls"}[source]
    state = {name: torch.zeros(1), f"{classifier}.weight": torch.zeros(400)}
    with pytest.raises(CheckpointError, match=rf"pth: not {source}'s .* missing \("):
        read(state)


def test_a_dictionary_without_tensors_says_what_it_holds(read):
    for content in ({"optimizer": {"state": {}}, "epoch": 3}, {"optimizer": 1, "epoch": [1]}):
        with pytest.raises(
            CheckpointError, match=r"pth: holds no state dict, only optimizer, epoch$"
        ):
            read(content)
