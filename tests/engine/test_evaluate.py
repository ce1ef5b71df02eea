import numpy as np
import pytest
import torch
from torch import nn

from stsm_cli.config.schema import Recipe, TestConfig
from stsm_cli.data.loader import Batch
from stsm_cli.data.synth import CLASSES
from stsm_cli.engine.evaluate import (
    Scores,
    _class_orders,
    score_videos,
    summarise,
    wilson_interval,
)
from stsm_cli.engine.pixels import MEAN, STD, normalise
from stsm_cli.errors import StsmError

CPU = torch.device("cpu")


def scores(rows, labels, broken=None):
    probabilities = torch.tensor(rows)
    return Scores(probabilities, torch.tensor(labels), tuple(range(len(rows))), broken or {})


def test_normalise_gives_the_imagenet_statistics_and_keeps_strides():
    pixels = torch.full((2, 3, 4, 5, 3), 255, dtype=torch.uint8).movedim(-1, -3)
    out = normalise(pixels, CPU)
    assert out.shape == (2, 3, 3, 4, 5)
    assert out.stride() == pixels.stride()
    expected = [(255 - m) / s for m, s in zip(MEAN, STD, strict=True)]
    assert out[0, 0, :, 0, 0].tolist() == pytest.approx(expected)


def test_wilson_interval_against_published_values():
    # 15 of 50: R. G. Newcombe, Statistics in Medicine 17 (1998), and the closed form by hand
    assert wilson_interval(15, 50) == pytest.approx((0.1910, 0.4375), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_summary_counts():
    rows = [[0.6, 0.4, 0.0], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.1, 0.5]]
    summary = summarise(scores(rows, [0, 1, 2, 0]), None)
    assert (summary["num_videos"], summary["num_listed"], summary["correct"]) == (4, 4, 2)
    assert summary["top1"] == 50.0
    assert summary["top5"] == 100.0
    assert summary["mean_class"] == pytest.approx(100 * (1 / 2 + 0 + 1) / 3)
    assert summary["pair_accuracy"] is None


def test_top5_looks_at_five():
    ranked = [[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]] * 2
    assert summarise(scores(ranked, [4, 5]), None)["top5"] == 50.0


def test_pair_accuracy_compares_a_class_with_its_reversal_only():
    rows = [[0.2, 0.1, 0.7, 0.0], [0.1, 0.2, 0.3, 0.4]]
    summary = summarise(scores(rows, [0, 2]), np.array([1, 0, 3, 2]))
    assert summary["top1"] == 0.0
    assert summary["pair_accuracy"] == 50.0


def test_a_constant_score_is_never_right():
    summary = summarise(scores([[0.25] * 4] * 4, [0, 1, 2, 3]), np.array([1, 0, 3, 2]))
    assert (summary["top1"], summary["pair_accuracy"]) == (0.0, 0.0)


def test_a_broken_video_is_counted_as_wrong_everywhere():
    rows = [[0.9, 0.1, 0, 0, 0, 0], [0.1, 0.9, 0, 0, 0, 0]]
    partners = np.array([1, 0, 3, 2, 5, 4])
    summary = summarise(scores(rows, [0, 1], broken={7: 0, 8: 2}), partners)
    assert (summary["num_videos"], summary["num_listed"], summary["correct"]) == (2, 4, 2)
    assert (summary["top1"], summary["top5"], summary["pair_accuracy"]) == (50.0, 50.0, 50.0)
    assert summary["mean_class"] == pytest.approx(100 * (1 / 2 + 1 + 0) / 3)


def test_nan_is_never_right():
    summary = summarise(scores([[float("nan")] * 6] * 2, [0, 1]), np.array([1, 0, 3, 2, 5, 4]))
    assert (summary["top1"], summary["top5"], summary["pair_accuracy"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("flip", "order"), [("plain", None), ("none", [1, 0, 2]), ("label_aware", [1, 0, 2])]
)
def test_mirrored_views_speak_for_the_swapped_classes_unless_trained_plainly(flip, order):
    recipe = Recipe.model_validate(
        {
            "model": {"backbone": "resnet18", "num_classes": len(CLASSES)},
            "data": {"dataset": "synth", "sampling": "uniform", "flip": flip, "synth": {}},
            "optim": {"lr": 1.0, "epochs": 1},
        }
    )
    orders = _class_orders(recipe, CLASSES, TestConfig(crops=10))
    if order is None:
        assert orders is None
    else:
        assert orders.shape == (10, len(CLASSES))
        assert orders[0].tolist() == list(range(len(CLASSES)))
        assert orders[1, :3].tolist() == order


class Reader(nn.Module):
    """Logits that are the mean pixel of the first and the second half of the frames."""

    def forward(self, videos):
        halves = videos.mean((2, 3, 4)).unflatten(1, (2, -1)).mean(2)
        return 10 * halves


def batch(*videos, labels, broken=None):
    pixels = torch.tensor(videos, dtype=torch.uint8)[..., None, None, None].expand(
        -1, -1, -1, 3, 4, 4
    )
    return Batch(pixels, torch.tensor(labels), tuple(range(len(videos))), broken or {})


def test_scores_are_averaged_after_softmax():
    views = [[0, 255], [255, 0], [255, 0]]
    result = score_videos(Reader(), [batch(views, labels=[0])], CPU, bf16=False)
    assert result.probabilities[0].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-5)


def test_class_orders_are_applied_view_by_view():
    orders = torch.tensor([[0, 1], [1, 0]])
    views = [[0, 255], [255, 0]]
    result = score_videos(
        Reader(), [batch(views, labels=[0])], CPU, bf16=False, class_orders=orders
    )
    assert result.probabilities[0].tolist() == pytest.approx([0, 1], abs=1e-5)


def test_no_decodable_video_is_an_error():
    nothing = Batch(torch.empty(0), torch.empty(0, dtype=torch.long), (), {0: (1, "bad")})
    with pytest.raises(StsmError, match="no video could be decoded"):
        score_videos(Reader(), [nothing], CPU, bf16=False)
