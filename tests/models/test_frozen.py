import re

import pytest
import torch

from stsm_cli.config.schema import ModelConfig
from stsm_cli.errors import RecipeError
from stsm_cli.models.build import build_model
from stsm_cli.models.frozen import frozen_parts


def network(backbone):
    with torch.device("meta"):
        return build_model(ModelConfig(backbone=backbone, num_classes=5))


@pytest.mark.parametrize(
    ("backbone", "names", "frozen"),
    [
        ("resnet_small", ["stem", "layer2"], {"conv1", "bn1", "layer2"}),
        ("resnet_small", ["layer1.0"], {"layer1"}),
        ("mobilenet_v2_small", ["features.0", "features.1"], {"features"}),
        ("r2plus1d_small", ["stem"], {"stem"}),
        ("slowfast_resnet_small", ["slow.layer1", "laterals"], {"slow", "laterals"}),
    ],
)
def test_parts_are_named_as_their_weights_are(backbone, names, frozen):
    model = network(backbone)
    parts = frozen_parts(model, names)
    held = {parameter for part in parts for parameter in part.parameters()}
    tops = {name.split(".")[1] for name, p in model.named_parameters() if p in held}
    assert tops == frozen
    if names == ["features.0", "features.1"]:
        assert parts == list(model.backbone.features[:2])


def test_the_backbone_is_all_but_the_classifier():
    model = network("resnet_small")
    assert frozen_parts(model, ["backbone"]) == [model.backbone]


@pytest.mark.parametrize(
    ("backbone", "name", "known"),
    [
        ("resnet_small", "layer9", "backbone, stem, layer1, layer2, layer3, layer4, .*layer1.0"),
        ("resnet_small", "relu", "backbone, stem, layer1"),
        ("resnet_small", "fc", "backbone, stem, layer1"),
        ("mobilenet_v2_small", "stem", r"backbone, features, .* such as features\.0"),
    ],
)
def test_a_part_that_is_not_there_is_refused_with_those_that_are(backbone, name, known):
    message = f"optim.frozen: the network has no part {name} with weights"
    with pytest.raises(RecipeError, match=message) as error:
        frozen_parts(network(backbone), [name])
    assert re.search(known, error.value.hint)
