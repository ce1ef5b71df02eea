"""The counts that travel with the package, against fresh ones; counting: test_counting.py."""

import json
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stsm_cli.analysis import counting
from stsm_cli.analysis.cost import model_cost, shipped_costs
from stsm_cli.analysis.counting import count_cost, shifted_channels
from stsm_cli.analysis.paper_cost import TEST_CROP_PX, TRAIN_CROP_PX
from stsm_cli.analysis.printed_cost import paper_costs
from stsm_cli.analysis.records import read_records
from stsm_cli.config.schema import ModelConfig, ShiftConfig
from stsm_cli.models.build import build_model

TSM, STSM = ShiftConfig(dims="T", alpha="1/4"), ShiftConfig()
COUNTS = Path(__file__).parents[2] / "benchmarks" / "counts.py"
RENEW = "datasets/paper/counts.json is out of date; `python benchmarks/counts.py --all` renews it"


def test_only_what_the_file_lacks_is_counted(monkeypatch):
    counts = runpy.run_path(str(COUNTS))
    known = json.loads(counts["FILE"].read_text())["networks"]
    lost, reshaped, *others = map(dict, known)
    reshaped["views"] = reshaped["views"][1:]
    scope, networks = counts["renewed"].__globals__, counts["gathered"]()
    monkeypatch.setitem(scope, "gathered", lambda: networks)  # reads all recipes
    monkeypatch.setitem(scope, "counted", lambda network, _: counts["dumped"](network))
    assert counts["renewed"](known) == known, "`python benchmarks/counts.py` adds what is missing"
    assert counts["renewed"]([*others, reshaped]) == [lost["model"], reshaped["model"], *others]


def entries(*, shifted):
    """Networks of the file: a view of each without a shift, and of each with each shift.

    What changes a network or how it is counted changes all of its views, whose file one command
    makes. That a shift changes no count, and no view a shift, test_counting.py shows.
    """
    seen = set()
    for config, size_px in shipped_costs():
        alike = {"num_frames": 1} if shifted else {"num_frames": 1, "num_classes": 1}
        network = config.model_copy(update=alike)
        if shifted == (config.shift is not None) and network not in seen:
            seen.add(network)
            yield config, size_px


def named(entry):
    config, size_px = entry
    parts = config.backbone, config.system, config.non_local, config.num_classes
    view = config.num_frames, size_px
    return "-".join(map(str, (*parts, *view, config.shift and config.shift.dims)))


@pytest.fixture(scope="module")
def thread():
    """A thread: the recorder notes all calls around an operator, and pytest has many."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("entry", list(entries(shifted=False)), ids=named)
def test_a_shipped_count_is_a_fresh_one(entry, thread):
    config, size_px = entry
    shipped = model_cost(config, size_px=size_px)
    counted = thread.submit(count_cost, config, size_px=size_px).result()
    assert shipped == counted, RENEW
    assert [*shipped.skipped] == [*counted.skipped], RENEW  # `stsm flops --json` keeps the order


@pytest.mark.parametrize("entry", list(entries(shifted=True)), ids=named)
def test_a_shipped_shift_is_a_fresh_one(entry):
    """Without a count: it moves as much before as many layers of as many parameters."""
    config, size_px = entry
    shipped = model_cost(config, size_px=size_px)
    with torch.device("meta"):
        model = build_model(config)
    assert shipped.sites == shifted_channels(model), RENEW
    own = {
        name: sum(parameter.numel() for parameter in module.parameters(recurse=False))
        for name, module in model.named_modules()
    }
    layers = {layer.name: layer.params for layer in shipped.layers}
    assert layers == {name: own[name] for name in layers}, RENEW
    assert sum(own.values()) == shipped.params, RENEW


@pytest.fixture
def no_counting(monkeypatch):
    monkeypatch.setattr(counting, "count_cost", lambda *_, **__: pytest.fail("it is shipped"))


@pytest.mark.parametrize("shift", [None, TSM, STSM], ids=["TSN", "TSM", "STSM"])
@pytest.mark.parametrize("size_px", [TRAIN_CROP_PX, TEST_CROP_PX])
@pytest.mark.usefixtures("no_counting")
def test_every_network_whose_cost_the_paper_prints_is_there(shift, size_px):
    assert len(paper_costs()) > 30
    for paper in paper_costs():
        for network in paper.networks:
            config = network.model_copy(update={"shift": None if paper.is_system else shift})
            assert model_cost(config, size_px=size_px).macs > 0
            assert model_cost(network, size_px=paper.counted_px).macs > 0


@pytest.mark.usefixtures("no_counting")
def test_what_costs_nothing_does_not_matter():
    plain = ModelConfig(backbone="resnet50", num_classes=400)
    other = plain.model_copy(update={"dropout": 0.1, "weights": "imagenet", "init": "a.pt"})
    assert model_cost(other, size_px=224) is model_cost(plain, size_px=224)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 399},
        {"num_frames": 7},
        {"shift": ShiftConfig(alpha="1/2")},
        {"backbone": "resnet152"},
    ],
)
def test_any_other_network_is_counted(changes, monkeypatch):
    asked = []
    monkeypatch.setattr(counting, "count_cost", lambda config, *, size_px: asked.append(config))
    config = ModelConfig(**{"backbone": "resnet50", "num_classes": 400} | changes)
    model_cost.cache_clear()
    assert model_cost(config, size_px=224) is None
    model_cost.cache_clear()
    assert asked == [config]


def test_the_shipped_records_have_the_counts_of_their_networks():
    counted = {}

    def cost(recipe):
        key = recipe.model, recipe.test.crop_px
        if key not in counted:
            counted[key] = model_cost(key[0], size_px=key[1])
        return counted[key]

    for record in read_records(Path(__file__).parents[2] / "results"):
        costs = [cost(one.recipe) for one in (record, record.flow) if one]
        counts = sum(cost.macs for cost in costs), sum(cost.params for cost in costs)
        assert (record.network.macs, record.network.params) == counts, (record.table, record.row)
        assert record.network.size_px == record.recipe.test.crop_px
    assert len(counted) > 50
