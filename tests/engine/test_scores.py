import pytest
import torch
from torch import nn

from stsm_cli.config.schema import ModelConfig
from stsm_cli.config.view import View
from stsm_cli.data.loader import Batch
from stsm_cli.engine import scores as engine
from stsm_cli.engine.scores import average_views, score_videos, views_at_once
from stsm_cli.engine.step import normalise
from stsm_cli.errors import DivergedError, StsmError
from stsm_cli.models.build import build_model
from stsm_cli.models.network import Network

CPU = torch.device("cpu")
VIEW = View(2)


class Reader(Network):
    """Logits that are the mean pixel of the first and the second half of the frames."""

    def __init__(self):
        super().__init__(VIEW, 2)
        self.num_views = []

    def forward(self, videos):
        self.num_views.append(len(videos))
        halves = videos.mean((2, 3, 4)).unflatten(1, (2, -1)).mean(2)
        return 10 * halves


def batch(*videos, labels, broken=None):
    pixels = torch.tensor(videos, dtype=torch.uint8)[..., None, None, None].expand(
        -1, -1, -1, 3, 4, 4
    )
    return Batch(pixels, torch.tensor(labels), tuple(range(len(videos))), broken or {})


def test_scores_are_averaged_after_softmax():
    views = [[0, 255], [255, 0], [255, 0]]
    result = score_videos(Reader(), [batch(views, labels=[0])], CPU)
    assert result.probabilities[0].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-5)


def test_scores_are_averaged_before_softmax_on_request():
    views = [[0, 255], [255, 0], [255, 0]]
    result = score_videos(Reader(), [batch(views, labels=[0])], CPU, average="score")
    assert result.probabilities[0].tolist() == pytest.approx([1, 0], abs=1e-5)


def test_the_two_averages_can_rank_differently():
    logits = torch.tensor([[[6.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 2.8, 0.0]]])
    assert average_views(logits, "prob").argmax() == 1
    assert average_views(logits, "score").argmax() == 0


def test_score_is_what_mmaction2s_tsn_does():
    """Its head averages the features of all views and frames, then classifies, then softmax."""
    config = ModelConfig(backbone="resnet_small", num_classes=7, num_frames=3, dropout=0.5)
    model = build_model(config).eval()
    nn.init.normal_(model.fc.weight)
    pixels = torch.randint(0, 256, (2, 6, 3, 3, 16, 16), dtype=torch.uint8)
    read = Batch(pixels, torch.tensor([0, 1]), (0, 1), {})
    ours = score_videos(model, [read], CPU, average="score").probabilities
    with torch.inference_mode():
        features = model.backbone(normalise(pixels, VIEW, CPU).flatten(0, 2)).view(2, 6 * 3, -1)
        theirs = model.fc(features.mean(1)).softmax(-1)
    assert torch.allclose(ours, theirs, atol=1e-5)
    prob = score_videos(model, [read], CPU, average="prob").probabilities
    assert not torch.allclose(prob, theirs, atol=1e-3)


def test_class_orders_are_applied_view_by_view():
    orders = torch.tensor([[0, 1], [1, 0]])
    views = [[0, 255], [255, 0]]
    result = score_videos(Reader(), [batch(views, labels=[0])], CPU, class_orders=orders)
    assert result.probabilities[0].tolist() == pytest.approx([0, 1], abs=1e-5)


def test_no_decodable_video_is_an_error():
    nothing = Batch(torch.empty(0), torch.empty(0, dtype=torch.long), (), {0: (1, "bad")})
    with pytest.raises(StsmError, match="no video could be decoded"):
        score_videos(Reader(), [nothing], CPU)


def test_scores_that_are_not_finite_are_refused():
    class Diverged(Reader):
        def forward(self, videos):
            return super().forward(videos) * torch.tensor([torch.nan, 1.0])

    read = batch([[0, 9]], labels=[0])
    message = "^the network's scores of 1 of 1 videos are not finite$"
    with pytest.raises(DivergedError, match=message) as error:
        score_videos(Diverged(), [read], CPU)
    hint = "its weights have diverged: train anew with a lower optim.lr, or with "
    assert error.value.hint == f"{hint}optim.clip_grad_norm"
    with pytest.raises(DivergedError, match=message) as error:
        score_videos(Diverged(), [read], CPU, precision="fp16")
    assert error.value.hint.endswith("; or fp16 is too narrow for it: precision=fp32")


def test_memory_is_bounded_by_pixels_and_by_views():
    assert views_at_once(8, 256) == 16
    assert views_at_once(16, 256) == 8
    assert views_at_once(8, 32) == 64
    assert views_at_once(64, 1024) == 1


def test_the_views_of_one_video_go_through_the_network_in_parts(monkeypatch):
    views = [[index, 255 - index] for index in range(5)]
    together, parts = Reader(), Reader()
    whole = score_videos(together, [batch(views, views, labels=[0, 1])], CPU)
    monkeypatch.setattr(engine, "FORWARD_PIXELS", 3 * 2 * 4 * 4)  # three views of 2 frames of 4²
    split = score_videos(parts, [batch(views, views, labels=[0, 1])], CPU)
    assert (together.num_views, parts.num_views) == ([10], [3, 3, 3, 1])
    assert torch.equal(whole.probabilities, split.probabilities)


def test_each_process_reads_its_share_and_gets_all(monkeypatch):
    """What another process sends is put between the own videos, in manifest order."""
    other = score_videos(Reader(), [batch([[9, 7]], [[5, 9]], labels=[0, 1])], CPU)
    other = engine.Scores(other.probabilities, other.labels, (1, 3), {})
    rest = [(other, {4: 1}), (None, {2: 0})]
    monkeypatch.setattr(engine, "gather_objects", lambda own: [own, *rest])
    own = score_videos(Reader(), [batch([[1, 2]], labels=[1], broken={6: (0, "bad")})], CPU)
    assert own.indices == (0, 1, 3)
    assert own.labels.tolist() == [1, 0, 1]
    assert torch.equal(own.probabilities[1:], other.probabilities)
    assert list(own.broken_labels.items()) == [(2, 0), (4, 1), (6, 0)]


def test_progress_counts_videos_broken_ones_too():
    counts = []
    score_videos(
        Reader(), [batch([[0, 1]], labels=[0], broken={1: (0, "bad")})], CPU, advance=counts.append
    )
    assert counts == [2]


def test_half_precision_gives_float32_probabilities():
    config = ModelConfig(backbone="resnet_small", num_classes=7, num_frames=3)
    model = build_model(config)
    pixels = torch.randint(0, 256, (1, 2, 3, 3, 16, 16), dtype=torch.uint8)
    read = Batch(pixels, torch.tensor([0]), (0,), {})
    full = score_videos(model, [read], CPU, precision="fp32").probabilities
    half = score_videos(model, [read], CPU, precision="bf16").probabilities
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.allclose(half, full, atol=0.01)
