import pytest
import torch
from torch import nn

from stsm_cli.config.view import View
from stsm_cli.models.tsn import TSN


class Means(nn.Module):
    """A backbone of three features: the mean of each colour."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.seen = frames
        return frames.mean((2, 3))


def tsn(*, num_frames: int = 4, dropout: float = 0.0) -> TSN:
    torch.manual_seed(0)
    return TSN(View(num_frames), 5, Means(), num_features=3, dropout=dropout)


def test_logits_are_the_mean_of_the_frames_own_scores():
    model = tsn().double().eval()
    videos = torch.randn(2, 4, 3, 6, 6, dtype=torch.float64)
    expected = [
        sum(model.fc(frame.mean((1, 2))) for frame in video) / 4  # frame by frame
        for video in videos
    ]
    torch.testing.assert_close(model(videos), torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_dropout_acts_on_each_frame():
    model = tsn(dropout=0.5).train()
    dropped = []
    model.fc.register_forward_pre_hook(lambda _fc, inputs: dropped.append(inputs[0]))
    model(torch.ones(50, 4, 3, 2, 2))
    kept = dropped[0] != 0  # (N·T, C)
    assert kept.shape == (200, 3)
    assert 0.4 < kept.float().mean() < 0.6
    assert len({tuple(frame.flatten().tolist()) for frame in kept.view(50, 4, 3)}) > 1
    assert any((video[0] != video[1]).any() for video in kept.view(50, 4, 3))


def test_classifier_starts_small_with_zero_bias():
    torch.manual_seed(0)
    model = TSN(View(1), 400, Means(), num_features=2048, dropout=0.5)
    assert model.fc.weight.std().item() == pytest.approx(0.001, rel=0.01)
    assert not model.fc.bias.any()


def test_state_dict_is_backbone_and_fc():
    assert set(tsn().state_dict()) == {"fc.weight", "fc.bias"}  # this backbone has no weights


def test_channels_last_frames_reach_the_backbone_as_they_are():
    model = tsn()
    pixels = torch.zeros(2, 4, 6, 8, 3)  # as a loader stacks pictures: (N, T, H, W, C)
    videos = pixels.permute(0, 1, 4, 2, 3)
    model(videos)
    assert model.backbone.seen.is_contiguous(memory_format=torch.channels_last)
    assert model.backbone.seen.data_ptr() == pixels.data_ptr()


@pytest.mark.parametrize("shape", [(2, 3, 3, 8, 8), (8, 3, 8, 8), (1, 8, 3, 8, 8)])
def test_wrong_number_of_frames_names_both(shape):
    with pytest.raises(ValueError, match=r"\(N, 4, 3, H, W\): 4 frames") as caught:
        tsn()(torch.zeros(shape))
    assert f"got {shape}" in str(caught.value)


def test_bf16_scores_are_averaged_in_float32():
    model = TSN(View(4), 3, nn.Flatten(), num_features=12, dropout=0.0).eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(2, 4, 3, 2, 2))
    assert logits.dtype == torch.float32
