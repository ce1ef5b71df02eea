"""What a recipe leaves to its data set."""

from pathlib import Path

import pytest

from stsm_cli.config.load import load_recipe
from stsm_cli.data.manifest import Manifest
from stsm_cli.data.synth import CLASSES
from stsm_cli.engine.fitting import fit_recipe
from stsm_cli.errors import DataError


def fitted(classes, *edits, recipe="folder/stsm_r50_8f"):
    loaded = load_recipe(recipe, edits)
    return fit_recipe(loaded.recipe, Manifest(Path("there"), "train", tuple(classes), ()))


def test_a_folder_whose_classes_pair_up_swaps_their_labels_and_says_so():
    found = fitted(["left", "right", "stop"])
    assert found.recipe.data.flip == "label_aware"
    assert found.recipe.model.num_classes == 3
    assert found.notes == (
        "warning: a mirror swaps classes: left and right (by their names); data.flip becomes "
        "label_aware in this run (--set data.flip=plain keeps the labels, none does not mirror)",
    )


def test_what_the_recipe_says_of_mirroring_is_done():
    plain = fitted(["left", "right"], "data.flip=plain")
    assert plain.recipe.data.flip == "plain"
    assert plain.notes == (
        "warning: mirrored videos keep their labels, though a mirror swaps left and right "
        "(by their names): data.flip=label_aware swaps them",
    )
    aware = fitted(["left", "right"], "data.flip=label_aware")
    assert aware.recipe.data.flip == "label_aware"
    assert aware.notes == ("mirrored videos swap classes: left and right (by their names)",)
    none = fitted(["left", "right", "turn_left"], "data.flip=none")
    assert (none.recipe.data.flip, none.notes) == ("none", ())


def test_what_a_card_knows_needs_no_word_where_it_is_done():
    assert fitted(CLASSES, recipe="synth/stsm").notes == ()
    (warning,) = fitted(CLASSES, "data.flip=plain", recipe="synth/stsm").notes
    assert warning == (
        "warning: mirrored videos keep their labels, though a mirror swaps left_to_right and "
        "right_to_left, rotate_cw and rotate_ccw, left_first and right_first (by "
        "datasets/synth.yaml): data.flip=label_aware swaps them"
    )


def test_other_classes_are_mirrored_as_ever_without_a_word():
    found = fitted(["jump", "run"])
    assert (found.recipe.data.flip, found.notes) == ("plain", ())


def test_a_side_without_its_partner_is_a_warning():
    found = fitted([*(f"turn{i} left" for i in range(7)), "run"])
    assert found.recipe.data.flip == "plain"
    assert found.notes == (
        "warning: mirrored videos keep their labels in classes that name a side: turn0 left, "
        "turn1 left, turn2 left, turn3 left, turn4 left and 2 more; data.flip=none does not "
        "mirror, there/manifest/mirror_pairs.csv names pairs",
    )


@pytest.mark.parametrize(
    ("recipe", "edits"),
    [
        ("folder/stsm_r50_8f", ["data.flip=label_aware"]),
        ("k400/stsm_r50_8f", ["data.flip=label_aware", "model.num_classes=2"]),
    ],
)
def test_label_aware_without_pairs_is_refused(recipe, edits):
    message = (
        "^there: data.flip is label_aware, and no two of its 2 classes are known to be mirror "
        "images of each other$"
    )
    with pytest.raises(DataError, match=message) as error:
        fitted(["jump", "run"], *edits, recipe=recipe)
    assert error.value.hint == (
        "name the pairs in there/manifest/mirror_pairs.csv, or take data.flip=plain (labels stay) "
        "or none"
    )


def test_a_part_of_a_known_set_lacks_pairs_as_a_whole_or_not_at_all():
    pair = ["Pulling something from left to right", "Pulling something from right to left"]
    edits = ("model.num_classes=3",)
    found = fitted([*pair, "b"], *edits, recipe="sthv2/stsm_r50_8f")
    assert (found.recipe.data.flip, found.notes) == ("label_aware", ())
    assert found.mirror.labels([*pair, "b"]).tolist() == [1, 0, 2]
    message = (
        r"^there: the mirror image of its class 'Pulling.*right' is 'Pulling.*left' \(by "
        r"datasets/sthv2\.yaml\), which is none of its 3 classes$"
    )
    with pytest.raises(DataError, match=message) as error:
        fitted([pair[0], "b", "c"], *edits, recipe="sthv2/stsm_r50_8f")
    assert error.value.hint == "data.flip=none does not mirror, plain keeps labels"
    kept = fitted([pair[0], "b", "c"], *edits, "data.flip=none", recipe="sthv2/stsm_r50_8f")
    assert kept.recipe.data.flip == "none"


def test_class_counts_must_agree():
    with pytest.raises(
        DataError, match=r"there: holds 2 classes, .*model\.num_classes is 400"
    ) as error:
        fitted(["jump", "run"], recipe="k400/stsm_r50_8f")
    assert error.value.hint == "`--set model.num_classes=2` takes as many"
    with pytest.raises(DataError, match="is 3") as error:
        fitted(["jump", "run"], "model.num_classes=3")
    assert error.value.hint == "`--set model.num_classes=null` takes as many as the set has"
