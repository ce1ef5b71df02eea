"""A stream is the network on the whole video, one frame at a time."""

import re

import pytest
import torch
from torchvision.models import resnet18

from stsm_cli.config.schema import ModelConfig
from stsm_cli.models.build import build_model
from stsm_cli.models.shift import insert_shift
from stsm_cli.models.stream import FrameStream


def network(dims="T-+H+W", *, backbone="resnet_small", num_frames=5, alpha="3/4", **keys):
    """A network whose scores depend on what they are given."""
    torch.manual_seed(0)
    shift = None if dims is None else {"dims": dims, "alpha": alpha}
    config = {"num_classes": 3, "num_frames": num_frames, "shift": shift, "dropout": 0, **keys}
    made = build_model(ModelConfig(backbone=backbone, **config)).eval()
    torch.nn.init.normal_(made.fc.weight)
    return made


def scores(stream, videos):
    """Scores (N, T, K) of the frames of videos (N, T, C, H, W)."""
    return torch.stack([stream.step(frame) for frame in videos.unbind(1)], dim=1)


@pytest.mark.parametrize("dims", ["T-", "T-+H+W", "W+HT-", "T-+TH-+Th-", "H+Hw", None])
def test_the_mean_of_a_videos_scores_is_the_networks(dims):
    whole, videos = network(dims), torch.randn(2, 5, 3, 16, 12)
    found = scores(FrameStream(whole), videos).mean(1)
    torch.testing.assert_close(found, whole(videos), rtol=1e-5, atol=1e-5)


def test_it_is_of_any_length_and_any_2d_backbone():
    videos = torch.randn(1, 9, 3, 32, 32)
    short = network("T-", backbone="mobilenet_v2_small", num_frames=2)
    long = network("T-", backbone="mobilenet_v2_small", num_frames=9)
    found = scores(FrameStream(short), videos).mean(1)
    torch.testing.assert_close(found, long(videos), rtol=1e-5, atol=1e-5)


def test_scores_depend_on_the_frames_before_and_on_no_others():
    stream, videos = FrameStream(network()), torch.randn(1, 4, 3, 16, 16)
    first, other = scores(stream, videos), videos.clone()
    other[:, 2] += 1
    stream.restart()
    second = scores(stream, other)
    assert torch.equal(first[:, :2], second[:, :2])
    assert not torch.equal(first[:, 2], second[:, 2])
    assert not torch.equal(first[:, 3], second[:, 3])


def test_a_restarted_stream_has_forgotten():
    stream, frames = FrameStream(network()), torch.randn(2, 3, 16, 16)
    first, again = stream.step(frames), stream.step(frames)
    assert not torch.equal(first, again)
    stream.restart()
    assert stream.num_bytes == 0
    assert torch.equal(stream.step(frames), first)
    stream.restart()
    assert stream.step(torch.randn(1, 3, 8, 8)).shape == (1, 3)


def test_it_keeps_the_channels_of_one_frame_that_move_in_time():
    whole = network("T-+H", alpha="1/2")
    stream, kept = FrameStream(whole), []
    for module in whole.modules():
        if hasattr(module, "slices"):
            moved = module.slices[0].stop
            module.register_forward_pre_hook(
                lambda _, inputs, moved=moved: kept.append(inputs[0][:1, :moved].nbytes)
            )
    whole(torch.randn(1, 5, 3, 16, 16))
    stream.step(torch.randn(1, 3, 16, 16))
    stream.step(torch.randn(1, 3, 16, 16))
    assert stream.num_bytes == sum(kept) > 0


def test_the_network_itself_stays_as_it_was():
    whole = network().train()
    names = [name for name, _ in whole.named_modules()]
    FrameStream(whole)
    assert whole.training
    assert [name for name, _ in whole.named_modules()] == names


def test_frames_of_another_size_are_refused():
    stream = FrameStream(network())
    stream.step(torch.randn(2, 3, 16, 16))
    says = (
        "frames are (1, 3, 16, 16), those before it (2, 3, 16, 16); `restart` begins other videos"
    )
    with pytest.raises(ValueError, match=re.escape(says)):
        stream.step(torch.randn(1, 3, 16, 16))


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (3, 16, 16), (2, 5, 3, 16, 16)])
def test_what_is_no_frame_is_refused_and_not_remembered(shape):
    stream = FrameStream(network())
    with pytest.raises(ValueError, match=re.escape(f"frames are {shape}, not (N, 3, H, W)")):
        stream.step(torch.randn(shape))
    assert stream.step(torch.randn(2, 3, 16, 16)).shape == (2, 3)


def test_a_network_of_another_library_is_refused():
    says = "FrameStream takes a network of `build_model`, which reads `T-` in a recipe, got ResNet"
    with pytest.raises(ValueError, match=says):
        FrameStream(insert_shift(resnet18(), num_frames=8, dims="T-"))


@pytest.mark.parametrize("dims", ["T", "T+H+W", "H+THw"])
def test_a_shift_from_the_future_is_refused(dims):
    says = rf"backbone\.\S+ looks at the next frame: its dims are {re.escape(dims)}, T- is causal"
    with pytest.raises(ValueError, match=says):
        FrameStream(network(dims))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"backbone": "slow_resnet_small"}, "Network3D does not take its frames one by one"),
        ({"non_local": True}, "(NonLocalBlock) looks at all frames of a view"),
        ({"system": "tpn"}, "TPN does not take its frames one by one"),
        ({"system": "tea", "backbone": "res2net_small"}, "looks at all frames of a view"),
        ({"system": "tdn"}, "looks at all frames of a view"),
        ({"system": "action"}, "looks at all frames of a view"),
        ({"system": "selfy"}, "looks at all frames of a view"),
    ],
)
def test_a_network_that_looks_at_all_frames_is_refused(keys, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        FrameStream(network(None, **{"backbone": "resnet_small", "num_frames": 8} | keys))
