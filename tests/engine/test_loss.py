import math
from types import SimpleNamespace

import pytest
import torch

from stsm_cli.config.regularisation import LossConfig
from stsm_cli.engine.loss import Loss, balanced_weights, likeliest

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])
LABELS = torch.tensor([0, 2, 1])


def slow_loss(logits, shares, smoothing=0.0, weights=(1.0, 1.0, 1.0)):
    """Mean over the videos of -Σ weight · share · log p, in plain numbers.

    Of each share a part is spread over all classes, with the weight of the share's own class.
    """
    total = 0.0
    for scores, row in zip(logits.tolist(), shares, strict=True):
        norm = math.log(sum(math.exp(score) for score in scores))
        evenly = sum(norm - score for score in scores) / len(scores)
        for score, share, weight in zip(scores, row, weights, strict=True):
            total += weight * share * ((1 - smoothing) * (norm - score) + smoothing * evenly)
    return total / len(shares)


def one_hot(labels):
    return [[float(k == label) for k in range(3)] for label in labels.tolist()]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
def test_labels_are_smoothed_and_classes_weighted(smoothing, weights):
    tensor = None if weights is None else torch.tensor(weights)
    loss = Loss(LossConfig(label_smoothing=smoothing), 3, tensor)
    slow = slow_loss(LOGITS, one_hot(LABELS), smoothing, weights or (1.0, 1.0, 1.0))
    assert loss(LOGITS, LABELS).item() == pytest.approx(slow, rel=1e-6)
    shares = torch.tensor([[0.75, 0.0, 0.25], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5]])
    slow = slow_loss(LOGITS, shares.tolist(), smoothing, weights or (1.0, 1.0, 1.0))
    assert loss(LOGITS, shares).item() == pytest.approx(slow, rel=1e-6)


def test_a_smoothed_loss_in_numbers():
    loss = Loss(LossConfig(label_smoothing=0.2), 2)
    assert loss(torch.zeros(1, 2), torch.tensor([0])).item() == pytest.approx(math.log(2))
    three = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4 and 1/4
    literal = -(0.9 * math.log(0.75) + 0.1 * math.log(0.25))
    assert loss(three, torch.tensor([0])).item() == pytest.approx(literal)


def fixed(loss, share):
    """The loss, with that share drawn."""
    loss._mix[0]._dist = SimpleNamespace(sample=lambda shape: torch.tensor([share]))
    return loss


def test_mixup_blends_each_video_with_the_one_before_and_their_labels_alike():
    videos = torch.tensor([0.0, 4.0, 8.0]).view(3, 1, 1, 1, 1).expand(3, 2, 3, 5, 5)
    loss = fixed(Loss(LossConfig(mixup_alpha=0.4), 3), 0.75)
    blended, targets = loss.mixed(videos, LABELS)
    assert type(blended) is torch.Tensor
    assert blended.shape == videos.shape
    # 0.75 · 0 + 0.25 · 8, 0.75 · 4 + 0.25 · 0, 0.75 · 8 + 0.25 · 4
    assert [set(video.flatten().tolist()) for video in blended] == [{2.0}, {3.0}, {7.0}]
    assert targets.tolist() == [[0.75, 0.25, 0.0], [0.25, 0.0, 0.75], [0.0, 0.75, 0.25]]
    assert likeliest(targets).tolist() == LABELS.tolist() == likeliest(LABELS).tolist()


def test_cutmix_takes_the_same_box_of_all_frames_and_the_label_by_its_area():
    videos = torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 4, 3, 8, 8)
    loss = fixed(Loss(LossConfig(cutmix_alpha=1.0), 2), 0.5)
    torch.manual_seed(0)
    mixed, targets = loss.mixed(videos, torch.tensor([0, 1]))
    assert (mixed == mixed[:, :1, :1]).all()
    share = mixed[0].mean().item()
    assert 0 < share < 1
    torch.testing.assert_close(targets, torch.tensor([[1 - share, share], [share, 1 - share]]))


def test_one_of_the_two_is_drawn_from_the_generator_that_a_checkpoint_keeps():
    loss = Loss(LossConfig(mixup_alpha=0.4, cutmix_alpha=1.0), 2)
    videos = torch.arange(2.0).view(2, 1, 1, 1, 1).expand(2, 2, 3, 8, 8)

    def drawn():
        torch.manual_seed(3)
        return [loss.mixed(videos, torch.tensor([0, 1]))[0] for _ in range(20)]

    once, again = drawn(), drawn()
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))
    is_blend = [bool(((one > 0) & (one < 1)).any()) for one in once]
    assert 0 < sum(is_blend) < 20


def test_without_mixing_nothing_is_drawn():
    videos, before = torch.zeros(3, 2, 3, 4, 4), torch.get_rng_state()
    mixed, targets = Loss(LossConfig(label_smoothing=0.1), 3).mixed(videos, LABELS)
    assert mixed is videos
    assert targets is LABELS
    assert torch.equal(torch.get_rng_state(), before)


def test_balanced_weights_are_inverse_frequencies_of_mean_one_over_the_videos():
    labels = [0, 0, 0, 1]
    weights = balanced_weights(labels, 3)
    assert weights.tolist() == pytest.approx([2 / 3, 2.0, 1.0])
    assert sum(weights[label].item() for label in labels) / 4 == pytest.approx(1.0)
    assert balanced_weights([0, 1, 2, 2, 1, 0], 3).tolist() == [1.0, 1.0, 1.0]


def test_a_smoothed_label_of_a_common_class_still_asks_for_that_class():
    weights = balanced_weights([0] * 1000 + [1] * 10, 2)
    loss = Loss(LossConfig(label_smoothing=0.1), 2, weights)
    logits = torch.zeros(1, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits, torch.tensor([0])), logits)
    assert gradient[0, 0] < 0 < gradient[0, 1]  # a step raises the score of the video's own class


def test_weights_count_mirror_images_as_the_classes_that_they_are_of():
    labels = [0] * 300 + [1] * 60 + [2] * 90
    weights = balanced_weights(labels, 4, mirrored=[1, 0, 2, 3])  # 180, 180, 90 and none are seen
    assert weights.tolist() == pytest.approx([5 / 6, 5 / 6, 5 / 3, 1.0])
    rare = balanced_weights([0], 2, mirrored=[1, 0])
    assert rare.tolist() == pytest.approx([1.0, 1.0])
