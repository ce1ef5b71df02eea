"""What a checkpoint's configuration states and no tensor tells."""

import re

import pytest
import torch

from stsm_cli.errors import CheckpointError
from stsm_cli.models.weights_stated import stated_dataset, stated_ratio, stated_sampling

ALPHABETICAL = """model = dict(
    backbone=dict(
        depth=18,
        norm_cfg=dict(requires_grad=True, type='BN'),
        pretrained=('https://download.pytorch.org/models/resnet18.pth'),
        type='{0}'),
    cls_head=dict(type='TSNHead'))"""  # as MMAction2 1.x writes it
FIRST = "model = dict(\n    type='Recognizer2D',\n    backbone=dict(type='{0}', depth=18))"  # 0.x


@pytest.mark.parametrize("text", [ALPHABETICAL, FIRST])
@pytest.mark.parametrize("backbone", ["C2D", "C2D_R50", "ResNet3d", "mmaction.C2D", "ResNetTIN"])
def test_another_backbone_of_the_same_tensors_is_refused(backbone, text, read, state_of):
    said = f"has a network of backbone {backbone.removeprefix('mmaction.')}, unknown here"
    with pytest.raises(CheckpointError, match=f"theirs.pth: {said}"):
        read(state_of("mmaction2", shift=False), meta={"cfg": text.format(backbone)})


@pytest.mark.parametrize("text", [ALPHABETICAL, FIRST])
@pytest.mark.parametrize(
    "backbone",
    [
        "ResNet",
        "ResNetTSM",
        "MobileNetV2",
        "MobileNetV2TSM",
        "ResNet3dSlowOnly",
        "ResNet3dSlowFast",
        "mmaction.ResNetTSM",
        "torchvision.resnet18",
        "timm.resnet18",
        "mmcls.ResNeXt",
    ],
)
def test_backbones_that_are_known_pass(backbone, text, read, state_of):
    state = state_of("mmaction2", shift=False)
    assert read(state, meta={"cfg": text.format(backbone)}).backbone == "resnet18"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "img_norm_cfg = dict(mean=[104, 117, 128], std=[1, 1, 1])",
            "trained on pixels of mean [104.0, 117.0, 128.0], the network here takes [123.675, ",
        ),
        ("dict(std=[1.0, 57.12, 57.375])", "trained on pixels of std [1.0, 57.12, 57.375], the ne"),
        ("mean=[128, 128]", "trained on pixels of mean [128.0, 128.0], the network here"),
        ("img_norm_cfg = dict(to_bgr=True)", "has a network of to_bgr True, unknown here"),
        (
            "data_preprocessor=dict(type='ActionDataPreprocessor', to_rgb=True)",
            "has a network of to_rgb True, unknown here",
        ),
        ("backbone=dict(temporal_pool=True)", "has a network of temporal_pool True, unknown here"),
    ],
)
def test_other_pixels_of_mmaction2_are_refused(text, says, read, state_of):
    with pytest.raises(CheckpointError, match=re.escape(f"theirs.pth: {says}")):
        read(state_of("mmaction2"), meta={"cfg": text})


def test_pixels_of_the_zoo_pass(read, state_of):
    text = "mean=[123.675, 116.28, 103.53], std=(58.395, 57.12, 57.375)"
    for around in ("img_norm_cfg = dict({}, to_bgr=False)", "data_preprocessor=dict({})"):
        meta = {"cfg": around.format(text) + ", init_std=0.01, img = dict(to_rgb=True)"}
        assert read(state_of("mmaction2"), meta=meta).shifted


def test_the_ratio_is_no_other_alpha():
    assert stated_ratio("MIXUP:\n  ALPHA: 2\nSLOWFAST:\n  ALPHA: 4\n  BETA_INV: 8\n") == 4
    assert stated_ratio("MIXUP:\n  ALPHA: 8\nSLOWFAST:\n  BETA_INV: 8\n") is None
    assert stated_ratio("SLOWFAST:\n  BETA_INV: 8\nTRAIN:\n  ALPHA: 8\n") is None
    assert stated_ratio("backbone=dict(resample_rate=4,  # tau\n speed_ratio=4)") == 4


UNIFORM = "dict(clip_len=1, frame_interval=1, num_clips=8, type='SampleFrames')"  # 1.x
DENSE = "dict(type='DenseSampleFrames', clip_len=1, frame_interval=1, num_clips=8)"


@pytest.mark.parametrize(
    ("configuration", "sampling"),
    [
        (f"train_pipeline = [{UNIFORM}]", "uniform"),
        (f"[{UNIFORM}], [{UNIFORM.replace('1, num', '1, test_mode=True, num')}]", "uniform"),
        (UNIFORM.replace("'S", "'mmaction.S"), "uniform"),
        (f"[{DENSE}], [{DENSE[:-1]}, test_mode=True)]", "dense"),
        (f"[{DENSE}], [{UNIFORM}]", None),
        (UNIFORM.replace("'S", "'UniformS"), None),
        (UNIFORM.replace("clip_len=1", "clip_len=8"), None),  # SlowOnly's frames, side by side
        ("dict(type='DecordDecode')", None),
        ("", None),
    ],
)
def test_sampling_is_stated_where_all_samplers_are_of_one(configuration, sampling):
    assert stated_sampling(configuration) == sampling


@pytest.fixture(scope="module")
def resnet50(state_of):
    """resnet50(num_classes, shift=...): MMAction2's tensors of a ResNet-50, on meta."""

    def resnet50(num_classes, *, shift=True):
        state = state_of("mmaction2", "resnet50", shift=shift)
        head = {"weight": (num_classes, 2048), "bias": (num_classes,)}
        for kind, size in head.items():
            state[f"cls_head.fc_cls.{kind}"] = torch.empty(size, device="meta")
        return state

    return resnet50


def samplers(frames):
    return {"meta": {"cfg": f"dict(type='SampleFrames', clip_len=1, num_clips={frames})"}}


def test_frames_of_tsm_that_no_recipe_has_are_to_be_set(read, resnet50):
    state = resnet50(400)
    converted = read(state, **samplers(16))
    assert (converted.recipe, converted.frames) == (None, 16)
    assert converted.for_frames == "k400/mmaction2_v1_tsm_r50_8f"
    assert (converted.also, converted.sampling) == ((), "uniform")  # the others' is dense
    assert read(state, **samplers(8)).recipe == "k400/mmaction2_v1_tsm_r50_8f"


def test_a_mean_over_frames_takes_any_number_of_them(read, resnet50):
    converted = read(resnet50(174, shift=False), **samplers(3))
    assert (converted.recipe, converted.for_frames) == ("sthv2/tsn_r50_8f", None)
    assert (converted.frames, converted.stated_frames) == (None, 3)


def test_sampling_that_no_recipe_has_is_to_be_set(read, resnet50):
    converted = read(resnet50(400, shift=False), **samplers(8))
    assert (converted.recipe, converted.for_frames) == (None, "k400/tsn_r50_8f")  # which is dense
    assert (converted.frames, converted.sampling) == (None, "uniform")


@pytest.mark.parametrize(
    ("stated", "dataset", "recipe"),
    [
        ("data_root = 'data/sthv1/rawframes'", "sthv1", None),
        ("ann_file = 'sthv2_train_list.txt'", "sthv2", "sthv2/mmaction2_v1_tsm_r50_8f"),
        ("", None, "sthv2/mmaction2_v1_tsm_r50_8f"),
    ],
)
def test_weights_of_something_v1_have_no_recipe_of_v2(stated, dataset, recipe, read, resnet50):
    converted = read(resnet50(174), meta={"cfg": stated})
    assert (converted.dataset, converted.recipe) == (dataset, recipe)
    relatives = () if recipe else ("sthv2/mmaction2_v1_tsm_r50_8f",)
    assert converted.relatives == relatives
    assert converted.for_frames is None


@pytest.mark.parametrize(
    ("configuration", "dataset"),
    [
        ("TRAIN:\n  DATASET: ssv2\n", "sthv2"),
        ("load_from = 'sthv2.pth'; data_root = 'data/sthv1'", None),  # either
        ("classv1 = 'k400'", None),
    ],
)
def test_a_data_set_is_stated_where_one_alone_is_named(configuration, dataset):
    assert stated_dataset(configuration) == dataset


@pytest.mark.parametrize(
    ("source", "around", "alpha"),
    [
        ("mmaction2", {"meta": {"cfg": "backbone=dict(type='ResNetTSM', shift_div=8)"}}, "1/4"),
        ("mmaction2", {}, None),
        ("mit", {}, None),
    ],
)
def test_a_shift_is_a_rule_and_its_share_where_it_is_stated(source, around, alpha, read, state_of):
    rules = read(state_of(source), source, **around).rules
    assert (rules["model.shift.dims"], rules.get("model.shift.alpha")) == ("T", alpha)
    assert "model.shift.dims" not in read(state_of(source, shift=False), source, **around).rules
