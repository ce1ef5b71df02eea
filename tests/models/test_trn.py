from itertools import combinations
from math import comb

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from stsm_cli.analysis.counting import count_cost
from stsm_cli.config.schema import ModelConfig
from stsm_cli.config.view import View
from stsm_cli.errors import CheckpointError
from stsm_cli.models.build import build_model
from stsm_cli.models.trn import TRN, draw_subsets
from stsm_cli.models.weights import load_init, load_weights


def config(backbone="bninception_small", **changes):
    options = {"backbone": backbone, "num_classes": 5, "num_frames": 4, "system": "trn"}
    return ModelConfig(**options | changes)


class Means(nn.Module):
    def forward(self, frames):
        return frames.mean((2, 3))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TRN(View(4), 5, Means(), num_features=3, dropout=0.0, width=6).double().eval()


def scores(network, view, subsets):
    """The definition, one view (T, C) and one subset after the other."""
    frames = [network.relations.project(frame).relu() for frame in view]
    total = torch.zeros(5, dtype=torch.float64)
    for subset in subsets:
        scale = 4 - len(subset)
        hidden = network.relations.between[scale](torch.cat([frames[i] for i in subset])).relu()
        total += network.fc.weight[:, scale] @ hidden + network.fc.bias[:, scale]
    return total


@pytest.mark.parametrize(
    "subsets",
    [
        None,
        [(0, 1, 2, 3), (0, 2, 3), (0, 1, 3), (1, 2, 3), (0, 1), (2, 3)],
        [(1, 3), (0, 3), (1, 2), (0, 1)],
    ],
)
@torch.no_grad()
def test_scores_equal_a_loop_over_the_subsets(network, subsets):
    if subsets:
        network.subsets = subsets
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    videos = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64)
    expected = [scores(network, v.mean((2, 3)), subsets or network.subsets) for v in videos]
    torch.testing.assert_close(network(videos), torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_frames_in_reverse_are_other_relations(network):
    nn.init.normal_(network.relations.project.weight)
    network.subsets = [(0, 1, 2, 3), *combinations(range(4), 2)]
    videos = torch.randn(1, 4, 3, 2, 2, dtype=torch.float64)
    assert (network(videos.flip(1)) - network(videos)).abs().max() > 1e-3
    for relation, size in zip(network.relations.between, (4, 3, 2), strict=True):
        parts = relation.weight.data.view(6, size, 6)
        relation.weight.data = parts.flip(1).flatten(1)
    twice = network(videos.flip(1))  # weights and frames in reverse: all pairs are there again
    for relation, size in zip(network.relations.between, (4, 3, 2), strict=True):
        relation.weight.data = relation.weight.data.view(6, size, 6).flip(1).flatten(1)
    torch.testing.assert_close(twice, network(videos), rtol=1e-10, atol=1e-12)


def test_subsets_of_a_size_are_different_and_at_most_three():
    drawn = draw_subsets(8)
    sizes = [len(subset) for subset in drawn]
    assert sizes == [8, *(size for size in range(7, 1, -1) for _ in range(3))]
    assert len(set(drawn)) == len(drawn)
    assert all(list(subset) == sorted(subset) for subset in drawn)
    assert draw_subsets(2) == [(0, 1)]


def test_every_subset_is_drawn_alike():
    torch.manual_seed(0)
    found = [subset for _ in range(400) for subset in draw_subsets(4) if len(subset) == 2]
    assert len(found) == 1200
    for subset in combinations(range(4), 2):
        assert abs(found.count(subset) - 1200 / comb(4, 2)) < 40


def test_a_test_s_subsets_are_constant_and_training_s_are_not(network):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        other = TRN(View(4), 5, Means(), num_features=3, dropout=0.0, width=6)
    assert other.subsets == network.subsets
    assert network.subsets[0] == (0, 1, 2, 3)
    nn.init.normal_(network.relations.project.weight)
    videos = torch.randn(1, 4, 3, 2, 2, dtype=torch.float64)
    assert torch.equal(network(videos), network(videos))
    network.train()
    assert len({network(videos)[0, 0].item() for _ in range(20)}) > 1


@pytest.mark.parametrize("subset", [(1, 0), (0,), (0, 4), (2, 2), (-1, 2)])
def test_what_is_no_subset_is_refused(network, subset):
    before = network.subsets
    with pytest.raises(
        ValueError, match=r"subsets: \(.*\) must be 2 or more of the .* 0 to 3, ris"
    ):
        network.subsets = [(0, 1), subset]
    assert network.subsets == before


@pytest.mark.parametrize(
    ("backbone", "stream", "num_frames", "params"),
    [
        ("bninception", "rgb", 8, 13_141_218),
        ("bninception", "flow", 8, 13_163_170),
        ("bninception", "rgb", 16, 20_054_610),
        ("resnet50", "rgb", 8, 26_641_154),
    ],
)
def test_parameters_to_the_unit(backbone, stream, num_frames, params):
    changes = {"num_classes": 174, "num_frames": num_frames, "stream": stream}
    with torch.device("meta"):
        network = build_model(config(backbone, **changes))
    assert sum(parameter.numel() for parameter in network.parameters()) == params
    assert network.fc.weight.shape == (174, num_frames - 1, 256)
    assert network.fc.bias.shape == (174, num_frames - 1)


def test_relations_are_counted_for_each_subset():
    cost = count_cost(config(num_classes=16, num_frames=8), size_px=32)
    plain = count_cost(config(num_classes=16, num_frames=8, system=None), size_px=32)
    features = build_model(config(system=None)).fc.in_features
    calls = 8 + 3 * sum(range(2, 8))  # frames, over all subsets
    relations = 8 * features * 256 + calls * 256 * 256 + 7 * 256 * 16
    assert cost.macs - plain.macs == relations - 8 * features * 16
    assert not cost.uncounted


def test_views_of_rgb_and_of_flow():
    rgb, flow = config("bninception").view, config("bninception", stream="flow").view
    assert (rgb.mean, rgb.std) == ((128, 117, 104), (1, 1, 1))
    assert (flow.mean, flow.std, flow.flow_fields) == ((128,) * 10, (1,) * 10, 5)
    assert flow.shape(224) == (4, 10, 224, 224)
    assert flow.span == 5


@pytest.mark.parametrize(
    ("backbone", "stream"), [("bninception_small", "flow"), ("resnet_small", "rgb")]
)
def test_every_parameter_learns(backbone, stream):
    torch.manual_seed(0)
    network = build_model(config(backbone, stream=stream, dropout=0.0)).train()
    nn.init.normal_(network.relations.project.weight)
    network(torch.randn(8, *network.view.shape(32))).square().sum().backward()
    # a bias before a norm changes nothing
    silent = {name for name, p in network.named_parameters() if not p.grad.abs().max() > 0}
    assert all(name.endswith("conv.bias") for name in silent)


def test_it_starts_anew_from_a_classifier_of_pictures(tmp_path):
    torch.manual_seed(0)
    pictures = build_model(config(system=None, num_classes=9))
    torch.save({"model": pictures.state_dict()}, tmp_path / "a.pt")
    for stream in ("rgb", "flow"):
        network = build_model(config(stream=stream))
        assert load_init(network, tmp_path / "a.pt") == ("the relations and their classifier",)
        first = "stem.conv1.conv.weight"
        found, source = (net.backbone.state_dict()[first] for net in (network, pictures))
        if stream == "flow":
            source = source.mean(1, keepdim=True).expand_as(found)
        assert torch.equal(found, source)
        assert torch.equal(
            network.backbone.blocks[1].branch1.conv.weight,
            pictures.backbone.blocks[1].branch1.conv.weight,
        )


def test_some_of_the_relations_are_not_enough(tmp_path):
    network = build_model(config())
    state = {key: v for key, v in network.state_dict().items() if key != "relations.between.1.bias"}
    torch.save({"model": state}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r": 1 missing \(relations.between.1.bias\)"):
        load_init(network, tmp_path / "a.pt")


@pytest.mark.parametrize("load", [load_weights, load_init])
def test_weights_for_another_number_of_frames_are_refused(load, tmp_path):
    torch.save({"model": build_model(config(num_frames=6)).state_dict()}, tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError,
        match=r"a.pt: trained on 6 frames a view, but the recipe's network takes 4$",
    ) as caught:
        load(build_model(config()), tmp_path / "a.pt")
    assert caught.value.hint == "--set model.num_frames=6"


@pytest.mark.parametrize("backbone", ["bninception", "bninception_small"])
def test_a_shift_has_no_place_there(backbone):
    with pytest.raises(ValidationError, match=f"shift: {backbone} has no residual branches to shi"):
        config(backbone, system=None, shift={})
