import pytest

from stsm_cli.config.load import load_recipe
from stsm_cli.engine.scores import class_orders
from stsm_cli.engine.trained import edit_protocol
from stsm_cli.errors import UsageError


def test_a_name_round_trips(recipe):
    assert edit_protocol(recipe, protocol="synth-2x10@12").protocol == "synth-2x10@12"
    assert edit_protocol(recipe, protocol="1x3@18").protocol == "synth-1x3@18"


def test_averaging_by_score_is_part_of_the_name(recipe):
    by_score = edit_protocol(recipe, protocol="synth-1x3@16-score")
    assert by_score.test.average == "score"
    assert by_score.protocol == "synth-1x3@16-score"
    assert edit_protocol(by_score, clips=2).protocol == "synth-2x3@16-score"
    assert edit_protocol(by_score, protocol="1x3@16").protocol == "synth-1x3@16"
    assert edit_protocol(by_score, crops=1).protocol == "synth-1x1@16"  # nothing to average


def test_the_split_is_part_of_the_name():
    recipe = load_recipe("order/tsn").recipe
    assert (recipe.test.split, recipe.protocol) == ("test", "order-2x3@48-test")
    assert edit_protocol(recipe, protocol="order-2x3@48").test.split == "val"
    assert edit_protocol(recipe, split="val").protocol == "order-2x3@48"
    by_score = edit_protocol(recipe, protocol="1x3@50-score-test")
    assert by_score.protocol == "order-1x3@50-score-test"
    assert edit_protocol(by_score, clips=2).protocol == "order-2x3@50-score-test"


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("k400-10x3@256", (10, 3, 256)),
        ("k400-10x10@224", (10, 10, 224)),
        ("k400-1x1@224", (1, 1, 224)),
    ],
)
def test_the_fields_own_protocols_have_names(name, test):
    edited = edit_protocol(load_recipe("k400/stsm_r50_8f").recipe, protocol=name)
    assert (edited.test.clips, edited.test.crops, edited.test.crop_px) == test
    assert edited.protocol == name


def test_edits_rename_the_result(recipe):
    assert edit_protocol(recipe, crops=3).protocol == "synth-1x3@16"
    assert edit_protocol(recipe, clips=2).protocol == "synth-2x1@16"
    assert edit_protocol(recipe, protocol="1x1@12", crops=10).protocol == "synth-1x10@12"


def test_nothing_asked_is_the_recipes_own(recipe):
    assert edit_protocol(recipe) == recipe


def test_a_mirroring_that_is_left_to_the_classes_stays_so():
    recipe = edit_protocol(load_recipe("folder/stsm_r50_8f").recipe, crops=10)
    assert "flip" not in recipe.data.model_fields_set
    orders = class_orders(recipe, ("turn left", "turn right", "wave"), recipe.test)
    assert orders[1].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "three"}, r"--protocol three: not of the form"),
        ({"protocol": "1x3@16-mean"}, r"--protocol 1x3@16-mean: not of the form"),
        ({"protocol": "k400-10x3@256"}, "belongs to k400, the run's data set is synth"),
        ({"split": "test"}, r"test\.split \(test\): data set synth has the splits train and val"),
        ({"split": "tset"}, r"test\.split must be 'val' or 'test', got tset"),
        ({"crops": 4}, r"test\.crops must be 1, 3 or 10, got 4"),
        (
            {"clips": 3},
            r"test\.clips must be 1, 2 or 10, got 3",
        ),
        ({"protocol": "1x1@19"}, r"test\.crop_px \(19\) must be at most data\.short_side_px"),
    ],
)
def test_what_does_not_fit_is_refused(recipe, options, message):
    with pytest.raises(UsageError, match=message):
        edit_protocol(recipe, **options)
