import io
import json
import logging
import os

import pytest
import torch
from torch import nn

from stsm_cli.config.schema import BODIES, FOR_SMALL_FRAMES, ModelConfig
from stsm_cli.engine import export
from stsm_cli.engine.card import card_recipe, read_card
from stsm_cli.engine.deployed import example, ports
from stsm_cli.engine.export import export_model
from stsm_cli.engine.onnx_session import TELEMETRY_OFF, open_session
from stsm_cli.engine.testing import load_model
from stsm_cli.engine.trained import trained
from stsm_cli.errors import StsmError
from stsm_cli.models.build import build_model
from stsm_cli.models.weights import load_weights
from stsm_cli.models.weights_file import read_safetensors
from stsm_cli.models.weights_kind import CARD

CPU = torch.device("cpu")
SHIFT = {"dims": "T+H+W", "alpha": "3/8"}
MORE = [
    *({"backbone": bodies[-1], "system": system} for system, bodies in BODIES.items()),
    {"backbone": "resnet_small", "shift": SHIFT, "non_local": True},
    {"backbone": "slow_resnet_small", "shift": SHIFT},
]
WITH_MORE = {config["backbone"] for config in MORE} - {"slowfast_resnet_small"}  # is refused there
PLAIN = ["resnet_small", *(name for name in FOR_SMALL_FRAMES if name not in WITH_MORE)]
NETWORKS = [*({"backbone": name} for name in PLAIN), *MORE]
old_torch = pytest.mark.xfail(
    torch.__version__.startswith("2.6."),
    reason="torch 2.6's exporter makes no ONNX of most networks",
)
REFUSED = ("atfr",)
"""Systems whose computation depends on the videos."""
IN_ONNX = [
    {"backbone": "slowfast_resnet_small"},
    {"backbone": "resnet_small", "system": "selfy"},
]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(export, "LATENCY_RUNS", 1)


@pytest.fixture
def subject(small_run):
    return trained("runs/small", None)


@pytest.fixture
def as_file(subject, small_run):
    """as_file(ending, crops, preprocessing): card, content and the network it is of."""

    def as_file(ending, crops=1, with_preprocessing=False):
        asked = subject.under(crops=crops)
        model = load_model(asked.recipe.model, asked.checkpoint, CPU)
        classes = small_run.classes()
        made = export_model(model, asked, classes, ending, with_preprocessing=with_preprocessing)
        return *made, model

    return as_file


def network_of(config):
    network = build_model(ModelConfig.model_validate(config | {"num_classes": 5, "num_frames": 4}))
    nn.init.normal_(network.fc.weight)
    return network.eval()


def about(recipe, config):
    """The recipe with the network, and its ports."""
    model = ModelConfig.model_validate(config | {"num_classes": 5, "num_frames": 4})
    recipe = recipe.model_copy(update={"model": model})
    return ports(recipe, 5, with_preprocessing=False)


def id_of(config):
    return "+".join(str(value) for value in config.values() if not isinstance(value, dict))


@pytest.mark.parametrize("system", REFUSED)
def test_networks_without_one_graph_are_refused_without_torch_s_dumps(
    system, recipe, as_file, capsys
):
    (config,) = [config for config in NETWORKS if config.get("system") == system]
    takes, _ = about(recipe, config)
    with pytest.raises(StsmError, match="makes no graph of this network"):
        export.to_program(network_of(config), takes, as_file(".safetensors")[0], "this")
    assert capsys.readouterr() == ("", "")
    assert not logging.root.manager.disable


@pytest.mark.parametrize(
    "config", [c for c in NETWORKS if c.get("system") not in REFUSED], ids=id_of
)
def test_every_other_network_of_the_house_is_captured(config, recipe, as_file):
    takes, _ = about(recipe, config)
    network, (card, *_) = network_of(config), as_file(".safetensors")
    found = export.to_program(network, takes, card, "this")
    assert found.difference <= found.bound  # of 1 and of 3 videos, read back
    assert found.bound > 0


@old_torch
@pytest.mark.parametrize("config", IN_ONNX, ids=id_of)
def test_in_onnx_too(config, recipe, as_file):
    takes, gives = about(recipe, config)
    network, (card, *_) = network_of(config), as_file(".safetensors")
    found = export.to_onnx(network, takes, gives, card, "this")
    assert 0 < found.difference <= found.bound
    session = open_session(found.content, 1)
    videos = example(takes, 4)
    (logits,) = session.run(["logits"], {"videos": videos.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), network(videos), atol=1e-3, rtol=1e-3)


@old_torch
def test_an_onnx_file_has_its_preprocessing_and_its_card_inside(as_file, subject):
    card, found, _ = as_file(".onnx", crops=3, with_preprocessing=True)
    session = open_session(found.content, 1)
    (port,), (out,) = session.get_inputs(), session.get_outputs()
    assert (port.name, port.type, port.shape) == (
        *("frames", "tensor(uint8)"),
        ["N", 3, 4, 28, 28, 3],
    )
    assert (out.name, out.shape) == ("probabilities", ["N", 16])
    text = session.get_modelmeta().custom_metadata_map[CARD]
    assert read_card("a.onnx", text) == card
    wanted = subject.under(crops=3).recipe
    assert card_recipe("a.onnx", card) == wanted
    assert found.milliseconds[0] > 0
    assert found.milliseconds[1] > 0
    assert (card.protocol, card.reading.crop_px, card.reading.num_positions) == (
        *("synth-1x3@28", 28),
        4,
    )
    frames = example(ports(wanted, 16, with_preprocessing=True)[0], 5)
    (rows,) = session.run(None, {"frames": frames.numpy()})
    assert rows.sum(1) == pytest.approx([1] * 5)


def test_weights_are_read_by_every_command(as_file, tmp_path):
    card, found, model = as_file(".safetensors")
    assert (found.difference, found.milliseconds) == (0, None)
    path = tmp_path / "a.safetensors"
    path.write_bytes(found.content)
    again = build_model(card_recipe(path, card).model)
    load_weights(again, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert read_card(path, read_safetensors(path)[1][CARD]) == card


def test_a_program_carries_the_card(as_file, subject):
    card, *_ = as_file(".safetensors")
    takes, _ = ports(subject.recipe, 16, with_preprocessing=False)
    found = export.to_program(Mean(), takes, card, "tsn")
    files = {CARD: ""}
    torch.export.load(io.BytesIO(found.content), extra_files=files)
    assert json.loads(files[CARD]) == json.loads(card.text())


class Mean(nn.Module):
    def forward(self, videos):
        return videos.mean((2, 3, 4))


class Reading(Mean):
    """What no exporter captures: what it computes depends on a value."""

    def forward(self, videos):
        return super().forward(videos) * (2 if videos.sum().item() > 0 else 1)


def test_a_network_that_no_exporter_can_do_is_refused_by_name(as_file, subject):
    card, *_ = as_file(".safetensors")
    takes, gives = ports(subject.recipe, 16, with_preprocessing=False)
    message = rf"^tpn: torch {torch.__version__.split('+')[0]}\S* makes no graph of this network \("
    for make in (
        lambda: export.to_program(Reading(), takes, card, "tpn"),
        lambda: export.to_onnx(Reading(), takes, gives, card, "tpn"),
    ):
        with pytest.raises(StsmError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [1.01, float("nan")])
def test_what_gives_something_else_is_refused(as_file, subject, wrong, monkeypatch):
    card, *_ = as_file(".safetensors")
    takes, _ = ports(subject.recipe, 16, with_preprocessing=False)
    load = torch.export.load

    class Loaded:
        def __init__(self, file):
            self.run = load(file).module()

        def module(self):
            return lambda videos: wrong * self.run(videos)

    monkeypatch.setattr(torch.export, "load", Loaded)
    message = r"^tsn: the exported network's outputs differ .* by up to \S+, more than \S+; nothing"
    with pytest.raises(StsmError, match=message):
        export.to_program(Mean(), takes, card, "tsn")


@pytest.mark.parametrize(("said", "found"), [(None, "1"), ("0", "0")])
def test_onnx_runtime_reports_nothing_unless_it_is_told_to(monkeypatch, said, found):
    monkeypatch.setenv(TELEMETRY_OFF, said or "")
    if said is None:
        monkeypatch.delenv(TELEMETRY_OFF)
    with pytest.raises(Exception, match=r"nowhere\.onnx"):
        open_session("nowhere.onnx", 1)
    assert os.environ[TELEMETRY_OFF] == found
