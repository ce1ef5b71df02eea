import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stsm_cli.data import videos as module
from stsm_cli.data.flow import Flow
from stsm_cli.data.manifest import Manifest, VideoRecord
from stsm_cli.data.videos import Videos, cache_budget, held_bytes, open_videos
from stsm_cli.errors import DataError

FRAMES, HEIGHT, WIDTH = 6, 10, 14
BYTES = FRAMES * HEIGHT * WIDTH * 3


def decoded(path, indices, *, decoder, short_side_px, from_start, keep_damaged):
    if "broken" in path.name:
        raise DataError(f"{path}: does not decode")
    if "damaged" in path.name and (indices is None or 3 in indices):
        raise DataError(f"{path}: frame 3 is damaged")
    level = 0 if "damaged" in path.name else int(path.stem)
    frames = np.full((FRAMES, HEIGHT, WIDTH, 3), level, dtype=np.uint8)
    frames[..., 1] = np.arange(FRAMES)[:, None, None]
    return frames if indices is None else frames[indices]


@pytest.fixture
def open_set(monkeypatch):
    """Opens a split of the named videos whose decoder is `decoded`."""

    def open_(*names, limit=10**6):
        records = tuple(VideoRecord(n, 0, FRAMES, 8.0, WIDTH, HEIGHT) for n in names)
        manifest = Manifest(Path("root"), "train", ("a",), records)
        monkeypatch.setattr(module, "read_manifest", lambda root, split: manifest)
        monkeypatch.setattr(module, "read_frames", decoded)
        return open_videos(
            Path("root"), "train", HEIGHT, decoder="pyav", budget_bytes=limit, threads=2
        )

    return open_


@pytest.mark.parametrize("limit", [2 * BYTES, 2 * BYTES - 1])
def test_memory_and_files_give_the_same_frames(open_set, limit):
    videos = open_set("3.mp4", "4.mp4", limit=limit)
    assert (videos.cache is None) == (limit < 2 * BYTES)
    frames = videos.read(1, np.array([5, 0, 5]))
    assert frames.shape == (3, HEIGHT, WIDTH, 3)
    assert frames[:, 0, 0].tolist() == [[4, 5, 4], [4, 0, 4], [4, 5, 4]]


@pytest.mark.parametrize("limit", [10**6, 0])
def test_a_broken_video_is_an_error_when_it_is_read(open_set, limit):
    videos = open_set("1.mp4", "broken.mp4", limit=limit)
    assert len(videos.read(0, np.array([0]))) == 1
    with pytest.raises(DataError, match=r"broken\.mp4: does not decode"):
        videos.read(1, np.array([0]))


@pytest.mark.parametrize("limit", [10**6, 0])
def test_an_error_that_is_raised_again_and_again_does_not_grow(open_set, limit):
    videos = open_set("broken.mp4", limit=limit)
    depths = []
    for _ in range(5):
        with pytest.raises(DataError, match=r"broken\.mp4: does not decode") as caught:
            videos.read(0, np.array([0]))
        depths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
    assert len(set(depths)) == 1


@pytest.mark.parametrize("limit", [10**6, 0])
def test_memory_does_not_decide_what_is_broken(open_set, limit):
    """Of a video with one damaged frame the others are read, whatever is held of the rest."""
    videos = open_set("1.mp4", "damaged.mp4", limit=limit)
    assert videos.read(1, np.array([0, 5])).shape == (2, HEIGHT, WIDTH, 3)
    with pytest.raises(DataError, match=r"damaged\.mp4: frame 3 is damaged"):
        videos.read(1, np.array([0, 3]))


def test_the_long_side_counts_as_it_is_rounded(monkeypatch):
    """A picture of 15 × 10 pixels at 9: its long side of 13.5 is 14."""
    record = VideoRecord("7.mp4", 0, FRAMES, 8.0, 15, 10)
    manifest = Manifest(Path("root"), "train", ("a",), (record,))
    monkeypatch.setattr(module, "read_manifest", lambda root, split: manifest)
    monkeypatch.setattr(module, "read_frames", decoded)

    def is_held(budget):
        videos = open_videos(
            Path("root"), "train", 9, decoder="pyav", budget_bytes=budget, threads=1
        )
        return videos.cache is not None

    assert is_held(FRAMES * 14 * 9 * 3)
    assert not is_held(FRAMES * 14 * 9 * 3 - 1)


def test_frames_that_are_held(open_set):
    assert held_bytes(open_set("1.mp4", "broken.mp4", "2.mp4")) == 2 * BYTES
    assert held_bytes(open_set("1.mp4", limit=0)) == 0


@pytest.mark.parametrize(
    ("available", "processes", "budget"),
    [
        (None, 1, 4 * 2**30),
        (64 * 2**30, 1, 4 * 2**30),
        (64 * 2**30, 8, 2**29),
        (2 * 2**30, 1, 2**30),
        (2 * 2**30, 4, 2**28),
        (0, 2, 0),
    ],
)
def test_processes_divide_what_a_machine_may_hold(monkeypatch, available, processes, budget):
    monkeypatch.setattr(module, "available_memory", lambda: available)
    assert cache_budget(processes) == budget


def test_a_video_that_lost_frames_is_not_held(monkeypatch):
    record = VideoRecord("7.mp4", 0, FRAMES + 1, 8.0, WIDTH, HEIGHT)
    videos = Videos(Manifest(Path("root"), "val", ("a",), (record,)), HEIGHT, "pyav")
    monkeypatch.setattr(module, "read_frames", decoded)
    assert videos.decode_whole(0) is None


def test_videos_are_read_as_prepare_noted(monkeypatch):
    records = tuple(VideoRecord(name, 0, FRAMES, 8.0, WIDTH, HEIGHT) for name in ("1.mp4", "2.mp4"))
    manifest = Manifest(Path("root"), "val", ("a",), records, frozenset(["2.mp4"]))
    asked = []

    def read_frames(path, indices, **options):
        asked.append((path.name, options))
        return decoded(path, indices, **options)

    monkeypatch.setattr(module, "read_frames", read_frames)
    for index in (0, 1):
        Videos(manifest, HEIGHT, "pyav").read(index, np.array([3]))
    same = {"decoder": "pyav", "short_side_px": HEIGHT, "keep_damaged": False}
    assert asked == [
        ("1.mp4", same | {"from_start": False}),
        ("2.mp4", same | {"from_start": True}),
    ]


@pytest.fixture
def open_flow(monkeypatch, tmp_path):
    """Opens two videos whose field t holds the levels (10 + t, 20 + t), and of which one is short.

    A third has one frame, and so no flow.
    """
    fields = np.empty((FRAMES - 1, HEIGHT, WIDTH, 2), np.uint8)
    fields[:] = np.arange(FRAMES - 1)[:, None, None, None] + np.array([10, 20])

    def read_fields(path, indices, *, short_side_px):
        assert path.parent == tmp_path / "flow_dis"
        if "one" in path.name:
            raise DataError(f"{path}: no such file")
        found = fields[:3] if "short" in path.name else fields
        return found if indices is None else found[indices]

    def open_(limit):
        lengths = {"a.mp4": FRAMES, "short.mp4": FRAMES, "one.mp4": 1}
        records = tuple(VideoRecord(n, 0, k, 8.0, WIDTH, HEIGHT) for n, k in lengths.items())
        manifest = Manifest(tmp_path, "train", ("a",), records)
        monkeypatch.setattr(module, "read_manifest", lambda root, split: manifest)
        monkeypatch.setattr(module, "read_fields", read_fields)
        options = {"decoder": "pyav", "budget_bytes": limit, "threads": 1}
        return open_videos(tmp_path, "train", HEIGHT, **options, flow=Flow("dis", 2))

    return open_


@pytest.mark.parametrize("limit", [0, 10**6])
def test_flow_is_read_in_stacks_and_the_last_field_is_repeated(open_flow, limit):
    videos = open_flow(limit)
    assert (videos.cache is None) == (limit == 0)
    stacks = videos.read(0, np.array([0, 3, 5]))
    assert stacks.shape == (3, HEIGHT, WIDTH, 4)
    assert stacks[:, 0, 0].tolist() == [[10, 20, 11, 21], [13, 23, 14, 24], [14, 24, 14, 24]]
    with pytest.raises(DataError, match=r"flow_dis/one\.mp4\.mp4: no such file"):
        videos.read(2, np.array([0]))


def test_flow_that_ends_early_is_not_held(open_flow):
    assert [frames is None for frames in open_flow(10**6).cache] == [False, True, True]


def test_flow_takes_two_thirds_of_the_memory(open_flow):
    needed = (2 * FRAMES + 1) * HEIGHT * WIDTH * 2
    assert open_flow(needed).cache is not None
    assert open_flow(needed - 1).cache is None


def test_a_training_takes_all_videos_but_those_known_to_have_no_flow(open_flow):
    assert open_flow(0).trained_on.tolist() == [0, 1, 2]
    videos = replace(open_flow(0), without_flow=frozenset(["short.mp4"]))
    assert videos.trained_on.tolist() == [0, 2]
