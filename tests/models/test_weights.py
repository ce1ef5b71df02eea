import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from stsm_cli.config.load import load_recipe
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.errors import CheckpointError
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import check_rules, load_init, load_weights, read_weights
from stsm_cli.models.weights_convert import convert, save_converted
from stsm_cli.models.weights_file import read_header, read_safetensors

TSM = ShiftConfig(dims="T", alpha="1/4")
STSM = ShiftConfig(dims="T+H+W", alpha="3/8")


class Messages:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)


def model(backbone="resnet18", num_classes=5, **options):
    return build_model(ModelConfig(backbone=backbone, num_classes=num_classes, **options))


def plain(network):
    return {key.replace(".net.", "."): value for key, value in network.state_dict().items()}


def assert_equal(network, weights, but=()):
    for key, value in plain(network).items():
        assert torch.equal(value, weights[key]) or key in but, key


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Torchvision's ResNet-18 of 5 classes as `stsm convert` leaves it."""
    theirs = tmp_path_factory.mktemp("weights") / "theirs.pth"
    torch.save(get_model("resnet18", num_classes=5).state_dict(), theirs)
    path = theirs.with_name("converted.safetensors")
    save_converted(path, convert(theirs, "torchvision"), original=theirs)
    return path


def trained(path, network):
    """A checkpoint as `stsm train` writes them."""
    torch.save({"model": network.state_dict(), "position": {"epoch": 3}}, path)
    return path


def test_reads_converted_weights(converted):
    theirs = torch.load(converted.with_name("theirs.pth"), weights_only=True)
    weights = read_weights(converted)
    assert weights.keys() == plain(model()).keys()
    assert torch.equal(weights["backbone.layer1.0.conv1.weight"], theirs["layer1.0.conv1.weight"])
    assert torch.equal(weights["fc.bias"], theirs["fc.bias"])


def test_reads_checkpoints_of_training(tmp_path):
    network = model("resnet_small", shift=STSM)
    weights = read_weights(trained(tmp_path / "last.pt", network))
    assert "backbone.layer1.0.conv1.weight" in weights
    assert_equal(network, weights)


@pytest.mark.parametrize("shift", [None, TSM, STSM])
def test_one_file_starts_tsn_tsm_and_stsm(shift, converted):
    network = model(shift=shift)
    assert load_init(network, converted) == ()
    assert_equal(network, read_weights(converted))


def test_a_checkpoint_of_another_shift_starts_a_model(tmp_path):
    source, target = model("resnet_small", shift=TSM), model("resnet_small", shift=STSM)
    load_init(target, trained(tmp_path / "last.pt", source))
    assert_equal(target, plain(source))


def test_classifier_of_another_size_stays_new(converted):
    torch.manual_seed(2)
    network = model(num_classes=9)
    before = network.fc.weight.clone()
    assert load_init(network, converted) == ("the classifier (9 classes, the file has 5)",)
    assert torch.equal(network.fc.weight, before)
    assert_equal(network, read_weights(converted), but=("fc.weight", "fc.bias"))


def test_non_local_blocks_stay_new_where_the_file_has_none(tmp_path):
    source = model("resnet50", num_classes=2)
    target = model("resnet50", num_classes=2, non_local=True, shift=TSM)
    new = load_init(target, trained(tmp_path / "last.pt", source))
    assert new == ("the non-local blocks",)
    state = plain(target)
    assert_equal(source, state)
    assert sum("non_local" in key for key in state) == 60
    assert not state["backbone.layer2.non_local0.bn.weight"].any()  # the identity at first


def test_some_of_the_non_local_blocks_are_not_enough(tmp_path):
    source = model("resnet50", num_classes=2, non_local=True)
    weights = source.state_dict()
    with torch.device("meta"):
        target = model("resnet50", num_classes=2, non_local=True)
        without = model("resnet50", num_classes=2)
    some = {key: v for key, v in weights.items() if "layer3.non_local4" not in key}
    torch.save({"model": some}, tmp_path / "some.pt")
    with pytest.raises(CheckpointError, match=r"network: 12 missing \(backbone.layer3.non_local4"):
        load_init(target, tmp_path / "some.pt")
    with pytest.raises(CheckpointError, match=r"network: 48 unexpected \(backbone.layer2.non_loc"):
        load_init(without, tmp_path / "some.pt")


def test_another_backbone_does_not_start_a_model(converted):
    with pytest.raises(CheckpointError, match=r"converted.safetensors: does not fit.*: 96 missing"):
        load_init(model("resnet34"), converted)


@pytest.mark.parametrize("load", [load_init, load_weights])
def test_what_does_not_fit_is_named(load, tmp_path):
    network = model("resnet_small")
    state = network.state_dict() | {"backbone.extra": torch.zeros(1)}
    del state["fc.bias"]
    state["backbone.bn1.weight"] = torch.zeros(3)
    torch.save({"model": state}, tmp_path / "last.pt")
    text = (
        r"last.pt: does not fit the recipe's network: 1 missing \(fc.bias\), "
        r"1 unexpected \(backbone.extra\), "
        r"1 of another shape \(backbone.bn1.weight \(3,\), not \(32,\)\)"
    )
    before = network.fc.weight.clone()
    with pytest.raises(CheckpointError, match=text):
        load(network, tmp_path / "last.pt")
    assert torch.equal(network.fc.weight, before)


def test_a_classifier_of_other_features_is_no_other_number_of_classes(tmp_path):
    network = model("resnet_small")
    network.fc = nn.Linear(90, 3)
    with pytest.raises(CheckpointError, match=r"fc.weight \(3, 90\), not \(5, 96\)"):
        load_init(model("resnet_small"), trained(tmp_path / "last.pt", network))


def test_weights_to_test_must_fit_in_all(converted, tmp_path):
    network = model()
    load_weights(network, converted)
    assert_equal(network, read_weights(converted))
    with pytest.raises(CheckpointError, match=r"fc.weight \(5, 512\), not \(9, 512\)") as caught:
        load_weights(model(num_classes=9), converted)
    assert caught.value.hint == "test it under the recipe it was trained with"
    tensors, header = read_safetensors(converted)
    named = tmp_path / "named.safetensors"
    save_file(tensors, named, {**header, "recipe": "k400/tsn_r50_8f"})
    for target in (model(num_classes=9), model(shift=TSM)):
        with pytest.raises(CheckpointError) as caught:
            load_weights(target, named)
        assert caught.value.hint.endswith("the recipe it was trained with, k400/tsn_r50_8f")
    source, target = (model("resnet_small", shift=shift) for shift in (TSM, STSM))
    load_weights(target, trained(tmp_path / "last.pt", source))
    assert_equal(target, plain(source))


def test_from_python_a_recipe_s_name_and_a_file_s_name_are_enough(tmp_path):
    trained, network = (build_model(load_recipe("synth/stsm").model) for _ in range(2))
    file = tmp_path / "last.pt"
    torch.save({"model": trained.state_dict()}, file)
    load_weights(network, str(file))
    assert torch.equal(network.fc.weight, trained.fc.weight)


def test_weights_to_test_have_a_shift_or_not(converted, tmp_path):
    with pytest.raises(CheckpointError, match=r"trained without a shift, but .* has one"):
        load_weights(model(shift=TSM), converted)
    path = trained(tmp_path / "last.pt", model("resnet_small", shift=TSM))
    with pytest.raises(CheckpointError, match=r"last.pt: trained with a shift, but .* has none"):
        load_weights(model("resnet_small"), path)


def test_a_plain_state_dict_does_not_tell_whether_there_was_a_shift(tmp_path):
    source, network = (model("resnet_small", shift=STSM) for _ in range(2))
    for name, save in (("plain.pt", torch.save), ("plain.safetensors", save_file)):
        save(plain(source), tmp_path / name)
        with pytest.raises(CheckpointError, match="does not tell whether it was tra") as caught:
            load_weights(network, tmp_path / name)
        assert "`model.load_state_dict(read_weights(path))` fills it" in caught.value.hint
        network.load_state_dict(read_weights(str(tmp_path / name)))
        assert_equal(network, plain(source))


def test_a_checkpoint_of_training_tells_that_there_was_no_shift(tmp_path):
    network = model("resnet_small", shift=STSM)
    state = model("resnet_small").state_dict()
    torch.save({"recipe_hash": "0", "model": state}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"trained without a shift, but .* has one"):
        load_weights(network, tmp_path / "last.pt")


def exported(path, network, shift):
    """A file as `stsm export` writes it, of which the card says what was set alone."""
    header = {"format": "stsm.weights/1", "shifted": "true"}
    card = json.dumps({"recipe": {"model": {"shift": shift}}})
    save_file(plain(network), path, header | {"stsm.card": card})
    return path


@pytest.mark.parametrize(
    ("shift", "of_network", "says"),
    [
        ({"dims": "T"}, {"dims": "T+H+W"}, "trained with model.shift.dims T, but"),
        ({"alpha": "1/4"}, {}, "trained with model.shift.alpha 1/4, but"),
        ({"shortcut": True}, {}, "trained with model.shift.shortcut true, but"),
        ({}, {"shortcut": True}, "trained with model.shift.shortcut false, but"),
        ({"dims": "TH+W"}, {"dims": "HT+W"}, None),
        ({"shortcut": True}, {"shortcut": True}, None),
    ],
)
def test_each_rule_of_the_shift_is_compared(shift, of_network, says, tmp_path):
    network = model("resnet_small", shift=ShiftConfig(**of_network))
    path = exported(tmp_path / "a.safetensors", model("resnet_small", shift=STSM), shift)
    if says is None:
        load_weights(network, path)
        return
    with pytest.raises(CheckpointError, match=says):
        load_weights(network, path)


@pytest.mark.parametrize("size", [300, 3000, -1000])
def test_a_file_that_breaks_off_is_refused(size, tmp_path):
    whole = exported(tmp_path / "a.safetensors", model("resnet_small", shift=STSM), {})
    part = tmp_path / "b.safetensors"
    part.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"b\.safetensors: not a readable safetensors file"):
        load_weights(model("resnet_small", shift=STSM), part)


@pytest.mark.parametrize(
    ("recipe", "edits"),
    [
        ("order/stsm", "--set model.shift.dims=T-+H+W"),
        ("order/tsm", "--set model.shift.dims=T-+H+W --set model.shift.alpha=3/8"),
    ],
)
def test_weights_of_another_shift_are_refused_by_their_card(recipe, edits):
    file = Path(__file__).parents[2] / "weights/order/stsm_causal.safetensors"
    network = build_model(load_recipe(recipe, ["model.num_classes=16"]).model)
    with pytest.raises(CheckpointError, match=r"trained with model.shift.dims T-\+H\+W") as caught:
        load_weights(network, file)
    assert caught.value.hint.startswith(edits)
    assert not torch.equal(network.fc.weight, read_weights(file)["fc.weight"])


@pytest.mark.parametrize("name", ["weights/none.safetensors", "none.pt"])
def test_no_file(name, tmp_path):
    with pytest.raises(CheckpointError, match=f"^{name}: no such file of weights") as caught:
        build_model(ModelConfig(backbone="resnet_small", num_classes=5, init=name))
    assert "stsm convert" in caught.value.hint


@pytest.mark.parametrize("around", ["state_dict", "model", None])
@pytest.mark.parametrize("name", ["theirs.pth", "theirs.safetensors"])
def test_another_project_s_file_is_to_be_converted(name, around, tmp_path):
    state = {"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}
    if name.endswith("pth"):
        torch.save({around: state} if around else state, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name}: neither a file of `stsm conv") as caught:
        read_weights(tmp_path / name)
    assert f"`stsm convert {tmp_path / name} --from torchvision -o " in caught.value.hint


@pytest.mark.parametrize("around", ["state_dict", "model", None])
@pytest.mark.parametrize("name", ["own.pth", "own.safetensors"])
def test_a_state_dict_of_ours_needs_nothing_around_it(name, around, tmp_path):
    trained = model(shift=ShiftConfig())
    state = trained.state_dict()
    if name.endswith("pth"):
        torch.save({around: state} if around else state, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    tested = model(shift=ShiftConfig())
    load_weights(tested, tmp_path / name)
    assert_equal(tested, plain(trained))


@pytest.mark.parametrize(
    "content",
    [{"model": None}, {"model": {"x": 1}}, {"epoch": 3}, {"state_dict": [1]}, {3: 4}],
)
def test_no_weights_at_all(content, tmp_path):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"a.pt: neither a file of") as caught:
        read_weights(tmp_path / "a.pt")
    assert caught.value.hint is None


def test_a_recipe_s_init_is_loaded_and_told(converted):
    told = Messages()
    config = ModelConfig(backbone="resnet18", num_classes=9, init=str(converted), shift=STSM)
    network = build_model(config, progress=told)
    assert_equal(network, read_weights(converted), but=("fc.weight", "fc.bias"))
    assert told.texts == [
        f"starts from {converted}; new: the classifier (9 classes, the file has 5)"
    ]
    build_model(config.model_copy(update={"num_classes": 5}), progress=told)
    assert told.texts[1] == f"starts from {converted}"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("name", ["own.pth", "own.safetensors"])
def test_a_network_in_a_wrapper_is_read_as_it_is(name, prefix, tmp_path):
    trained = model("resnet_small", shift=TSM)
    state = {prefix + key: value for key, value in trained.state_dict().items()}
    if name.endswith("pth"):
        torch.save({"model_state_dict": state, "model": "tsm_r50"}, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    started, tested = (model("resnet_small", shift=TSM) for _ in range(2))
    assert load_init(started, tmp_path / name) == ()
    load_weights(tested, tmp_path / name)
    assert_equal(started, plain(trained))
    assert_equal(tested, plain(trained))


@pytest.mark.parametrize("other", ["backbone.layer1.0.conv1.weight", "module.fc.bias"])
def test_two_tensors_of_one_name_are_refused(other, tmp_path):
    state = model("resnet_small", shift=TSM).state_dict() | {other: torch.zeros(1)}
    first = "fc.bias" if "fc" in other else "backbone.layer1.0.conv1.net.weight"
    torch.save(state, tmp_path / "own.pth")
    one = other.removeprefix("module.")
    with pytest.raises(CheckpointError, match=f"pth: {first} and {other} are one tensor .*, {one}"):
        read_weights(tmp_path / "own.pth")


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """shifted(fixed_share=...): a converted TSM, whose share of channels is known or not."""

    def shifted(*, fixed_share):
        folder = tmp_path_factory.mktemp("shifted")
        state = get_model("resnet18", num_classes=5).state_dict()
        names = {key: f"base_model.{key}".replace("base_model.fc", "new_fc") for key in state}
        shift = {key: key.replace("conv1.w", "conv1.net.w") for key in state if "layer" in key}
        theirs = {names[key].replace(key, shift.get(key, key)): state[key] for key in state}
        torch.save(theirs, folder / "theirs.pth")
        found = convert(folder / "theirs.pth", "mit")
        share = {"model.shift.alpha": "1/4"} if fixed_share else {}
        found = replace(found, rules={**found.rules, **share})
        path = folder / "tsm.safetensors"
        save_converted(path, found, original=folder / "theirs.pth")
        return path

    return shifted


@pytest.mark.parametrize("fixed_share", [True, False])
def test_a_converted_tsm_is_tested_under_tsm_s_shift_alone(fixed_share, shifted):
    path = shifted(fixed_share=fixed_share)
    header = read_header(path)
    assert header["model.shift.dims"] == "T"
    config = ModelConfig(backbone="resnet18", num_classes=5, shift=TSM)
    check_rules(config, path, None)
    stsm = config.model_copy(update={"shift": STSM})
    with pytest.raises(CheckpointError, match=r"trained with model\.shift\.dims T") as caught:
        check_rules(stsm, path, None)
    assert caught.value.hint == "--set model.shift.dims=T --set model.shift.alpha=1/4"
    half = config.model_copy(update={"shift": ShiftConfig(dims="T", alpha="1/2")})
    if fixed_share:
        with pytest.raises(CheckpointError, match=r"with model\.shift\.alpha 1/4, but .* 1/2$"):
            check_rules(half, path, None)
    else:
        check_rules(half, path, None)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_share_of_0_is_no_shift(turn):
    still = ModelConfig(backbone="resnet18", num_classes=5, shift=ShiftConfig(alpha="0"))
    here, there = [still, still.model_copy(update={"shift": None})][::turn]
    check_rules(here, Path("last.pt"), there)


def test_the_order_of_the_axes_of_a_group_is_no_rule():
    here, there = (
        ModelConfig(backbone="resnet18", num_classes=5, shift=ShiftConfig(dims=dims))
        for dims in ("TH+W", "HT+W")
    )
    check_rules(here, Path("last.pt"), there)


def test_a_converted_tsm_starts_any_shift(shifted):
    path = shifted(fixed_share=True)
    for shift in (None, TSM, STSM):
        network = model(shift=shift)
        assert load_init(network, path) == ()
        assert_equal(network, read_weights(path))
