import numpy as np
import pytest
import torch

from stsm_cli.config.regularisation import RandAugmentConfig
from stsm_cli.data.augment import rand_augmented

CONFIG = RandAugmentConfig(ops=2, magnitude=15)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (1, 24, 20, 3), dtype=np.uint8)


def augmented(frames, seed, config=CONFIG):
    return rand_augmented(frames, config, np.random.default_rng(seed))


def test_all_frames_go_through_the_same_operations(picture):
    video = np.repeat(picture, 4, axis=0)
    results = [augmented(video, seed) for seed in range(40)]
    for seed, result in enumerate(results):
        assert result.shape == video.shape
        assert result.dtype == np.uint8
        assert (result == result[:1]).all(), seed
    assert len({result.tobytes() for result in results}) > 30


def test_a_frame_is_changed_as_it_would_be_alone(picture):
    video = np.concatenate([picture, 255 - picture, picture[:, ::-1]])
    for seed in range(10):
        alone = [augmented(video[t : t + 1], seed) for t in range(3)]
        assert (augmented(video, seed) == np.concatenate(alone)).all(), seed


def test_the_seed_decides_and_torch_s_generator_is_left_alone(picture):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = augmented(picture, 5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert (augmented(picture[:, :, ::-1], 5).shape, (augmented(picture, 5) == first).all()) == (
        first.shape,
        True,
    )


def test_more_strength_changes_more(picture):
    def change(magnitude):
        config = RandAugmentConfig(ops=1, magnitude=magnitude)
        changed = (augmented(picture, seed, config) for seed in range(30))
        return np.mean([np.abs(one.astype(int) - picture).mean() for one in changed])

    assert change(0) < change(15) < change(30)
