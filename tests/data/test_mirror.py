"""Which classes a mirror swaps: by a file, a card, or their names."""

from pathlib import Path

import numpy as np
import pytest

from stsm_cli.config.schema import DataConfig
from stsm_cli.config.view import View
from stsm_cli.data.manifest import Manifest, VideoRecord, read_mirror_pairs
from stsm_cli.data.mirror import Mirror, find_mirror, pair_names
from stsm_cli.data.samples import TrainingSet
from stsm_cli.data.videos import Videos
from stsm_cli.errors import DataError


@pytest.mark.parametrize(
    ("classes", "pairs"),
    [
        (["left", "right"], [("left", "right")]),
        (["swipe_right", "swipe_left"], [("swipe_left", "swipe_right")]),
        (["turn left", "Turn-Right", "stop"], [("Turn-Right", "turn left")]),
        (["LeftHand", "RightHand"], [("LeftHand", "RightHand")]),
        (["SWIPE_LEFT", "SWIPE_RIGHT"], [("SWIPE_LEFT", "SWIPE_RIGHT")]),
        (["swipe2left", "swipe2right"], [("swipe2left", "swipe2right")]),
        (["turnleft", "turnright"], [("turnleft", "turnright")]),
        (["leftwards", "rightwards"], [("leftwards", "rightwards")]),
        (["clockwise", "counterclockwise"], [("clockwise", "counterclockwise")]),
        (["CounterClockwise", "Clockwise"], [("Clockwise", "CounterClockwise")]),
        (["turn anti-clockwise", "turn clockwise"], [("turn anti-clockwise", "turn clockwise")]),
        (["rotate_cw", "rotate_ccw"], [("rotate_ccw", "rotate_cw")]),
        (["left to right", "right to left"], [("left to right", "right to left")]),
        (["left 1", "left 2", "right 1"], [("left 1", "right 1")]),
        (["swipe_left", "turn_right"], []),
        (["left", "Left", "right"], []),  # which of the two?
        (["up", "down", "bright", "copyright", "cleft"], []),
        (["left and right", "stop"], []),
    ],
)
def test_names_pair_up_word_by_word(classes, pairs):
    assert pair_names(classes) == tuple(pairs)


def test_the_names_of_a_folder_are_looked_at_and_those_without_a_partner_told():
    classes = ("left", "lying", "right", "turn_left", "upright", "wave right hand")
    mirror = find_mirror("folder", classes)
    assert mirror == Mirror((("left", "right"),), "their names", ("turn_left", "wave right hand"))
    assert mirror.labels(classes).tolist() == [2, 1, 0, 3, 4, 5]
    assert str(mirror) == "left and right (by their names)"


def test_a_known_set_is_not_guessed_at():
    assert find_mirror("k400", ("left", "right")) == Mirror((), "datasets/k400.yaml")


def test_many_pairs_are_told_by_the_first():
    mirror = Mirror(tuple((f"l{i}", f"r{i}") for i in range(7)), "x")
    told = "l0 and r0, l1 and r1, l2 and r2, l3 and r3, l4 and r4 and 2 more pairs (by x)"
    assert str(mirror) == told


def write_pairs(text, root="there"):
    path = Path(root, "manifest", "mirror_pairs.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


CLASSES = ("gauche", "droite", "left", "right")


def test_a_file_says_it_instead_of_card_and_names():
    assert read_mirror_pairs(Path("there"), CLASSES) is None
    path = write_pairs('class,mirror_image\ngauche,"droite"\n\n')
    mirror = find_mirror("folder", CLASSES, Path("there"))
    assert mirror == Mirror((("gauche", "droite"),), str(path))
    write_pairs("\ufeffclass,mirror_image\n")
    assert find_mirror("folder", CLASSES, Path("there")).pairs == ()  # none swap
    assert find_mirror("folder", CLASSES).pairs == (("left", "right"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: columns must be class,mirror_image, got ''"),
        ("left,right\n", ":1: columns must be class,mirror_image, got 'left,right'"),
        ("class,mirror_image\nleft\n", ":2: 2 columns expected, got 1"),
        ("class,mirror_image\nleft,rigth\n", ":2: 'rigth' is none of the 4 classes"),
        (
            "class,mirror_image\nleft,right\nright,gauche\n",
            ":3: class 'right' is paired already",
        ),
        ("class,mirror_image\nleft,left\n", ":2: class 'left' is paired with itself"),
        ('class,mirror_image\nleft,"right\n', ": not CSV "),
    ],
)
def test_a_wrong_file_is_named_with_its_line(text, message):
    path = write_pairs(text)
    with pytest.raises(DataError) as error:
        find_mirror("folder", CLASSES, Path("there"))
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_training_swaps_what_the_file_pairs():
    write_pairs("class,mirror_image\ngauche,droite\n")
    frames = np.zeros((4, 10, 12, 3), np.uint8)
    frames[..., :6, :] = 255  # white on the left
    records = tuple(VideoRecord(f"{i}.mp4", i, 4, 8.0, 12, 10) for i in range(4))
    videos = Videos(
        Manifest(Path("there"), "train", CLASSES, records), 10, "pyav", cache=(frames,) * 4
    )
    config = DataConfig(
        dataset="folder", sampling="uniform", short_side_px=10, crop_px=10, flip="label_aware"
    )
    samples = [
        TrainingSet(videos, config, View(2), 0)[epoch, i] for epoch in range(9) for i in range(4)
    ]
    seen = {(s.index, bool(s.pixels[0, 0, 0, 0]), s.label) for s in samples}
    assert seen == {(i, True, i) for i in range(4)} | {
        (0, False, 1),
        (1, False, 0),
        (2, False, 2),
        (3, False, 3),
    }


def test_a_folder_s_recipe_that_leaves_flip_open_takes_the_way_that_keeps_labels_true():
    pairs, none = Mirror((("left", "right"),), "x"), Mirror((), "x")
    unset = DataConfig(dataset="folder", sampling="uniform")
    assert (pairs.flip(unset), none.flip(unset)) == ("label_aware", "plain")
    for flip in ("none", "plain", "label_aware"):
        said = DataConfig(dataset="folder", sampling="uniform", flip=flip)
        assert (pairs.flip(said), none.flip(said)) == (flip, flip)
    assert pairs.flip(DataConfig(dataset="sthv2", sampling="uniform")) == "plain"
