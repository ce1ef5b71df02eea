import numpy as np
import pytest
import torch

from stsm_cli.bench import drawn, reading
from stsm_cli.bench.turns import Stopwatch
from stsm_cli.data.decode import available_decoders
from stsm_cli.errors import UsageError
from stsm_cli.prepare.transcode import Encoding

needs_decord = pytest.mark.skipif(
    "decord" not in available_decoders(), reason="decord does not import here"
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A video of 70 frames, in both encodings."""
    for module in (drawn, reading):
        monkeypatch.setattr(module, "NUM_FRAMES", 70)
    return drawn.draw_videos(tmp_path, 1, Encoding(short_side_px=256), lambda: None)


@needs_decord
def test_all_read_the_same_frames(made):
    reads = reading.training_reads(made["prepared"])
    assert list(reads) == ["bare decord", *available_decoders()]
    assert reads["bare decord"](3).shape == (8, 256, 340, 3)
    assert reads["pyav"](3).shape == (8, 224, 224, 3)
    assert np.array_equal(reads["pyav"](3), reads["decord"](3))
    tests = reading.test_reads(made["prepared"])
    assert tests["pyav"](0).shape[:2] == (30, 8)


@needs_decord
def test_each_kind_is_beside_bare_decord_and_beside_the_first_row(made):
    training, test = reading.measure_reading(made, 1, Stopwatch(torch.device("cpu")))
    assert training.title == "training sample of 8 dense frames"
    assert test.title == "test of 10 clips × 3 crops"
    for table in (training, test):
        assert len(table.rows) == 2 * (1 + len(available_decoders()))
        assert table.rows["prepared, bare decord"]["ratio"] == 1
        assert table.rows["unprepared, bare decord"]["ratio_first"] == 1
        assert set(table.rows["prepared, pyav"]) == {"ms", "ratio", "ratio_first"}


def test_without_decord_there_is_nothing_to_compare_with(monkeypatch):
    monkeypatch.setattr(reading, "available_decoders", lambda: ("pyav",))
    with pytest.raises(UsageError, match="decord does not import here"):
        reading.require_decord()
