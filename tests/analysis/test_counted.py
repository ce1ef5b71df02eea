import pytest

from stsm_cli.analysis.ablation import load_ablation
from stsm_cli.analysis.cost import model_cost
from stsm_cli.analysis.counted import Counted, count, paper_model
from stsm_cli.config.schema import ModelConfig, ShiftConfig


@pytest.fixture(autouse=True)
def quick_costs():
    """Here they are counted, of networks that take no time."""


def small(**changes):
    shift = ShiftConfig(dims="T+H+W", alpha="3/8")
    return ModelConfig(backbone="resnet_small", num_classes=5, num_frames=2, shift=shift, **changes)


@pytest.mark.parametrize("non_local", [False, True])
def test_as_the_whole_network_is_counted(non_local):
    model = small(non_local=non_local)
    cost = count(model)
    train, test = (model_cost(model, size_px=size) for size in (224, 256))
    assert (cost.macs_train_crop, cost.macs_test_crop) == (train.macs, test.macs)
    assert (cost.params, cost.sites) == (train.params, train.sites)


def test_channels_of_all_sites_together():
    cost = count(small())
    assert [site.channels for site in cost.sites] == [32, 32, 48, 64]
    assert [site.shifted for site in cost.sites] == [12, 12, 18, 24]
    assert (cost.channels, cost.shifted) == (176, 66)
    assert cost.by_group == {"T": 22, "H": 22, "W": 22}


def test_without_a_shift_nothing_moves():
    cost = Counted(1, 1, 1, ())
    assert (cost.channels, cost.shifted, cost.by_group) == (0, 0, {})


def test_the_papers_network_of_a_row_is_on_the_papers_data():
    ablation = load_ablation("backbones-sthv2")
    row = next(row for row in ablation.rows if row.name == "TSM MobileNetV2 8f")
    model = paper_model(ablation, row, "sthv2")
    assert (model.backbone, model.num_classes, model.num_frames) == ("mobilenet_v2", 174, 8)
    assert (model.shift.dims, str(model.shift.alpha)) == ("T", "1/4")


def test_a_system_looks_at_all_frames_at_once():
    model = ModelConfig(backbone="resnet_small", num_classes=5, num_frames=3, system="action")
    cost = count(model)
    assert cost.macs_train_crop == model_cost(model, size_px=224).macs
    assert cost.sites == ()
