from collections import Counter
from pathlib import Path

import pytest

from stsm_cli.prepare.listing import Draw, ListedVideo, Listing
from stsm_cli.prepare.split import draw_split


def plain(counts):
    return [f"{name}/{number}.mp4" for name, count in counts.items() for number in range(count)]


def listed(paths, copies=None):
    classes = tuple(dict.fromkeys(path.split("/")[0] for path in paths))
    videos = tuple(ListedVideo(path, classes.index(path.split("/")[0]), path) for path in paths)
    return Listing(Path("root"), classes, {"train": videos, "val": ()}, copies=copies or {})


def drawn(paths, share=0.2, seed=0, *, broken=(), copies=None):
    """The paths of both parts."""
    usable = set(paths) - set(broken)
    listing = draw_split(listed(paths, copies), Draw(share, seed), usable)
    return {split: [video.path for video in videos] for split, videos in listing.splits.items()}


def in_class(paths, name):
    return [path for path in paths if path.startswith(f"{name}/")]


@pytest.mark.parametrize(
    ("num_videos", "share", "num_val"), [(10, 0.2, 2), (2, 0.2, 1), (3, 0.9, 2), (7, 0.5, 4)]
)
def test_each_class_gives_its_share_and_keeps_something(num_videos, share, num_val):
    splits = drawn(plain({"a": num_videos, "b": 20}), share)
    assert len(in_class(splits["val"], "a")) == num_val
    assert len(splits["train"]) + len(splits["val"]) == num_videos + 20
    assert not set(splits["train"]) & set(splits["val"])


def test_the_order_of_the_videos_stays():
    splits = drawn(paths := plain({"a": 20}), 0.3)
    assert splits["train"] == [path for path in paths if path in splits["train"]]


def test_a_seed_is_a_split():
    paths = plain({"a": 50})
    first, again, other = (drawn(paths, seed=seed)["val"] for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert drawn(paths[::-1])["val"] == first[::-1]


def test_the_split_is_this_one_on_every_machine():
    assert drawn(plain({"a": 10}), 0.3)["val"] == ["a/1.mp4", "a/2.mp4", "a/8.mp4"]


def test_a_video_more_moves_few_others():
    before, after = (set(drawn(plain({"a": count}))["val"]) for count in (100, 101))
    assert len(before ^ after) <= 2


def test_videos_that_cannot_be_used_are_not_drawn_and_do_not_count():
    broken = ["a/1.mp4", "a/2.mp4", "a/8.mp4", *plain({"b": 2})]
    splits = drawn(plain({"a": 10, "b": 4}), 0.3, broken=broken)
    assert not set(broken) & set(splits["val"])
    assert {name: len(in_class(splits["val"], name)) for name in "ab"} == {"a": 2, "b": 1}
    assert in_class(splits["train"], "b")[:2] == plain({"b": 2})
    kept = plain({"a": 10, "b": 4})
    assert drawn([path for path in kept if path not in broken], 0.3)["val"] == splits["val"]


def test_a_class_with_one_usable_video_trains_on_it():
    splits = drawn(plain({"a": 10, "b": 3}), broken=["b/0.mp4", "b/2.mp4"])
    assert in_class(splits["train"], "b") == plain({"b": 3})


@pytest.mark.parametrize("seed", range(10))
def test_a_video_and_its_copies_stay_together(seed):
    copies = {"a/3.mp4": "a/0.mp4", "a/5.mp4": "a/0.mp4", "a/6.mp4": "a/4.mp4"}
    splits = drawn(plain({"a": 10}), 0.3, seed, copies=copies)
    together = [{"a/0.mp4", "a/3.mp4", "a/5.mp4"}, {"a/4.mp4", "a/6.mp4"}]
    assert all(len(group & set(splits["val"])) in (0, len(group)) for group in together)
    assert 3 <= len(splits["val"]) <= 5


@pytest.mark.parametrize("seed", range(10))
def test_many_copies_are_rather_trained_on(seed):
    copies = {f"a/{number}.mp4": "a/0.mp4" for number in range(1, 9)}
    assert drawn(plain({"a": 10}), seed=seed, copies=copies)["val"] == ["a/9.mp4"]


def test_copies_alone_are_one_video():
    splits = drawn(plain({"a": 2, "b": 2}), copies={"a/1.mp4": "a/0.mp4"})
    assert in_class(splits["train"], "a") == plain({"a": 2})
    assert len(in_class(splits["val"], "b")) == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_video_of_two_classes_is_trained_on(seed):
    splits = drawn(plain({"a": 2, "b": 3}), seed=seed, copies={"b/1.mp4": "a/1.mp4"})
    assert in_class(splits["val"], "a") == ["a/0.mp4"]
    assert "b/1.mp4" in splits["train"]
    assert len(in_class(splits["val"], "b")) == 1


def ucf101():
    return [
        f"Archery/v_Archery_g{group:02}_c{clip:02}.avi"
        for group in range(1, 11)
        for clip in range(1, 5)
    ]


def test_groups_of_ucf101_stay_together():
    splits = drawn(ucf101())
    groups = {split: {path.split("_")[2] for path in paths} for split, paths in splits.items()}
    assert not groups["train"] & groups["val"]
    assert len(splits["val"]) == 8


@pytest.mark.parametrize("seed", range(10))
def test_copies_join_groups_of_ucf101(seed):
    name = "Archery/v_Archery_g{:02}_c01.avi"
    copies = {name.format(2): name.format(1), name.format(4): name.format(2)}
    val = Counter(path.split("_")[2] for path in drawn(ucf101(), seed=seed, copies=copies)["val"])
    assert set(val.values()) == {4}
    assert len({"g01", "g02", "g04"} & set(val)) in (0, 3)


def test_notes_say_how_it_was_drawn():
    listing = listed(plain({"a": 5, "z": 1}))
    assert draw_split(listing, Draw(0.25, 7), set()).notes == (
        "no split found: 25% of the usable videos of each class, at least one, drawn "
        "for validation, seed 7",
    )
    grouped = "clips of one UCF101 group (v_X_gNN_cMM) are in the same split"
    assert draw_split(listed(ucf101()), Draw(0.2, 0), set()).notes[1:] == (grouped,)
