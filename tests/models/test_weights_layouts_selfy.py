"""Every tensor of SELFYNet's release finds its place, and the file its recipe."""

import re

import torch

from stsm_cli.config.load import load_recipe
from stsm_cli.models.build import build_model
from stsm_cli.models.weights_layouts_selfy import SELFY

RECIPE = "sthv2/tsm_selfy_r50_8f"
PLACES = {
    "similarity.conv": "stss_transformation.downsample.0",
    "similarity.bn": "stss_transformation.downsample.1",
    "fuse.0": "stss_integration.conv3_fuse.1",
    "fuse.1": "stss_integration.conv3_fuse.2",
    "expand": "stss_integration.upsample.0",
    "bn": "stss_integration.upsample.1",
}


def authors_name(name):
    """Their name of ours."""
    if not name.startswith("backbone.layer2.selfy."):
        name = name.replace("backbone.", "base_model.")
        return "module." + re.sub(r"^fc\.", "new_fc.", name)
    place, _, kind = name.removeprefix("backbone.layer2.selfy.").rpartition(".")
    if place not in PLACES:
        part, number = place.split(".")
        step = f"stss_{part.replace('extract', 'extraction').replace('grate', 'gration')}"
        place = f"{step}.conv{int(number) // 3}.{int(number) % 3}"
    return f"module.base_model.selfy.{PLACES.get(place, place)}.{kind}"


def their_form(name, tensor):
    """3D kernels that see one frame, and a classifier that is a convolution."""
    if name == "fc.weight":
        return tensor[..., None]
    is_3d = "selfy" in name and "similarity" not in name and tensor.ndim == 4
    return tensor[:, :, None] if is_3d else tensor


def test_every_tensor_has_its_place_and_the_file_its_recipe(read):
    model = load_recipe(RECIPE).recipe.model
    with torch.device("meta"):
        network = build_model(model.model_copy(update={"weights": None, "shift": None}))
    tensors = network.state_dict()
    state = {authors_name(name): their_form(name, tensor) for name, tensor in tensors.items()}
    assert {
        "module.new_fc.weight",
        "module.base_model.layer1.0.conv1.weight",
        "module.base_model.selfy.stss_extraction.conv3.0.weight",
        "module.base_model.selfy.stss_integration.conv0.1.running_mean",
        "module.base_model.selfy.stss_integration.conv3_fuse.2.bias",
    } <= state.keys()
    assert state["module.new_fc.weight"].shape == (174, 2048, 1)
    assert SELFY.our_names(state) == {authors_name(name): name for name in tensors}
    converted = read(state, None, arch="SELFY")
    assert (converted.source, converted.recipe, converted.also) == ("selfy", RECIPE, ())
    assert (converted.shifted, converted.num_parameters) == (True, 24_830_842)
    assert converted.weights.keys() == tensors.keys()
    assert (converted.dropped, converted.training) == ({}, {})
