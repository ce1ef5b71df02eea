import pytest
import torch

from stsm_cli.models.weights_layout import Layout
from stsm_cli.models.weights_layouts_2d import MMACTION2
from stsm_cli.models.weights_names import LAYOUTS

LAYOUT = Layout(
    source="theirs",
    networks="one of theirs",
    marks=(r"^body\.conv", r"^head\."),
    rules=((r"^body\.", "backbone."), (r"^head\.", "fc."), (r"\.net\.", ".")),
    forms=((r"^fc\.weight$", lambda weight: weight.squeeze(2)),),
    folded=((r"\.conv(\d)\.weight$", r".bn\1.running_mean"),),
    unused=r"^aux\.",
    shifted=r"\.net\.",
)
NAMES = ("module.body.conv1.net.weight", "module.head.weight", "module.aux.weight")


def test_all_marks_must_be_there_behind_the_prefix_of_several_gpus():
    assert LAYOUT.fits(NAMES)
    assert LAYOUT.fits(name.removeprefix("module.") for name in NAMES)
    assert LAYOUT.fits(f"_orig_mod.{name}" for name in NAMES)
    assert not LAYOUT.fits(NAMES[:1])
    assert not LAYOUT.fits(["other.body.conv1.weight", "head.weight"])


def test_what_no_test_reads_has_no_name_here():
    assert LAYOUT.our_names(NAMES) == {
        "module.body.conv1.net.weight": "backbone.conv1.weight",
        "module.head.weight": "fc.weight",
    }


def test_a_form_is_of_its_tensors_alone():
    weight = torch.arange(6.0).reshape(3, 2, 1)
    assert torch.equal(LAYOUT.our_form("fc.weight", weight), weight[:, :, 0])
    assert LAYOUT.our_form("fc.bias", weight) is weight


def test_biases_go_into_the_mean_that_the_rule_says():
    names = ["backbone.conv1.weight", "backbone.conv2.weight", "backbone.bn1.weight", "fc.weight"]
    assert LAYOUT.biases(names) == {
        "backbone.conv1.bias": "backbone.bn1.running_mean",
        "backbone.conv2.bias": "backbone.bn2.running_mean",
    }


def test_parts_become_one_tensor_where_none_is_missing_and_all_are_alike():
    layout = Layout("a", "b", (), (), stacked=r"^(fc\.\w+)\.(\d+)$")
    parts = {
        "fc.weight.1": torch.ones(3, 2),
        "x.0": torch.zeros(1),
        "fc.weight.0": torch.zeros(3, 2),
    }
    found = layout.whole(parts)
    assert list(found) == ["x.0", "fc.weight"]
    assert torch.equal(found["fc.weight"], torch.stack([torch.zeros(3, 2), torch.ones(3, 2)], 1))
    for other in ({"fc.weight.3": torch.ones(3, 2)}, {"fc.weight.2": torch.ones(4, 2)}):
        apart = layout.whole(parts | other)
        assert apart.keys() == (parts | other).keys()
    assert LAYOUT.whole(parts) is parts


@pytest.mark.parametrize("layout", [LAYOUT, Layout("a", "b", (), ())])
def test_a_shift_stands_behind_its_pattern(layout):
    assert layout.is_shifted(NAMES[0]) == (layout is LAYOUT)
    assert not layout.is_shifted(NAMES[1])


def test_a_tensor_that_is_missing_is_called_as_those_beside_it():
    beside = MMACTION2.likely_names(["module.backbone.layer3.0.conv1.conv.weight"])
    names = {
        "backbone.layer3.0.conv1.bias": "module.backbone.layer3.0.conv1.conv.bias",
        "backbone.layer3.5.conv1.weight": "module.backbone.layer3.5.conv1.conv.weight",
        "backbone.layer4.0.conv1.weight": "module.backbone.layer4.0.conv1.conv.weight",
        "backbone.layer3.0.conv2.weight": "module.backbone.layer3.0.conv2.conv.weight",
    }
    assert {ours: beside.get(ours) for ours in names} == names


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(form, id=f"{layout.networks}: {at}")
        for layout in LAYOUTS
        for at, form in layout.forms
    ],
)
def test_a_form_leaves_what_has_no_second_axis(form):
    tensor = torch.arange(3.0)
    assert torch.equal(form(tensor), tensor)
