import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stsm_cli.config.load import load_recipe
from stsm_cli.engine.bundled import bundled_file, bundled_names, weights_card
from stsm_cli.engine.card import card_recipe, make_card
from stsm_cli.engine.identity import weights_sha256
from stsm_cli.engine.testing import load_model
from stsm_cli.engine.trained import trained
from stsm_cli.errors import CheckpointError, UsageError


@pytest.mark.parametrize("name", bundled_names())
def test_each_is_of_a_recipe_as_it_stands_and_tested(name):
    path, recipe = bundled_file(name), load_recipe(name).recipe
    card = weights_card(path)
    assert card.name == name
    assert card_recipe(path, card) == recipe
    assert card.protocol == card.accuracy.protocol == recipe.protocol
    assert card.accuracy.split_id is not None
    assert card.accuracy.num_videos == recipe.data.generated.num_videos(recipe.test.split)
    model = load_model(recipe.model, path, torch.device("cpu"))
    assert weights_sha256(model) == card.weights_sha256
    assert path.stat().st_size < 500_000


def test_a_converted_file_beside_the_folders_of_the_bundled_is_none_of_them(tmp_path, monkeypatch):
    for name in ("order/stsm.safetensors", "tsm_r50_k400.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr("stsm_cli.engine.bundled.resource_dir", lambda name: tmp_path)
    assert bundled_names() == ("order/stsm",)


def test_a_name_stands_where_a_run_does():
    subject = trained("order/stsm", None, overrides=["test.clips=1"])
    assert (subject.called, subject.folder, subject.recipe.test.clips) == ("order/stsm", None, 1)
    assert len(subject.classes) == 16
    assert ("orbit_cw", "orbit_ccw") in subject.mirror.pairs
    subject.check()


def test_a_folder_of_that_name_comes_first():
    Path("order/stsm").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="order/stsm: not a run folder"):
        trained("order/stsm", None)


def test_an_export_of_it_tells_its_accuracy_again(said):
    subject = trained("order/stsm", None)
    about = {"takes": "videos", "gives": "logits", "with_preprocessing": False, "progress": said}
    about["mirror"] = subject.mirror
    card = make_card(subject, subject.classes, subject.card.weights_sha256, **about)
    assert card.accuracy == subject.card.accuracy
    assert make_card(subject, subject.classes, "other", **about).accuracy is None


def test_a_recipe_without_weights_names_those_with():
    with pytest.raises(CheckpointError, match="synth/tsn: is a recipe, not a run folder") as told:
        trained("synth/tsn", None)
    assert "those of order/stsm" in told.value.hint
    assert "`stsm eval synth/tsn --checkpoint FILE` tests others by it" in told.value.hint


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"best": True}, "--best: order/stsm has the weights of its last epoch alone"),
        ({"overrides": ["model.shift=null"]}, "--set model.shift=null: would change what was"),
    ],
)
def test_what_cannot_be_asked_of_it_is_told(words, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        trained("order/stsm", None, **words)


def test_a_file_without_a_card_is_told():
    save_file({"fc.weight": torch.zeros(2, 2)}, "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a\.safetensors: has no card of stsm"):
        weights_card(Path("a.safetensors"))
    content = Path("a.safetensors").read_bytes()
    Path("b.safetensors").write_bytes(content[:-4])
    with pytest.raises(CheckpointError, match=r"b\.safetensors: not a readable safetensors file"):
        weights_card(Path("b.safetensors"))
    with pytest.raises(CheckpointError, match=r"c\.safetensors: no such file of weights"):
        weights_card(Path("c.safetensors"))
