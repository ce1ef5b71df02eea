"""Checkpoints of 3D networks: each tensor finds its place, whatever the network's size."""

import re

import pytest
import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.config.networks_3d import SlowFastConfig
from stsm_cli.config.schema import ModelConfig
from stsm_cli.errors import CheckpointError
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import load_weights
from stsm_cli.models.weights_convert import convert, save_converted

WIDE = SlowFastConfig(lateral_kernel=7)
NETWORKS = [
    ("pyslowfast", "slowfast_resnet50", SlowFastConfig()),
    ("pyslowfast", "slowfast_resnet50", WIDE),
    ("pyslowfast", "slow_resnet50", SlowFastConfig()),
    ("vmz", "r2plus1d_34", SlowFastConfig()),
    ("smallbig", "smallbig_resnet50", SlowFastConfig()),
]


def slowfast_name(name):
    """PySlowFast's name of ours."""
    name = re.sub(r"^backbone\.(?!slow|fast|laterals)", "backbone.slow.", name)
    _, pathway, *rest = name.split(".")
    if name.startswith("fc."):
        return f"head.projection.{pathway}"
    if pathway == "laterals":
        kind = {"conv": "conv_f2s", "bn": "bn"}[rest[1]]
        return f"s{int(rest[0]) + 1}_fuse.{kind}.{rest[2]}"
    number = ["slow", "fast"].index(pathway)
    if not rest[0].startswith("layer"):
        return f"s1.pathway{number}_stem.{rest[0].removesuffix('1')}.{rest[1]}"
    stage, block, part, *tail = rest
    if part == "sampler":
        return f"s2.pathway{number}_ts_layer." + ".".join(tail)
    if part == "downsample":
        kind = "branch1" + ("_bn" if tail[0] == "1" else "")
    else:
        kind = "branch2." + "abc"[int(part[-1]) - 1] + ("_bn" if part.startswith("bn") else "")
    return f"s{int(stage[-1]) + 1}.pathway{number}_res{block}.{kind}.{tail[-1]}"


def vmz_name(name):
    """VMZ's name of ours."""
    for ours, theirs in {"space": "0", "bn": "1", "time": "3"}.items():
        name = name.replace(f"stem.0.{ours}.", f"stem.<{theirs}>.")
        name = re.sub(rf"conv(\d)\.{ours}\.", rf"conv\1.0.{theirs}.", name)
    name = re.sub(r"\.bn(\d)\.", r".conv\1.1.", name.replace("stem.1.", "stem.4."))
    return name.replace("<", "").replace(">", "").removeprefix("backbone.")


def smallbig_name(name):
    """SmallBigNet's name of ours."""
    name = re.sub(r"\.extra(\d+)\.reduce\.", r".\1.big4_1.", name.removeprefix("backbone."))
    name = re.sub(r"\.extra(\d+)\.widen\.", r".\1.big4_2.0.", name)
    name = re.sub(r"\.extra(\d+)\.bn\.", r".\1.big4_2.1.", name)
    return "module." + re.sub(r"\.big([123])\.", r".big\1.1.", name)


def mmaction2_name(name):
    """MMAction2's name of ours, of SlowOnly or SlowFast."""
    name = re.sub(r"\.laterals\.0\.", ".slow_path.conv1_lateral.", name)
    name = re.sub(r"\.laterals\.(\d)\.", r".slow_path.layer\1_lateral.", name)
    name = re.sub(r"^backbone\.(slow|fast)\.", r"backbone.\1_path.", name)
    name = name.replace(".downsample.0.", ".downsample.conv.")
    name = name.replace(".downsample.1.", ".downsample.bn.")
    name = re.sub(r"(\.|^)(conv|bn)(\d)\.", r"\1conv\3.\2.", name)
    return re.sub(r"^fc\.", "cls_head.fc_cls.", name)


def i3d_name(name):
    """The accepted port's name of ours."""
    name = name.replace("fc.", "logits.conv3d.").replace(".conv.", ".conv3d.")
    for ours, theirs in {"conv1": "1a_7x7", "conv2": "2b_1x1", "conv3": "2c_3x3"}.items():
        name = name.replace(f"backbone.{ours}.", f"Conv3d_{theirs}.")
    name = re.sub(
        r"backbone\.inception(\d)(\w)", lambda at: f"Mixed_{at[1]}{chr(ord(at[2]) + 1)}", name
    )
    step = {"": "", "0.": "a", "1.": "b"}
    return re.sub(
        r"\.branch(\d)\.([01]\.)?",
        lambda at: f".b{int(at[1]) - 1}{step[at[2] or '']}.",
        name,
    )


NAMES = {
    "pyslowfast": ("model_state", slowfast_name),
    "vmz": (None, vmz_name),
    "smallbig": ("state_dict", smallbig_name),
}


def theirs(source, backbone, slowfast=None):
    """A network of ours, and what `source` would write of it."""
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, num_classes=3, slowfast=slowfast or SlowFastConfig())
    ours = build_model(config).state_dict()
    around, name_of = NAMES[source]
    state = {name_of(name): tensor for name, tensor in ours.items()}
    assert len(state) == len(ours)
    return ours, state if around is None else {around: state, "epoch": 1}


@pytest.mark.parametrize(("source", "backbone", "slowfast"), NETWORKS)
def test_every_tensor_finds_its_place(source, backbone, slowfast, tmp_path):
    ours, content = theirs(source, backbone, slowfast)
    torch.save(content, tmp_path / "theirs.pth")
    converted = convert(tmp_path / "theirs.pth", source)
    assert (converted.backbone, converted.num_classes) == (backbone, 3)
    assert (converted.shifted, converted.non_local) == (False, False)
    assert converted.weights.keys() == ours.keys()
    assert all(torch.equal(converted.weights[name], tensor) for name, tensor in ours.items())


@pytest.mark.parametrize("name", ["k400/i3d_64f", "k400/i3d_flow_64f"])
def test_i3d_s_stream_is_told_and_its_classifier_is_flat(name, tmp_path):
    torch.manual_seed(0)
    config = load_recipe(name).recipe.model.model_copy(update={"weights": None})
    ours = build_model(config).state_dict()
    state = {i3d_name(key): tensor for key, tensor in ours.items()}
    assert "Mixed_4c.b1b.conv3d.weight" in state
    state["logits.conv3d.weight"] = state["logits.conv3d.weight"][:, :, None, None, None]
    torch.save(state, tmp_path / "theirs.pt")
    converted = convert(tmp_path / "theirs.pt")
    assert (converted.source, converted.recipe, converted.also) == ("i3d", name, ())
    assert not converted.tells_frames
    assert converted.weights.keys() == ours.keys()
    assert all(torch.equal(converted.weights[key], tensor) for key, tensor in ours.items())


@pytest.mark.parametrize("name", ["k400/slowfast_atfr_r50_4x16", "sthv2/slowfast_atfr_r50_16x8"])
def test_atfr_is_recognised_and_every_tensor_finds_its_place(name, tmp_path):
    torch.manual_seed(0)
    ours = build_model(load_recipe(name).recipe.model).state_dict()
    state = {slowfast_name(key): tensor for key, tensor in ours.items()}
    torch.save({"model_state": state, "epoch": 1}, tmp_path / "theirs.pyth")
    converted = convert(tmp_path / "theirs.pyth")
    assert (converted.source, converted.recipe, converted.also) == ("pyslowfast", name, ())
    assert converted.weights.keys() == ours.keys()
    assert all(torch.equal(converted.weights[key], tensor) for key, tensor in ours.items())
    weights = build_model(load_recipe(name).recipe.model)
    save_converted(tmp_path / "ours.safetensors", converted, original=tmp_path / "theirs.pyth")
    load_weights(weights, tmp_path / "ours.safetensors")
    assert weights.drop_bins
    assert torch.equal(weights.fc.weight, ours["fc.weight"])


@pytest.mark.parametrize(
    ("recipe", "also", "num_features"),
    [
        ("k400/mmaction2_v1_slowfast_r50_4x16", (), 2304),
        ("k400/mmaction2_v1_slowfast_r50_8x8", (), 2304),
        ("k400/mmaction2_v1_slowonly_r50_4x16", ("k400/mmaction2_v1_slowonly_r50_8x8",), 2048),
    ],
)
def test_mmaction2_s_slow_networks_have_recipes_of_their_own(recipe, also, num_features, read):
    with torch.device("meta"):
        ours = build_model(load_recipe(recipe).recipe.model).state_dict()
    state = {mmaction2_name(name): tensor for name, tensor in ours.items()}
    assert len(state) == len(ours)
    weight = torch.arange(400 * num_features).float().view(400, num_features)
    state["cls_head.fc_cls.weight"] = weight
    converted = read(state)
    assert (converted.source, converted.recipe, converted.also) == ("mmaction2", recipe, also)
    assert converted.weights.keys() == ours.keys()
    fast = 256 if "slowfast" in recipe else 0  # whose features stand first in their classifier
    expected = torch.cat([weight[:, fast:], weight[:, :fast]], 1)
    assert torch.equal(converted.weights["fc.weight"], expected)


MMA_TEXT = """test_pipeline = [dict(type='SampleFrames', clip_len={0}, frame_interval=16,
    num_clips=10, test_mode=True)]
train_pipeline = [dict(clip_len={0}, frame_interval=16, num_clips=1, type='SampleFrames')]"""
YAML = """DATA:
  INPUT_CHANNEL_NUM:
  - 3
  MEAN:
  - {mean}
  - {mean}
  - {mean}
  NUM_FRAMES: {frames}
  REVERSE_INPUT_CHANNEL: true
  STD: [{std}, {std}, {std}]
MIXUP:
  ALPHA: 0.8
RESNET:
  STRIDE_1X1: {stride}
SLOWFAST:
  ALPHA: {alpha}
  BETA_INV: 8
"""


def pyslowfast(frames=32, alpha=8, mean=0.45, std=0.225, stride="false"):
    """A configuration as PySlowFast writes it into a checkpoint."""
    return YAML.format(frames=frames, alpha=alpha, mean=mean, std=std, stride=stride)


@pytest.mark.parametrize(
    ("prefix", "name_of", "around"),
    [
        ("mmaction2_v1_", mmaction2_name, lambda text: {"meta": {"cfg": MMA_TEXT.format(text)}}),
        ("", slowfast_name, lambda text: {"cfg": pyslowfast(text)}),
    ],
)
def test_frames_that_a_configuration_states_choose_the_recipe(prefix, name_of, around, read):
    names = [f"k400/{prefix}slowonly_r50_{frames}" for frames in ("4x16", "8x8")]
    with torch.device("meta"):
        ours = build_model(load_recipe(names[0]).recipe.model).state_dict()
    state = {name_of(name): tensor for name, tensor in ours.items()}
    for frames, recipe in zip((4, 8), names, strict=True):
        converted = read(state, **around(frames))
        assert (converted.recipe, converted.also) == (recipe, ())
    variable = read(state, **around("clip_len"))  # of the configuration
    assert (variable.recipe, variable.also, variable.frames) == (names[0], (names[1],), None)
    others = read(state, **around(32))
    assert (others.recipe, others.for_frames, others.frames) == (None, names[0], 32)
    assert others.also == (names[1],)


@pytest.fixture(scope="module")
def slowfast():
    """PySlowFast's tensors of SlowFast, on meta."""
    with torch.device("meta"):
        ours = build_model(load_recipe("k400/slowfast_r50_4x16").recipe.model).state_dict()
    return {slowfast_name(name): tensor for name, tensor in ours.items()}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mean": 0.5}, r"pixels of MEAN \[0\.5, 0\.5, 0\.5\], the network here takes \[0\.45, "),
        ({"std": 0.229}, r"pixels of STD \[0\.229, .*, the network here takes \[0\.225, "),
        ({"stride": "true"}, "has a network of STRIDE_1X1 true, unknown here"),
    ],
)
def test_other_pixels_and_strides_of_pyslowfast_are_refused(changes, says, slowfast, read):
    with pytest.raises(CheckpointError, match=says):
        read(slowfast, cfg=pyslowfast(**changes))


@pytest.mark.parametrize(
    ("frames", "alpha", "recipe", "for_frames", "told"),
    [
        (32, 8, "k400/slowfast_r50_4x16", None, 4),
        (64, 8, None, "k400/slowfast_r50_4x16", 8),
        (32, 4, None, "k400/slowfast_r50_4x16", 8),
    ],
)
def test_slowfast_s_frames_and_ratio_are_those_stated(
    frames, alpha, recipe, for_frames, told, slowfast, read
):
    converted = read(slowfast, cfg=pyslowfast(frames, alpha))
    assert (converted.recipe, converted.for_frames) == (recipe, for_frames)
    assert (converted.frames, converted.rules["model.slowfast.ratio"]) == (told, str(alpha))
    assert "model.slowfast.ratio" not in read(slowfast).rules


def test_the_ratio_of_a_slow_pathway_alone_is_none(read):
    with torch.device("meta"):
        ours = build_model(load_recipe("k400/slowonly_r50_8x8").recipe.model).state_dict()
    state = {slowfast_name(name): tensor for name, tensor in ours.items()}
    converted = read(state, cfg=pyslowfast(8))
    assert (converted.recipe, converted.frames) == ("k400/slowonly_r50_8x8", 8)
    assert "model.slowfast.ratio" not in converted.rules


def test_smallbig_s_extra_units_have_a_recipe_of_their_own(read):
    recipe = "k400/smallbig_extra_r50_8f"
    model = load_recipe(recipe).recipe.model.model_copy(update={"weights": None})
    with torch.device("meta"):
        ours = build_model(model).state_dict()
    converted = read({smallbig_name(name): tensor for name, tensor in ours.items()})
    assert (converted.source, converted.recipe, converted.also) == ("smallbig", recipe, ())
    assert converted.weights.keys() == ours.keys()


def test_a_missing_tensor_is_named(tmp_path):
    _, content = theirs("vmz", "r2plus1d_34")
    del content["stem.3.weight"]
    torch.save(content, tmp_path / "theirs.pth")
    message = r"not vmz's r2plus1d_34, .*: 1 missing \(backbone\.stem\.0\.time\.weight from stem\.3"
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "theirs.pth", "vmz")


def test_a_lateral_kernel_that_no_released_network_has_is_named(tmp_path):
    _, content = theirs("pyslowfast", "slowfast_resnet50", SlowFastConfig(lateral_kernel=3))
    torch.save(content, tmp_path / "theirs.pth")
    message = r"laterals\.0\.conv\.weight from s1_fuse\.conv_f2s\.weight \(16, 8, 3, 1, 1\), not"
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "theirs.pth", "pyslowfast")
