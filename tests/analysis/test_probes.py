from pathlib import Path

import numpy as np
import pytest

from stsm_cli.analysis.probes import (
    SMALL,
    Probed,
    numbers_of,
    packet_sizes,
    probe,
    probe_videos,
)
from stsm_cli.config.generated_sets import OrderConfig, ScenesConfig, SynthConfig
from stsm_cli.data.catalog import load_card
from stsm_cli.data.generated import GENERATED
from stsm_cli.data.manifest import read_manifest
from stsm_cli.data.order import ORDER
from stsm_cli.data.scenes import SCENES
from stsm_cli.data.synth import SYNTH

SIZE = {"train": 384, "frames": 9, "short_side_px": 32, "difficulty": 0.1}

# probes that a reversal of the video does not change
ORDER_FREE = (
    "file size",
    "frame count",
    "mean colour",
    "moments",
    "sorted packets",
    "one frame",
    "frames without order",
)


def probed(made, settings):
    """The numbers of videos that are not coded: their packets are all alike."""
    drawn = [made.make_frames(settings, "train", index) for index in range(settings.train)]
    rows = [numbers_of(frames, np.ones(len(frames)), 100) for frames, _ in drawn]
    numbers = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Probed(numbers, np.array([label for _, label in drawn]), made.classes)


def told(table, name):
    return [accuracy for pairs in table[name].values() for accuracy in pairs.values()]


@pytest.fixture(scope="module")
def of_order():
    return probe(probed(ORDER, OrderConfig(val=1, test=1, **SIZE)), "order")


@pytest.mark.parametrize("name", ORDER_FREE)
def test_a_probe_without_order_sees_no_reversal(name):
    rng = np.random.default_rng(0)
    frames, sizes = rng.integers(0, 256, (9, 16, 22, 3), np.uint8), rng.integers(9, 99, 9)
    forth, back = (numbers_of(frames[::s], sizes[::s], 5)[name] for s in (1, -1))
    np.testing.assert_allclose(forth, back)


def test_the_other_probes_do():
    frames = np.random.default_rng(0).integers(0, 256, (9, 16, 22, 3), np.uint8)
    for name in set(numbers_of(frames, np.ones(9), 5)) - set(ORDER_FREE):
        forth, back = (numbers_of(frames[::s], np.ones(9), 5)[name] for s in (1, -1))
        assert not np.allclose(forth, back)


def test_no_probe_tells_order_from_few_numbers(of_order):
    for name in of_order:  # 48 videos a pair, 384 in all: a standard error of 7 and of 2.6 points
        assert np.mean(told(of_order, name)) == pytest.approx(50, abs=9)
        assert max(told(of_order, name)) < 80


def test_few_numbers_tell_no_scenes_and_a_place_s_spread_tells_what_passes():
    settings = ScenesConfig(train=576, val=1, test=1, frames=16, short_side_px=32)
    table = probe(probed(SCENES, settings), "scenes")
    assert [len(pairs) for pairs in table["one frame"].values()] == [4, 4, 4]
    for name in (*SMALL, "one frame"):  # 48 videos a pair, 576 in all: standard errors of 7 and 2.1
        assert np.mean(told(table, name)) == pytest.approx(50, abs=8)
        assert max(told(table, name)) < 78
    assert table["frames without order"]["both"]["passes_above/passes_below"] > 80


def test_four_numbers_tell_most_pairs_of_the_first_set():
    settings = SynthConfig(val=1, **SIZE)
    table = probe(probed(SYNTH, settings), "synth")
    assert sorted(told(table, "change of moments"))[2] > 85  # six of eight
    assert np.mean(told(table, "one frame")) == pytest.approx(50, abs=9)


def test_small_probes_have_at_most_ten_numbers():
    numbers = numbers_of(np.zeros((9, 16, 22, 3), np.uint8), np.ones(9), 5)
    assert all(len(numbers[name]) <= 10 for name in SMALL)
    assert len(numbers["ten numbers"]) == 10


def test_moments_are_of_brightness():
    frames = np.zeros((3, 11, 21, 3), np.uint8)
    frames[0, 5, 4] = frames[2, 8, 16] = 210
    numbers = numbers_of(frames, np.ones(3), 5)
    mean, x, y, spread = numbers["change of moments"]
    assert (mean, spread) == pytest.approx((0, 0), abs=0.1)
    assert (x, y) == pytest.approx((12, 3), abs=0.1)


def test_the_videos_of_a_prepared_set_are_read(tmp_path):
    settings = OrderConfig(train=32, val=32, test=16, frames=8, short_side_px=32)
    GENERATED["order"].make(tmp_path, settings, workers=1)
    found = probe_videos(tmp_path, settings.splits, num_frames=3)
    assert found.labels.tolist() == list(range(16)) * 5
    assert (found.numbers["frame count"] == 8).all()
    path = tmp_path / read_manifest(tmp_path, "train").records[0].path
    assert found.numbers["file size"][0, 0] == path.stat().st_size
    assert packet_sizes(path).sum() < path.stat().st_size
    path.rename("a:b.mp4")
    assert len(packet_sizes(Path("a:b.mp4"))) == 8


def test_the_pairs_are_the_card_s(of_order):
    assert list(of_order["file size"]) == ["order"]
    assert len(of_order["file size"]["order"]) == len(load_card("order").reverse_pairs)
