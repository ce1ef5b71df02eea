from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from stsm_cli.config.schema import Recipe, TestConfig
from stsm_cli.data.mirror import Mirror
from stsm_cli.data.synth import CLASSES
from stsm_cli.engine.accuracy import summary
from stsm_cli.engine.scores import class_orders, score_split
from stsm_cli.errors import DataError
from stsm_cli.models.build import build_model

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
CPU = torch.device("cpu")


def flipped(flip):
    return Recipe.model_validate(
        {
            "model": {"backbone": "resnet18", "num_classes": len(CLASSES)},
            "data": {"dataset": "synth", "sampling": "uniform", "flip": flip, "synth": {}},
            "optim": {"lr": 1.0, "epochs": 1},
        }
    )


@pytest.mark.parametrize(
    ("flip", "order"), [("plain", None), ("none", [1, 0, 2]), ("label_aware", [1, 0, 2])]
)
def test_mirrored_views_speak_for_the_swapped_classes_unless_trained_plainly(flip, order):
    orders = class_orders(flipped(flip), CLASSES, TestConfig(crops=10))
    if order is None:
        assert orders is None
    else:
        assert orders.shape == (10, len(CLASSES))
        assert orders[0].tolist() == list(range(len(CLASSES)))
        assert orders[1, :3].tolist() == order


def test_without_mirrored_views_no_class_list_is_asked_for():
    one_side = (CLASSES[0], "b")
    assert class_orders(flipped("label_aware"), one_side, TestConfig(crops=3)) is None
    with pytest.raises(DataError, match="a class that the list of 2 classes lacks") as caught:
        class_orders(flipped("label_aware"), one_side, TestConfig(crops=10))
    assert caught.value.hint.startswith("one crop and three have no mirror images")


def test_what_the_training_swapped_is_what_mirrored_views_swap():
    trained = Mirror((("a", "c"),), "elsewhere/manifest/mirror_pairs.csv")
    own = folder_recipe("label_aware")
    orders = class_orders(own, ("a", "b", "c"), TestConfig(crops=10), trained)
    assert orders[:2].tolist() == [[0, 1, 2], [2, 1, 0]]
    left = ("left", "b", "right")
    assert class_orders(own, left, TestConfig(crops=10))[1].tolist() == [2, 1, 0]
    assert class_orders(folder_recipe("plain"), left, TestConfig(crops=10)) is None


def folder_recipe(flip):
    return Recipe.model_validate(
        {
            "model": {"backbone": "resnet18", "num_classes": None},
            "data": {"dataset": "folder", "sampling": "uniform", "flip": flip},
            "optim": {"lr": 1.0, "epochs": 1},
        }
    )


def test_the_average_is_the_recipes(recipe, val_videos):
    model = build_model(recipe.model)
    torch.nn.init.normal_(model.fc.weight, std=3.0)
    test = TestConfig(clips=2, crops=3, crop_px=16)
    by_prob = score_split(model, val_videos, recipe, test, CPU)
    by_score = score_split(
        model, val_videos, recipe, test.model_copy(update={"average": "score"}), CPU
    )
    assert not torch.allclose(by_prob.probabilities, by_score.probabilities, atol=1e-3)


def with_a_broken_video(videos):
    return replace(videos, cache=(*videos.cache[:4], None, *videos.cache[5:]))


def test_broken_videos_are_named(recipe, val_videos):
    videos = with_a_broken_video(val_videos)
    scores = score_split(build_model(recipe.model), videos, recipe, recipe.test, CPU)
    result = summary(scores, videos.manifest, recipe)
    assert (result.num_videos, result.num_listed) == (10, 11)
    assert result.broken == ("val/4.mp4",)


def test_21_videos_on_two_processes_are_scored_once_each(recipe, make_split, in_two_processes):
    """An odd number, and a broken one: both processes have what one process alone has."""
    model, videos = build_model(recipe.model), with_a_broken_video(make_split("val", 21))

    def work(rank):
        scores = score_split(model, videos, recipe, recipe.test, CPU)
        told = summary(scores, videos.manifest, recipe)
        return scores.probabilities.numpy(), scores.labels.tolist(), scores.indices, told

    alone = score_split(model, videos, recipe, recipe.test, CPU)
    assert alone.indices == tuple(index for index in range(21) if index != 4)
    for probabilities, labels, indices, told in in_two_processes(work):
        assert (indices, labels) == (alone.indices, alone.labels.tolist())
        assert torch.allclose(torch.from_numpy(probabilities), alone.probabilities, atol=1e-6)
        assert told == summary(alone, videos.manifest, recipe)
        assert (told.num_videos, told.num_listed) == (20, 21)


def test_each_process_reads_its_own_part_of_the_videos(recipe, make_split, in_two_processes):
    model, videos, bars = build_model(recipe.model), make_split("val", 21), []

    class Told:
        @contextmanager
        def bar(self, label, total):
            bars.append(total)
            yield self

        def advance(self, steps=1, status=""):
            bars.append(steps)

    def work(rank):
        score_split(model, videos, recipe, recipe.test, CPU, progress=Told())
        return bars

    assert in_two_processes(work) == [[11, 11], [10, 10]]
