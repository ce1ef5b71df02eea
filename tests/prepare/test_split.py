from collections import Counter

import pytest

from stsm_cli.prepare.matching import Entry
from stsm_cli.prepare.split import seeded_split


def entry(class_name, name):
    return Entry("", name, class_name, name)


def plain(counts):
    return [entry(c, f"{c}/{number}.mp4") for c, n in counts.items() for number in range(n)]


def names(entries):
    return [entry.name for entry in entries]


@pytest.mark.parametrize(
    ("num_videos", "share", "num_val"), [(10, 0.2, 2), (2, 0.2, 1), (3, 0.9, 2), (7, 0.5, 4)]
)
def test_each_class_gives_its_share_and_keeps_something(num_videos, share, num_val):
    splits, _ = seeded_split(plain({"a": num_videos, "b": 20}), share, 0)
    assert Counter(entry.class_name for entry in splits["val"])["a"] == num_val
    assert len(splits["train"]) + len(splits["val"]) == num_videos + 20
    assert not set(names(splits["train"])) & set(names(splits["val"]))


def test_the_order_of_the_videos_stays():
    splits, _ = seeded_split(entries := plain({"a": 20}), 0.3, 0)
    assert names(splits["train"]) == [n for n in names(entries) if n in names(splits["train"])]


def test_a_seed_is_a_split():
    entries = plain({"a": 50})
    first, again, other = (names(seeded_split(entries, 0.2, seed)[0]["val"]) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert names(seeded_split(entries[::-1], 0.2, 0)[0]["val"]) == first[::-1]


def test_the_split_is_this_one_on_every_machine():
    splits, _ = seeded_split(plain({"a": 10}), 0.3, 0)
    assert names(splits["val"]) == ["a/1.mp4", "a/2.mp4", "a/8.mp4"]


def test_a_video_more_moves_few_others():
    before = set(names(seeded_split(plain({"a": 100}), 0.2, 0)[0]["val"]))
    after = set(names(seeded_split(plain({"a": 101}), 0.2, 0)[0]["val"]))
    assert len(before ^ after) <= 2


def test_groups_of_ucf101_stay_together():
    entries = [
        entry("Archery", f"Archery/v_Archery_g{group:02}_c{clip:02}.avi")
        for group in range(1, 11)
        for clip in range(1, 5)
    ]
    splits, notes = seeded_split(entries, 0.2, 0)
    groups = {split: {name.split("_")[2] for name in names(splits[split])} for split in splits}
    assert not groups["train"] & groups["val"]
    assert len(splits["val"]) == 8
    assert "clips of one UCF101 group (v_X_gNN_cMM) are in the same split" in notes


def test_notes_say_how_it_was_drawn():
    _, notes = seeded_split(plain({"a": 5, "z": 1, "b": 1, "c": 1, "d": 1}), 0.25, 7)
    assert notes == [
        "no split found: 25% of each class drawn for validation, seed 7",
        "classes with too few videos to validate on: 4 (b, c, d, ...)",
    ]
