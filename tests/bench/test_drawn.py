import numpy as np
import pytest

from stsm_cli.bench import drawn
from stsm_cli.data.decode import probe
from stsm_cli.prepare.transcode import Encoding


@pytest.fixture
def short(monkeypatch):
    """Videos of 20 frames."""
    monkeypatch.setattr(drawn, "NUM_FRAMES", 20)


def test_a_seed_draws_the_same_and_another_does_not():
    one, same, other = (np.stack(list(drawn.draw(seed, 3))) for seed in (1, 1, 2))
    assert one.shape == (3, 256, 340, 3)
    assert (one == same).all()
    assert (one != other).any()


def test_videos_are_as_the_manifests_say(tmp_path, short):
    told = []
    made = drawn.draw_videos(tmp_path, 2, Encoding(short_side_px=256), lambda: told.append(1))
    assert list(made) == ["unprepared", "prepared"]
    assert len(told) == 2
    for manifest in made.values():
        record = manifest.records[1]
        info = probe(tmp_path / record.path)
        assert (info.num_frames, info.width, info.height) == (20, 340, 256)
        assert (record.num_frames, record.width, record.height) == (20, 340, 256)
        assert drawn.kilobits(manifest) > 0
